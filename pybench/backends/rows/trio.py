"""trio: one task per connection in a nursery, streams that raise when they break."""

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import trio

from pybench.backends.groups import first_error

if TYPE_CHECKING:
    from pybench.backends.tls import TlsContext


async def _echo(stream: trio.abc.Stream, msize: int) -> None:
    """With TLS the first receive makes the handshake."""
    async with stream:
        try:
            while data := await stream.receive_some(msize):
                await stream.send_all(data)
        except trio.BrokenResourceError:  # the peer has reset the connection: it is closed
            pass


async def _serve(
    listener: socket.socket,
    conns: int,
    msize: int,
    ready: Callable[[], None],
    tls: "TlsContext | None",
) -> None:
    acceptor: trio.abc.Listener = trio.SocketListener(trio.socket.from_stdlib_socket(listener))
    if tls is not None:
        acceptor = trio.SSLListener(acceptor, tls)
    async with trio.open_nursery() as nursery:
        async with acceptor:
            for _ in range(conns):
                nursery.start_soon(_echo, await acceptor.accept(), msize)
        ready()


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
    with first_error(), listener.dup() as own:
        trio.run(_serve, own, conns, msize, ready, tls)
