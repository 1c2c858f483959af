"""How far a race is, and whether it goes on: looks, budgets, and who is out.

It measures nothing and waits for nothing: whoever runs the rounds, here one after another
(`race.py`) or on many machines at once (`cluster/race.py`), asks what is open, says what begins,
and hands in what came of it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec import structs

from pybench.analysis.race import Standings, judge
from pybench.analysis.verdict import LOOKS
from pybench.driver.raceplan import Heats, RacePlan
from pybench.driver.raceprogress import RaceReporter, where_words
from pybench.result import Result
from pybench.result.campaign import RaceRecord
from pybench.result.file import ResultWriter
from pybench.spec.race import Race
from pybench.units import NS_PER_S

FAILURES: Final = 2
"""After so many failed rounds one after another a contender is out: its timeouts would eat the
budget of the others."""

LEAST_ROUNDS: Final = 2
"""With one there is no interval; so many are run even where they take longer than the budget."""

STEP_OF_LOOKS: Final = 4 / 3
"""From one look to the next, behind those that are listed."""


@dataclass(slots=True, eq=False)
class Leg:
    """The race at one number of connections, with messages of one size.

    heats: those that still take part.  rounds: how many have ended.  running: the numbers of those
    that have begun and not ended.  last_s: how long the last one took.
    failures: rounds that a contender has failed in, one after another.
    """

    conns: int
    msize: int
    heats: Heats
    rounds: int = 0
    running: set[int] = field(default_factory=set)
    last_s: float = 0.0
    failures: dict[str, int] = field(default_factory=dict)
    _given_up: list[int] = field(default_factory=list, init=False)
    _highest: int = field(default=0, init=False)

    @property
    def begun(self) -> int:
        """How many rounds there are, with those that have not ended."""
        return self.rounds + len(self.running)

    def begin(self) -> int:
        """A round begins; returns its number: one that was given up, else a new one."""
        if self._given_up:
            number = self._given_up.pop(0)
        else:
            self._highest += 1
            number = self._highest
        self.running.add(number)
        return number

    def give_up(self, number: int) -> None:
        """A round that has begun will not end."""
        self.running.remove(number)
        self._given_up.append(number)

    def take_in(self, number: int, results: Sequence[Result]) -> list[str]:
        """A round has ended; returns who takes part no more from now on.

        results: of all its heats.
        """
        self.running.remove(number)
        self.rounds += 1
        ran = {r.func for r in results}
        for label in ran:
            good = any(r.ok for r in results if r.func == label)
            self.failures[label] = 0 if good else self.failures.get(label, 0) + 1
        out = [label for label in sorted(ran) if self.failures[label] == FAILURES]
        kept = [tuple(e for e in heat if e.label not in out) for heat in self.heats]
        self.heats = tuple(heat for heat in kept if len(heat) > 1)
        return out


class Course:
    """A race under way. results: so far.  open: where more rounds are to be run.

    clock: seconds.  The budget counts from the first round on.
    """

    def __init__(
        self,
        plan: RacePlan,
        reporter: RaceReporter,
        writer: ResultWriter | None,
        clock: Callable[[], float],
    ) -> None:
        self.results: list[Result] = []
        self.open = [Leg(*key, heats) for key, heats in plan.heats.items()]
        self._race = plan.race
        self._asked = record(plan.race)
        self._reporter = reporter
        self._writer = writer
        self._clock = clock
        self._deadline: float | None = None

    def standings(self) -> list[Standings]:
        """How it stands."""
        return judge(self._asked, self.results)

    def has_time_for(self, leg: Leg) -> bool:
        """Whether another round may begin there."""
        return leg.begun < LEAST_ROUNDS or self._left_s() >= leg.last_s

    def close_late(self) -> None:
        """Those end for which no time is left; not before their rounds have ended."""
        self.open = [leg for leg in self.open if leg.running or self.has_time_for(leg)]

    def begin(self, leg: Leg) -> int:
        """A round begins there. Returns its number, from 1."""
        if self._deadline is None:
            self._deadline = self._clock() + self._race.budget_ns / NS_PER_S
        number = leg.begin()
        self._reporter.round_started(self.where(leg), number)
        return number

    def keep(self, found: Sequence[Result]) -> list[Result]:
        """Count and write them, as soon as they are there; returns them as they were written.

        Raises OutputError when the file takes no more: they are counted all the same.
        """
        kept = [structs.replace(result, campaign_id=self._race.campaign.id) for result in found]
        self.results += kept
        if self._writer is not None:
            for result in kept:
                self._writer.write(result)
        return kept

    def end(self, leg: Leg, number: int, found: Sequence[Result], took_s: float) -> None:
        """A round has ended there. found: what was kept of all its heats."""
        leg.last_s = took_s
        out = leg.take_in(number, found)
        left_s = max(0.0, self._left_s())
        self._reporter.round_finished(found, self.standings, left_s)
        for label in out:
            self._reporter.left_out(label, self.where(leg))
        if leg in self.open and (
            not leg.heats or (is_look(leg.rounds) and self._is_settled(leg, left_s))
        ):
            self.open.remove(leg)

    def where(self, leg: Leg) -> str:
        """`100 connections`."""
        several = len(self._race.campaign.msize) > 1
        return where_words(leg.conns, leg.msize if several else None)

    def _left_s(self) -> float:
        """Of the budget; less than 0 behind its end."""
        return math.inf if self._deadline is None else self._deadline - self._clock()

    def _is_settled(self, leg: Leg, left_s: float) -> bool:
        """Look how it stands; returns whether more rounds would tell nothing that was asked for."""
        standings = next(
            s for s in self.standings() if (s.conns, s.msize) == (leg.conns, leg.msize)
        )
        self._reporter.looked(standings, left_s)
        return standings.settled


def is_look(rounds: int) -> bool:
    """Whether it is decided after so many rounds whether to go on: at few fixed counts, for who
    looks after each stops at the first lucky one."""
    look = LOOKS[-1]
    while look < rounds:
        look = math.ceil(look * STEP_OF_LOOKS)
    return rounds in LOOKS or rounds == look


def record(race: Race) -> RaceRecord:
    """What was asked for, as the header line holds it."""
    return RaceRecord(
        contenders=tuple(one.label for one in race.contenders),
        metric=race.metric,
        precision=race.precision,
        margin=race.margin,
        budget_s=race.budget_ns / NS_PER_S,
    )
