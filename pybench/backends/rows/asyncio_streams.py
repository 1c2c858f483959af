"""asyncio streams: the default way of using asyncio, one task per connection."""

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from pybench.backends.loops import Connections, LoopFactory, run
from pybench.backends.sockets import PEER_GONE

if TYPE_CHECKING:
    from pybench.backends.tls import TlsContext


def serve(
    listener: socket.socket,
    conns: int,
    msize: int,
    ready: Callable[[], None],
    /,
    *,
    tls: "TlsContext | None" = None,
    loop_factory: LoopFactory = asyncio.new_event_loop,
) -> None:
    """See `contract.Serve`. loop_factory makes the event loop to run on."""
    run(_serve(listener, conns, msize, ready, tls), loop_factory)


async def _serve(
    listener: socket.socket,
    conns: int,
    msize: int,
    ready: Callable[[], None],
    tls: "TlsContext | None",
) -> None:
    async with Connections(conns) as connections:

        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            connections.opened(writer.transport)
            try:
                while data := await reader.read(msize):
                    writer.write(data)
                    await writer.drain()
                writer.close()
                await writer.wait_closed()
            except PEER_GONE:
                writer.close()
            finally:
                connections.closed(writer.transport)

        is_unix = listener.family == socket.AF_UNIX
        start = asyncio.start_unix_server if is_unix else asyncio.start_server
        # It calls listen() again, with its own default backlog of 100 unless told.
        server = await start(echo, sock=listener, backlog=conns, ssl=tls)
        try:
            await connections.all_open
            ready()
            await connections.all_closed
        finally:
            server.close()  # not before: rloop closes a server's connections with it
