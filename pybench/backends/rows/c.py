"""The C rows: the extension does everything, from accept to the last close."""

import socket
from collections.abc import Callable


def serve_epoll(
    listener: socket.socket, conns: int, msize: int, ready: Callable[[], None], /
) -> None:
    """See `contract.Serve`. C, one thread, epoll."""
    from pybench import c_epoll

    c_epoll.serve(listener.fileno(), conns, msize, ready)


def serve_poll(
    listener: socket.socket, conns: int, msize: int, ready: Callable[[], None], /
) -> None:
    """See `contract.Serve`. C, one thread, poll."""
    from pybench import c_poll

    c_poll.serve(listener.fileno(), conns, msize, ready)


def serve_th(listener: socket.socket, conns: int, msize: int, ready: Callable[[], None], /) -> None:
    """See `contract.Serve`. C, one POSIX thread per connection."""
    from pybench import c_th

    c_th.serve(listener.fileno(), conns, msize, ready)


def serve_uring(
    listener: socket.socket, conns: int, msize: int, ready: Callable[[], None], /
) -> None:
    """See `contract.Serve`. C, one thread, io_uring."""
    from pybench import c_uring

    c_uring.serve(listener.fileno(), conns, msize, ready)
