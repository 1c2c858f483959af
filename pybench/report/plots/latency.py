"""Latency by connections in a closed loop, by rate in an open one."""

import math
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pybench.report.charts import Charts, Line
from pybench.report.plots.axes import counts_axis, time_axis
from pybench.report.plots.frame import make_figure, panel_title, subtitle
from pybench.report.plots.labels import label_ends
from pybench.report.plots.lines import LineChart, draw_chart, draw_lines
from pybench.report.plots.look import Styles, dash, paler
from pybench.report.plots.panel import finish_panel
from pybench.report.select import Wanted
from pybench.report.style import MANY

_BY_RATE = "From the due time, thin: from the actual send; line down: the knee. Lower is better"


def percentile(percent: int) -> Callable[[Charts, Styles, Wanted | None], Figure | None]:
    """What draws that percentile of the round-trip times by connections."""

    def draw(charts: Charts, styles: Styles, _wanted: Wanted | None) -> Figure | None:
        lines = charts.lines[f"lat{percent}"]
        if charts.group.open_loop or not lines:
            return None
        counts = sorted({x for line in lines for x in line.x})
        chart = LineChart(
            f"Latency, {percent}th percentile",
            _subtitle(charts, "Median of the rounds; lower is better", lines),
            lines,
            x_axis=lambda axis: counts_axis(axis, charts.group.axis, counts),
            y_axis=time_axis,
            reference=charts.reference,
        )
        return draw_chart(chart, styles)

    return draw


def _subtitle(charts: Charts, text: str, lines: Sequence[Line]) -> str:
    return subtitle(charts.group, text, hollow=any(any(line.stamped) for line in lines))


def by_rate(charts: Charts, styles: Styles, _wanted: Wanted | None) -> Figure | None:
    """Latency against the rate that was asked for: flat, then the knee, then the queue grows."""
    if not charts.group.open_loop or not charts.lines["due99"]:
        return None
    if len(charts.lines["due99"]) > MANY:
        return _by_rate_in_families(charts, styles)
    panels = [charts.lines["due50"], charts.lines["due99"]]
    text = _subtitle(charts, _BY_RATE, panels[1])
    figure, axes = make_figure("Latency by rate", text, (12, 5.8), 2, right=0.85, head=1.05)
    for axis, percent, lines in zip(axes, (50, 99), panels, strict=True):
        _draw_sent(axis, charts.lines[f"lat{percent}"], styles)
        draw_lines(axis, lines, styles)
        _rates_axis(axis, charts, 0.1)
        panel_title(axis, f"{percent}th percentile", fontsize=10)
    time_axis(axes[0])
    for axis, lines in zip(axes, panels, strict=True):
        _draw_knees(axis, charts, lines, styles)
        finish_panel(axis, left=axis is axes[0])
    label_ends(figure, axes[1], panels[1], styles)
    return figure


def _by_rate_in_families(charts: Charts, styles: Styles) -> Figure:
    lines = charts.lines["due99"]

    def draw(axis: Axes, own: Sequence[Line], styles: Styles) -> None:
        rows = {line.row for line in own}
        _draw_sent(axis, [line for line in charts.lines["lat99"] if line.row in rows], styles)
        draw_lines(axis, own, styles)

    chart = LineChart(
        "Latency by rate, 99th percentile",
        _subtitle(charts, _BY_RATE, lines),
        lines,
        x_axis=lambda axis: _rates_axis(axis, charts, 0.17),
        y_axis=time_axis,
        draw=draw,
        mark=lambda axis, own, styles: _draw_knees(axis, charts, own, styles),
        reference=charts.reference,
    )
    return draw_chart(chart, styles)


def _rates_axis(axis: Axes, charts: Charts, apart: float) -> None:
    """apart: between two ticks, as a share of the axis."""
    counts = charts.group.counts
    decades = math.log10(counts[-1] / counts[0])
    counts_axis(axis, charts.group.axis, counts, apart=apart * decades)


def _draw_sent(axis: Axes, lines: Sequence[Line], styles: Styles) -> None:
    """The latency from the actual send, thin and pale."""
    for line in lines:
        style = styles[line.row]
        colour = paler(style.light, 0.45)
        axis.plot(line.x, line.y, color=colour, linestyle=dash(style), linewidth=1.0, zorder=2)


def _draw_knees(axis: Axes, charts: Charts, lines: Sequence[Line], styles: Styles) -> None:
    """A line from each row's point at its highest rate that was kept down to the axis."""
    bottom, top_edge = axis.get_ylim()
    for line in lines:
        rate = charts.knees[line.row]
        if rate is not None and rate in line.x and rate != line.x[-1]:
            top = line.y[list(line.x).index(rate)]
            colour = styles[line.row].light
            axis.plot([rate, rate], [bottom, top], color=colour, linewidth=0.9, alpha=0.7)
    axis.set_ylim(bottom, top_edge)
