"""Messages per second by connections, with and without C."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from pybench.report.charts import Charts, Line
from pybench.report.plots.axes import counts_axis, rates_axis
from pybench.report.plots.frame import subtitle
from pybench.report.plots.lines import LineChart, draw_chart
from pybench.report.plots.look import Styles
from pybench.report.select import Wanted
from pybench.report.style import MANY


def speed(charts: Charts, styles: Styles, _wanted: Wanted | None) -> Figure | None:
    """All rows."""
    return _draw(charts, styles, charts.lines["mps"], "Messages per second")


def speed_without_c(charts: Charts, styles: Styles, _wanted: Wanted | None) -> Figure | None:
    """The rows that are not in C, on a scale of their own; None where there are no others."""
    if charts.group.open_loop or not any(style.family == "C" for style in styles.values()):
        return None
    rows = [row for row in charts.group.rows if styles[row].family != "C"]
    lines = [line for line in charts.lines["mps"] if styles[line.row].family != "C"]
    title = "Messages per second" + (", without C" if len(rows) > MANY else "")
    return _draw(charts, styles, lines, title)


def _draw(charts: Charts, styles: Styles, lines: Sequence[Line], title: str) -> Figure | None:
    if not lines:
        return None
    several = any(any(line.error) for line in lines)
    text = "Bars: 2.5 standard deviations of the rounds" if several else "One round"
    counts = sorted({x for line in lines for x in line.x})
    chart = LineChart(
        title,
        subtitle(charts.group, text, hollow=any(any(line.stamped) for line in lines)),
        lines,
        x_axis=lambda axis: counts_axis(axis, charts.group.axis, counts),
        y_axis=rates_axis,
        reference=charts.reference,
    )
    return draw_chart(chart, styles)
