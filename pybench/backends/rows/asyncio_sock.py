"""asyncio over plain sockets: one task per connection, loop.sock_recv and loop.sock_sendall."""

import asyncio
import socket
from collections.abc import Callable

from pybench.backends.loops import LoopFactory, run
from pybench.backends.sockets import PEER_GONE, no_delay


def serve(
    listener: socket.socket,
    conns: int,
    msize: int,
    ready: Callable[[], None],
    /,
    *,
    loop_factory: LoopFactory = asyncio.new_event_loop,
) -> None:
    """See `contract.Serve`. loop_factory makes the event loop to run on."""
    run(_serve(listener, conns, msize, ready), loop_factory)


async def _serve(
    listener: socket.socket, conns: int, msize: int, ready: Callable[[], None]
) -> None:
    loop = asyncio.get_running_loop()

    async def echo(sock: socket.socket) -> None:
        with sock:
            try:
                while data := await loop.sock_recv(sock, msize):
                    await loop.sock_sendall(sock, data)
            except PEER_GONE:
                pass

    listener.setblocking(False)
    tasks = []
    for _ in range(conns):
        sock, _ = await loop.sock_accept(listener)
        no_delay(sock)
        tasks.append(loop.create_task(echo(sock)))
    ready()
    await asyncio.gather(*tasks)
