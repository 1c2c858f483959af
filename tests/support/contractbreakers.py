"""Backends that break the contract, each one promise of it: a good server, and one change each.

For tests of `pybench.testing`; `FILE:CLASS.serve` names one. `badbackends.py` has those that tests
of whole rounds need.
"""

import asyncio
import contextlib
import os
import selectors
import signal
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

Ready = Callable[[], None]
HIGH_WATER = 1 << 20  # bytes that wait to be sent before a connection is read no more


@dataclass(eq=False)
class Connection:
    sock: socket.socket
    number: int
    waiting: bytearray = field(default_factory=bytearray)
    ended: bool = False


class Good:
    """Keeps the contract: one selector, sockets that do not block, reads on while it writes."""

    def __init__(self, listener: socket.socket, conns: int, msize: int, ready: Ready) -> None:
        self.listener, self.conns, self.msize, self.ready = listener, conns, msize, ready
        self.selector = selectors.DefaultSelector()
        self.open: list[Connection] = []
        self.closed = 0

    @classmethod
    def serve(cls, listener: socket.socket, conns: int, msize: int, ready: Ready) -> None:
        cls(listener, conns, msize, ready).run()

    def run(self) -> None:
        self.accept()
        self.ready()
        while not self.is_over():
            for key, events in self.selector.select(self.patience()):
                self.handle(key.data, events)

    def accept(self) -> None:
        for _ in range(self.conns):
            self.add(self.listener.accept()[0])

    def add(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        connection = Connection(sock, len(self.open))
        self.open.append(connection)
        self.selector.register(sock, selectors.EVENT_READ, connection)

    def patience(self) -> float | None:
        return None

    def is_over(self) -> bool:
        return self.closed == self.conns

    def handle(self, connection: Connection, events: int) -> None:
        try:
            if events & selectors.EVENT_READ:
                self.read(connection)
            self.flush(connection)
        except ConnectionError:
            self.close(connection)
        else:
            self.go_on(connection)

    def read(self, connection: Connection) -> None:
        data = connection.sock.recv(1 << 16)
        if data:
            self.received(connection, data)
        else:
            connection.ended = True

    def received(self, connection: Connection, data: bytes) -> None:
        connection.waiting += data

    def flush(self, connection: Connection) -> None:
        with contextlib.suppress(BlockingIOError):
            if connection.waiting:
                del connection.waiting[: connection.sock.send(connection.waiting)]

    def go_on(self, connection: Connection) -> None:
        if connection.ended and not connection.waiting:
            self.close(connection)
        else:
            self.selector.modify(connection.sock, self.wants(connection), connection)

    def wants(self, connection: Connection) -> int:
        full = len(connection.waiting) >= HIGH_WATER
        reading = 0 if connection.ended or full else selectors.EVENT_READ
        return reading | (selectors.EVENT_WRITE if connection.waiting else 0)

    def close(self, connection: Connection) -> None:
        self.selector.unregister(connection.sock)
        connection.sock.close()
        self.closed += 1


# ---- call ----


def takes_two(listener: socket.socket, conns: int) -> None:
    """Has another signature."""


async def is_a_coroutine(listener: socket.socket, conns: int, msize: int, ready: Ready) -> None:
    await asyncio.sleep(0)


def raises_at_once(listener: socket.socket, conns: int, msize: int, ready: Ready) -> None:
    raise LookupError("no licence")


class ReturnsACount(Good):
    @classmethod
    def serve(cls, listener: socket.socket, conns: int, msize: int, ready: Ready) -> int:  # type: ignore[override]
        super().serve(listener, conns, msize, ready)
        return conns


# ---- ready ----


class ReadyAtOnce(Good):
    def accept(self) -> None:
        self.ready()
        super().accept()
        self.ready = lambda: None


class ReadyBeforeTheLast(Good):
    def accept(self) -> None:
        for number in range(self.conns):
            self.add(self.listener.accept()[0])
            if number == self.conns - 2:
                self.ready()
                self.ready = lambda: None


class ReadyTwice(Good):
    def accept(self) -> None:
        super().accept()
        self.ready()


class ReadyTwiceUnheard(Good):
    """As a callback of an event loop that logs what is raised in it."""

    def accept(self) -> None:
        super().accept()
        ready = self.ready

        def twice() -> None:
            ready()
            with contextlib.suppress(Exception):
                ready()

        self.ready = twice


class NeverReady(Good):
    def accept(self) -> None:
        super().accept()
        self.ready = lambda: None


# ---- echo, unasked, idle ----


class Shouts(Good):
    def received(self, connection: Connection, data: bytes) -> None:
        super().received(connection, data.upper())


class MixesUp(Good):
    """With one connection nothing can be mixed up."""

    def received(self, connection: Connection, data: bytes) -> None:
        other = self.open[(connection.number + 1) % self.conns]
        super().received(other, data)
        self.flush(other)
        self.go_on(other)


class Greets(Good):
    def add(self, sock: socket.socket) -> None:
        super().add(sock)
        sock.send(b"220 welcome\r\n")


class ClosesTheIdle(Good):
    """After a short time."""

    idle = 0

    def patience(self) -> float:
        return 0.01

    def is_over(self) -> bool:
        self.idle += 1
        if self.idle == 3:
            for connection in self.open:
                connection.sock.shutdown(socket.SHUT_RDWR)
        return super().is_over()


class Polls(Good):
    def patience(self) -> float:
        return 0.0


class AlwaysWantsToWrite(Good):
    """From the first echo on."""

    def wants(self, connection: Connection) -> int:
        return super().wants(connection) | selectors.EVENT_WRITE


# ---- return ----


class ReturnsBeforeTheLast(Good):
    def is_over(self) -> bool:
        return self.closed >= max(1, self.conns - 1)


class NeverReturns(Good):
    def is_over(self) -> bool:
        return False


# ---- what one connection does ----


class DropsSmallPieces(Good):
    def received(self, connection: Connection, data: bytes) -> None:
        if len(data) >= 8:
            super().received(connection, data)


class OneMessageARead(Good):
    def received(self, connection: Connection, data: bytes) -> None:
        super().received(connection, data[: max(self.msize, 1)])


class HasAMaximum(Good):
    """Of messages that are too large it returns the beginning."""

    LIMIT = 100_000
    got = 0

    def received(self, connection: Connection, data: bytes) -> None:
        room = self.LIMIT - self.got if self.msize > self.LIMIT else len(data)
        super().received(connection, data[: max(0, room)])
        self.got += len(data)


class ForgetsTheRest(Good):
    """Believes that send takes everything."""

    def flush(self, connection: Connection) -> None:
        super().flush(connection)
        connection.waiting.clear()


class RaisesWhenFull(Good):
    """Believes in sendall on a socket that does not block."""

    def flush(self, connection: Connection) -> None:
        connection.sock.sendall(connection.waiting)
        connection.waiting.clear()


class WaitsForOne(Good):
    """Blocks until the peer has taken all."""

    def flush(self, connection: Connection) -> None:
        connection.sock.setblocking(True)
        connection.sock.sendall(connection.waiting)
        connection.waiting.clear()
        connection.sock.setblocking(False)


class ClosesAtTheEnd(Good):
    """At once, whatever there was to send."""

    def go_on(self, connection: Connection) -> None:
        if connection.ended:
            connection.waiting.clear()
        super().go_on(connection)


class IgnoresTheEnd(Good):
    """Of a peer that it has still something to send to: keeps the connection."""

    def read(self, connection: Connection) -> None:
        had_to_send = bool(connection.waiting)
        super().read(connection)
        if connection.ended and had_to_send:
            connection.waiting += b"bye"


class DiesOfAReset(Good):
    def handle(self, connection: Connection, events: int) -> None:
        if events & selectors.EVENT_READ:
            self.read(connection)
        self.flush(connection)
        self.go_on(connection)


def dies_of_a_reset_in_a_thread(
    listener: socket.socket, conns: int, msize: int, ready: Ready
) -> None:
    """Where nobody catches it, and only standard error hears of it."""

    def echo(sock: socket.socket) -> None:
        with sock:
            while data := sock.recv(65536):
                sock.sendall(data)

    socks = [listener.accept()[0] for _ in range(conns)]
    threads = [threading.Thread(target=echo, args=[sock]) for sock in socks]
    for thread in threads:
        thread.start()
    ready()
    for thread in threads:
        thread.join()


class CountsTheOpen(Good):
    """Ready when that many are open at one time."""

    def accept(self) -> None:
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ)
        while len(self.selector.get_map()) - 1 < self.conns:
            for key, events in self.selector.select():
                if key.fileobj is self.listener:
                    self.add(self.listener.accept()[0])
                else:
                    self.handle(key.data, events)
        self.selector.unregister(self.listener)


# ---- sudden ends ----


class Exits(Good):
    def received(self, connection: Connection, data: bytes) -> None:
        print("out of cheese", flush=True)
        os._exit(3)


class Crashes(Good):
    def received(self, connection: Connection, data: bytes) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


class Raises(Good):
    def received(self, connection: Connection, data: bytes) -> None:
        raise ValueError("what is this?")


class DiesOfItsOwnMistake(Good):
    def received(self, connection: Connection, data: bytes) -> None:
        super().received(connection, self.decode(data))  # type: ignore[call-arg]

    def decode(self) -> bytes:
        return b""


not_callable = 7


def ignores_tls(
    listener: socket.socket, conns: int, msize: int, ready: Ready, /, *, tls: object = None
) -> None:
    """Good over TCP."""
    Good.serve(listener, conns, msize, ready)
