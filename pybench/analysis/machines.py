"""Ratios over several machines: each machine's own, and what they say together.

A ratio is taken within a machine, of rounds that were paired there. Machines differ in how much
faster one row is than another, so that more rounds on the same machines do not make the answer for
machines in general any surer: machines are the level that is replicated. They are combined with
random effects:
  - the variance between machines: R. DerSimonian and N. Laird, "Meta-Analysis in Clinical Trials",
    Controlled Clinical Trials 7, 1986;
  - the interval, with Student's t of one degree less than there are machines: J. Hartung and
    G. Knapp, Statistics in Medicine 20, 2001, never narrower than the one without it: C. Rover,
    G. Knapp and T. Friede, BMC Medical Research Methodology 15, 2015.
Neither prints nor reads clocks.
"""

import dataclasses
import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pybench.analysis.model import CellRounds, Group, Round, Setting, fastest_first
from pybench.analysis.ratio import CONFIDENCE, Estimate, estimate_from, estimate_of_logs
from pybench.analysis.verdict import MARGIN, MPS, Metric, Verdict, decide_family, side_stamps

FEW: Final = 5
"""Fewer rounds than that say little of their own scatter: two may agree by chance."""


def estimate_over_machines(logs: Mapping[str, Sequence[float]]) -> Estimate:
    """From log(NEW / BASE) of each round, by machine; at least one round in all."""
    return combined([estimate_of_logs(found) for found in logs.values() if found])


def combined(each: Sequence[Estimate], confidence: float = CONFIDENCE) -> Estimate:
    """What the machines say together; of a single one what it says.

    each: one estimate a machine, at least one.  A machine of fewer than FEW rounds is taken to
    scatter as all do together; where nothing is known of that, all machines count alike. The
    `rounds` of what returns are machines.
    """
    if len(each) == 1:
        return each[0]
    logs, k = [one.log for one in each], len(each)
    errors = _errors(each)
    if min(errors) <= 0:
        centre, error = statistics.fmean(logs), statistics.stdev(logs) / math.sqrt(k)
    else:
        centre, error = _random_effects(logs, errors)
    found = estimate_from(centre, error, k - 1, k, True, confidence)
    return dataclasses.replace(found, level="machine")


def _errors(each: Sequence[Estimate]) -> list[float]:
    """The standard error of each; of few rounds from the variance pooled over all machines."""
    df = sum(one.df for one in each)
    pooled = sum(one.df * one.error**2 * one.rounds for one in each) / df if df else 0.0
    return [
        one.error if one.rounds >= FEW or one.df >= FEW else math.sqrt(pooled / one.rounds)
        for one in each
    ]


def heterogeneity(logs: Sequence[float], errors: Sequence[float]) -> float:
    """The variance between machines, by DerSimonian and Laird. logs, errors: two or more."""
    weights = [1 / error**2 for error in errors]
    total = sum(weights)
    centre = _mean(logs, weights)
    q = sum(w * (y - centre) ** 2 for w, y in zip(weights, logs, strict=True))
    scale = total - sum(w * w for w in weights) / total
    return max(0.0, (q - (len(logs) - 1)) / scale)


def _random_effects(logs: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    """The mean and its standard error."""
    between = heterogeneity(logs, errors)
    weights = [1 / (error**2 + between) for error in errors]
    centre, total = _mean(logs, weights), sum(weights)
    spread = sum(w * (y - centre) ** 2 for w, y in zip(weights, logs, strict=True))
    return centre, math.sqrt(max(spread / (len(logs) - 1), 1.0) / total)


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return sum(w * y for w, y in zip(weights, values, strict=True)) / sum(weights)


@dataclass(frozen=True, slots=True)
class MachineRatio:
    """A row against the base, on each machine and on all.

    each: machine -> its ratio.  verdict: on all together.
    """

    row: str
    column: int
    each: Mapping[str, Estimate]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class MachineRatios:
    """Of one setting, whatever kinds its machines are of, or of a race.

    axis: what a column is a number of, `connections`.  open_loop: whether columns are rates.
    """

    axis: str
    open_loop: bool
    base: str
    metric: Metric
    ratios: tuple[MachineRatio, ...]


def by_machine(
    groups: Sequence[Group],
    base: str | None = None,
    metric: Metric = MPS,
    margin: float = MARGIN,
) -> list[MachineRatios]:
    """The ratios of what several machines have measured; nothing of a single machine.

    base: the row to hold the others against; the fastest of each setting unless told.
    """
    apart: dict[Setting, list[Group]] = {}
    for group in groups:
        if not group.open_loop or metric is not MPS:  # whose messages/s are what was asked for
            apart.setdefault(dataclasses.replace(group.setting, machine=""), []).append(group)
    found = []
    for family in apart.values():
        if len({r.machine for group in family for r in group.rounds if r.machine}) < 2:
            continue
        rows = fastest_first(family)
        against = base if base in rows else rows[0] if rows else ""
        if ratios := tuple(_ratios(family, against, metric, margin)):
            one = family[0]
            found.append(MachineRatios(one.axis, one.open_loop, against, metric, ratios))
    return found


def _ratios(
    family: Sequence[Group], base: str, metric: Metric, margin: float
) -> Iterator[MachineRatio]:
    """Every other row in every column that has a pair."""
    cells: dict[tuple[str, int], list[CellRounds]] = {}
    for group in family:
        for key, cell in group.cells.items():
            cells.setdefault(key, []).append(cell)
    rows = [row for row in fastest_first(family) if row != base]
    places, members = [], []
    for column in sorted({column for _, column in cells}):
        before = _rounds(cells.get((base, column), ()))
        for row in rows:
            after = _rounds(cells.get((row, column), ()))
            logs = _paired_logs(before, after, metric.quantity)
            if not logs:
                continue
            each = {machine: estimate_of_logs(found) for machine, found in logs.items()}
            places.append((row, column, each))
            members.append((combined(list(each.values())), _stamps(after), _stamps(before)))
    verdicts = decide_family(members, metric=metric, margin=margin)
    for (row, column, each), verdict in zip(places, verdicts, strict=True):
        yield MachineRatio(row, column, each, verdict)


def _rounds(cells: Sequence[CellRounds]) -> list[Round]:
    return [one for cell in cells for one in cell.good]


def _stamps(rounds: Sequence[Round]) -> tuple[str, ...]:
    return side_stamps([{warning.code for warning in one.warnings} for one in rounds])


def _paired_logs(
    base: Sequence[Round], new: Sequence[Round], quantity: str
) -> dict[str, list[float]]:
    """Machine -> log(NEW / BASE) of the rounds that both have there."""
    figures = {
        (r.campaign, r.number, r.machine): r.values[quantity]
        for r in base
        if r.campaign and r.values.get(quantity, 0) > 0
    }
    found: dict[str, list[float]] = {}
    for one in new:
        before = figures.get((one.campaign, one.number, one.machine))
        if before is not None and one.machine and one.values.get(quantity, 0) > 0:
            log = math.log(one.values[quantity] / before)
            found.setdefault(one.machine, []).append(log)
    return found
