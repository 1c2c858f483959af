"""A campaign over the machines of a cluster: what is measured where, and results as they come.

One round of all rows at one number of connections (and one size, rate, ...) is a block, and a
block is measured on one machine: so rows are paired there, and their ratios are of that machine. A
worker that goes gives the rest of its block to another; what it had measured is written already. No
round is written twice. Who gets what is next is `dispatch.py`'s; the machines measure.
"""

import dataclasses
from collections import deque
from datetime import datetime, timezone

from msgspec import structs

from pybench.cluster.dispatch import Came, Dispatcher, NobodyError, Notify, Pool
from pybench.cluster.unit import Unit, result_from_bytes
from pybench.driver import assemble, campaign
from pybench.driver.campaign import Outcome
from pybench.driver.interrupts import InterruptError, Interrupts
from pybench.driver.plan import Completed, Plan, Task
from pybench.driver.progress import Reporter
from pybench.errors import OutputError, ServerError
from pybench.result import Result
from pybench.result.file import ResultWriter
from pybench.spec import Cell


class _Blocks:
    """What is left to do, by block; each block is its worker's for as long as that is there."""

    def __init__(self, plan: Plan) -> None:
        self._campaign = plan.campaign
        apart: dict[tuple[object, ...], deque[Task]] = {}
        for task in plan.tasks:
            apart.setdefault((task.number, *_column(task.cell)), deque()).append(task)
        self._free = deque(apart.values())
        self._of: dict[str, deque[Task]] = {}

    def next_for(self, worker: str) -> Task | None:
        """The worker's next task, of its block, else of a new one; None: nothing is left for it."""
        if not self._of.get(worker):
            if not self._free:
                return None
            self._of[worker] = self._free.popleft()
        return self._of[worker].popleft()

    def give_back(self, worker: str, task: Task | None = None) -> None:
        """The worker does not go on: its block, with the task it was at, is anybody's."""
        rest = self._of.pop(worker, deque())
        if task is not None:
            rest.appendleft(task)
        if rest:
            self._free.appendleft(rest)

    @property
    def empty(self) -> bool:
        """Whether all that was left has been given out."""
        return not self._free and not any(self._of.values())

    @property
    def owners(self) -> set[str]:
        """Workers that have a block."""
        return set(self._of)

    def unit(self, task: Task) -> Unit:
        """The task as it travels."""
        return Unit.of(self._campaign, task.cell, task.number)

    def words(self, task: Task) -> str:
        """`selector x 10, round 2`."""
        return f"{task.cell}, round {task.number}"


def _column(cell: Cell) -> tuple[object, ...]:
    """What cells have in common that are held against each other: all but the row."""
    row = ("row", "env", "python")
    return tuple(getattr(cell, f.name) for f in dataclasses.fields(cell) if f.name not in row)


def run(
    plan: Plan, pool: Pool, reporter: Reporter, writer: ResultWriter | None, notify: Notify
) -> Outcome:
    """Measure what is left to do, each result written when it is there, in the order of coming.

    notify: hears what the user should know of the machines.
    A scheduler that is lost, and that no worker can measure, end it; nothing is raised.
    """
    results, completed = list(plan.done), Completed(plan.done)
    dispatcher = Dispatcher(_Blocks(plan), pool, notify)

    unkept: OutputError | None = None

    def keep(came: Came[Task]) -> None:
        nonlocal unkept
        task = came.task
        if completed.next_cell(task) is None:
            return
        result = _failed(task, came.lost) if came.lost else result_from_bytes(came.data)
        result = structs.replace(result, campaign_id=plan.campaign.id)
        results.append(result)
        completed.add(result)
        if unkept is None:
            unkept = campaign.keep(writer, result)
        reporter.round_finished(result)

    with Interrupts() as interrupts, reporter:
        try:
            while not dispatcher.over and unkept is None:
                interrupts.check()
                dispatcher.hand_out()
                for came in dispatcher.take():
                    keep(came)
        except InterruptError as exc:
            dispatcher.drop_all()
            return Outcome(tuple(results), exc.signal_name)
        except (ServerError, NobodyError) as exc:
            dispatcher.drop_all()
            return Outcome(tuple(results), broken=str(exc))
    dispatcher.drop_all()
    return Outcome(tuple(results), unkept=unkept)


def _failed(task: Task, why: str) -> Result:
    now = datetime.now(timezone.utc).astimezone().isoformat(timespec="milliseconds")
    return assemble.failed(assemble.empty_result(task.cell, task.number, now, {}), why)
