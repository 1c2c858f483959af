"""The selector row's job on `pybench.rawselect`: descriptor numbers instead of socket objects."""

import socket
from collections.abc import Callable

from pybench.backends.sockets import PEER_GONE, no_delay
from pybench.rawselect import EPOLLIN, EPOLLOUT, Epoll, recv, send


class _Echo:
    """The open connections of one epoll, and what slow peers have not taken yet.

    A descriptor with a rest is registered for writing only and not read until the rest is out.
    """

    def __init__(self, epoll: Epoll, msize: int) -> None:
        self._epoll = epoll
        self._msize = msize
        self._socks: dict[int, socket.socket] = {}
        self._rests: dict[int, memoryview] = {}

    def add(self, sock: socket.socket) -> None:
        self._socks[sock.fileno()] = sock
        self._epoll.register(sock.fileno(), EPOLLIN)

    def run(self) -> None:
        """Echo until every connection is closed.

        One function with local names: this is the loop that is measured.
        """
        wait, msize, rests, socks = self._epoll.wait, self._msize, self._rests, self._socks
        while socks:
            for fd in wait():
                if fd in rests:
                    self._flush(fd)
                    continue
                try:
                    data = recv(fd, msize)
                except BlockingIOError:
                    continue
                except PEER_GONE:
                    data = b""
                if not data:
                    socks.pop(fd).close()
                    continue
                try:
                    sent = send(fd, data)
                except BlockingIOError:
                    sent = 0
                except PEER_GONE:
                    continue  # reported again, and then recv finds the end
                if sent != len(data):
                    rests[fd] = memoryview(data)[sent:]
                    self._epoll.modify(fd, EPOLLOUT)

    def _flush(self, fd: int) -> None:
        try:
            rest = self._rests[fd][send(fd, self._rests[fd]) :]
        except BlockingIOError:
            return
        except PEER_GONE:
            rest = memoryview(b"")
        if rest:
            self._rests[fd] = rest
        else:
            del self._rests[fd]
            self._epoll.modify(fd, EPOLLIN)

    def close(self) -> None:
        for sock in self._socks.values():
            sock.close()


def serve(listener: socket.socket, conns: int, msize: int, ready: Callable[[], None], /) -> None:
    """See `contract.Serve`."""
    with Epoll() as epoll:
        echo = _Echo(epoll, msize)
        try:
            for _ in range(conns):
                sock, _ = listener.accept()
                no_delay(sock)
                echo.add(sock)
            ready()
            echo.run()
        finally:
            echo.close()
