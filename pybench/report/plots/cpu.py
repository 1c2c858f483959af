"""What a message costs the worker: bars of user and system time."""

from typing import Final

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from pybench.report.charts import Charts, CpuBar
from pybench.report.plots.bars import PANELS, bar_panels
from pybench.report.plots.frame import subtitle
from pybench.report.plots.look import MUTED, Styles, paler
from pybench.report.plots.panel import finish_panel
from pybench.report.select import Wanted, spread_counts
from pybench.report.text import plain_text

_HEIGHT: Final = 0.66  # of a bar, as a share of its line


def cpu(charts: Charts, styles: Styles, _wanted: Wanted | None) -> Figure | None:
    """One panel per count, one bar per row."""
    counts = spread_counts(charts.shared_counts(charts.cpu), PANELS)
    if not counts:
        return None
    shown = {key: bar for key, bar in charts.cpu.items() if key[1] in counts}
    stamped = "; !: stamped, see the tables" if any(b.stamped for b in shown.values()) else ""
    text = f"Microseconds, means: user mode (dark) and system (light){stamped}"
    figure, axes, places = bar_panels(
        charts,
        "The worker's CPU time per message",
        subtitle(charts.group, text),
        charts.rows_of(charts.cpu),
        counts,
    )
    longest = max(bar.total for bar in shown.values())
    for axis, count in zip(axes, counts, strict=True):
        bars = [(row, bar) for (row, at), bar in shown.items() if at == count]
        _draw_bars(axis, [(places[row], bar, styles[row].light) for row, bar in bars])
        for row, bar in bars:
            note = plain_text(bar.total) + (" !" if bar.stamped else "")
            beside = bar.total + longest * 0.015
            axis.text(beside, places[row], note, va="center", fontsize=8, color=MUTED)
        axis.set_xlim(0, longest * 1.16)
        axis.set_xlabel("us per message")
        finish_panel(axis, left=False, rules="x")
    return figure


def _draw_bars(axis: Axes, bars: list[tuple[float, CpuBar, str]]) -> None:
    """All bars of a panel at once. bars: place, times and colour of each."""
    boxes, colours = [], []
    for place, bar, colour in bars:
        boxes += [_box(0, bar.user, place), _box(bar.user, bar.total, place)]
        colours += [colour, paler(colour)]
    axis.add_collection(PolyCollection(boxes, facecolors=colours, linewidths=0))


def _box(start: float, end: float, place: float) -> list[tuple[float, float]]:
    low, high = place - _HEIGHT / 2, place + _HEIGHT / 2
    return [(start, low), (end, low), (end, high), (start, high)]
