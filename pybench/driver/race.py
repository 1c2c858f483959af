"""A race: rounds of heats until every ratio is known as well as was asked for, or time is over.

`run` is the way through. What is to be done is in `raceplan.py`, one round of a heat in `heat.py`,
what the results say in `analysis/race.py`. Several numbers of connections or sizes of a message
take turns as well: one that is settled leaves its time to the others.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import structs

from pybench.analysis.race import Standings, judge
from pybench.analysis.verdict import LOOKS
from pybench.driver import campaign as campaigns
from pybench.driver import heat as one_heat
from pybench.driver.heat import Entrant, HeatContext
from pybench.driver.interrupts import InterruptError, Interrupts
from pybench.driver.loadserver import ServerKeeper
from pybench.driver.raceplan import Heats, RacePlan
from pybench.driver.raceprogress import RaceReporter, where_words
from pybench.errors import ServerError
from pybench.machine import environment
from pybench.result import Result
from pybench.result.campaign import CampaignRecord, RaceRecord
from pybench.result.file import ResultWriter
from pybench.spec.race import Race
from pybench.units import NS_PER_S

MeasureHeat = Callable[[Sequence[Entrant], int, int, dict[str, Any]], list[Result]]
"""One round of a heat: its entrants, the numbers of round and heat, the environment to record."""

FAILURES: Final = 2
"""After so many failed rounds one after another a contender is out: its timeouts would eat the
budget of the others."""

LEAST_ROUNDS: Final = 2
"""With one there is no interval; so many are run even where they take longer than the budget."""

ROUNDS_AIMED_AT: Final = 8
"""A round's turns are kept so short that so many rounds fit into the budget: with few rounds an
interval is wide whatever happens inside them."""

STEP_OF_LOOKS: Final = 4 / 3
"""From one look to the next, behind those that are listed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    interrupted: the signal that ended it early, or None.  broken: how the load server ended it.
    """

    results: tuple[Result, ...]
    standings: tuple[Standings, ...]
    interrupted: str | None = None
    broken: str | None = None


def run(
    plan: RacePlan,
    reporter: RaceReporter,
    writer: ResultWriter | None,
    measure_heat: MeasureHeat | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Run the race. Results come in the order in which they were measured.

    measure_heat: makes each round of a heat; for real unless told.  clock: seconds.
    Raises ServerError when no load server can be started. One that dies ends the race, and so does
    Ctrl-C: what has been measured until then is in the outcome.
    """
    interrupted = broken = None
    with ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        stack.enter_context(reporter)
        measure = measure_heat or stack.enter_context(measuring(plan, interrupts))
        course = _Course(plan, measure, reporter, writer, clock)
        try:
            course.run(interrupts)
        except InterruptError as exc:
            interrupted = exc.signal_name
        except ServerError as exc:
            if not course.results:
                raise
            broken = str(exc)
    return Outcome(tuple(course.results), tuple(course.standings()), interrupted, broken)


