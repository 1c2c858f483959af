"""Both ends of a backend test: a host process that serves a row, and peers that talk to it.

A `Host` is a fresh Python process that runs one row's `serve` in its main thread, one call after
the other, and reports what happened as JSON lines; `python tests/support/peers.py ROW` is its
program. The peers are plain non-blocking sockets of the test process, from
`pybench.contract.peers`. Every wait has a deadline.
"""

import contextlib
import gc
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pybench.contract.peers import (
    DEADLINE_S,
    SMALL_BUFFER,
    connect,
    exchange,
    push,
    read_to_end,
    reset,
)

__all__ = ["DEADLINE_S", "QUIET_S", "Host", "connect", "exchange", "jam", "read_to_end", "reset"]

QUIET_S = 0.3


# ---- the host's program ----


def _report(**event: object) -> None:
    print(json.dumps(event), flush=True)


def _open_descriptors() -> dict[int, str]:
    """Number and kind (`socket:[123]`, `anon_inode:[eventpoll]`, a path) of what is open here."""
    found = {}
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that listed them is gone
            found[int(path.name)] = str(path.readlink())
    return found


def _kept_open() -> int:
    """How many descriptors something still refers to.

    A library may leave its loop to the collector, as Twisted does with a reactor. When that runs by
    itself is chance, and it would close in one call what an earlier one had opened.
    """
    gc.collect()
    return len(_open_descriptors())


def _accepted(address: tuple[str, int]) -> int:
    """How many connections made to `address` this process holds."""
    count = 0
    for fd, kind in _open_descriptors().items():
        if kind.startswith("socket:"):
            with socket.socket(fileno=os.dup(fd)) as sock, contextlib.suppress(OSError):
                sock.getpeername()
                count += sock.getsockname() == address
    return count


@contextlib.contextmanager
def _file_limit(limit: int | None) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _serve_once(
    serve: Any,
    conns: int,
    msize: int,
    ready_raises: bool,
    small_buffers: bool,
    max_files: int | None,
) -> None:
    before = _kept_open()
    calls = 0

    def ready() -> None:
        nonlocal calls
        calls += 1
        _report(event="ready", calls=calls, accepted=_accepted(address))
        if ready_raises:
            raise LookupError("ready was told to fail")

    outcome: dict[str, object]
    with socket.create_server(("127.0.0.1", 0), backlog=min(conns, 4096)) as listener:
        address = listener.getsockname()
        if small_buffers:  # accepted sockets inherit them
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        try:
            with _file_limit(max_files):
                _report(event="listening", address=address)
                outcome = {"event": "done", "result": serve(listener, conns, msize, ready)}
        except BaseException as error:
            outcome = {"event": "failed", "error": type(error).__name__, "text": str(error)}
            del error
    _report(**outcome, calls=calls, left_open=_kept_open() - before)


def host_main(name: str) -> None:
    from pybench.backends import find, load

    serve = load(find(name))
    _report(event="up")
    for line in sys.stdin:
        _serve_once(serve, **json.loads(line))


# ---- the test's side ----


class Host:
    """A process that serves one row, for as long as the context lasts.

    errors: a file for its standard error.  env: added to its environment.
    """

    def __init__(self, row: str, errors: Path, env: Mapping[str, str] | None = None) -> None:
        self.row = row
        self._errors = errors
        self._pending = b""
        self._serving = False
        with errors.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "always::ResourceWarning", __file__, row],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, **(env or {})},
            )
        self.event("up")

    @property
    def idle(self) -> bool:
        """Running, and every serve call has ended."""
        return self._process.poll() is None and not self._serving

    def serve(
        self,
        conns: int,
        msize: int = 64,
        *,
        ready_raises: bool = False,
        small_buffers: bool = False,
        max_files: int | None = None,
    ) -> tuple[str, int]:
        """Start one serve call and return the address that it accepts on."""
        spec = {
            "conns": conns,
            "msize": msize,
            "ready_raises": ready_raises,
            "small_buffers": small_buffers,
            "max_files": max_files,
        }
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(spec).encode() + b"\n")
        self._process.stdin.flush()
        self._serving = True
        host, port = self.event("listening")["address"]
        return host, port

    def event(self, kind: str) -> dict[str, Any]:
        """The next thing that the host reports, which must be of that kind."""
        line = self._line()
        event: dict[str, Any] = json.loads(line)
        assert event["event"] == kind, f"{kind} expected, not {event}; stderr: {self.stderr()}"
        self._serving = kind in ("listening", "ready")
        return event

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        deadline = time.monotonic() + DEADLINE_S
        while b"\n" not in self._pending:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                self.close()
                raise AssertionError(f"no event in {DEADLINE_S} s; stderr: {self.stderr()}")
            data = os.read(self._process.stdout.fileno(), 65536)
            if not data:
                self.close()
                raise AssertionError(f"the host ended; stderr: {self.stderr()}")
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def wait_idle(self) -> None:
        """Until the host's main thread sleeps, having done what there was to do."""
        deadline = time.monotonic() + DEADLINE_S
        while self._stat()[0] != "S":
            assert time.monotonic() < deadline, "the host never waits"
            os.sched_yield()

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def cpu_s(self) -> float:
        """CPU time used so far."""
        stat = self._stat()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def _stat(self) -> list[str]:
        text = Path(f"/proc/{self._process.pid}/stat").read_text()
        return text.rpartition(")")[2].split()

    def stderr(self) -> str:
        return self._errors.read_text(errors="replace")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def jam(sock: socket.socket, data: bytes, host: Host) -> tuple[int, float]:
    """Send without reading until the host takes no more.

    Returns how many bytes went out, and the CPU seconds that the host used in the QUIET_S seconds
    in which nothing moved.
    """
    sent = push(sock, data, 0.0)
    while sent < len(data):
        cpu_before = host.cpu_s()
        more = push(sock, data[sent : sent + 65536], QUIET_S)
        if not more:
            return sent, host.cpu_s() - cpu_before
        sent += more
    raise AssertionError(f"the host swallowed {sent} bytes that nobody read back")


if __name__ == "__main__":
    host_main(sys.argv[1])
