"""What the page's script draws and switches, as JSON: charts in arrays, the look of the rows.

    {"groups": [{"rows", "knees", "counts", "labels", "where", "axis",
                 "lines": {TABLE: {ROW: {"x", "y", "e", "t", "i", "c"}}},
                 "distribution": {COUNT: {ROW: {"n", "y", "s"}}},
                 "cpu": {COUNT: {ROW: {"u", "s", "stamped"}}},
                 "fairness": {COUNT: {ROW: {"span", "jain", "starved", "stamped"}}},
                 "series": {COUNT: {ROW: [{"x", "mps", "mean", "max", "cpu"}, ...]}}},
                {"rows", "at": {CONNS: {"rows", "counts", "labels", "where", "axis", "lines"}}}],
     "rows": {ROW: {"family", "light", "dark", "dash", "marker"}},
     "fastest": [ROW, ...], "most": N, "many": BOOL}

x, y, e: a line's points and half of their error bars.  t, i, c: each point's figure and interval as
text, and the codes of its stamps.  n: samples; y[i] is the latency at `n ** (i / (len(y) - 1))`.
at: what several sizes of a message have in common, behind the groups; its counts are sizes.
series: a course a round, over seconds; null where no echo came.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from pybench.analysis.along import AlongGroup
from pybench.analysis.model import Group, fastest_first
from pybench.report.charts import Charts, Course, CpuBar, Line, Span
from pybench.report.style import MANY, RowStyle

QUANTITIES: Final[Mapping[str, Mapping[str, str]]] = {
    "size": {"mbps": "Megabytes per second, each way", "mps": "Messages per second"},
    "inflight": {"mps": "Messages per second", "lat50": "Median latency"},
    "transport": {
        "mps": "Messages per second",
        "lat50": "Median latency",
        "lat99": "99th percentile of the latency",
    },
}
"""What stands side by side -> the tables of which the page draws one, the first until another is
chosen, and what they are called there."""


def page_data(
    charts: Sequence[Charts],
    styles: Mapping[str, RowStyle],
    *,
    many: bool,
    sizes: Sequence[Sequence[AlongGroup]] = (),
) -> str:
    """The JSON text, which may stand inside a script element. sizes: as `side_by_side` has them."""
    groups = [_group(one, row_order(one, many=many)) for one in charts]
    value = {
        "groups": [*groups, *(_by_size(family, many=many) for family in sizes)],
        "rows": _looks(styles),
        "fastest": fastest_first([one.group for one in charts]),
        "most": MANY,
        "many": many,
    }
    return json.dumps(value, separators=(",", ":")).replace("<", "\\u003c")


def row_order(charts: Charts, *, many: bool) -> list[str]:
    """The group's rows in the order of the tables; of a page with many rows family by family."""
    if not many:
        return charts.group.rows
    return [row for rows in charts.families.values() for row in rows]


def counts_of(charts: Charts) -> dict[str, list[int]]:
    """Chart -> the columns of which it shows one, for the charts that show one column."""
    found: dict[str, Mapping[tuple[str, int], object]] = {
        "distribution": charts.distributions,
        "cpu": charts.cpu,
        "fairness": charts.fairness,
        "series": charts.series,
    }
    return {name: sorted({count for _, count in cells}) for name, cells in found.items()}


def _group(charts: Charts, order: Sequence[str]) -> dict[str, Any]:
    """Everything that the charts of a group need, rows in that order."""
    group = charts.group
    return {
        "rows": order,
        "knees": charts.knees,
        **_columns(group),
        "lines": {
            name: {line.row: _line(line) for line in lines}
            for name, lines in charts.lines.items()
            if name != "mbps"  # messages/s in other words, where all are of one size
        },
        "distribution": _by_count(charts.distributions, _distribution),
        "cpu": _by_count(charts.cpu, _cpu),
        "fairness": _by_count(charts.fairness, _fairness),
        "series": _by_count(charts.series, _courses),
    }


def _by_size(family: Sequence[AlongGroup], *, many: bool) -> dict[str, Any]:
    """One setting by size, for each number of connections."""
    charts = {group.conns: Charts(group) for group in family}
    orders = {conns: row_order(one, many=many) for conns, one in charts.items()}
    rows = dict.fromkeys(row for order in orders.values() for row in order)
    return {
        "rows": list(rows),
        "at": {
            str(group.conns): _by_one_size(group, charts[group.conns], orders[group.conns])
            for group in family
        },
    }


def _by_one_size(group: AlongGroup, charts: Charts, order: Sequence[str]) -> dict[str, Any]:
    return {
        "rows": order,
        "knees": {},
        **_columns(charts.group),
        "lines": {
            name: {line.row: _line(replace(line, error=())) for line in charts.lines[name]}
            for name in QUANTITIES[group.along.name]
        },
    }


def _columns(group: Group) -> dict[str, Any]:
    """What the columns are, and are called."""
    return {
        "counts": group.counts,
        "labels": [group.label(count) for count in group.counts],
        "where": [group.at(count) for count in group.counts],
        "axis": group.axis,
    }


def _looks(styles: Mapping[str, RowStyle]) -> dict[str, dict[str, Any]]:
    """The style of every row for the script; dashes in pixels of a line 2 px wide."""
    return {
        row: {
            "family": style.family,
            "light": style.light,
            "dark": style.dark,
            "dash": ",".join(f"{2 * part:g}px" for part in style.dash) or "solid",
            "marker": style.plotly_marker,
        }
        for row, style in styles.items()
    }


def _line(line: Line) -> dict[str, Any]:
    columns: dict[str, Any] = {"x": line.x, "y": line.y, "t": line.texts, "i": line.intervals}
    if any(line.error):
        columns["e"] = line.error
    if any(line.stamped):
        columns["c"] = line.codes
    return columns


def _by_count(cells: Mapping[tuple[str, int], Any], write: Any) -> dict[str, dict[str, Any]]:
    counts: dict[str, dict[str, Any]] = {}
    for (row, count), value in cells.items():
        counts.setdefault(str(count), {})[row] = write(value)
    return counts


def _distribution(line: Line) -> dict[str, Any]:
    """Four digits are one more than a bucket has."""
    ys = [int(float(f"{y:.4g}")) for y in line.y]
    return {"n": round(line.x[-1]), "y": ys, "s": any(line.stamped)}


def _cpu(bar: CpuBar) -> dict[str, Any]:
    return {"u": round(bar.user, 3), "s": round(bar.system, 3), "stamped": bar.stamped}


def _courses(found: Sequence[Course]) -> list[dict[str, Any]]:
    """Three digits are as many as can be seen."""
    return [
        {
            "x": [round(x, 3) for x in one.seconds],
            "mps": _three_digits(one.mps),
            "mean": _three_digits(one.mean_ns),
            "max": _three_digits(one.max_ns),
            "cpu": _three_digits(one.cpu_us),
        }
        for one in found
    ]


def _three_digits(values: Sequence[float | None]) -> list[float | None]:
    rough = [None if value is None else float(f"{value:.3g}") for value in values]
    return [int(v) if v is not None and v == int(v) else v for v in rough]


def _fairness(span: Span) -> dict[str, Any]:
    edges = (span.low, span.p5, 1.0, span.p95, span.high)
    return {
        "span": [round(edge, 4) for edge in edges],
        "jain": None if span.jain is None else round(span.jain, 4),
        "starved": span.starved,
        "stamped": span.stamped,
    }
