"""Both ends of a backend test: a host process that serves rows, and peers that talk to it.

A `Host` is a Python process that runs `serve` of rows in its main thread, one call after the other;
`python tests/support/peers.py EVENTS_FD FACTS_FD` is its program. A `Call` is one of them, and to
its caller what a worker is: it says the same through the same pipe, and `contract.Session` takes it
in a worker's place. The peers are plain non-blocking sockets of the test process, from
`pybench.contract.peers`. Every wait has a deadline.
"""

import contextlib
import dataclasses
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

from pybench.backends import Row, load
from pybench.backends.tls import server_context
from pybench.contract.peers import DEADLINE_S, connect, exchange, read_to_end, reset
from pybench.contract.plan import Plan
from pybench.driver.certificate import certificate
from pybench.driver.watch import Watch
from pybench.errors import WorkerError
from pybench.worker.__main__ import listen_unix
from pybench.worker.failure import failed
from pybench.worker.protocol import (
    Code,
    Done,
    Event,
    Failed,
    Listening,
    Reader,
    Ready,
    Usage,
    Writer,
)
from pybench.worker.serving import serve_once
from pybench.worker.tcptable import connections

__all__ = ["DEADLINE_S", "Call", "Facts", "Host", "connect", "exchange", "read_to_end", "reset"]


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a host tells of a call that no worker tells.

    accepted: connections that the process held when ready() was called.  left_open: descriptors
    that are open and were not before.
    """

    accepted: int | None
    left_open: int


# ---- the host's program ----


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


def _accepted(address: object) -> int:
    """How many connections made to `address` this process holds."""
    count = 0
    for fd, kind in _open_descriptors().items():
        if kind.startswith("socket:"):
            # one that is no connection, or whose peer has left meanwhile and which is closed
            with contextlib.suppress(OSError), socket.socket(fileno=os.dup(fd)) as sock:
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


def _serve(spec: dict[str, Any], writer: Writer) -> Facts:
    before, accepted = _kept_open(), None

    def send(event: Event) -> None:
        nonlocal accepted
        if isinstance(event, Ready):
            accepted = _accepted(address)
        writer.send(event)
        if isinstance(event, Ready) and spec["ready_raises"]:
            raise LookupError("ready was told to fail")

    step: Code = "import"
    with _listener(spec) as listener:
        address = listener.getsockname()
        try:
            serve = load(Row(**spec["row"]))
            if listener.family == socket.AF_UNIX:
                writer.send(Listening(0, names=(address[1:].decode(),)))
            else:
                writer.send(Listening(address[1]))
            step = "raised"
            tls = server_context(spec["pem"]) if spec["transport"] == "tls" else None
            with _file_limit(spec["max_files"]):
                serve_once(serve, listener, spec["conns"], spec["msize"], send, tls=tls)
        except BaseException as exc:
            writer.send(failed(exc, step))
    return Facts(accepted, _kept_open() - before)


def _listener(spec: dict[str, Any]) -> socket.socket:
    if spec["transport"] != "unix":
        return socket.create_server(("127.0.0.1", 0), backlog=min(spec["conns"], 4096))
    listener = listen_unix()
    listener.listen(min(spec["conns"], 4096))
    return listener


def host_main(events_fd: int, facts_fd: int) -> None:
    """Serve what standard input asks for, until it ends."""
    writer = Writer(events_fd)
    for line in sys.stdin:
        facts = json.dumps(dataclasses.asdict(_serve(json.loads(line), writer)))
        os.write(facts_fd, facts.encode() + b"\n")


# ---- the test's side ----


class Host:
    """A process that serves calls; it is started with the first, and anew when one has ended it.

    errors: a file for what it prints.  env: added to its environment.
    """

    def __init__(self, errors: Path, env: Mapping[str, str] | None = None) -> None:
        self._errors = errors
        self._env = dict(env or {})
        self._stack = contextlib.ExitStack()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, plan: Plan, conns: int, msize: int) -> "Call":
        """As `contract.Plan` has it."""
        return self.call(plan.row, conns, msize, transport=plan.transport)

    def call(
        self,
        row: Row,
        conns: int,
        msize: int = 64,
        *,
        transport: str = "tcp",
        ready_raises: bool = False,
        max_files: int | None = None,
    ) -> "Call":
        """One call of the row's serve, as a context. It listens already, unless it has failed."""
        if self._process is None or self._process.poll() is not None:
            self._launch()
        assert self._process is not None and self._process.stdin is not None
        spec = {
            "row": dataclasses.asdict(row),
            "conns": conns,
            "msize": msize,
            "transport": transport,
            "pem": f"/proc/{os.getpid()}/fd/{certificate().fd}" if transport == "tls" else "",
            "ready_raises": ready_raises,
            "max_files": max_files,
        }
        call = Call(self, len(self.printed()))
        self._process.stdin.write(json.dumps(spec).encode() + b"\n")
        self._process.stdin.flush()
        return call

    def _launch(self) -> None:
        self.close()
        with contextlib.ExitStack() as stack:
            self.events, events_fd = os.pipe()
            self.facts, facts_fd = os.pipe()
            for fd in (self.events, self.facts):
                stack.callback(os.close, fd)
            os.set_blocking(self.events, False)
            errors = stack.enter_context(self._errors.open("wb"))
            self._process = subprocess.Popen(
                [
                    sys.executable, "-W", "always::ResourceWarning", __file__,
                    str(events_fd), str(facts_fd),
                ],
                stdin=subprocess.PIPE,
                stdout=errors,
                stderr=errors,
                pass_fds=(events_fd, facts_fd),
                env={**os.environ, **self._env},
            )  # fmt: skip
            os.close(events_fd)
            os.close(facts_fd)
            self.exit = os.pidfd_open(self._process.pid)
            stack.callback(os.close, self.exit)
            self._stack = stack.pop_all()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def interrupt(self) -> None:
        """Ctrl-C."""
        os.kill(self.pid, signal.SIGINT)

    def printed(self) -> str:
        """All since it was started."""
        return self._errors.read_text(errors="replace") if self._errors.exists() else ""

    def close(self) -> None:
        """End it, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            with contextlib.suppress(BrokenPipeError):
                assert self._process.stdin is not None
                self._process.stdin.close()
            self._process = None
        self._stack.close()


class Call:
    """One call of serve in a host: a `contract.session.Worker`. A context manager.

    Leaving it takes in what there is to know, or ends the host if the call goes on.
    printed_before: how much its host had printed before it.
    """

    def __init__(self, host: Host, printed_before: int) -> None:
        self.port: int | None = None
        self.addr = "127.0.0.1"
        self.takes_tls = False
        self.ready = False
        self.usage: Usage | None = None
        self.ended = False
        self.facts: Facts | None = None
        self.pid = host.pid
        self.events_fd, self.exit_fd = host.events, host.exit
        self._host = host
        self._reader = Reader(host.events)
        self._printed_before = printed_before

    def __enter__(self) -> "Call":
        return self

    def __exit__(self, *exc_info: object) -> None:
        with contextlib.suppress(WorkerError):
            self.receive()
        if self.ended:
            self._learn()
        else:
            self._host.close()

    @property
    def silent(self) -> bool:
        return self._reader.silent

    def receive(self) -> None:
        """Take in what has been said. Raises WorkerError as `WorkerProcess.receive` does."""
        gone = bool(select.select([self.exit_fd], [], [], 0)[0])
        for event in self._reader.events():
            self._take(event)
        if gone and not self.ended:
            raise WorkerError(f"the host has ended; it printed: {self._text()}", code="exited")

    def _take(self, event: Event) -> None:
        match event:
            case Listening():
                self.port = event.port
                self.addr = f"unix:@{event.names[0]}" if event.names else self.addr
            case Ready():
                self.ready = True
            case Done():
                self.usage, self.ended = event.usage, True
            case Failed():
                self.ended = True
                raise WorkerError(
                    event.reason,
                    code=event.code,
                    exceptions=event.exceptions,
                    details=event.traceback,
                )

    def finish(self) -> None:
        """A backend notices by itself."""

    def printed(self, size: int) -> str:
        """The last `size` characters of what was printed meanwhile."""
        return self._text()[-size:]

    def _text(self) -> str:
        return self._host.printed()[self._printed_before :]

    # ---- waiting ----

    def await_port(self) -> int:
        """Where it listens."""
        self._until("port")
        assert self.port is not None
        return self.port

    def await_ready(self) -> None:
        """All are accepted."""
        self._until("ready")

    def await_end(self) -> Facts:
        """What there is to know of it. Raises WorkerError when it has failed."""
        self._until("ended")
        return self._learn()

    def await_failure(self) -> WorkerError:
        """How it failed."""
        try:
            self._until("ended")
        except WorkerError as exc:
            self._learn()
            return exc
        raise AssertionError("serve returned")

    def await_sleep(self) -> None:
        """Until the host's main thread sleeps, having accepted whoever has connected.

        It may sleep before that: while a thread of its own begins.
        """
        deadline, port = time.monotonic() + DEADLINE_S, self.await_port()
        while connections(port).waiting or self._stat()[0] != "S":
            assert time.monotonic() < deadline, "the host never waits"
            os.sched_yield()

    def cpu_s(self) -> float:
        """CPU time used by the host so far."""
        stat = self._stat()
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")

    def _stat(self) -> list[str]:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()

    def _until(self, attribute: str) -> None:
        with Watch(self, None) as watch:
            watch.until(lambda: bool(getattr(self, attribute)), DEADLINE_S)

    def _learn(self) -> Facts:
        if self.facts is None:
            ready, _, _ = select.select([self._host.facts], [], [], DEADLINE_S)
            assert ready, f"no facts; it printed: {self._text()}"
            self.facts = Facts(**json.loads(os.read(self._host.facts, 4096)))
        return self.facts


if __name__ == "__main__":
    host_main(int(sys.argv[1]), int(sys.argv[2]))
