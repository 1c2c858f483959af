"""What the page's template draws of a race: where everything of its picture stands, in pixels."""

import math
from collections.abc import Iterator
from typing import Any, Final

from pybench.analysis.race import Contest, judge
from pybench.report.charts.intervals import Interval, Intervals, intervals_of, reach, ticks
from pybench.report.machines import machine_sections
from pybench.report.ranking import grid_of, notes, sentence, title
from pybench.report.style import RowStyle, row_styles

_WIDTH: Final = 900
_TEXT: Final = 190  # room for ratio and verdict
_LETTER: Final = 7.4  # of a name
_LINE: Final = 28
_TOP: Final = 8


def race_panels(contest: Contest) -> Iterator[dict[str, Any]]:
    """Each number of connections of a race for the template."""
    standings = judge(contest.asked, contest.results)
    panels = [intervals_of(one, contest.asked.margin) for one in standings]
    families = {r.func: r.family for r in contest.results if r.family}
    styles = row_styles(contest.asked.contenders, families)
    for one, panel in zip(standings, panels, strict=True):
        grid = grid_of(one)
        by_machine = [found] if (found := one.by_machine) is not None else []
        words = {
            "title": title(one),
            "sentence": sentence(one),
            "notes": list(notes(one)),
            "machines": machine_sections(by_machine),
        }
        table = {"heads": grid.heads, "lines": grid.rows}
        yield words | table | _picture(panel, reach(panels), styles)


def _picture(
    panel: Intervals, ends: tuple[float, float], styles: dict[str, RowStyle]
) -> dict[str, Any]:
    left = round(24 + _LETTER * max((len(one.row) for one in panel.each), default=0))
    right = _WIDTH - _TEXT

    def place(ratio: float) -> float:
        """The pixel of a ratio; what lies beyond an end stands at it."""
        low, high = map(math.log, ends)
        share = (math.log(ratio) - low) / (high - low) if 0 < ratio < math.inf else float(ratio > 1)
        return round(left + (right - left) * min(1.0, max(0.0, share)), 1)

    bottom = _TOP + _LINE * len(panel.each)
    band = place(1 / (1 + panel.margin)), place(1 + panel.margin)
    return {
        "what": panel.what,
        "base": panel.base,
        "width": _WIDTH,
        "height": bottom + 24,
        "top": _TOP,
        "bottom": bottom,
        "left": left,
        "right": right,
        "band": (band[0], round(band[1] - band[0], 1)),
        "ticks": [{"x": place(tick), "text": f"{tick:g}"} for tick in ticks(*ends)],
        "marks": [
            _mark(one, _TOP + round(_LINE * (number + 0.5)), place, styles[one.row])
            for number, one in enumerate(panel.each)
        ]
        if len(panel.each) > 1
        else [],
    }


def _mark(one: Interval, y: int, place: Any, style: RowStyle) -> dict[str, Any]:
    """A contender: its interval, its ratio, its words."""
    return {
        "row": one.row,
        "y": y,
        "x": place(one.value),
        "low": place(one.low),
        "high": place(one.high),
        "open_low": place(0.0) if one.open_low else None,
        "open_high": place(math.inf) if one.open_high else None,
        "kind": one.kind,
        "text": one.text,
        "light": style.light,
        "dark": style.dark,
    }
