"""What the rows on an asyncio event loop share: running a loop, keeping count of connections."""

import asyncio
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def run(main: Coroutine[Any, Any, None], loop_factory: LoopFactory) -> None:
    """`asyncio.run` on a loop made by loop_factory; Python 3.10 has no asyncio.Runner yet."""
    if sys.version_info >= (3, 11):
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            runner.run(main)
        return
    loop = loop_factory()
    try:
        asyncio.set_event_loop(loop)
        _run_task(loop, loop.create_task(main))
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _run_task(loop: asyncio.AbstractEventLoop, task: "asyncio.Task[None]") -> None:
    """Ctrl-C cancels the task and waits until it has cleaned up, then the tasks that it left."""
    try:
        loop.run_until_complete(task)
    finally:
        while left := asyncio.all_tasks(loop):
            for other in {task} & left or left:
                other.cancel()
                with suppress(asyncio.CancelledError):
                    loop.run_until_complete(other)


class Abortable(Protocol):
    """What Connections needs of one: a transport has it."""

    def abort(self) -> None:
        """Close at once, whatever is still to be written."""


class Connections:
    """The connections that a loop accepts by itself, from the first to the last.

    conns: how many will come.  all_open and all_closed are done when that many were opened, and
    closed again. What the loop could otherwise only log (accept fails, a callback raises) becomes
    the exception of whichever of the two is awaited.

    A context: left by an exception, it aborts what is open and waits until that is closed.
    """

    def __init__(self, conns: int) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._fail)
        self.all_open: asyncio.Future[None] = loop.create_future()
        self.all_closed: asyncio.Future[None] = loop.create_future()
        self._to_come = conns
        self._open: set[Abortable] = set()
        self._none_open = asyncio.Event()
        self._none_open.set()
        self._failed = False

    def opened(self, transport: Abortable) -> None:
        self._open.add(transport)
        self._none_open.clear()
        self._to_come -= 1
        if self._failed:
            transport.abort()
        elif self._to_come == 0 and not self.all_open.done():
            self.all_open.set_result(None)

    def closed(self, transport: Abortable) -> None:
        self._open.remove(transport)
        if self._open:
            return
        self._none_open.set()
        if self._to_come == 0 and not self.all_closed.done():
            self.all_closed.set_result(None)

    def _fail(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if self._failed:  # the consequences of what was raised already
            return
        self._failed = True
        awaited = self.all_closed if self.all_open.done() else self.all_open
        awaited.set_exception(context.get("exception") or RuntimeError(context["message"]))

    async def __aenter__(self) -> "Connections":
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._failed = True
        for transport in self._open:
            transport.abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:  # that accept, or handle a stream
            await asyncio.wait(others)
        await self._none_open.wait()
