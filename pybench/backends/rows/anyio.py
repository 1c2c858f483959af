"""anyio: one task per connection in a task group, on asyncio's loop, on uvloop's or on trio's."""

import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import anyio
from anyio.abc import ByteStream, SocketListener, SocketStream
from anyio.streams.tls import TLSStream

from pybench.backends.groups import first_error
from pybench.backends.loops import LoopFactory

if TYPE_CHECKING:
    from pybench.backends.tls import TlsContext


async def _echo(sock: SocketStream, msize: int, tls: "TlsContext | None") -> None:
    stream: ByteStream = sock
    if tls is not None:
        stream = await TLSStream.wrap(
            sock, server_side=True, ssl_context=tls, standard_compatible=False
        )  # else a peer that closes without a notice makes closing raise
    async with stream:
        try:
            while True:
                await stream.send(await stream.receive(msize))
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            pass


async def _serve(
    listener: socket.socket,
    conns: int,
    msize: int,
    ready: Callable[[], None],
    tls: "TlsContext | None",
) -> None:
    async with anyio.create_task_group() as group:
        async with await SocketListener.from_socket(listener) as acceptor:
            for _ in range(conns):
                group.start_soon(_echo, await acceptor.accept(), msize, tls)
        ready()


def serve(
    listener: socket.socket,
    conns: int,
    msize: int,
    ready: Callable[[], None],
    /,
    *,
    tls: "TlsContext | None" = None,
    backend: str = "asyncio",
    loop_factory: LoopFactory | None = None,
) -> None:
    """See `contract.Serve`.

    backend: whose tasks anyio runs on, `asyncio` or `trio`.  loop_factory: makes asyncio's loop.
    """
    options = {} if loop_factory is None else {"loop_factory": loop_factory}
    with first_error(), listener.dup() as own:
        anyio.run(_serve, own, conns, msize, ready, tls, backend=backend, backend_options=options)


serve_on_trio = partial(serve, backend="trio")
