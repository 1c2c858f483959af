"""A race on the machines of a cluster: rounds where somebody is free, until the ratios are known.

A round is measured on one machine, all its contenders together, so that its ratios are of that
machine (`analysis/race.py` combines them). When it is over says the same course that a race on one
machine has. Results are written when they have come; the round of a worker that goes is run
elsewhere under the number it had, where there is time.
"""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TypeAlias

from msgspec import structs

from pybench.cluster.dispatch import Came, Dispatcher, NobodyError, Notify, Pool
from pybench.cluster.heatunit import HeatUnit, results_from_bytes
from pybench.driver import assemble
from pybench.driver.course import Course, Leg
from pybench.driver.heat import blank_of
from pybench.driver.interrupts import InterruptError, Interrupts
from pybench.driver.race import Outcome
from pybench.driver.raceplan import RacePlan
from pybench.driver.raceprogress import RaceReporter
from pybench.errors import OutputError, ServerError
from pybench.result import Result, Turns
from pybench.result.file import ResultWriter
from pybench.spec.race import Race

Clock: TypeAlias = Callable[[], float]


@dataclass(frozen=True, slots=True, eq=False)
class _Round:
    """A round that somebody measures. begun_s: by the clock."""

    leg: Leg
    number: int
    begun_s: float


class _Rounds:
    """What is to be measured next: rounds of what is still open."""

    def __init__(self, race: Race, course: Course, clock: Clock) -> None:
        self._race = race
        self._course = course
        self._clock = clock
        self._given: Counter[tuple[str, int, int]] = Counter()

    @property
    def empty(self) -> bool:
        """Whether nothing is left to give out."""
        return not self._course.open

    @property
    def owners(self) -> set[str]:
        """Nothing is reserved for anybody."""
        return set()

    def next_for(self, worker: str) -> _Round | None:
        """A round where this worker has measured the least, so that each machine has its share of
        everything."""
        ready = [leg for leg in self._course.open if self._course.has_time_for(leg)]
        if not ready:
            return None
        leg = min(ready, key=lambda one: (self._given[worker, one.conns, one.msize], one.begun))
        self._given[worker, leg.conns, leg.msize] += 1
        return _Round(leg, self._course.begin(leg), self._clock())

    def give_back(self, worker: str, task: _Round | None = None) -> None:
        """See Work."""
        if task is not None:
            task.leg.give_up(task.number)

    def unit(self, task: _Round) -> HeatUnit:
        """The round as it travels."""
        leg = task.leg
        return HeatUnit.of(self._race, _labels(leg), (leg.conns, leg.msize), task.number)

    def words(self, task: _Round) -> str:
        """`round 2 at 100 connections`."""
        return f"round {task.number} at {self._course.where(task.leg)}"

    def keep(self, came: Came[_Round]) -> None:
        """A round has ended."""
        leg, number = came.task.leg, came.task.number
        results = self._failed(came) if came.lost else results_from_bytes(came.data)
        kept = self._course.keep(results)
        self._course.end(leg, number, kept, self._clock() - came.task.begun_s)

    def _failed(self, came: Came[_Round]) -> list[Result]:
        """Of a round that nobody could measure: each contender's."""
        now = datetime.now(timezone.utc).astimezone().isoformat(timespec="milliseconds")
        return [
            structs.replace(
                assemble.failed(blank_of(one, came.task.number, now, {}), came.lost),
                turns=Turns(heat=1),
            )
            for heat in came.task.leg.heats
            for one in heat
        ]


def _labels(leg: Leg) -> set[str]:
    """Who takes part there."""
    return {one.label for heat in leg.heats for one in heat}


def run(
    plan: RacePlan,
    pool: Pool,
    reporter: RaceReporter,
    writer: ResultWriter | None,
    notify: Notify,
    clock: Clock = time.monotonic,
) -> Outcome:
    """Run the race. Results come in the order in which they came in.

    notify: hears what the user should know of the machines.  clock: seconds; the budget counts from
    the first round that a worker gets.
    A scheduler that is lost, that no worker can measure, and a full disk end it; nothing is raised.
    """
    interrupted = broken = unkept = None
    course = Course(plan, reporter, writer, clock)
    rounds = _Rounds(plan.race, course, clock)
    dispatcher = Dispatcher(rounds, pool, notify)
    with Interrupts() as interrupts, reporter:
        try:
            while not dispatcher.over:
                interrupts.check()
                dispatcher.hand_out()
                for came in dispatcher.take():
                    rounds.keep(came)
                course.close_late()
        except InterruptError as exc:
            interrupted = exc.signal_name
        except (ServerError, NobodyError) as exc:
            broken = str(exc)
        except OutputError as exc:
            unkept = exc
        dispatcher.drop_all()
    return Outcome(tuple(course.results), tuple(course.standings()), interrupted, broken, unkept)
