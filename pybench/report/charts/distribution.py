"""Latency by percentile, on an axis where each step to the right is ten times as rare."""

import math

from pybench.analysis.model import CellRounds
from pybench.analysis.stats import percentiles_ns
from pybench.report.charts.line import Line

_PER_DECADE = 40


def distribution(cell: CellRounds) -> Line:
    """The cell's latency in ns over 1 / (1 - q), all rounds together.

    The x are `samples ** (i / (len(x) - 1))`: evenly in their logarithm from q = 0 to the last
    sample. The cell must have a histogram.
    """
    total = sum(cell.histogram.values())
    steps = max(2, round(_PER_DECADE * math.log10(max(total, 2))))
    xs = [total ** (i / steps) for i in range(steps + 1)]
    largest = max(cell.values("latmax_ns"), default=math.inf)  # exact; a bucket's edge lies above
    found = percentiles_ns(cell.histogram, [1 - 1 / x for x in xs])
    return Line(cell.func, xs, [min(value, largest) for value in found], codes=[cell.codes])
