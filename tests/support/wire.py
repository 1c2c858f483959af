"""Test side of the control protocol, written from the text in server/control.h and not from
pybench's own client: a raw control client, a load server process, and listening peers that echo
well or badly.
"""

import contextlib
import os
import re
import selectors
import shlex
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pybench

TIMEOUT_S = 30

IDLY = {"think_min_us": 5000, "think_max_us": 5000}
"""Words of a test that only has to last: it takes next to no CPU time from those beside it."""


def server_program() -> str:
    """The load server under test: PYBENCH_SERVER when set, else the one in the package."""
    inside = Path(pybench.__file__).parent / "bin" / "pybench-server"
    return os.environ.get("PYBENCH_SERVER") or str(inside)


@contextlib.contextmanager
def load_server(
    *options: str,
    listen: str = "127.0.0.1:0",
    prefix: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
    preexec_fn: Callable[[], None] | None = None,
) -> Iterator["ServerProcess"]:
    """A running load server; it is ended, and must have survived until then, on leaving."""
    process = subprocess.Popen(
        [*prefix, server_program(), "--listen", listen, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
        preexec_fn=preexec_fn,
    )
    try:
        line = process.stdout.readline()  # type: ignore[union-attr]
        match = re.fullmatch(r"listening on \[?(.+?)\]?:(\d+)\n", line)
        assert match, (line, process.stderr.read() if process.stderr else "")
        yield ServerProcess(process, (match[1], int(match[2])))
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_S) == 0, process.stderr.read()  # type: ignore[union-attr]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()


class ServerProcess:
    """A load server that listens at `address`."""

    def __init__(self, process: "subprocess.Popen[str]", address: tuple[str, int]) -> None:
        self.process = process
        self.address = address

    def client(self) -> "ControlClient":
        return ControlClient(self.address)

    def run(self, port: int | str | None, **options: object) -> "Answer":
        """One whole test of the listener at 127.0.0.1:port, of several (`PORT,PORT`), or at
        addr=unix:... without a port."""
        with self.client() as client:
            client.request(port, **options)
            return client.finish()


class Answer(list[str]):
    """The reply lines of one test."""

    def words(self, verb: str) -> dict[str, str]:
        """All key=value words of the lines with that verb."""
        found: dict[str, str] = {}
        for line in self:
            head, *words = shlex.split(line)
            if head == verb:
                found.update(word.split("=", 1) for word in words)
        return found

    def count(self, key: str) -> int:  # type: ignore[override]
        return int(self.words("result")[key])

    @property
    def verbs(self) -> list[str]:
        return [line.split(" ", 1)[0] for line in self]


