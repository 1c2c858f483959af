"""`--races TIME`: when a campaign has run, the rows of each family race each other.

Rounds of a campaign stand one after another and tell rows apart that are far from each other; which
of a family is ahead takes turns. Where they race, here or on a cluster, is the caller's to say.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from pybench.analysis.race import Contest
from pybench.driver import race as races
from pybench.driver.course import record
from pybench.driver.plan import Plan
from pybench.driver.progress import short_span
from pybench.driver.race import MeasureHeat
from pybench.driver.race import Outcome as Raced
from pybench.driver.raceplan import make_plan
from pybench.driver.raceprogress import RaceReporter
from pybench.errors import PreflightError, PybenchError, UsageError
from pybench.result import Result
from pybench.result.file import ResultWriter
from pybench.spec import Campaign, axes
from pybench.spec.race import Race, races_of_families
from pybench.units import NS_PER_S

Writing = Callable[[Race], AbstractContextManager[ResultWriter | None]]
"""Where the results of a race go."""
Notify = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the races. interrupted: the signal that ended them early, or None.  broken: what
    else did, or None."""

    contests: tuple[Contest, ...] = ()
    interrupted: str | None = None
    broken: str | None = None


def check(campaign: Campaign, called: str) -> None:
    """Raise UsageError for what races do not have. called: what the option is called."""
    if campaign.open_loop:
        raise UsageError(f"{called} is for messages/s, which --rate sets")
    if len(campaign.workers) > 1 or len(campaign.loops) > 1:
        raise UsageError(f"{called} takes one number of --workers and --loops: see `pybench race`")
    if campaign.more_servers:
        raise UsageError(f"{called} and several load servers (--server) exclude each other")
    if campaign.timestamps is not None:
        raise UsageError(f"{called} and --timestamps exclude each other")


def run(
    plan: Plan,
    results: Sequence[Result],
    budget_ns: int,
    race_one: Callable[[Race], Raced | None],
    notify: Notify,
) -> Outcome:
    """Race after race, of rows that were measured.

    results: of the campaign.  budget_ns: of all races.  race_one: runs a race, or says why not.
    notify: hears what the user should know.
    """
    measured = {(r.func, r.conns, *axes.key(r)) for r in results if r.ok}
    cells = [c for c in plan.cells if (c.label, c.conns, *axes.key(c)) in measured]
    families = races_of_families(plan.campaign, cells, budget_ns)
    if not families:
        notify("nothing races: no two rows of one family were measured at every --conns")
        return Outcome()
    span = short_span(sum(race.budget_ns for race in families) / NS_PER_S)
    some = "1 family races" if len(families) == 1 else f"{len(families)} families race"
    notify(f"{some} inside, {span} at most")
    contests: list[Contest] = []
    for race in families:
        try:
            raced = race_one(race)
        except PybenchError as exc:  # what the campaign has measured is still to be shown
            return Outcome(tuple(contests), broken=str(exc))
        if raced is None:
            continue
        if raced.results:
            contests.append(Contest.of(race.campaign.id, record(race), raced.results))
        broken = raced.broken if raced.unkept is None else str(raced.unkept)
        if raced.interrupted is not None or broken is not None:
            return Outcome(tuple(contests), raced.interrupted, broken)
    return Outcome(tuple(contests))


def race_here(
    race: Race,
    reporter: RaceReporter,
    writing: Writing,
    notify: Notify,
    measure_heat: MeasureHeat | None = None,
) -> Raced | None:
    """A race on this machine; None where that does not allow it, which is said.

    measure_heat: as of `driver.race.run`.
    """
    try:
        plan = make_plan(race)
    except PreflightError as exc:
        notify(f"warning: {', '.join(one.label for one in race.contenders)} do not race: {exc}")
        return None
    for warning in plan.warnings:
        notify(f"warning: {warning}")
    with writing(race) as writer:
        return races.run(plan, reporter, writer, measure_heat)
