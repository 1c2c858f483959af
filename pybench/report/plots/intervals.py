"""Who is ahead in a race, and how sure that is: ratios with their intervals on a log axis."""

from collections.abc import Mapping, Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from pybench.report.charts.intervals import Interval, Intervals, reach, ticks
from pybench.report.plots.axes import fixed_ticks
from pybench.report.plots.frame import make_figure, names_room, panel_title
from pybench.report.plots.look import INK, MUTED, RULE, Styles
from pybench.report.plots.panel import finish_panel, name_lines
from pybench.report.style import RowStyle

_LINE: Final = 0.3  # inches for a contender
_APART: Final = 0.75  # inches between two panels


def intervals(panels: Sequence[Intervals], styles: Styles) -> Figure | None:
    """A panel for each number of connections, one below the other; the same axis for all."""
    panels = [panel for panel in panels if len(panel.each) > 1]
    if not panels:
        return None
    most = max(len(panel.each) for panel in panels)
    each = _LINE * (most + 0.6)
    names = names_room([one.row for panel in panels for one in panel.each])
    size = (max(8.2, names + 6.0), 1.0 + (each + _APART) * len(panels) + 0.1)
    figure, axes = make_figure(
        f"Race: {panels[0].what} as parts of {panels[0].base}'s",
        "95% intervals of geometric means over rounds of fresh workers; the band counts as equal",
        size,
        rows=len(panels),
        right=0.74,
        head=1.0,
        apart=(0.08, _APART / each),
    )
    figure.subplots_adjust(left=names / size[0])
    ends = reach(panels)
    for axis, panel in zip(axes, panels, strict=True):
        _draw_panel(axis, panel, most, ends, styles)
    return figure


def _draw_panel(
    axis: Axes, panel: Intervals, most: int, ends: tuple[float, float], styles: Styles
) -> None:
    panel_title(axis, panel.where, fontsize=10)
    axis.set_xscale("log")
    axis.set_xlim(*ends)
    axis.set_ylim(most - 0.4, -0.6)
    fixed_ticks(axis, {tick: f"{tick:g}" for tick in ticks(*ends)})
    axis.axvspan(1 / (1 + panel.margin), 1 + panel.margin, color=RULE, alpha=0.5, linewidth=0)
    axis.axvline(1.0, color=MUTED, linewidth=0.8, zorder=1)
    _draw_intervals(axis, panel.each, ends, styles)
    name_lines(axis, dict(enumerate(one.row for one in panel.each)), color=INK)
    for place, one in enumerate(panel.each):
        axis.text(
            *(1.02, place, one.text),
            transform=axis.get_yaxis_transform(),
            va="center",
            fontsize=8.5,
            color=MUTED if one.kind in ("", "undecided") else INK,
        )
    finish_panel(axis, left=False, rules="x")


def _draw_intervals(
    axis: Axes,
    each: Sequence[Interval],
    ends: tuple[float, float],
    styles: Mapping[str, RowStyle],
) -> None:
    """All intervals of a panel; from an open end a thin line runs to the edge."""
    low, high = ends
    measured = [
        [(max(one.low, low), place), (min(one.high, high), place)] for place, one in enumerate(each)
    ]
    reaching = [
        [(low if one.open_low else one.low, place), (high if one.open_high else one.high, place)]
        for place, one in enumerate(each)
    ]
    colours = [styles[one.row].light for one in each]
    axis.add_collection(LineCollection(measured, colors=colours, linewidths=2.6, zorder=3))
    axis.add_collection(
        LineCollection(
            reaching, colors=colours, linewidths=0.8, linestyles=[(0, (2, 2))], zorder=2.5
        )
    )
    axis.scatter(
        [one.value for one in each],
        range(len(each)),
        s=6.0**2,
        edgecolors=colours,
        facecolors=[
            "white" if one.kind == "undecided" else colour
            for one, colour in zip(each, colours, strict=True)
        ],
        linewidths=1.4,
        zorder=4,
    )
