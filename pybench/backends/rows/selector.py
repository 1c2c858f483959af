"""selectors: one thread, non-blocking sockets, a callback per connection and direction."""

import selectors
import socket
from collections.abc import Callable

from pybench.backends.sockets import PEER_GONE, no_delay


class _Connection:
    """One non-blocking socket, registered with its selector for as long as it is open.

    The callback that is due is the registration's data: `readable`, or `writable` while the peer
    has not taken all of a message; until then nothing more is read.
    """

    __slots__ = ("_msize", "_rest", "_selector", "_sock")

    def __init__(self, selector: selectors.BaseSelector, sock: socket.socket, msize: int) -> None:
        self._selector = selector
        self._sock = sock
        self._msize = msize
        self._rest = memoryview(b"")
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ, self.readable)

    def readable(self) -> None:
        try:
            data = self._sock.recv(self._msize)
        except BlockingIOError:
            return
        except PEER_GONE:
            data = b""
        if not data:
            self.close()
            return
        sent = self._send(data)
        if sent < len(data):
            self._rest = memoryview(data)[sent:]
            self._selector.modify(self._sock, selectors.EVENT_WRITE, self.writable)

    def writable(self) -> None:
        self._rest = self._rest[self._send(self._rest) :]
        if not self._rest:
            self._selector.modify(self._sock, selectors.EVENT_READ, self.readable)

    def _send(self, data: bytes | memoryview) -> int:
        """How much was taken. Of a peer that is gone all: reading next finds out and closes."""
        try:
            return self._sock.send(data)
        except BlockingIOError:
            return 0
        except PEER_GONE:
            return len(data)

    def close(self) -> None:
        self._selector.unregister(self._sock)
        self._sock.close()


def serve(listener: socket.socket, conns: int, msize: int, ready: Callable[[], None], /) -> None:
    """See `contract.Serve`."""
    with selectors.DefaultSelector() as selector:
        try:
            for _ in range(conns):
                sock, _ = listener.accept()
                no_delay(sock)
                _Connection(selector, sock, msize)
            ready()
            open_connections = selector.get_map()
            while open_connections:
                for key, _events in selector.select():
                    key.data()
        finally:
            for key in list(selector.get_map().values()):
                key.data.__self__.close()
