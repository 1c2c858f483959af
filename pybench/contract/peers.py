"""The other side of a backend: plain sockets that connect, send, read, jam, reset.

For the checks of the contract and the tests; not for measuring. Nothing here waits for
ever, and nothing here knows what the backend's process does.
"""

import errno
import os
import select
import selectors
import socket
import struct
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

DEADLINE_S = 30.0
SMALL_BUFFER = 16 * 1024
_CHUNK = 1 << 16


class PeerError(Exception):
    """What came back is not what an echo would be; the message says what came."""


class StalledError(PeerError):
    """Nothing moved any more before the deadline."""


class ClosedError(PeerError):
    """The connection ended before everything had come back."""


Address = tuple[str, int] | str
"""Where to connect to: an address and port, or the name of a Unix socket."""


def connect(
    address: Address,
    count: int,
    *,
    small_buffers: bool = False,
    timeout_s: float = DEADLINE_S,
    tls: "ssl.SSLContext | None" = None,
) -> list[socket.socket]:
    """`count` connections, made at once, that do not block.

    small_buffers: peers that hold little unread.  tls: with it, their handshakes are made too.
    Raises OSError when one cannot connect, and
    StalledError when not all did within timeout_s; none is left open then.
    """
    socks: list[socket.socket] = []
    deadline = time.monotonic() + timeout_s
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    try:
        for _ in range(count):
            socks.append(socket.socket(family))
            _start_connecting(socks[-1], address, small_buffers)
        _await_connected(socks, deadline)
        if tls is not None:
            from pybench.contract.tlspeer import handshakes

            socks = handshakes(socks, tls, deadline)
    except BaseException:
        for sock in socks:
            sock.close()
        raise
    return socks


def _start_connecting(sock: socket.socket, address: Address, small_buffers: bool) -> None:
    if small_buffers:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SMALL_BUFFER)
    if sock.family != socket.AF_UNIX:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    code = sock.connect_ex(address)
    if code not in (0, errno.EINPROGRESS):
        raise OSError(code, os.strerror(code))


def _await_connected(socks: Sequence[socket.socket], deadline: float) -> None:
    with selectors.DefaultSelector() as selector:
        for sock in socks:
            selector.register(sock, selectors.EVENT_WRITE, sock)
        while left := len(selector.get_map()):
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise StalledError(f"{len(socks) - left} of {len(socks)} connections were made")
            for key, _ in ready:
                code = key.data.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if code:
                    raise OSError(code, os.strerror(code))
                selector.unregister(key.data)


def reset(sock: socket.socket) -> None:
    """Close so that the other side sees a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def push(sock: socket.socket, data: bytes | memoryview, quiet_s: float) -> int:
    """Send without reading, until all is out or the other side took no more for quiet_s seconds.

    Returns how many bytes went out.
    """
    sent = 0
    while sent < len(data) and select.select([], [sock], [], quiet_s)[1]:
        sent += sock.send(memoryview(data)[sent : sent + _CHUNK])
    return sent


@dataclass
class _Talk:
    """One connection's part of an exchange."""

    sock: socket.socket
    to_send: memoryview
    expected: int
    piece: int
    half_close: bool
    sent: int = 0
    received: bytearray = field(default_factory=bytearray)

    @property
    def wants(self) -> int:
        sending = selectors.EVENT_WRITE if self.sent < len(self.to_send) else 0
        reading = selectors.EVENT_READ if len(self.received) < self.expected else 0
        return sending | reading

    def step(self, events: int) -> None:
        try:
            if events & selectors.EVENT_WRITE:
                self._write()
            if events & selectors.EVENT_READ:
                self._read()
        except ConnectionError as exc:
            raise ClosedError(f"{exc.strerror} {self._so_far()}") from exc

    def _write(self) -> None:
        with suppress(BlockingIOError):  # of TLS a part is no record yet
            self.sent += self.sock.send(self.to_send[self.sent : self.sent + self.piece])
        if self.half_close and self.sent == len(self.to_send):
            self.sock.shutdown(socket.SHUT_WR)

    def _read(self) -> None:
        try:
            data = self.sock.recv(_CHUNK)
        except BlockingIOError:
            return
        if not data:
            raise ClosedError(f"the connection was closed {self._so_far()}")
        self.received += data

    def _so_far(self) -> str:
        return f"after {len(self.received)} of {self.expected} bytes had come back"


def exchange(
    socks: Iterable[socket.socket],
    messages: Iterable[bytes],
    *,
    expected: int | None = None,
    piece: int = 1 << 20,
    pause_s: float = 0.0,
    half_close: bool = False,
    timeout_s: float = DEADLINE_S,
) -> list[bytes]:
    """Send each its message, `piece` bytes at a time, all at once, reading what comes back.

    expected: bytes to read from each; the length of its message if None.  pause_s: between two
    pieces, and between two reads.  half_close: end the sending side after the last byte.
    Returns what came back. Raises StalledError and ClosedError.
    """
    talks = [
        _Talk(
            sock,
            memoryview(message),
            len(message) if expected is None else expected,
            piece,
            half_close,
        )
        for sock, message in zip(socks, messages, strict=True)
    ]
    deadline = time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        for talk in talks:
            selector.register(talk.sock, talk.wants, talk)
        while selector.get_map():
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            if not ready:
                raise StalledError(f"nothing moves: {_progress(talks)}")
            for key, events in ready:
                _go_on(selector, key, events)
            if pause_s:
                time.sleep(pause_s)
    return [bytes(talk.received) for talk in talks]


def _go_on(selector: selectors.BaseSelector, key: selectors.SelectorKey, events: int) -> None:
    """One step of a talk, and waiting for what it wants next."""
    talk: _Talk = key.data
    talk.step(events)
    if not talk.wants:
        selector.unregister(key.fileobj)
    elif talk.wants != key.events:
        selector.modify(key.fileobj, talk.wants, talk)


def _progress(talks: Sequence[_Talk]) -> str:
    """Of the connection that is the farthest from its end."""
    last = max(talks, key=lambda talk: talk.expected - len(talk.received))
    unsent = len(last.to_send) - last.sent
    waiting = f", {unsent} were not taken" if unsent else ""
    behind = sum(len(talk.received) < talk.expected for talk in talks)
    many = f" on {behind} of {len(talks)} connections" if len(talks) > 1 else ""
    return f"{len(last.received)} of {last.expected} bytes came back{waiting}{many}"


def read_to_end(sock: socket.socket, timeout_s: float = DEADLINE_S) -> bytes:
    """All that still arrives; a reset is an end as well. Raises StalledError when none comes."""
    sock.settimeout(timeout_s)
    data = bytearray()
    try:
        with suppress(ConnectionResetError):
            while more := sock.recv(_CHUNK):
                data += more
    except TimeoutError:
        raise StalledError(f"the connection was not closed within {timeout_s:g} s") from None
    return bytes(data)
