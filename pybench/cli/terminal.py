"""What is said on standard error of what is being measured: what is to come, and how it goes."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pybench.cli.common import warn
from pybench.units import NS_PER_S, count_label, parse_size

if TYPE_CHECKING:
    from pybench.driver.plan import Plan
    from pybench.driver.progress import Reporter
    from pybench.driver.raceplan import RacePlan
    from pybench.driver.raceprogress import RaceReporter
    from pybench.spec.race import Race


class Terminal:
    """A listener of `api.running`. arguments: of the command line."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self._arguments = arguments

    def say(self, text: str) -> None:
        warn(text)

    def campaign_planned(self, plan: "Plan", machines: int) -> None:
        from pybench.driver.progress import short_span

        _warn_of(plan.warnings)
        about = "about " if plan.campaign.rate_auto else ""
        rounds = f"{about}{_counted(len(plan.expected), 'round')}"
        rounds += _on(plan.campaign.cluster, machines)
        span = short_span(plan.expected_s / max(1, machines))
        taken = f"{_understood(self._arguments)}; " if _understood(self._arguments) else ""
        warn(f"{taken}{rounds} to measure, about {span} (seed {plan.campaign.seed})")

    def campaign_reporter(self, plan: "Plan") -> "Reporter":
        from pybench.driver.progress import PlainReporter, make_reporter

        if plan.campaign.cluster is not None:
            return PlainReporter(len(plan.tasks), plan.campaign.rounds, sys.stderr)
        return make_reporter(plan.expected, plan.campaign.rounds, sys.stderr)

    def race_planned(self, plan: "RacePlan", machines: int) -> None:
        from pybench.driver.progress import short_span

        _warn_of(plan.warnings)
        race, campaign = plan.race, plan.race.campaign
        counts = ",".join(map(count_label, campaign.conns))
        sizes = ",".join(map(count_label, campaign.msize))
        several = f" with messages of {sizes} bytes" if len(campaign.msize) > 1 else ""
        warn(
            f"{len(race.contenders)} contenders at {counts} connections{several}"
            f"{_on(campaign.cluster, machines)}, until their ratios are known within"
            f" {100 * race.precision:g}% or for {short_span(race.budget_ns / NS_PER_S)}"
            f" (seed {campaign.seed})"
        )

    def race_reporter(self, race: "Race") -> "RaceReporter":
        from pybench.driver.raceprogress import ClusterRaceReporter, make_race_reporter

        if race.campaign.cluster is not None:
            return ClusterRaceReporter(sys.stderr)
        return make_race_reporter(race.budget_ns / NS_PER_S, sys.stderr)


def _warn_of(warnings: Sequence[str]) -> None:
    for warning in warnings:
        warn(f"warning: {warning}")


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _on(scheduler: str | None, machines: int) -> str:
    """Where; nothing goes without saying but this machine."""
    return "" if scheduler is None else f" on {_counted(machines, 'worker')} of {scheduler}"


def _understood(given: Sequence[str]) -> str:
    """Sizes and counts written with a unit, as they were taken: `--msize 64k is 64000`.

    given: the command line.
    """
    words = iter(given)
    found = []
    for word in words:
        name, equals, text = word.partition("=")
        if name not in ("--msize", "--conns", "--rate"):
            continue
        text = text if equals else next(words, "")
        for one in text.split(","):
            if one[-1:].isalpha() and one != "auto" and (name == "--msize" or one[-1] in "KMG"):
                found.append(f"{name} {one} is {parse_size(one)}")
    return ", ".join(found)
