"""What `report --history` prints: a line for each series, and a sentence for each change.

As JSON: `{"schema": 1, "series": [{"new", "base", "metric", "where", "machine",
"points": [{"file", "started_at", "commit", "ratio", "ci95_low", "ci95_high"}],
"changes": [{"at", "first", "last", "ratio", "ci95_low", "ci95_high", "better"}]}]}`. `at` is the
index of the first point that is different, `first` and `last` the 95% interval of it.
As CSV: one line per point, `change` is 1 at the first different one.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Final

from pybench.analysis.changes import POINTS, Change
from pybench.analysis.history import History, Point, Series, several_machines
from pybench.analysis.ratio import Estimate
from pybench.analysis.verdict import METRICS
from pybench.report.document import Block, Document, Grid, Remarks, Sentences
from pybench.report.text import MISSING

SCHEMA: Final = 1

_COLUMNS: Final = (
    *("new", "base", "metric", "where", "machine", "file", "started_at", "commit"),
    *("ratio", "ci95_low", "ci95_high", "change"),
)


def history_document(history: History) -> Document:
    """Everything about all series."""
    machines = several_machines(history.series)
    blocks: list[Block] = [_grid(history, machines=machines)]
    found = [sentence(one, c) for one in history.series for c in one.changes]
    if found:
        blocks.append(Sentences(found))
    short = sum(len(one.points) < POINTS for one in history.series)
    if short:
        blocks.append(Remarks([f"{short} of the series have fewer than {POINTS} points: too few"
                               " to say whether they changed"]))  # fmt: skip
    return Document(
        blocks=blocks,
        columns=_COLUMNS,
        lines=[line for one in history.series for line in _lines(one)],
        record={"schema": SCHEMA, "series": [_record(one) for one in history.series]},
    )


def title(series: Series, *, machines: bool) -> str:
    """`uvloop_proto / c_epoll, messages/s, 100 connections, 64-byte messages`."""
    key = series.key
    what = METRICS[key.metric].what
    machine = f", {key.machine or 'machine not known'}" if machines else ""
    return f"{key.new} / {key.base}: {what}, {key.where}{machine}"


def sentence(series: Series, change: Change) -> str:
    """What changed, where, and how surely."""
    key, points = series.key, series.points
    words = "better" if better(series, change) else "worse"
    before, after = points[change.at - 1].label, points[change.at].label
    low, high = _percent(change.ratio.low), _percent(change.ratio.high)
    where = f"between {before} and {after}"
    if change.first < change.last:
        first, last = points[change.first - 1].label, points[change.last].label
        where += f" (surely between {first} and {last})"
    return (
        f"{key.new} got {words} against {key.base} at {key.where} {where}: its"
        f" {METRICS[key.metric].what} changed by {_percent(change.ratio.value)}"
        f" (95% interval {low} to {high})."
    )


def better(series: Series, change: Change) -> bool:
    """Whether it changed for the better."""
    return (change.ratio.value > 1) != series.lower_is_better


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f}%"


def _grid(history: History, *, machines: bool) -> Grid:
    some = "1 results file" if history.files == 1 else f"{history.files} results files"
    return Grid(
        title=f"History of {some}",
        heads=["Series", "Points", "First", "Last", "Last ratio", "95% interval", "Changes"],
        rows=[_row(one, machines=machines) for one in history.series],
        words=True,
        main=True,
    )


def _row(series: Series, *, machines: bool) -> list[str]:
    first, last = series.points[0], series.points[-1]
    known = last.estimate.df > 0
    return [
        title(series, machines=machines),
        str(len(series.points)),
        first.label,
        last.label,
        f"{last.estimate.value:.3f}",
        f"{last.estimate.low:.3f} to {last.estimate.high:.3f}" if known else MISSING,
        ", ".join(f"{series.points[c.at].label} {_percent(c.ratio.value)}" for c in series.changes)
        or MISSING,
    ]


def _ends(estimate: Estimate) -> tuple[float | None, float | None]:
    """The interval; None for an end that is not there."""
    if not estimate.df:
        return None, None
    low, high = estimate.low, estimate.high
    return (low if low > 0 else None), (high if math.isfinite(high) else None)


def _of_point(point: Point) -> dict[str, Any]:
    low, high = _ends(point.estimate)
    return {
        "file": point.file,
        "started_at": point.started_at,
        "commit": point.commit,
        "ratio": point.estimate.value,
        "ci95_low": low,
        "ci95_high": high,
    }


def _of_change(series: Series, change: Change) -> dict[str, Any]:
    low, high = _ends(change.ratio)
    return {
        "at": change.at,
        "first": change.first,
        "last": change.last,
        "ratio": change.ratio.value,
        "ci95_low": low,
        "ci95_high": high,
        "better": better(series, change),
    }


def _record(series: Series) -> dict[str, Any]:
    return {
        **_of_key(series),
        "points": [_of_point(point) for point in series.points],
        "changes": [_of_change(series, change) for change in series.changes],
    }


def _of_key(series: Series) -> dict[str, str]:
    names: Sequence[str] = ("new", "base", "metric", "where", "machine")
    return {name: getattr(series.key, name) for name in names}


def _lines(series: Series) -> Iterator[list[object]]:
    changed = {change.at for change in series.changes}
    for index, point in enumerate(series.points):
        yield [*_of_key(series).values(), *_of_point(point).values(), int(index in changed)]
