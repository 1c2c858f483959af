"""anyio: one task per connection in a task group, on asyncio's loop, on uvloop's or on trio's."""

import socket
from collections.abc import Callable
from functools import partial

import anyio
from anyio.abc import SocketListener, SocketStream

from pybench.backends.groups import first_error
from pybench.backends.loops import LoopFactory


async def _echo(stream: SocketStream, msize: int) -> None:
    async with stream:
        try:
            while True:
                await stream.send(await stream.receive(msize))
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            pass


async def _serve(
    listener: socket.socket, conns: int, msize: int, ready: Callable[[], None]
) -> None:
    async with anyio.create_task_group() as group:
        async with await SocketListener.from_socket(listener) as acceptor:
            for _ in range(conns):
                group.start_soon(_echo, await acceptor.accept(), msize)
        ready()


def serve(
    listener: socket.socket,
    conns: int,
    msize: int,
    ready: Callable[[], None],
    /,
    *,
    backend: str = "asyncio",
    loop_factory: LoopFactory | None = None,
) -> None:
    """See `contract.Serve`.

    backend: whose tasks anyio runs on, `asyncio` or `trio`.  loop_factory: makes asyncio's loop.
    """
    options = {} if loop_factory is None else {"loop_factory": loop_factory}
    with first_error(), listener.dup() as own:
        anyio.run(_serve, own, conns, msize, ready, backend=backend, backend_options=options)


serve_on_trio = partial(serve, backend="trio")
