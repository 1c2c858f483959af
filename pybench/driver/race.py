"""A race: rounds of heats until every ratio is known as well as was asked for, or time is over.

`run` is the way through. What is to be done is in `raceplan.py`, one round of a heat in `heat.py`,
when it is over in `course.py`, what the results say in `analysis/race.py`. Several numbers of
connections or sizes of a message take turns as well: one that is settled leaves its time to the
others.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from msgspec import structs

from pybench.analysis.race import Standings
from pybench.driver import campaign as campaigns
from pybench.driver import heat as one_heat
from pybench.driver.course import Course, record
from pybench.driver.heat import Entrant, HeatContext
from pybench.driver.interrupts import InterruptError, Interrupts
from pybench.driver.loadserver import ServerKeeper
from pybench.driver.raceplan import RacePlan
from pybench.driver.raceprogress import RaceReporter
from pybench.errors import OutputError, ServerError
from pybench.machine import environment
from pybench.result import Result
from pybench.result.campaign import CampaignRecord
from pybench.result.file import ResultWriter
from pybench.spec.race import Race
from pybench.units import NS_PER_S

MeasureHeat = Callable[[Sequence[Entrant], int, int, dict[str, Any]], list[Result]]
"""One round of a heat: its entrants, the numbers of round and heat, the environment to record."""

ROUNDS_AIMED_AT: Final = 8
"""A round's turns are kept so short that so many rounds fit into the budget: with few rounds an
interval is wide whatever happens inside them."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it.

    interrupted: the signal that ended it early, or None.  broken: how the load server ended it.
    unkept: why its file takes no more, which ended it too; the round that found out is in the
    results.
    """

    results: tuple[Result, ...]
    standings: tuple[Standings, ...]
    interrupted: str | None = None
    broken: str | None = None
    unkept: OutputError | None = None


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
    Ctrl-C, and a full disk: what has been measured until then is in the outcome.
    """
    interrupted = broken = unkept = None
    with ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        stack.enter_context(reporter)
        measure = measure_heat or stack.enter_context(measuring(plan, interrupts))
        course = Course(plan, reporter, writer, clock)
        try:
            _run(course, plan, measure, interrupts, clock)
        except InterruptError as exc:
            interrupted = exc.signal_name
        except ServerError as exc:
            if not course.results:
                raise
            broken = str(exc)
        except OutputError as exc:
            unkept = exc
    return Outcome(tuple(course.results), tuple(course.standings()), interrupted, broken, unkept)


def _run(
    course: Course,
    plan: RacePlan,
    measure: MeasureHeat,
    interrupts: Interrupts,
    clock: Callable[[], float],
) -> None:
    """Round after round, numbers of connections and sizes in turn."""
    of_plan = campaigns.environment_of(plan.placement)
    while course.open:
        for leg in list(course.open):
            interrupts.check()
            course.close_late()
            if leg not in course.open:
                continue
            begun, found = clock(), list[Result]()
            number = course.begin(leg)
            env = of_plan | {"load_average": environment.load_average()}
            for heat_number, heat in enumerate(leg.heats, 1):
                found += course.keep(measure(heat, number, heat_number, env))
            course.end(leg, number, found, clock() - begun)


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


def header(race: Race, command: Sequence[str]) -> CampaignRecord:
    """The header line's record."""
    return structs.replace(campaigns.header(race.campaign, command), race=record(race))
