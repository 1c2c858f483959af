"""curio: one task per connection in a task group, sockets with coroutine methods."""

import socket
from collections.abc import Callable

import curio
import curio.io

from pybench.backends.sockets import PEER_GONE, no_delay


async def _echo(sock: "curio.io.Socket", msize: int) -> None:
    async with sock:
        try:
            while data := await sock.recv(msize):
                await sock.sendall(data)
        except PEER_GONE:
            pass


async def _serve(
    listener: socket.socket, conns: int, msize: int, ready: Callable[[], None]
) -> None:
    async with curio.TaskGroup() as group:
        async with curio.io.Socket(listener) as acceptor:
            for _ in range(conns):
                sock, _ = await acceptor.accept()
                no_delay(sock)
                await group.spawn(_echo, sock, msize)
        ready()


def serve(listener: socket.socket, conns: int, msize: int, ready: Callable[[], None], /) -> None:
    """See `contract.Serve`."""
    with listener.dup() as own:
        curio.run(_serve, own, conns, msize, ready)
