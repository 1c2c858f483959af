"""Latency by percentile."""

import math
from collections.abc import Sequence
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pybench.report.charts import Charts, Line
from pybench.report.plots.axes import fixed_ticks, time_axis
from pybench.report.plots.frame import subtitle
from pybench.report.plots.lines import LineChart, draw_chart
from pybench.report.plots.look import Styles, dash
from pybench.report.select import Wanted, select_cells
from pybench.units import count_label


def distribution(charts: Charts, styles: Styles, wanted: Wanted | None) -> Figure | None:
    """The wanted cells, all rows at one count without a wish."""
    group = charts.group
    cells = select_cells(group, wanted)
    if not cells:
        return None
    several = len({cell.column for cell in cells}) > 1
    names = [
        cell.func
        + (f" {count_label(cell.column)}" if several else "")
        + (" !" if cell.codes else "")
        for cell in cells
    ]
    curves = [charts.distributions[cell.func, cell.column] for cell in cells]
    lines = [replace(line, row=name) for line, name in zip(curves, names, strict=True)]
    looks = {name: styles[cell.func] for name, cell in zip(names, cells, strict=True)}
    stamped = "; !: stamped, see the tables" if any(cell.codes for cell in cells) else ""
    named = {cell.func: name for cell, name in reversed(list(zip(cells, names, strict=True)))}
    last = max(line.x[-1] for line in lines)
    chart = LineChart(
        f"Latency by percentile{'' if several else f' {group.at(cells[0].column)}'}",
        subtitle(group, f"All rounds together; lower is better{stamped}"),
        lines,
        x_axis=lambda axis: _percentile_axis(axis, last),
        y_axis=time_axis,
        draw=_draw_curves,
        reference=named.get(charts.reference or ""),
        right=0.80 if several else 0.83,
    )
    return draw_chart(chart, {**styles, **looks})


def _draw_curves(axis: Axes, lines: Sequence[Line], styles: Styles) -> None:
    for line in lines:
        style = styles[line.row]
        axis.plot(line.x, line.y, color=style.light, linestyle=dash(style), linewidth=1.7)


def _percentile_axis(axis: Axes, last: float) -> None:
    """HdrHistogram's axis: each step to the right is ten times as rare."""
    axis.set_xscale("log")
    axis.set_xlim(1, last * 1.05)
    powers = math.floor(math.log10(last))
    ticks = [1.0, 2.0, *(10.0**p for p in range(1, powers + 1))]
    if _inches(axis) < 1.2 * powers:  # 0% and 50% would touch
        ticks.remove(2.0)
    fixed_ticks(axis, {tick: f"{100 - 100 / tick:.10g}%" for tick in ticks})
    axis.set_xlabel("percentile")


def _inches(axis: Axes) -> float:
    """How wide the axis is."""
    return float(axis.get_position().width * axis.get_figure(root=True).get_figwidth())  # type: ignore[union-attr]
