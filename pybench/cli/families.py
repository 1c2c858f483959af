"""`--races TIME`: when a campaign has run, the rows of each family race each other.

Rounds of a campaign stand one after another and tell rows apart that are far from each other; which
of a family is ahead takes turns.
"""

import sys
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pybench.cli.common import warn
from pybench.errors import PreflightError, UsageError
from pybench.spec import Campaign, axes
from pybench.spec.race import Race, races_of_families
from pybench.units import NS_PER_S

if TYPE_CHECKING:
    from pybench.analysis.race import Contest
    from pybench.driver.plan import Plan
    from pybench.driver.race import MeasureHeat
    from pybench.driver.race import Outcome as Raced
    from pybench.result import Result


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of the races. interrupted: the signal that ended them early, or None."""

    contests: "tuple[Contest, ...]" = ()
    interrupted: str | None = None
    broken: bool = False


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
    plan: "Plan",
    results: "Sequence[Result]",
    budget_ns: int,
    output: Path | None,
    command: Sequence[str],
    measure_heat: "MeasureHeat | None",
) -> Outcome:
    """Race after race, each a section of its own in the output; of rows that were measured.

    results: of the campaign.  budget_ns: of all races.  measure_heat: as of `driver.race.run`.
    """
    from pybench.analysis.race import Contest
    from pybench.driver.course import record
    from pybench.driver.progress import short_span

    measured = {(r.func, r.conns, *axes.key(r)) for r in results if r.ok}
    cells = [c for c in plan.cells if (c.label, c.conns, *axes.key(c)) in measured]
    families = races_of_families(plan.campaign, cells, budget_ns)
    span = short_span(sum(race.budget_ns for race in families) / NS_PER_S)
    warn(f"{len(families)} families race inside, {span} at most")
    contests: list[Contest] = []
    for race in families:
        raced = _run(race, output, command, measure_heat)
        if raced is None:
            continue
        if raced.results:
            asked = record(race)
            contests.append(Contest(id=race.campaign.id, asked=asked, results=raced.results))
        if raced.broken is not None:
            warn(f"error: {raced.broken}")
        if raced.interrupted is not None or raced.broken is not None:
            return Outcome(tuple(contests), raced.interrupted, raced.broken is not None)
    return Outcome(tuple(contests))


def _run(
    race: Race,
    output: Path | None,
    command: Sequence[str],
    measure_heat: "MeasureHeat | None",
) -> "Raced | None":
    """None where this machine does not allow it, which is said."""
    from pybench.driver import race as races
    from pybench.driver.raceplan import make_plan
    from pybench.driver.raceprogress import make_race_reporter
    from pybench.result.file import ResultWriter

    try:
        plan = make_plan(race)
    except PreflightError as exc:
        warn(f"warning: {', '.join(one.label for one in race.contenders)} do not race: {exc}")
        return None
    for warning in plan.warnings:
        warn(f"warning: {warning}")
    reporter = make_race_reporter(race.budget_ns / NS_PER_S, sys.stderr)
    writing = (
        nullcontext()
        if output is None
        else closing(ResultWriter(output, races.header(race, command)))
    )
    with writing as writer:
        return races.run(plan, reporter, writer, measure_heat)
