"""curio: one task per connection in a task group, sockets with coroutine methods."""

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

import curio
import curio.io

from pybench.backends.sockets import no_delay, peer_gone

if TYPE_CHECKING:
    from pybench.backends.tls import TlsContext


async def _echo(
    sock: "curio.io.Socket",
    msize: int,
    gone: tuple[type[OSError], ...],
    tls: "TlsContext | None",
) -> None:
    if tls is not None:
        from curio.ssl import CurioSSLContext

        sock = await CurioSSLContext(tls).wrap_socket(sock, server_side=True)
    async with sock:
        try:
            while data := await sock.recv(msize):
                await sock.sendall(data)
        except gone:
            pass


async def _serve(
    listener: socket.socket,
    conns: int,
    msize: int,
    ready: Callable[[], None],
    tls: "TlsContext | None",
) -> None:
    gone = peer_gone(tls)
    async with curio.TaskGroup() as group:
        async with curio.io.Socket(listener) as acceptor:
            for _ in range(conns):
                sock, _ = await acceptor.accept()
                no_delay(sock)
                await group.spawn(_echo, sock, msize, gone, tls)
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
    with listener.dup() as own:
        curio.run(_serve, own, conns, msize, ready, tls)
