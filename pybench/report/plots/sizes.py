"""Messages or megabytes per second by size of message, pings in flight or transport, on log axes:
sizes lie far apart, and what a transport costs is a factor."""

from dataclasses import replace

from matplotlib.figure import Figure

from pybench.analysis.along import SIZE, Along
from pybench.report.charts import Charts
from pybench.report.metrics import METRICS
from pybench.report.plots.axes import counts_axis, log_axis
from pybench.report.plots.frame import subtitle
from pybench.report.plots.lines import LineChart, draw_chart
from pybench.report.plots.look import Styles
from pybench.report.text import duration_text, megabytes_text, rate_text


def by_size(charts: Charts, styles: Styles, name: str, along: Along = SIZE) -> Figure:
    """name: of the table, `mps`, `mbps` or of a latency.  charts: of an `AlongGroup`."""
    lines = [replace(line, error=()) for line in charts.lines[name]]  # an end may lie below 0
    sizes = sorted({x for line in lines for x in line.x})
    write = {"mps": rate_text, "mbps": megabytes_text}.get(name, duration_text)
    metric = METRICS[name]
    title = metric.title.partition(" ~ ")[0].partition(" (")[0]
    centre = "Medians" if metric.centre == "median" else "Means"
    hollow = any(any(line.stamped) for line in lines)
    chart = LineChart(
        f"{title}, by {along.by}",
        subtitle(charts.group, f"{centre} of the rounds", hollow=hollow),
        lines,
        x_axis=lambda axis: counts_axis(axis, charts.group.axis, sizes, write=charts.group.label),
        y_axis=lambda axis: log_axis(axis, lambda v: write(v).replace(".0", "")),
        reference=charts.reference,
    )
    return draw_chart(chart, styles)
