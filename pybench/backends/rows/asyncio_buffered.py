"""asyncio buffered protocols: the loop receives into the connection's own buffer."""

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from pybench.backends.loops import Connections, LoopFactory
from pybench.backends.rows.asyncio_proto import serve_with

if TYPE_CHECKING:
    from pybench.backends.tls import TlsContext

BUFFER_MIN = 4096


class BufferedEcho(asyncio.BufferedProtocol):
    """Writes back what arrives, and reads no more while its peer does not read."""

    transport: asyncio.Transport

    def __init__(self, connections: Connections, size: int) -> None:
        self.connections = connections
        self.buffer = memoryview(bytearray(size))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.connections.opened(self.transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        # A copy: what the socket does not take at once the transport keeps by reference.
        self.transport.write(bytes(self.buffer[:nbytes]))

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
    """See `contract.Serve`. loop_factory makes the event loop to run on."""
    size = max(msize, BUFFER_MIN)
    serve_with(lambda c: BufferedEcho(c, size), listener, conns, ready, loop_factory, tls)
