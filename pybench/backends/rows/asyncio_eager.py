"""asyncio streams with eager tasks (Python 3.12): a task runs at once until it first waits."""

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from pybench.backends.loops import LoopFactory
from pybench.backends.rows import asyncio_streams

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

    def eager_loop() -> asyncio.AbstractEventLoop:
        loop = loop_factory()
        loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009 - from 3.12 on
        return loop

    asyncio_streams.serve(listener, conns, msize, ready, tls=tls, loop_factory=eager_loop)
