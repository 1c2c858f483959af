"""One round of a cell for an observer: that of `driver/round.py` with a stop before its pings.

An observer attaches to the worker before there are connections, so that threads which the row
starts later are observed too, and begins when all is ready and nothing has been sent yet. What such
a round measures is not a result: it only says how many messages went by.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from pybench.driver.control import ControlConnection
from pybench.driver.round import RoundContext
from pybench.driver.watch import DeadlineError, Watch
from pybench.driver.workerprocess import WorkerProcess
from pybench.errors import PybenchError, WorkerError
from pybench.spec import Cell
from pybench.units import NS_PER_S


class Observer(Protocol):
    """Something that watches a process from outside. Each call returns when it has taken effect.

    A tool that fails raises ToolError from any of them but `close`.
    """

    def attach(self, pid: int) -> None:
        """The process is there and has no thread yet of those to be observed."""

    def begin(self) -> None:
        """All is ready; the first ping leaves when this returns."""

    def end(self) -> None:
        """The process has done its work; it ends now or has ended."""

    def close(self) -> None:
        """Leave no process behind, whatever has happened."""


@dataclass(frozen=True, slots=True)
class Observed:
    """An observed round. messages: sent from its first ping to its last. cpu_s: user + system."""

    messages: int
    cpu_s: float


def observe(cell: Cell, context: RoundContext, observer: Observer) -> Observed:
    """Run one round under observation.

    Raises PybenchError when the round or the observer fails, InterruptError on Ctrl-C. Neither the
    worker nor the observer is left.
    """
    cpu, timeouts = context.placement.worker_cpu, context.timeouts
    length_s = (cell.warmup_ns + cell.runtime_ns) / NS_PER_S
    with ExitStack() as stack:
        stack.callback(observer.close)
        row = cell.row
        worker = stack.enter_context(WorkerProcess(row, cell, bind=context.bind, cpu=cpu))
        watch = stack.enter_context(Watch(worker, context.interrupts))

        def wait(what: str, happened: Callable[[], bool], timeout_s: float) -> None:
            try:
                watch.until(happened, timeout_s)
            except DeadlineError:
                raise WorkerError(f"{what}: not within {timeout_s:g} s", hung=True) from None

        wait("the worker's start", lambda: worker.port is not None, timeouts.listen)
        assert worker.port is not None
        observer.attach(worker.pid)
        control = stack.enter_context(ControlConnection(context.server))
        watch.add(control)
        control.request(context.bind, worker.port, cell, context.placement)
        wait("all connections", lambda: control.connected and worker.ready, timeouts.connect)
        observer.begin()
        control.ready()
        wait("the result", lambda: control.measurement is not None, length_s + timeouts.silence)
        worker.finish()
        wait("the worker's end", lambda: worker.usage is not None, timeouts.finish)
        observer.end()
    measurement, usage = control.measurement, worker.usage
    assert measurement is not None
    assert usage is not None
    if measurement.lost:
        raise PybenchError(f"{measurement.lost} of {cell.conns} connections were lost")
    return Observed(measurement.total, usage.user_s + usage.sys_s)
