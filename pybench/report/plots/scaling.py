"""Messages per second by workers or by loops, on log axes: twice as many, twice as high at best."""

from dataclasses import replace

from matplotlib.figure import Figure

from pybench.report.charts import Charts
from pybench.report.plots.axes import counts_axis, log_axis
from pybench.report.plots.frame import subtitle
from pybench.report.plots.lines import LineChart, draw_chart
from pybench.report.plots.look import Styles
from pybench.report.text import rate_text


def by_parallel(charts: Charts, styles: Styles) -> Figure:
    """charts: of a group whose columns are numbers of workers, or of loops."""
    lines = [replace(line, error=()) for line in charts.lines["mps"]]  # an end may lie below 0
    counts = sorted({x for line in lines for x in line.x})
    hollow = any(any(line.stamped) for line in lines)
    axis = charts.group.axis
    chart = LineChart(
        f"Messages per second, by {axis}",
        subtitle(charts.group, "Means of the rounds", hollow=hollow),
        lines,
        x_axis=lambda drawn: counts_axis(drawn, axis, counts),
        y_axis=lambda drawn: log_axis(drawn, lambda v: rate_text(v).replace(".0", "")),
        reference=charts.reference,
    )
    return draw_chart(chart, styles)
