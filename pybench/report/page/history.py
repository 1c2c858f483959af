"""The page of a history: a picture for each series, drawn here, so that it needs no script.

Points stand at equal distances, the oldest left; ratios on a log axis. `history.html` is the
template, `page.css` the look.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from markupsafe import Markup

from pybench import __version__
from pybench.analysis.changes import Change
from pybench.analysis.history import History, Series, several_machines
from pybench.analysis.verdict import METRICS
from pybench.errors import UsageError
from pybench.report.charts.intervals import ticks
from pybench.report.history import better, sentence, title
from pybench.report.page.write import template, text

_WIDTH: Final = 900
_HEIGHT: Final = 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 36, 10, 34
_LABEL: Final = 84  # pixels of a label under the axis
_ROOM: Final = 0.08  # of the axis, beyond the outermost ends


def write_history(history: History, path: Path, command: Sequence[str]) -> None:
    """Write the page. command: the words that made it.

    Raises UsageError when the file cannot be written.
    """
    machines = several_machines(history.series)
    page = template("history.html").render(
        version=__version__,
        css=Markup(text("page.css")),
        files=history.files,
        command=" ".join(command),
        panels=[_panel(one, machines=machines) for one in history.series],
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8", errors="backslashreplace")
    except OSError as exc:
        raise UsageError(f"--html {path}: {exc.strerror}") from exc


def _panel(series: Series, *, machines: bool) -> dict[str, Any]:
    low, high = _reach(series)
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    step = (right - _LEFT) / len(series.points)

    def across(index: float) -> float:
        """The pixel of a point; between two of them for a half."""
        return round(_LEFT + step * (index + 0.5), 1)

    def up(ratio: float) -> float:
        share = (math.log(ratio) - math.log(low)) / (math.log(high) - math.log(low))
        return round(bottom - (bottom - _TOP) * min(1.0, max(0.0, share)), 1)

    every = max(1, math.ceil(_LABEL / step))
    return {
        "title": title(series, machines=machines),
        "what": METRICS[series.key.metric].what,
        "base": series.key.base,
        "sentences": [sentence(series, change) for change in series.changes],
        "width": _WIDTH,
        "height": _HEIGHT,
        "left": _LEFT,
        "right": right,
        "top": _TOP,
        "bottom": bottom,
        "ticks": [{"y": up(tick), "text": f"{tick:g}"} for tick in ticks(low, high)],
        "labels": [
            {"x": across(index), "text": point.label}
            for index, point in enumerate(series.points)
            if index % every == 0
        ],
        "points": _points(series, across, up),
        "levels": _levels(series, across, up),
        "changes": [_change(series, change, across) for change in series.changes],
    }


def _reach(series: Series) -> tuple[float, float]:
    """The ends of the axis: all ratios and intervals, as far as they have ends."""
    found = [
        end
        for point in series.points
        for end in (point.estimate.value, point.estimate.low, point.estimate.high)
        if 0 < end < math.inf
    ]
    low, high = math.log(min(found)), math.log(max(found))
    room = max(0.02, _ROOM * (high - low))
    return math.exp(low - room), math.exp(high + room)


def _points(
    series: Series, across: Callable[[float], float], up: Callable[[float], float]
) -> list[dict[str, Any]]:
    found = []
    for index, point in enumerate(series.points):
        one = point.estimate
        known = one.df > 0 and one.low > 0 and math.isfinite(one.high)
        interval = f" ({one.low:.3f} to {one.high:.3f})" if known else ""
        found.append(
            {
                "x": across(index),
                "y": up(one.value),
                "low": up(one.low) if known else None,
                "high": up(one.high) if known else None,
                "text": f"{point.label}, {point.started_at}: {one.value:.3f}{interval},"
                f" {point.file}",
            }
        )
    return found


def _levels(
    series: Series, across: Callable[[float], float], up: Callable[[float], float]
) -> list[dict[str, float]]:
    """The geometric mean between changes, as a line each."""
    ends = [0, *(change.at for change in series.changes), len(series.points)]
    found = []
    for start, end in pairwise(ends):
        logs = [point.estimate.log for point in series.points[start:end]]
        mean = math.exp(sum(logs) / len(logs))
        found.append({"x1": across(start - 0.4), "x2": across(end - 0.6), "y": up(mean)})
    return found


def _change(series: Series, change: Change, across: Callable[[float], float]) -> dict[str, Any]:
    left, right = across(change.first - 0.5), across(change.last - 0.5)
    return {
        "x": across(change.at - 0.5),
        "left": left,
        "span": round(right - left, 1),
        "kind": "better" if better(series, change) else "worse",
        "text": f"{100 * (change.ratio.value - 1):+.1f}%",
    }
