"""How evenly rows serve their connections: the span of messages per connection."""

import math
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from pybench.report.charts import Charts, Span
from pybench.report.plots.axes import fixed_ticks
from pybench.report.plots.bars import PANELS, bar_panels
from pybench.report.plots.frame import subtitle
from pybench.report.plots.look import MUTED, Styles
from pybench.report.plots.panel import finish_panel
from pybench.report.select import Wanted, spread_counts

_POOR: Final = "#a8201a"


def fairness(charts: Charts, styles: Styles, _wanted: Wanted | None) -> Figure | None:
    """One panel per count, one span per row."""
    counts = spread_counts(charts.shared_counts(charts.fairness), PANELS)
    if not counts:
        return None
    known = any(span.jain is not None for span in charts.fairness.values())
    text = "Relative to the row's median connection: 5 to 95% of the connections (thick)"
    figure, axes, places = bar_panels(
        charts,
        "Fairness: messages per connection",
        subtitle(charts.group, text + (", all of them (thin); Jain's index" if known else "")),
        charts.rows_of(charts.fairness),
        counts,
    )
    shown = {key: span for key, span in charts.fairness.items() if key[1] in counts}
    reach = max(span.high for span in shown.values())
    starved = any(max(c.values("starved"), default=0) for c in charts.group.cells.values())
    for axis, count in zip(axes, counts, strict=True):
        axis.axvline(1.0, color=MUTED, linewidth=0.8, zorder=1)
        spans = [(row, span) for (row, at), span in shown.items() if at == count]
        _draw_spans(axis, [(places[row], span, styles[row].light) for row, span in spans])
        for row, span in spans:
            _note(axis, span, places[row])
        _span_axis(axis, reach, starved=starved)
        finish_panel(axis, left=False, rules="x")
    return figure


def _draw_spans(axis: Axes, spans: list[tuple[float, Span, str]]) -> None:
    """All spans of a panel at once. spans: place, numbers and colour of each."""
    colours = [colour for _, _, colour in spans]

    def bars(ends: list[tuple[float, float]], width: float, **look: Any) -> None:
        places = [place for place, _, _ in spans]
        parts = [[(a, y), (b, y)] for (a, b), y in zip(ends, places, strict=True)]
        axis.add_collection(LineCollection(parts, colors=colours, linewidths=width, **look))

    bars([(span.low, span.high) for _, span, _ in spans], 1.4, zorder=2, capstyle="projecting")
    thick = [(span.p5, span.p95) for _, span, _ in spans]
    bars(thick, 6.5, alpha=0.55, zorder=3, capstyle="butt")
    axis.scatter(
        [1.0] * len(spans),
        [place for place, _, _ in spans],
        s=5.5**2,
        edgecolors=colours,
        facecolors=["white" if span.stamped else colour for _, span, colour in spans],
        linewidths=1.0,
        zorder=4,
    )


def _note(axis: Axes, span: Span, place: float) -> None:
    """Jain's index and the starved connections at the right edge, in red when they are bad."""
    note = "" if span.jain is None else f"{span.jain:.3f}"
    note += f", {span.starved} starved" if span.starved else ""
    if note:
        axis.text(
            *(0.99, place, note),
            transform=axis.get_yaxis_transform(),
            ha="right",
            va="center",
            fontsize=7.5,
            color=_POOR if span.poor else MUTED,
            zorder=5,
        )


def _span_axis(axis: Axes, reach: float, *, starved: bool) -> None:
    """Linear while no connection has more than three times the median, else logarithmic from 0.1.

    starved: leave room on the right for longer notes.
    """
    axis.set_xlabel("times the median")
    if reach <= 3:
        axis.set_xlim(-0.03, max(2.2, reach * 1.9) if starved else max(1.6, reach * 1.35))
        return
    axis.set_xscale("symlog", linthresh=0.1, linscale=0.5)
    axis.set_xlim(-0.02, reach * (200 if starved else 12))
    powers = [10.0**p for p in range(-1, math.ceil(math.log10(reach)) + 1)]
    fixed_ticks(axis, {tick: f"{tick:g}" for tick in (0.0, *powers)})
