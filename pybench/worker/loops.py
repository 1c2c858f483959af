"""Several calls of `serve` at once in one process: each in a thread, with a listener of its own.

Under a GIL they take turns, whatever the number of CPUs; without one each has a CPU if there is
one. The main thread sleeps until one of them ends.
"""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from socket import socket
from typing import TYPE_CHECKING

from pybench.worker.protocol import Done, Event
from pybench.worker.serving import Span, call, with_tls

if TYPE_CHECKING:
    from pybench.backends.tls import TlsContext


class LoopError(Exception):
    """A call has failed; its cause says how. who: which one, `loop 2 of 4`."""

    def __init__(self, who: str) -> None:
        super().__init__(f"{who} has failed")
        self.who = who


def shares(conns: int, loops: int) -> list[int]:
    """How many of the connections come to each listener: dealt out one after the other."""
    return [len(range(first, conns, loops)) for first in range(loops)]


def serve_in_threads(
    serve: Callable[..., object],
    listeners: Sequence[socket],
    conns: int,
    msize: int,
    send: Callable[[Event], None],
    *,
    tls: "TlsContext | None" = None,
) -> None:
    """Call serve once for each listener, and send Ready when all say so, Done when all returned.

    conns: of all listeners together.  tls: handed on where there is one.
    Raises LoopError as soon as one fails, whose cause is what `serve_once` would have raised; the
    others go on, and end with the process.
    """
    span = Span(send, len(listeners))
    serve = with_tls(serve, tls)
    ends: SimpleQueue[tuple[int, BaseException | None]] = SimpleQueue()

    def run(number: int, listener: socket, share: int) -> None:
        failure: BaseException | None = None
        try:
            call(serve, (listener, share, msize, partial(span.ready, number)))
        except BaseException as exc:
            failure = exc
        ends.put((number, failure))

    for number, (listener, share) in enumerate(
        zip(listeners, shares(conns, len(listeners)), strict=True)
    ):
        threading.Thread(
            target=run, args=(number, listener, share), name=f"loop {number + 1}", daemon=True
        ).start()
    for _ in listeners:
        number, failure = ends.get()
        if failure is not None:
            raise LoopError(f"loop {number + 1} of {len(listeners)}") from failure
    send(Done(span.usage()))
