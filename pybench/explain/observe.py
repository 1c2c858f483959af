"""One round of a cell for an observer's sake: the round of `driver.py` with a stop before its pings.

An observer attaches to the worker before there are connections, so that threads which the row starts
later are observed too, and begins when all is ready and nothing has been sent. What such a round
measures is thrown away, but for the number of messages.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from pybench import backends
from pybench.control import ControlConnection, Measurement
from pybench.driver import Setting
from pybench.errors import PybenchError, WorkerError
from pybench.spec import Cell
from pybench.units import NS_PER_S
from pybench.watch import DeadlineError, Watch
from pybench.workerprocess import Usage, WorkerProcess


class Observer(Protocol):
    """Something that watches a worker from outside. Each call returns when it has taken effect."""

    def attach(self, pid: int) -> None:
        """The worker listens; it has no connection yet and no thread of the row."""

    def begin(self) -> None:
        """All connections are accepted; the first ping leaves when this returns."""

    def end(self) -> None:
        """The worker has done its work, and ends or has ended."""

    def close(self) -> None:
        """Leave no process behind, whatever has happened."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What an observed round was. messages: sent from its first ping to its last."""

    messages: int
    measurement: Measurement
    usage: Usage


def observe(cell: Cell, setting: Setting, observer: Observer) -> Observed:
    """Run one round under observation.

    Raises PybenchError when the round or the observer fails, InterruptError on Ctrl-C. Neither the
    worker nor the observer is left.
    """
    placement, patience = setting.placement, setting.patience
    row = backends.find(cell.func)
    with ExitStack() as stack:
        stack.callback(observer.close)
        worker = stack.enter_context(
            WorkerProcess(row, cell, bind=setting.bind, cpu=placement.worker_cpu)
        )
        watch = stack.enter_context(Watch(worker, setting.interrupts))
        wait = partial(_wait, watch, cell)
        wait("listen", lambda: worker.port is not None, patience.listen)
        observer.attach(worker.pid)
        control = stack.enter_context(ControlConnection(setting.server))
        watch.add(control)
        assert worker.port is not None
        control.request(cell, setting.bind, worker.port, placement.server_threads)
        wait("connect", lambda: control.connected and worker.ready, patience.connect)
        observer.begin()
        control.ready()
        length_s = (cell.warmup_ns + cell.runtime_ns) / NS_PER_S
        wait("measure", lambda: control.measurement is not None, length_s + patience.silence)
        wait("end", lambda: worker.usage is not None, patience.finish)
        observer.end()
    assert control.measurement is not None
    assert worker.usage is not None
    if control.measurement.lost:
        raise PybenchError(f"{cell}: {control.measurement.lost} connections were lost")
    return Observed(control.measurement.total, control.measurement, worker.usage)


def _wait(watch: Watch, cell: Cell, what: str, happened: "object", timeout_s: float) -> None:
    assert callable(happened)
    try:
        watch.until(happened, timeout_s)
    except DeadlineError:
        raise WorkerError(f"{cell}: did not {what} within {timeout_s:g} s", hung=True) from None