class _Course:
    """A race under way. results: so far."""

    def __init__(
        self,
        plan: RacePlan,
        measure: MeasureHeat,
        reporter: RaceReporter,
        writer: ResultWriter | None,
        clock: Callable[[], float],
    ) -> None:
        self.results: list[Result] = []
        self._race = plan.race
        self._asked = record(plan.race)
        self._env = campaigns.environment_of(plan.placement)
        self._measure = measure
        self._reporter = reporter
        self._writer = writer
        self._clock = clock
        self._deadline = clock() + plan.race.budget_ns / NS_PER_S
        self._open = [_Field(*key, heats) for key, heats in plan.heats.items()]

    def standings(self) -> list[Standings]:
        """How it stands."""
        return judge(self._asked, self.results)

    def run(self, interrupts: Interrupts) -> None:
        """Round after round, numbers of connections and sizes in turn."""
        while self._open:
            for one in list(self._open):
                interrupts.check()
                if not self._has_time_for(one) or self._is_over_after_round(one):
                    self._open.remove(one)

    def _has_time_for(self, one: "_Field") -> bool:
        left_s = self._deadline - self._clock()
        return one.rounds < LEAST_ROUNDS or left_s >= one.last_s

    def _is_over_after_round(self, one: "_Field") -> bool:
        """Run one more round; returns whether it was the last."""
        begun, found = self._clock(), list[Result]()
        self._reporter.round_started(self._where(one), one.rounds + 1)
        env = self._env | {"load_average": environment.load_average()}
        for number, heat in enumerate(one.heats, 1):
            for result in self._measure(heat, one.rounds + 1, number, env):
                found.append(structs.replace(result, campaign_id=self._race.campaign.id))
                self.results.append(found[-1])
                if self._writer is not None:
                    self._writer.write(found[-1])
        one.last_s = self._clock() - begun
        out = one.take_in(found)
        left_s = max(0.0, self._deadline - self._clock())
        self._reporter.round_finished(found, self.standings, left_s)
        for label in out:
            self._reporter.left_out(label, self._where(one))
        return not one.heats or (is_look(one.rounds) and self._is_settled(one, left_s))

    def _where(self, one: "_Field") -> str:
        return where_words(one.conns, one.msize if len(self._race.campaign.msize) > 1 else None)

    def _is_settled(self, one: "_Field", left_s: float) -> bool:
        """Look how it stands; returns whether more rounds would tell nothing that was asked for."""
        standings = next(
            s for s in self.standings() if (s.conns, s.msize) == (one.conns, one.msize)
        )
        self._reporter.looked(standings, left_s)
        return standings.settled


@dataclass(slots=True)
class _Field:
    """The race at one number of connections, with messages of one size.

    heats: those that still take part.  last_s: how long its last round took.
    failures: rounds that a contender has failed in, one after another.
    """

    conns: int
    msize: int
    heats: Heats
    rounds: int = 0
    last_s: float = 0.0
    failures: dict[str, int] = field(default_factory=dict)

    def take_in(self, results: Sequence[Result]) -> list[str]:
        """A round has ended; returns who takes part no more from now on.

        results: of all its heats.
        """
        self.rounds += 1
        ran = {r.func for r in results}
        for label in ran:
            good = any(r.ok for r in results if r.func == label)
            self.failures[label] = 0 if good else self.failures.get(label, 0) + 1
        out = [label for label in sorted(ran) if self.failures[label] == FAILURES]
        kept = [tuple(e for e in heat if e.label not in out) for heat in self.heats]
        self.heats = tuple(heat for heat in kept if len(heat) > 1)
        return out


def is_look(rounds: int) -> bool:
    """Whether it is decided after so many rounds whether to go on: at few fixed counts, for who
    looks after each stops at the first lucky one."""
    look = LOOKS[-1]
    while look < rounds:
        look = math.ceil(look * STEP_OF_LOOKS)
    return rounds in LOOKS or rounds == look


@contextmanager
def measuring(plan: RacePlan, interrupts: Interrupts) -> Iterator[MeasureHeat]:
    """What makes the rounds of a race for real, while its load server is kept."""
    campaign = plan.race.campaign
    heats = sum(len(of) for of in plan.heats.values())
    longest_s = plan.race.budget_ns / NS_PER_S / ROUNDS_AIMED_AT / heats
    keeper = ServerKeeper(campaign.server, bind=plan.bind, cpus=plan.placement.server_cpus)
    with keeper as server:

        def measure(
            entrants: Sequence[Entrant], number: int, heat: int, env: dict[str, Any]
        ) -> list[Result]:
            context = HeatContext(
                server=server.address(),
                bind=plan.bind,
                interrupts=interrupts,
                env=env,
                seed=campaign.seed,
                longest_s=longest_s,
            )
            try:
                return one_heat.run(entrants, number, heat, context)
            except ServerError as exc:
                died = server.exit_reason()
                raise exc if died is None else ServerError("unreachable", died) from exc

        yield measure


def record(race: Race) -> RaceRecord:
    """What was asked for, as the header line holds it."""
    return RaceRecord(
        contenders=tuple(one.label for one in race.contenders),
        metric=race.metric,
        precision=race.precision,
        margin=race.margin,
        budget_s=race.budget_ns / NS_PER_S,
    )


def header(race: Race, command: Sequence[str]) -> CampaignRecord:
    """The header line's record."""
    return structs.replace(campaigns.header(race.campaign, command), race=record(race))
