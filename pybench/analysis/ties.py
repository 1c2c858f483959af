"""Who is among the best of a column: ties, from the pairs of the campaign itself.

An order by means alone is one of noise too. Two rows of a column are apart when their rounds,
paired by the campaign, surely differ; all pairs of a column are one family. Rows that are not apart
share a group, and group 0 is that of the best.
"""

import math
from collections.abc import Mapping
from itertools import combinations

from pybench.analysis.compare import side_stamps_of
from pybench.analysis.machines import estimate_over_machines
from pybench.analysis.model import CellRounds, Group
from pybench.analysis.ratio import Estimate
from pybench.analysis.stamps import class_of
from pybench.analysis.verdict import MPS, Metric, surely_different, tie_groups

Logs = Mapping[tuple[str, int, str], float]
"""(campaign, round, machine) -> logarithm of the figure."""


def column_ties(group: Group, column: int, metric: Metric = MPS) -> dict[str, tuple[int, ...]]:
    """row -> its groups, for the rows of a column that can be judged; empty without any pair.

    Left out are rows with an invalid stamp, with a single round, and of another campaign than the
    best's.
    """
    cells = {row: cell for row in group.rows if (cell := group.cells.get((row, column)))}
    stamped = {row: side_stamps_of(cell) for row, cell in cells.items()}
    logs = {
        row: found
        for row, cell in cells.items()
        if len(found := _logs(cell, metric.quantity)) > 1
        and not any(class_of(code) == "invalid" for code in stamped[row])
    }
    sign = 1 if metric.lower_is_better else -1
    names = sorted(logs, key=lambda row: sign * sum(logs[row].values()) / len(logs[row]))
    pairs = {
        (one, other): estimate
        for one, other in combinations(names, 2)
        if (estimate := _estimate(logs[one], logs[other])) is not None
    }
    names = [n for n in names if n == names[0] or (names[0], n) in pairs]
    if len(names) < 2:
        return {}
    apart = surely_different(
        [(found, stamped[one], stamped[other]) for (one, other), found in pairs.items()],
        metric=metric,
    )
    differing = {pair for pair, is_apart in zip(pairs, apart, strict=True) if is_apart}
    return tie_groups(names, lambda one, other: (one, other) in differing)


def _logs(cell: CellRounds, quantity: str) -> dict[tuple[str, int, str], float]:
    return {
        (r.campaign, r.number, r.machine): math.log(r.values[quantity])
        for r in cell.good
        if r.campaign and r.values.get(quantity, 0) > 0
    }


def _estimate(one: Logs, other: Logs) -> Estimate | None:
    """ONE / OTHER from the rounds that both have, at least two."""
    shared = [place for place in one if place in other]
    logs: dict[str, list[float]] = {}
    for place in shared:
        logs.setdefault(place[2], []).append(one[place] - other[place])
    return estimate_over_machines(logs) if len(shared) > 1 else None
