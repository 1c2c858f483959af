"""The workers of a round as the driver sees them: one or several that serve it together.

Each has its listeners, its CPU and its part of the connections, which the load server deals out.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from pybench.driver.interrupts import Interrupts
from pybench.driver.watch import Watch
from pybench.driver.workerprocess import WORKER, Usage, WorkerProcess
from pybench.machine.placement import Placement
from pybench.spec import Cell
from pybench.worker.loops import shares


class Workers:
    """All of one round, started. A context manager: leaving it kills what still runs.

    placement: of that very cell (`Placement.for_cell`).  Raises WorkerError when one cannot be
    started; then none is left.
    """

    def __init__(self, cell: Cell, *, bind: str, placement: Placement) -> None:
        count = cell.workers
        self.each: list[WorkerProcess] = []
        with ExitStack() as stack:
            for number, conns in enumerate(_conns_of_each(cell)):
                worker = WorkerProcess(
                    dataclasses.replace(cell, conns=conns, idle=0),  # which is all the same to it
                    bind=bind,
                    cpu=placement.cpus_of(number, cell.loops),
                    called=WORKER if count == 1 else f"{WORKER} {number + 1} of {count}",
                )
                self.each.append(stack.enter_context(worker))
            self._stack = stack.pop_all()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def watch(self, interrupts: Interrupts | None) -> Watch:
        """A watch over all of them."""
        first, *others = self.each
        found = Watch(first, interrupts)
        for worker in others:
            found.also(worker)
        return found

    @property
    def behind(self) -> str:
        """The one that has come least far, for what is said of it."""
        return min(self.each, key=_stage).called

    @property
    def listening(self) -> bool:
        """Whether all of them are. Their backends are imported by then."""
        return all(worker.ports for worker in self.each)

    @property
    def ports(self) -> list[int]:
        """Of all listeners, worker after worker."""
        return [port for worker in self.each for port in worker.ports]

    @property
    def addr(self) -> str:
        """Where they listen, in the words of a request; each Unix socket has a name of its own."""
        return ",".join(dict.fromkeys(worker.addr for worker in self.each))

    @property
    def pin(self) -> str:
        """The fingerprint of their certificate, or empty."""
        return self.each[0].pin

    @property
    def python(self) -> dict[str, Any]:
        """What they run under."""
        return self.each[0].python

    @property
    def ready(self) -> bool:
        """Whether all connections are accepted."""
        return all(worker.ready for worker in self.each)

    @property
    def usages(self) -> list[Usage] | None:
        """What each used from ready to its end; None until all have ended."""
        found = [worker.usage for worker in self.each if worker.usage is not None]
        return found if len(found) == len(self.each) else None

    def firsts(self) -> list[int]:
        """The process ids of what is measured, without what these have started."""
        return [worker.pid for worker in self.each]

    def measured_pids(self, pids: Sequence[Sequence[int]] | None = None) -> list[int]:
        """What is measured and all that it has started, without supervisors; `firsts` come first.

        pids: of each, as its `pids` gave them, where they are known already.
        """
        of_each: Sequence[Sequence[int] | None] = pids or [None] * len(self.each)
        found = [w.measured_pids(known) for w, known in zip(self.each, of_each, strict=True)]
        return [*(first for first, *_ in found), *(pid for _, *below in found for pid in below)]

    def finish(self) -> None:
        """Say that the load is over; see `WorkerProcess.finish`."""
        for worker in self.each:
            worker.finish()


def _conns_of_each(cell: Cell) -> Iterator[int]:
    """Connections go to the listeners in turn, and these are in the order of their workers."""
    dealt = shares(cell.all_conns, cell.listeners)
    for first in range(0, len(dealt), cell.loops):
        yield sum(dealt[first : first + cell.loops])


def _stage(worker: WorkerProcess) -> int:
    return (worker.port is not None) + worker.ready + (worker.usage is not None)


def sum_of(usages: Sequence[Usage]) -> Usage:
    """What all of them used together; the time that passed is the longest."""

    def total(name: str) -> Any:
        values = [getattr(usage, name) for usage in usages]
        return None if None in values else sum(values)

    summed = {f.name: total(f.name) for f in dataclasses.fields(Usage)}
    gils = [usage.gil for usage in usages if usage.gil is not None]
    return Usage(
        **summed
        | {"wall_s": max(usage.wall_s for usage in usages), "gil": any(gils) if gils else None}
    )
