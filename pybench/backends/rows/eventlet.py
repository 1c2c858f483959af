"""eventlet: one green thread per connection, blocking style. Nothing is monkey-patched."""

import os
import socket
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says on import that it is no longer developed
    import eventlet
    from eventlet.green import socket as green
    from eventlet.greenio import GreenSocket

from pybench.backends.sockets import no_delay, peer_gone

if TYPE_CHECKING:
    from pybench.backends.tls import TlsContext


def _echo(sock: GreenSocket, msize: int, gone: tuple[type[OSError], ...]) -> None:
    """With TLS the first recv makes the handshake."""
    with sock:
        try:
            while data := sock.recv(msize):
                sock.sendall(data)
        except gone:
            pass


def _wrapped(sock: GreenSocket, tls: "TlsContext") -> GreenSocket:
    from eventlet.green.ssl import GreenSSLSocket

    return GreenSSLSocket(sock, server_side=True, do_handshake_on_connect=False, _context=tls)


def serve(
    listener: socket.socket,
    conns: int,
    msize: int,
    ready: Callable[[], None],
    /,
    *,
    tls: "TlsContext | None" = None,
) -> None:
    """See `contract.Serve`."""
    socks: list[GreenSocket] = []
    threads = []
    gone = peer_gone(tls)
    try:
        with green.socket(fileno=os.dup(listener.fileno())) as acceptor:
            for _ in range(conns):
                sock, _ = acceptor.accept()
                no_delay(sock)
                if tls is not None:
                    sock = _wrapped(sock, tls)
                socks.append(sock)
                threads.append(eventlet.spawn(_echo, sock, msize, gone))
        ready()
        for thread in threads:
            thread.wait()
    finally:
        for thread in threads:
            thread.kill()
        for sock in socks:
            sock.close()