class ControlClient:
    """A raw control connection."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, TIMEOUT_S)
        self.file = self.socket.makefile("r", encoding="ascii", newline="\n")

    def __enter__(self) -> "ControlClient":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def send(self, text: str) -> None:
        self.socket.sendall(text.encode())

    def request(self, port: int | str | None, **options: object) -> None:
        words: dict[str, object] = {
            "v": 2,
            "addr": "127.0.0.1",
            "port": port,
            "conns": 10,
            "msize": 64,
            "warmup_ms": 20,
            "runtime_ms": 150,
            **options,
        }
        self._ask(words)

    def _ask(self, words: dict[str, object]) -> None:
        given = (f"{k}={v}" for k, v in words.items() if v is not None)
        self.send("test " + " ".join(given) + "\n")

    def request_turns(self, port: int | str | None, **options: object) -> None:
        """A session that takes turns, ready for the first."""
        words: dict[str, object] = {
            "v": 2, "addr": "127.0.0.1", "port": port, "conns": 10, "msize": 64, "turns": 1,
        }  # fmt: skip
        self._ask(words | options)
        self.await_verb("connected")
        self.send("ready\n")

    def ask_turn(self, settle_us: int = 2000, window_us: int = 50_000) -> None:
        self.send(f"turn settle_us={settle_us} window_us={window_us}\n")

    def turn(self, settle_us: int = 2000, window_us: int = 50_000) -> dict[str, int]:
        """The words of one turn."""
        self.ask_turn(settle_us, window_us)
        return self.turned()

    def turned(self) -> dict[str, int]:
        words = self.await_verb("turn ").split()[1:]
        return {key: int(value) for key, value in (word.split("=") for word in words)}

    def stop(self) -> "Answer":
        """The rest of the session, after `stop`."""
        self.send("stop\n")
        return self.finish()

    def line(self) -> str:
        return self.file.readline()

    def await_verb(self, verb: str) -> str:
        """The next line with that verb; an error line instead fails the test."""
        while line := self.line():
            if line.startswith(verb):
                return line
            assert not line.startswith("error"), line
        raise AssertionError(f"the connection ended before {verb!r}")

    def finish(self) -> Answer:
        """Say ready when it is time, and read to the end."""
        answer = Answer()
        while line := self.line():
            answer.append(line.rstrip("\n"))
            if line.startswith("connected"):
                self.send("ready\n")
        return answer


class Peer:
    """A client under test: listens, accepts, and treats what arrives as its `on_data` says.

    on_data(peer, connection, data) answers bytes that arrived; the default echoes them.
    unix: listen on a Unix socket instead, at a path or, as @NAME, an abstract one.  Runs in a
    thread of its own until closed.
    """

    def __init__(
        self,
        on_data: Callable[["Peer", socket.socket, bytes], None] | None = None,
        *,
        on_accept: Callable[["Peer", socket.socket], None] | None = None,
        backlog: int = 128,
        host: str = "127.0.0.1",
        unix: str | None = None,
        receive: int = 1 << 20,
    ) -> None:
        self.on_data = on_data or Peer.echo
        self.on_accept = on_accept
        self.receive = receive
        if unix:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(unix.replace("@", "\0", 1) if unix.startswith("@") else unix)
        else:
            self.listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
            self.listener.bind((host, 0))
        self.listener.listen(backlog)
        self.port = 0 if unix else self.listener.getsockname()[1]
        self.accepted = 0
        self.closed = 0
        self.changed = threading.Condition()
        self._pending: dict[socket.socket, bytes] = {}
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = socket.socketpair()
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._selector.register(self.listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *exc: object) -> None:
        self._waker.close()
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()

    def echo(self, connection: socket.socket, data: bytes) -> None:
        """Send data back, what does not fit later."""
        self._pending[connection] = self._pending.get(connection, b"") + data
        self._flush(connection)

    def await_closed(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: self.closed >= count, TIMEOUT_S), (
                f"{self.closed} of {count} closed"
            )

    def drop(self, connection: socket.socket, *, reset: bool = False) -> None:
        """Close a connection from this side."""
        if connection.fileno() < 0:
            return
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._selector.unregister(connection)
        connection.close()
        self._pending.pop(connection, None)
        with self.changed:
            self.closed += 1
            self.changed.notify_all()

    def _flush(self, connection: socket.socket) -> None:
        try:
            sent = connection.send(self._pending[connection])
        except BlockingIOError:
            sent = 0
        except OSError:
            self.drop(connection)
            return
        self._pending[connection] = self._pending[connection][sent:]
        more = selectors.EVENT_WRITE if self._pending[connection] else 0
        self._selector.modify(connection, selectors.EVENT_READ | more)

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        connection.setblocking(False)
        self._selector.register(connection, selectors.EVENT_READ)
        self.accepted += 1
        if self.on_accept:
            self.on_accept(self, connection)

    def _read(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(self.receive)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.on_data(self, connection, data)
        else:
            self.drop(connection)

    def _serve(self) -> None:
        while True:
            for key, events in self._selector.select():
                if key.fileobj is self._wake:
                    self._end()
                    return
                if key.fileobj is self.listener:
                    self._accept()
                    continue
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                if events & selectors.EVENT_WRITE:
                    self._flush(connection)
                if events & selectors.EVENT_READ and connection.fileno() >= 0:
                    self._read(connection)

    def _end(self) -> None:
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()
