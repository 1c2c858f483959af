"""Whether the slices of a window tell of one speed, or the rounds of a cell of several. Numbers
only."""

import math
import statistics
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

SLICES_TO_JUDGE: Final = 10
SLICES_A_SIDE: Final = 3
CHANGE: Final = math.log(1.1)
"""What a reader would mind: less than 10% between two parts of a window is not called a change."""
CHANGE_OVER_NOISE: Final = 6.0
"""Windows whose slices only scatter exceed it in 0.5% of cases at 10 slices, 0.2% at 20; where
every tenth slice scatters five times as much, in 1% (simulated)."""
DEVIATION_OF_STEPS: Final = statistics.NormalDist().inv_cdf(0.75) * math.sqrt(2)
"""The median step between two neighbours, of what scatters normally with deviation 1."""

MODES_APART: Final = math.log(1.1)
GAPS_OVER_SPREAD: Final = ((5, 13.3), (6, 8.9), (7, 7.0), (8, 5.8), (10, 4.5), (12, 3.7), (15, 3.1))
"""From so many rounds on: the largest gap between them, over the deviation inside the two groups
that it makes, which 1 of 100 cells with one mode exceeds (simulated, normal)."""
ROUNDS_A_MODE: Final = 7
"""One round in so many is an outlier, not a mode."""


@dataclass(frozen=True, slots=True)
class Change:
    """at: slices before it.  before, after: messages in a slice, the medians."""

    at: int
    before: float
    after: float


def change(messages: Sequence[int]) -> Change | None:
    """The largest change of speed within a window, be it a jump or a trend; None for none.

    messages: in each slice, all of one length. The window is cut in two where the logarithms lie
    closest to the medians of their parts. It is a change when these differ by more than CHANGE,
    and by more than the noise makes them differ: the median step from one slice to the next, which
    neither a jump nor a trend makes larger, nor a stall of a slice or two.
    """
    count = len(messages)
    if count < SLICES_TO_JUDGE:
        return None
    speeds = [math.log(max(0.5, n)) for n in messages]
    side = max(SLICES_A_SIDE, count // 5)
    at = min(range(side, count - side + 1), key=lambda at: _apart(speeds[:at], speeds[at:]))
    before, after = (statistics.median(part) for part in (speeds[:at], speeds[at:]))
    steps = statistics.median(abs(b - a) for a, b in pairwise(speeds))
    # counts are whole numbers: a few messages a slice step by one, or not at all
    noise = max(steps / DEVIATION_OF_STEPS, 1 / (2 * math.exp(statistics.median(speeds))))
    if abs(after - before) <= CHANGE or _weight(speeds, at) <= CHANGE_OVER_NOISE * noise:
        return None
    return Change(at, math.exp(before), math.exp(after))


def _apart(*parts: Sequence[float]) -> float:
    """How far all lie from the medians of their parts."""
    return sum(abs(one - middle) for p in parts for middle in [statistics.median(p)] for one in p)


def _weight(speeds: Sequence[float], at: int) -> float:
    """The difference of the medians, in units of what noise of deviation 1 makes it about."""
    difference = statistics.median(speeds[at:]) - statistics.median(speeds[:at])
    return abs(difference) / math.sqrt(1 / at + 1 / (len(speeds) - at))


@dataclass(frozen=True, slots=True)
class Mode:
    """speed: the median of its rounds, so many of them."""

    speed: float
    rounds: int


def modes(speeds: Sequence[float]) -> tuple[Mode, Mode] | None:
    """The two groups that a cell's rounds fall into, the slower first; None when they are one.

    speeds: of the rounds, > 0, in any order. They are cut at the largest gap between their
    logarithms. Two groups they are when it is more than MODES_APART, and so many times the
    deviation inside both that one group's scatter hardly makes it (GAPS_OVER_SPREAD); fewer than
    five rounds cannot show that.
    """
    count = len(speeds)
    place = bisect_right(GAPS_OVER_SPREAD, (count, math.inf)) - 1
    if place < 0 or min(speeds) <= 0:
        return None
    ordered = sorted(speeds)
    rising = [math.log(speed) for speed in ordered]
    gap, at = max((b - a, i) for i, (a, b) in enumerate(pairwise(rising), 1))
    parts = rising[:at], rising[at:]
    squares = sum(len(part) * statistics.pvariance(part) for part in parts)
    spread = math.sqrt(squares / (count - 2))
    rare = min(map(len, parts)) < count // ROUNDS_A_MODE
    if rare or gap <= MODES_APART or gap <= GAPS_OVER_SPREAD[place][1] * spread:
        return None
    sizes = (range(at), range(at, count))
    low, high = (Mode(statistics.median(ordered[i] for i in part), len(part)) for part in sizes)
    return low, high
