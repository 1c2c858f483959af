"""Workers of a cluster that are none: who measures what, and what becomes of it, without Dask."""

from collections.abc import Callable, Sequence
from typing import Any

from msgspec import structs

from pybench.cluster.dispatch import Answer, Sendable
from pybench.cluster.unit import Unit
from pybench.result import Machine, Result
from tests.support import synthetic


class FakePool:
    """Workers that answer at once, one unit a look each, unless they are told otherwise.

    script: look number, from 1 -> what happens before it.  measure: what a worker sends of a unit,
    a round of a campaign unless told.
    started: worker and unit's name, in order.  errors, unfit: worker -> why it has no result.
    silent: those that never answer.  dropped: names of units that nobody waits for any more;
    answers_late: what they measured comes all the same.
    """

    def __init__(
        self,
        *workers: str,
        script: dict[int, Callable[["FakePool"], None]] | None = None,
        measure: Callable[[Any, str], bytes] | None = None,
    ) -> None:
        self.there = list(workers)
        self.errors: dict[str, str] = {}
        self.unfit: dict[str, str] = {}
        self.silent: set[str] = set()
        self.started: list[tuple[str, str]] = []
        self.dropped: list[str] = []
        self._script = script or {}
        self._measure = measure or round_of
        self._looks = 0
        self.flying: dict[str, tuple[str, Sendable]] = {}
        self.answers_late = True
        self._late: list[Answer] = []

    def workers(self) -> Sequence[str]:
        self._looks += 1
        self._script.get(self._looks, lambda pool: None)(self)
        assert self._looks < 200, "it does not end"
        return sorted(self.there)

    def start(self, unit: Sendable, worker: str) -> None:
        assert worker in self.there
        assert all(worker != busy for busy, _ in self.flying.values()), "one at a time"
        self.started.append((worker, unit.name))
        self.flying[unit.name] = worker, unit

    def answers(self, timeout_s: float) -> Sequence[Answer]:
        found, self._late = self._late, []
        for name, (worker, unit) in list(self.flying.items()):
            if worker not in self.there or worker in self.silent:
                continue
            del self.flying[name]
            if worker in self.unfit:
                found.append(Answer(name, error=self.unfit[worker], unfit=True))
            elif worker in self.errors:
                found.append(Answer(name, error=self.errors[worker]))
            else:
                found.append(Answer(name, data=self._measure(unit, worker)))
        return found

    def drop(self, name: str) -> None:
        self.dropped.append(name)
        worker, unit = self.flying.pop(name)
        if self.answers_late:
            self._late.append(Answer(name, data=self._measure(unit, worker)))


class FakeDask(FakePool):
    """In place of `DaskPool`."""

    def __enter__(self) -> "FakeDask":
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass


def measured(unit: Unit, worker: str) -> Result:
    _, cell = unit.unpacked()
    result = synthetic.make_result(cell.label, cell.conns, unit.round)
    return structs.replace(result, machine=Machine(id=worker, name=worker, kind="Example"))


def round_of(unit: Unit, worker: str) -> bytes:
    """A round of a campaign, as it travels."""
    return measured(unit, worker).to_json().encode()
