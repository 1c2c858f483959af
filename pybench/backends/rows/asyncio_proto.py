"""asyncio protocols: callbacks instead of tasks, the loop reads and writes."""

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from pybench.backends.loops import Connections, LoopFactory, run

if TYPE_CHECKING:
    from pybench.backends.tls import TlsContext


class EchoProtocol(asyncio.Protocol):
    """Writes back what arrives, and reads no more while its peer does not read."""

    transport: asyncio.Transport

    def __init__(self, connections: Connections) -> None:
        self.connections = connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.connections.opened(self.transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.connections.closed(self.transport)


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
    """See `contract.Serve`. loop_factory makes the event loop to run on; it chooses what it
    reads at once, not msize."""
    serve_with(EchoProtocol, listener, conns, ready, loop_factory, tls)


def serve_with(
    protocol: Callable[[Connections], asyncio.BaseProtocol],
    listener: socket.socket,
    conns: int,
    ready: Callable[[], None],
    loop_factory: LoopFactory,
    tls: "TlsContext | None",
) -> None:
    """Serve with a protocol that tells Connections when its transport opens and closes."""
    run(_serve(protocol, listener, conns, ready, tls), loop_factory)


async def _serve(
    protocol: Callable[[Connections], asyncio.BaseProtocol],
    listener: socket.socket,
    conns: int,
    ready: Callable[[], None],
    tls: "TlsContext | None",
) -> None:
    async with Connections(conns) as connections:
        loop, is_unix = asyncio.get_running_loop(), listener.family == socket.AF_UNIX
        create = loop.create_unix_server if is_unix else loop.create_server
        # It calls listen() again, with its own default backlog of 100 unless told.
        server = await create(lambda: protocol(connections), sock=listener, backlog=conns, ssl=tls)
        try:
            await connections.all_open
            ready()
            await connections.all_closed
        finally:
            server.close()  # not before: rloop closes a server's connections with it
