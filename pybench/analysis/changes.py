"""Where a series of ratios changed: after which point, within which points, and by how much.

Change points are found by PELT (R. Killick, P. Fearnhead and I. Eckley, "Optimal Detection of
Changepoints With a Linear Computational Cost", JASA 2012) with squared error on logarithms, as
`ruptures` has it. When: the interval of J. Bai, "Estimation of a Change Point in Multiple
Regression Models", Review of Economics and Statistics 1997. How much: the ratio of the points after
to those before, up to the next changes (`ratio.py`). Neither prints nor reads clocks.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from pybench.analysis.ratio import Estimate, unpaired_ratio
from pybench.analysis.steadiness import DEVIATION_OF_STEPS

POINTS: Final = 8
"""Fewer say nothing: of so few, noise alone looks like a change too often."""
A_SIDE: Final = 2
"""One point apart from all others is an outlier, and no change yet."""
PENALTY: Final = 6.0
"""Of a change, times variance and log of the number of points. Of series that do not change it
finds one in 7% at 8 points, 3% at 12 and 1% at 20, where one point in many is far off (Student's t
of 4 degrees) in 6, 6 and 4%; of a change by four deviations it finds 77, 93 and 97% (simulated)."""
BAI_95: Final = 11.03
"""Half of the interval of a change's place, in points, times (deviation / change) squared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """at: number of points before it.  first, last: 95% interval of that number.
    ratio: after / before."""

    at: int
    first: int
    last: int
    ratio: Estimate


def find_changes(ratios: Sequence[float], errors: Sequence[float] = ()) -> list[Change]:
    """The changes of a series of positive ratios, in order; none of fewer than POINTS.

    errors: standard error of each on the log scale, where it is known: what scatters less than its
    own points are uncertain does not change.  Needs ruptures.
    """
    if len(ratios) < POINTS:
        return []
    logs = [math.log(ratio) for ratio in ratios]
    deviation = _deviation(logs, errors)
    if deviation == 0.0 and len(set(logs)) == 1:
        return []
    cuts = _cuts(logs, PENALTY * max(deviation, 1e-6) ** 2 * math.log(len(logs)))
    found = []
    for before, at, after in zip([0, *cuts], cuts, [*cuts[1:], len(logs)], strict=False):
        ratio = unpaired_ratio(ratios[at:after], ratios[before:at])
        if ratio.low <= 1 <= ratio.high:  # the points themselves do not bear it out
            continue
        reach = BAI_95 * (deviation / ratio.log) ** 2
        span = 0 if reach < 0.5 else math.ceil(reach)
        found.append(
            Change(
                at=at, first=max(before + 1, at - span), last=min(after - 1, at + span), ratio=ratio
            )
        )
    return found


def _deviation(logs: Sequence[float], errors: Sequence[float]) -> float:
    """Of the points, from the median step between neighbours: changes hardly move it."""
    steps = statistics.median(abs(b - a) for a, b in pairwise(logs)) / DEVIATION_OF_STEPS
    return max(steps, statistics.median(errors) if errors else 0.0)


def _cuts(logs: Sequence[float], penalty: float) -> list[int]:
    import numpy as np
    import ruptures

    signal = np.asarray(logs).reshape(-1, 1)
    found = ruptures.Pelt(model="l2", min_size=A_SIDE, jump=1).fit(signal).predict(pen=penalty)
    return [int(cut) for cut in found[:-1]]
