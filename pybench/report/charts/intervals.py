"""Ratios with their intervals, on a log axis: where half and double are equally far from 1."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pybench.analysis.race import Standing, Standings
from pybench.report.ranking import place_words, verdict_text

_ROOM: Final = 0.06  # of the axis, beside the outermost ends
_MOST_TICKS: Final = 8
_STEPS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
_FAR: Final = 4.0  # from this factor between its ends on, an axis has its ticks at 1, 2 and 5


@dataclass(frozen=True, slots=True)
class Interval:
    """One contender. low, high: as measured; all 1 for the base.

    kind: of the verdict, empty for the base.  text: the ratio and its verdict in words.
    open_low, open_high: the true ratio may lie beyond that end, as far as one likes.
    """

    row: str
    value: float
    low: float
    high: float
    kind: str
    text: str
    open_low: bool = False
    open_high: bool = False


@dataclass(frozen=True, slots=True)
class Intervals:
    """A panel: a race at one number of connections, the best contender first.

    what: what the ratios are of.  margin: what counts as equal, as a share; 0.03 is a band from
    1 / 1.03 to 1.03.
    """

    where: str
    what: str
    base: str
    margin: float
    each: Sequence[Interval]


def intervals_of(standings: Standings, margin: float) -> Intervals:
    """The panel of a race at one number of connections; who was not measured is left out."""
    found = (_interval(one, standings.base) for one in standings.each)
    return Intervals(
        where=place_words(standings).removeprefix("at "),
        what=standings.metric.what,
        base=standings.base,
        margin=margin,
        each=[one for one in found if one is not None],
    )


def _interval(one: Standing, base: str) -> Interval | None:
    row = one.runner.label
    if row == base:
        return Interval(row, 1.0, 1.0, 1.0, "", "1") if one.runner.good else None
    if one.estimate is None or one.verdict is None:
        return None
    found, judged = one.estimate, one.verdict.estimate
    return Interval(
        row,
        found.value,
        found.low,
        found.high,
        one.verdict.kind,
        f"{found.value:.3f} {verdict_text(one)}",
        open_low=judged.low <= 0,
        open_high=math.isinf(judged.high),
    )


def reach(panels: Sequence[Intervals]) -> tuple[float, float]:
    """The ends of one axis for all panels."""
    found = [1.0]
    for panel in panels:
        found += [1 / (1 + panel.margin), 1 + panel.margin]
        for one in panel.each:
            ends = (one.value, one.low, one.high)
            found += [end for end in ends if 0 < end < math.inf]
    low, high = math.log(min(found)), math.log(max(found))
    room = max(0.01, _ROOM * (high - low))
    return math.exp(low - room), math.exp(high + room)


def ticks(low: float, high: float) -> list[float]:
    """Ratios that people use, inside an axis with these ends, 1 among them."""
    if high / low > _FAR:
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [float(f"{m}e{p}") for p in powers for m in (1, 2, 5)]
        found = [tick for tick in found if low <= tick <= high]
        return found if len(found) <= _MOST_TICKS else [t for t in found if f"{t:e}"[0] == "1"]
    for step in _STEPS:
        first, last = math.ceil(low / step), math.floor(high / step)
        if last - first < _MOST_TICKS and round(1 / step) * step == 1:
            return [round(n * step, 2) for n in range(first, last + 1)]
    return [1.0]
