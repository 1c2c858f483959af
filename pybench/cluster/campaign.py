"""A campaign over the machines of a cluster: who measures what, and results as they come.

One round of all rows at one number of connections (and one size, rate, ...) is a block, and a
block is measured on one machine: so rows are paired there, and their ratios are of that machine. A
worker that goes gives the rest of its block to another; what it had measured is written already. No
round is written twice. This talks to no Dask and measures nothing: `Pool` does, and the machines.
"""

import dataclasses
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Final, Protocol

from msgspec import structs

from pybench.cluster.unit import Unit, result_from_bytes
from pybench.driver import assemble, campaign
from pybench.driver.interrupts import InterruptError, Interrupts
from pybench.driver.plan import Completed, Plan, Task
from pybench.driver.progress import Reporter
from pybench.errors import ServerError
from pybench.result import Result
from pybench.result.file import ResultWriter
from pybench.spec import Cell

LOOK_S: Final = 0.5
"""How often it is looked who is there; a result that comes ends the wait."""
DEATHS: Final = 3
"""So many workers may go or err while they measure one and the same round; then it is to blame."""
ERRORS: Final = 2
"""So many rounds on end may a worker have no result of; then it is to blame."""

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome(campaign.Outcome):
    """What came of it. interrupted: the signal, or what else ended it early.  broken: whether that
    was nobody's wish."""

    broken: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a unit: a result as bytes, or why there is none."""

    name: str
    data: bytes = b""
    error: str = ""


class Pool(Protocol):
    """Workers that measure, one unit at a time each."""

    def workers(self) -> Sequence[str]:
        """Those that are there now, in an order that stays. Raises ServerError when nobody can
        say any more."""

    def start(self, unit: Unit, worker: str) -> None:
        """Have the worker measure the unit."""

    def answers(self, timeout_s: float) -> Sequence[Answer]:
        """What has come; waits for the first, so long at most."""

    def drop(self, name: str) -> None:
        """No longer want a unit: its worker has gone, or the campaign ends."""


class NobodyError(Exception):
    """All workers that are there have been tried in vain."""


class _Blocks:
    """What is left to do, by block; each block is its worker's for as long as that is there."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        apart: dict[tuple[object, ...], deque[Task]] = {}
        for task in tasks:
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
        return set(self._of)


def _column(cell: Cell) -> tuple[object, ...]:
    """What cells have in common that are held against each other: all but the row."""
    row = ("row", "env", "python")
    return tuple(getattr(cell, f.name) for f in dataclasses.fields(cell) if f.name not in row)


class _Run:
    """One invocation. flying: worker -> its unit and task."""

    def __init__(self, plan: Plan, pool: Pool, notify: Notify) -> None:
        self._plan = plan
        self._pool = pool
        self._notify = notify
        self._blocks = _Blocks(plan.tasks)
        self._flying: dict[str, tuple[Unit, Task]] = {}
        self._deaths: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._lost: list[tuple[Task, str]] = []
        self._broken: dict[str, str] = {}
        self._waiting = False

    @property
    def over(self) -> bool:
        return self._blocks.empty and not self._flying and not self._lost

    def hand_out(self) -> None:
        """Give work to whoever has none."""
        alive = self._pool.workers()
        self._take_from_gone(set(alive))
        able = [worker for worker in alive if worker not in self._broken]
        if not able and alive and not self._flying:
            why = "; ".join(f"{worker}: {self._broken[worker]}" for worker in alive)
            raise NobodyError(f"no worker of the cluster can measure: {why}")
        self._say_who_is_missing(bool(able))
        for worker in able:
            if worker not in self._flying and (task := self._blocks.next_for(worker)) is not None:
                unit = Unit.of(self._plan.campaign, task.cell, task.number)
                self._flying[worker] = (unit, task)
                self._pool.start(unit, worker)

    def _take_from_gone(self, alive: set[str]) -> None:
        for worker in (self._blocks.owners | self._flying.keys()) - alive:
            flying = self._flying.pop(worker, None)
            self._blocks.give_back(worker)
            if flying is None:
                continue
            unit, task = flying
            self._pool.drop(unit.name)
            self._notify(f"{worker} has gone while it measured {task.cell}, round {task.number}")
            self._try_elsewhere(unit, task, worker, "its worker went")

    def _try_elsewhere(self, unit: Unit, task: Task, worker: str, why: str) -> None:
        """A round has no result; it is somebody else's, unless that has been tried enough."""
        self._deaths[unit.name] += 1
        tries = self._deaths[unit.name]
        if tries < DEATHS:
            self._blocks.give_back(worker, task)
            return
        self._blocks.give_back(worker)
        self._lost.append((task, f"tried {tries} times in vain: {why}"))

    def _say_who_is_missing(self, somebody: bool) -> None:
        if not somebody and not self._waiting:
            self._notify(
                "waiting for a machine: dask worker SCHEDULER --nthreads 1 --resources pybench=1"
            )
        self._waiting = not somebody

    def take(self) -> list[tuple[Task, Result]]:
        """What has come since, with the rounds that nobody could measure."""
        found = [(task, _failed(task, why)) for task, why in self._lost]
        self._lost.clear()
        for answer in self._pool.answers(LOOK_S):
            worker = next((w for w, (u, _) in self._flying.items() if u.name == answer.name), None)
            if worker is None:
                continue
            unit, task = self._flying.pop(worker)
            if answer.error:
                self._complain(worker, answer.error)
                self._try_elsewhere(unit, task, worker, answer.error)
            else:
                self._errors[worker] = 0
                found.append((task, result_from_bytes(answer.data)))
        return found

    def _complain(self, worker: str, error: str) -> None:
        self._errors[worker] += 1
        ends = ""
        if self._errors[worker] >= ERRORS:
            self._broken[worker] = error
            ends = "; it gets nothing more"
        self._notify(f"{worker} has no result: {error}{ends}")

    def drop_all(self) -> None:
        """Nobody waits for what is still being measured."""
        for unit, _ in self._flying.values():
            self._pool.drop(unit.name)


def run(
    plan: Plan, pool: Pool, reporter: Reporter, writer: ResultWriter | None, notify: Notify
) -> Outcome:
    """Measure what is left to do, each result written when it is there, in the order of coming.

    notify: hears what the user should know of the machines.
    A scheduler that is lost, and that no worker can measure, end it; nothing is raised.
    """
    results, completed = list(plan.done), Completed(plan.done)
    one = _Run(plan, pool, notify)

    def keep(task: Task, result: Result) -> None:
        if completed.next_cell(task) is None:
            return
        result = structs.replace(result, campaign_id=plan.campaign.id)
        if writer is not None:
            writer.write(result)
        results.append(result)
        completed.add(result)
        reporter.round_finished(result)

    with Interrupts() as interrupts, reporter:
        try:
            while not one.over:
                interrupts.check()
                one.hand_out()
                for task, result in one.take():
                    keep(task, result)
        except InterruptError as exc:
            one.drop_all()
            return Outcome(tuple(results), exc.signal_name)
        except (ServerError, NobodyError) as exc:
            one.drop_all()
            return Outcome(tuple(results), str(exc), broken=True)
    return Outcome(tuple(results), None)


def _failed(task: Task, why: str) -> Result:
    now = datetime.now(timezone.utc).astimezone().isoformat(timespec="milliseconds")
    return assemble.failed(assemble.empty_result(task.cell, task.number, now, {}), why)
