"""threading: one thread per connection, blocking sockets, the GIL decides whose turn it is."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pybench.backends.sockets import no_delay, peer_gone
from pybench.errors import PreflightError

if TYPE_CHECKING:
    from pybench.backends.tls import TlsContext

# The default is 8 MiB of address space for each. The frames of _echo need a few KiB; the rest is
# for what the interpreter wants to keep free below them.
_STACK_BYTES = 256 * 1024


def _echo(
    sock: socket.socket, msize: int, gone: tuple[type[OSError], ...], failures: list[Exception]
) -> None:
    """With TLS the first recv makes the handshake."""
    with sock:
        try:
            while data := sock.recv(msize):
                sock.sendall(data)
        except gone:
            pass
        except Exception as error:
            failures.append(error)


def _limits() -> str:
    """The limits on threads that this machine publishes, for a message."""
    values = []
    for name in ("kernel/pid_max", "kernel/threads-max", "vm/max_map_count"):
        with suppress(OSError):
            value = Path("/proc/sys", name).read_text().strip()
            values.append(f"{name.replace('/', '.')} = {value}")
    return ", ".join(values)


def _start(thread: threading.Thread, started: int, conns: int) -> None:
    try:
        thread.start()
    except RuntimeError as error:
        raise PreflightError(
            f"thread: {error} after {started} of {conns}: the limit is one of {_limits()} (a thread"
            " takes two or three mappings), ulimit -u, or the cgroup's pids.max"
        ) from error


def serve(
    listener: socket.socket,
    conns: int,
    msize: int,
    ready: Callable[[], None],
    /,
    *,
    tls: "TlsContext | None" = None,
) -> None:
    """See `contract.Serve`. Raises PreflightError when the machine gives no more threads."""
    socks: list[socket.socket] = []
    threads: list[threading.Thread] = []
    failures: list[Exception] = []
    gone = peer_gone(tls)
    stack_before = threading.stack_size(_STACK_BYTES)
    try:
        for _ in range(conns):
            sock, _ = listener.accept()
            no_delay(sock)
            if tls is not None:
                sock = tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            socks.append(sock)
            # daemon: up to Python 3.12 each start and end of another thread walks a list of all.
            arguments = (sock, msize, gone, failures)
            thread = threading.Thread(target=_echo, args=arguments, daemon=True)
            _start(thread, len(threads), conns)
            threads.append(thread)
        ready()
        for thread in threads:
            thread.join()
    finally:
        threading.stack_size(stack_before)
        for sock in socks:  # no more than a formality unless something went wrong
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for sock in socks:
            sock.close()
    if failures:
        raise failures[0]
