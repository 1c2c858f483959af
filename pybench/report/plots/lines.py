"""Line charts: in one panel, or in one for each family when one cannot show all rows."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from pybench.backends.names import by_family
from pybench.report.charts import Line
from pybench.report.plots.frame import make_figure, panel_title
from pybench.report.plots.labels import label_ends
from pybench.report.plots.look import MUTED, Styles, dash
from pybench.report.plots.panel import finish_panel
from pybench.report.style import MANY

_COLUMNS: Final = 3  # panels of families side by side
_DODGE: Final = 0.09  # of a decade: how far apart the rows' error bars stand at one count
_CAP: Final = 25.0  # how wide the end of an error bar is, as an area in square points


def draw_lines(axis: Axes, lines: Sequence[Line], styles: Styles) -> None:
    """Lines with a marker at each point, hollow where it is stamped, and error bars."""
    bars: list[tuple[Any, str]] = []
    for place, line in enumerate(lines):
        style = styles[line.row]
        aside = 10 ** (_DODGE * (place - (len(lines) - 1) / 2) / max(1, len(lines) - 1))
        xs = [x * aside for x in line.x] if line.error else list(line.x)
        axis.plot(xs, line.y, color=style.light, ls=dash(style), linewidth=1.7, zorder=3)
        for hollow in sorted(set(line.stamped)):
            points = [i for i, stamped in enumerate(line.stamped) if stamped == hollow]
            axis.plot(
                [xs[i] for i in points],
                [line.y[i] for i in points],
                linestyle="",
                marker=style.marker,
                markersize=5.5,
                markeredgewidth=1.3,
                markeredgecolor=style.light,
                markerfacecolor="white" if hollow else style.light,
                zorder=4,
                clip_on=False,
            )
        for x, y, error in zip(xs, line.y, line.error, strict=False):
            bars.append(([(x, y - error), (x, y + error)], style.light))
    if bars:
        _draw_bars(axis, *zip(*bars, strict=True))


def _draw_bars(axis: Axes, bars: Sequence[Any], colours: Sequence[str]) -> None:
    """Error bars of all rows at once. bars: lower and upper end of each."""
    axis.add_collection(LineCollection(bars, colors=colours, linewidths=1.0, zorder=3))
    ends = [end for bar in bars for end in bar]
    axis.scatter(
        [x for x, _ in ends],
        [y for _, y in ends],
        s=_CAP,
        c=[colour for colour in colours for _ in range(2)],
        marker="_",
        linewidths=1.0,
        zorder=3,
    )


@dataclass(frozen=True)
class LineChart:
    """A line chart before it is drawn.

    x_axis: sets up one panel's axis.  y_axis: that of all panels, once everything is drawn.
    draw: what draws the lines.  mark: adds to a panel whose limits are final.
    reference: the row that every family is shown beside.  right: where a single panel ends.
    """

    title: str
    subtitle: str
    lines: Sequence[Line]
    x_axis: Callable[[Axes], None]
    y_axis: Callable[[Axes], None]
    draw: Callable[[Axes, Sequence[Line], Styles], None] = draw_lines
    mark: Callable[[Axes, Sequence[Line], Styles], None] | None = None
    reference: str | None = None
    right: float = 0.83


def draw_chart(chart: LineChart, styles: Styles) -> Figure:
    """The chart in one panel, in one for each family when its rows are many."""
    families = _lines_by_family(chart.lines, styles)
    if len(chart.lines) > MANY and len(families) > 1:
        return _draw_families(chart, families, styles)
    figure, (axis,) = make_figure(chart.title, chart.subtitle, (9, 5.6), right=chart.right)
    chart.draw(axis, chart.lines, styles)
    chart.x_axis(axis)
    chart.y_axis(axis)
    if chart.mark:
        chart.mark(axis, chart.lines, styles)
    finish_panel(axis, left=True)
    label_ends(figure, axis, chart.lines, styles)
    return figure


def _lines_by_family(lines: Sequence[Line], styles: Styles) -> dict[str, list[Line]]:
    known = {line.row: line for line in lines}
    groups = by_family(known, {row: styles[row].family for row in known})
    return {family: [known[row] for row in rows] for family, rows in groups.items()}


def _draw_families(
    chart: LineChart, families: Mapping[str, Sequence[Line]], styles: Styles
) -> Figure:
    """A panel per family on common axes; each but C's own has the fastest C row, thin and grey."""
    figure, axes = _family_panels(chart, families)
    reference = [line for line in chart.lines if line.row == chart.reference]
    grey = {line.row: replace(styles[line.row], light=MUTED) for line in reference}
    panels = []
    for axis, (family, own) in zip(axes, families.items(), strict=True):
        beside = [line for line in reference if line not in own]
        for line in beside:
            mark = "o" if len(line.x) == 1 else ""
            axis.plot(line.x, line.y, marker=mark, color=MUTED, linewidth=1.0, ms=4, zorder=2)
        chart.draw(axis, own, styles)
        chart.x_axis(axis)
        panel_title(axis, family, fontsize=10.5, fontweight="bold")
        panels.append((axis, [*own, *beside], {**styles, **grey} if beside else styles))
    chart.y_axis(axes[0])
    for axis in axes[:-_COLUMNS]:
        axis.set_xlabel("")
    for number, (axis, lines, looks) in enumerate(panels):
        if chart.mark:
            chart.mark(axis, lines, looks)
        finish_panel(axis, left=number % _COLUMNS == 0)
        label_ends(figure, axis, lines, looks, size=7.5)
    return figure


def _family_panels(
    chart: LineChart, families: Mapping[str, Sequence[Line]]
) -> tuple[Figure, list[Axes]]:
    """As many panels as families, with room for the names beside each."""
    columns = min(_COLUMNS, len(families))
    rows = math.ceil(len(families) / columns)
    room = 0.35 + 0.075 * max(len(line.row) for line in chart.lines)  # inches, as all here
    wide, below = 2.7, 0.62
    high = max(1.9, 0.145 * (1 + max(map(len, families.values()))))
    width = 0.75 + columns * (wide + room)
    figure, axes = make_figure(
        chart.title,
        chart.subtitle,
        (width, 1.8 + rows * high + (rows - 1) * below),
        columns,
        rows,
        right=1 - room / width,
        head=1.05,
        apart=(room / wide, below / high),
    )
    for axis in axes[len(families) :]:
        axis.remove()
    return figure, axes[: len(families)]
