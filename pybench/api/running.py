"""Campaigns and races, carried out: here, or on the machines of a cluster.

The command line and the library both measure by `carry_out` and `carry_out_race`. What they say of
it differs, and is a listener's: lines on standard error there, events here.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pybench.cluster import campaign as on_cluster
from pybench.cluster import pool as pools
from pybench.cluster import race as race_on_cluster
from pybench.driver import campaign as campaigns
from pybench.driver import families, raceplan
from pybench.driver import race as races
from pybench.driver.campaign import Measure
from pybench.driver.control import tokens
from pybench.driver.families import Writing
from pybench.driver.order import Order
from pybench.driver.plan import Plan, make_plan, plan_elsewhere
from pybench.driver.progress import Reporter
from pybench.driver.race import MeasureHeat
from pybench.driver.race import Outcome as Raced
from pybench.driver.raceplan import RacePlan
from pybench.driver.raceprogress import RaceReporter
from pybench.result.campaign import CampaignRecord
from pybench.result.file import ResultWriter
from pybench.spec.race import Race


class Listener(Protocol):
    """Who hears what goes on beside the results. machines: of a cluster; 0 is this one alone."""

    def say(self, text: str) -> None:
        """What the user should know; what is to be kept in mind begins with `warning: `."""

    def campaign_planned(self, plan: Plan, machines: int) -> object:
        """A campaign begins."""

    def campaign_reporter(self, plan: Plan) -> Reporter:
        """Who follows its rounds."""

    def race_planned(self, plan: RacePlan, machines: int) -> object:
        """A race begins that stands by itself."""

    def race_reporter(self, race: Race) -> RaceReporter:
        """Who follows a race, also one behind a campaign."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What came of an order. outcome: of the campaign.  raced: of the races behind it."""

    plan: Plan
    outcome: campaigns.Outcome
    raced: families.Outcome = field(default_factory=families.Outcome)


def carry_out(
    order: Order,
    listener: Listener,
    *,
    command: Sequence[str] = (),
    look: Callable[[Plan], object] = lambda plan: None,
    measure: Measure | None = None,
    measure_heat: MeasureHeat | None = None,
) -> Carried:
    """Measure what is left to do; what was done before is among the results.

    command: stands in the file.  look: sees the plan of this machine before anything starts.
    measure, measure_heat: make the rounds here, as in `driver.campaign.run` and `driver.race.run`;
    for real unless told.  Raises as those do, and PreflightError when this machine cannot run it.
    """
    asked = order.campaign
    if asked.cluster is None:
        tokens(max(1, len(asked.servers)))  # what cannot be one is said before all else
        plan = make_plan(asked, order.done)
        look(plan)
        return _carried(order, plan, _Here(measure, measure_heat), listener, command)
    plan = plan_elsewhere(asked, order.done)
    if not plan.tasks:
        return Carried(plan, campaigns.Outcome(plan.done))
    with pools.DaskPool(asked.cluster) as pool:
        return _carried(order, plan, _OnCluster(pool), listener, command)


def carry_out_race(
    race: Race,
    listener: Listener,
    *,
    output: Path | None = None,
    command: Sequence[str] = (),
    measure_heat: MeasureHeat | None = None,
) -> Raced:
    """A race by itself; as `carry_out`. output: appended to."""
    header = races.header(race, command)
    if race.campaign.cluster is None:
        tokens(1)
        plan = raceplan.make_plan(race)
        with _writer(output, header) as writer:
            listener.race_planned(plan, 0)
            return races.run(plan, listener.race_reporter(race), writer, measure_heat)
    plan = raceplan.plan_elsewhere(race)
    with pools.DaskPool(race.campaign.cluster) as pool, _writer(output, header) as writer:
        listener.race_planned(plan, len(pool.workers()))
        reporter = listener.race_reporter(race)
        return race_on_cluster.run(plan, pool, reporter, writer, listener.say)


class _Place(Protocol):
    """Where rounds are made. machines: as of a listener."""

    @property
    def machines(self) -> int: ...

    def campaign(
        self, plan: Plan, listener: Listener, writer: ResultWriter | None
    ) -> campaigns.Outcome: ...

    def race(self, race: Race, listener: Listener, writing: Writing) -> Raced | None:
        """A race behind the campaign; None where the place does not allow it, which is said."""


@dataclass(frozen=True, slots=True)
class _Here:
    measure: Measure | None
    measure_heat: MeasureHeat | None
    machines: int = 0

    def campaign(
        self, plan: Plan, listener: Listener, writer: ResultWriter | None
    ) -> campaigns.Outcome:
        return campaigns.run(plan, listener.campaign_reporter(plan), writer, self.measure)

    def race(self, race: Race, listener: Listener, writing: Writing) -> Raced | None:
        reporter = listener.race_reporter(race)
        return families.race_here(race, reporter, writing, listener.say, self.measure_heat)


@dataclass(frozen=True, slots=True)
class _OnCluster:
    pool: pools.DaskPool

    @property
    def machines(self) -> int:
        return len(self.pool.workers())

    def campaign(
        self, plan: Plan, listener: Listener, writer: ResultWriter | None
    ) -> campaigns.Outcome:
        reporter = listener.campaign_reporter(plan)
        return on_cluster.run(plan, self.pool, reporter, writer, listener.say)

    def race(self, race: Race, listener: Listener, writing: Writing) -> Raced:
        plan, reporter = raceplan.plan_elsewhere(race), listener.race_reporter(race)
        with writing(race) as writer:
            return race_on_cluster.run(plan, self.pool, reporter, writer, listener.say)


def _carried(
    order: Order, plan: Plan, place: _Place, listener: Listener, command: Sequence[str]
) -> Carried:
    """The campaign, and the races behind it as sections of the same file."""
    header = campaigns.header(order.campaign, command, resumed=order.resumed)
    with _writer(order.output if plan.tasks else None, header) as writer:
        listener.campaign_planned(plan, place.machines)
        outcome = place.campaign(plan, listener, writer)
    if order.races_ns is None or outcome.cut_short:
        return Carried(plan, outcome)

    def writing(race: Race) -> AbstractContextManager[ResultWriter | None]:
        return _writer(order.output, races.header(race, command))

    def race_one(race: Race) -> Raced | None:
        return place.race(race, listener, writing)

    raced = families.run(plan, outcome.results, order.races_ns, race_one, listener.say)
    return Carried(plan, outcome, raced)


@contextmanager
def _writer(output: Path | None, header: CampaignRecord) -> Iterator[ResultWriter | None]:
    """Where results go; nowhere unless asked for."""
    if output is None:
        yield None
        return
    with closing(ResultWriter(output, header)) as writer:
        yield writer
