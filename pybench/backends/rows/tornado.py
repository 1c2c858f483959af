"""Tornado: TCPServer with a coroutine per stream, on its own loop over asyncio's."""

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tornado.iostream import IOStream, StreamClosedError
from tornado.tcpserver import TCPServer

from pybench.backends.loops import Connections, run

if TYPE_CHECKING:
    from pybench.backends.tls import TlsContext


@dataclass(frozen=True, slots=True, eq=False)
class _Connection:
    """A stream as Connections knows it."""

    stream: IOStream

    def abort(self) -> None:
        self.stream.close()


class EchoServer(TCPServer):
    """Writes back what arrives."""

    def __init__(self, connections: Connections, msize: int, tls: "TlsContext | None") -> None:
        super().__init__(ssl_options=tls)
        self.connections, self.msize = connections, msize

    async def handle_stream(self, stream: IOStream, address: object) -> None:
        connection = _Connection(stream)
        stream.set_nodelay(True)
        self.connections.opened(connection)
        try:
            while True:
                await stream.write(await stream.read_bytes(self.msize, partial=True))
        except StreamClosedError:
            pass
        self.connections.closed(connection)


async def _serve(
    listener: socket.socket,
    conns: int,
    msize: int,
    ready: Callable[[], None],
    tls: "TlsContext | None",
) -> None:
    listener.setblocking(False)
    async with Connections(conns) as connections:
        server = EchoServer(connections, msize, tls)
        server.add_socket(listener)
        try:
            await connections.all_open
        finally:
            server.stop()
        ready()
        await connections.all_closed


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
    with listener.dup() as own:
        run(_serve(own, conns, msize, ready, tls), asyncio.new_event_loop)
