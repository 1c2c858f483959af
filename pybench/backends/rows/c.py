"""The C rows: the extension does everything, from accept to the last close."""

import errno
import resource
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybench.backends.tls import TlsContext


def serve_epoll(
    listener: socket.socket,
    conns: int,
    msize: int,
    ready: Callable[[], None],
    /,
    *,
    tls: "TlsContext | None" = None,
) -> None:
    """See `contract.Serve`. C, one thread, epoll; over TLS by OpenSSL, in a module of its own."""
    if tls is not None:
        from pybench import c_epoll_tls

        c_epoll_tls.serve(listener.fileno(), conns, msize, ready, tls.certfile)
        return
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

    try:
        c_uring.serve(listener.fileno(), conns, msize, ready)
    except OSError as exc:
        reason = _why_no_ring(exc.errno) if "io_uring" in str(exc) else None
        if reason is None:
            raise
        raise OSError(exc.errno, f"{exc.strerror}: {reason}") from exc


def _why_no_ring(number: int | None) -> str | None:
    """What a refusal of the kernel means and what helps, where it is more than its own words."""
    if number == errno.EPERM:
        return "forbidden here (see kernel.io_uring_disabled, or the container's seccomp profile)"
    limit, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if number == errno.ENOMEM and limit != resource.RLIM_INFINITY:
        return (
            f"locked memory is limited to {limit >> 10} KiB:"
            " raise it (ulimit -l, or memlock in limits.conf)"
        )
    return None
