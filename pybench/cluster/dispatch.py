"""Work for whoever is there: units to workers, one at a time each, and what became of them.

What is next, and whose it is, says a `Work`: a campaign's is in `campaign.py`, a race's in
`race.py`. A worker that goes has its unit given back, and somebody else gets it; one that errs
again and again gets nothing more. This talks to no Dask: a `Pool` does.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

LOOK_S: Final = 0.5
"""How often it is looked who is there; a result that comes ends the wait."""
DEATHS: Final = 3
"""So many workers may go or err while they measure one and the same round; then it is to blame."""
ERRORS: Final = 2
"""So many rounds on end may a worker have no result of; then it is to blame."""

Notify = Callable[[str], None]
T = TypeVar("T")


class Sendable(Protocol):
    """What travels to a machine. `unit.py` and `heatunit.py` have them."""

    @property
    def name(self) -> str:
        """The same for the same measurement, whoever asks."""

    @property
    def function(self) -> Callable[[bytes], bytes]:
        """What is called there, of `remote.py`."""

    def to_bytes(self) -> bytes:
        """What that is given."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a unit: what its machine sent, or why there is nothing.

    unfit: the machine cannot measure this at all, and says why.
    """

    name: str
    data: bytes = b""
    error: str = ""
    unfit: bool = False


class Pool(Protocol):
    """Workers that measure, one unit at a time each."""

    def workers(self) -> Sequence[str]:
        """Those that are there now, in an order that stays. Raises ServerError when nobody can
        say any more."""

    def start(self, unit: Sendable, worker: str) -> None:
        """Have the worker measure the unit."""

    def answers(self, timeout_s: float) -> Sequence[Answer]:
        """What has come; waits for the first, so long at most."""

    def drop(self, name: str) -> None:
        """No longer want a unit: its worker has gone, or the campaign ends."""


class NobodyError(Exception):
    """All workers that are there have been tried in vain."""


class Work(Protocol[T]):
    """What is to be measured, as tasks."""

    @property
    def empty(self) -> bool:
        """Whether nothing is left to give out, but for what is given back."""

    @property
    def owners(self) -> set[str]:
        """Workers for which something is reserved."""

    def next_for(self, worker: str) -> T | None:
        """The worker's next task; None: nothing is left for it."""

    def give_back(self, worker: str, task: T | None = None) -> None:
        """The worker does not go on: what was its own, with the task it was at, is anybody's."""

    def unit(self, task: T) -> Sendable:
        """The task as it travels."""

    def words(self, task: T) -> str:
        """What a task is called in a message."""


@dataclass(frozen=True, slots=True)
class Came(Generic[T]):
    """What has come of a task: data from its worker, or why nobody could measure it."""

    task: T
    data: bytes = b""
    lost: str = ""


class Dispatcher(Generic[T]):
    """One invocation. flying: worker -> its unit and task."""

    def __init__(self, work: Work[T], pool: Pool, notify: Notify) -> None:
        self._work = work
        self._pool = pool
        self._notify = notify
        self._flying: dict[str, tuple[Sendable, T]] = {}
        self._deaths: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._lost: list[Came[T]] = []
        self._broken: dict[str, str] = {}
        self._waiting = False

    @property
    def over(self) -> bool:
        """Whether everything has come."""
        return self._work.empty and not self._flying and not self._lost

    def hand_out(self) -> None:
        """Give work to whoever has none. Raises NobodyError, and what `Pool.workers` does."""
        alive = self._pool.workers()
        self._take_from_gone(set(alive))
        able = [worker for worker in alive if worker not in self._broken]
        if not able and alive and not self._flying:
            raise NobodyError(f"no worker of the cluster can measure: {self._whose_fault(alive)}")
        self._say_who_is_missing(bool(able))
        for worker in able:
            if worker not in self._flying and (task := self._work.next_for(worker)) is not None:
                unit = self._work.unit(task)
                self._flying[worker] = (unit, task)
                self._pool.start(unit, worker)

    def _whose_fault(self, workers: Sequence[str]) -> str:
        """Why they get nothing, those with the same reason together."""
        alike: dict[str, list[str]] = {}
        for worker in workers:
            alike.setdefault(self._broken[worker], []).append(worker)
        return "; ".join(f"{', '.join(names)}: {why}" for why, names in alike.items())

    def _take_from_gone(self, alive: set[str]) -> None:
        for worker in (self._work.owners | self._flying.keys()) - alive:
            flying = self._flying.pop(worker, None)
            self._work.give_back(worker)
            if flying is None:
                continue
            unit, task = flying
            self._pool.drop(unit.name)
            self._notify(f"{worker} has gone while it measured {self._work.words(task)}")
            self._try_elsewhere(unit, task, worker, "its worker went")

    def _try_elsewhere(self, unit: Sendable, task: T, worker: str, why: str) -> None:
        """A round has no result; it is somebody else's, unless that has been tried enough."""
        self._deaths[unit.name] += 1
        tries = self._deaths[unit.name]
        if tries < DEATHS:
            self._work.give_back(worker, task)
            return
        self._work.give_back(worker)
        self._lost.append(Came(task, lost=f"tried {tries} times in vain: {why}"))

    def _say_who_is_missing(self, somebody: bool) -> None:
        if not somebody and not self._waiting:
            self._notify(
                "waiting for a machine: dask worker SCHEDULER --nthreads 1 --resources pybench=1"
            )
        self._waiting = not somebody

    def take(self) -> list[Came[T]]:
        """What has come since, with what nobody could measure."""
        found, self._lost = self._lost, []
        for answer in self._pool.answers(LOOK_S):
            worker = next((w for w, (u, _) in self._flying.items() if u.name == answer.name), None)
            if worker is None:
                continue
            unit, task = self._flying.pop(worker)
            if not answer.error:
                self._errors[worker] = 0
                found.append(Came(task, answer.data))
                continue
            self._complain(worker, answer)
            if answer.unfit:  # which says nothing of the round
                self._work.give_back(worker, task)
            else:
                self._try_elsewhere(unit, task, worker, answer.error)
        return found

    def _complain(self, worker: str, answer: Answer) -> None:
        self._errors[worker] += 1
        ends = ""
        if answer.unfit or self._errors[worker] >= ERRORS:
            self._broken[worker] = answer.error
            ends = "; it gets nothing more"
        self._notify(f"{worker} has no result: {answer.error}{ends}")

    def drop_all(self) -> None:
        """Nobody waits for what is still being measured."""
        for unit, _ in self._flying.values():
            self._pool.drop(unit.name)
