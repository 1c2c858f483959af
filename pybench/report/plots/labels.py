"""Rows' names beside the ends of their lines, or in a legend when they are too many for that."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pybench.report.charts import Line
from pybench.report.plots.look import dash
from pybench.report.style import RowStyle

_NAMES_AT: Final = 1.035  # of the axes' width
_OFF_NAME: Final = 3.0  # points that a tie leaves free before the name ...
_OFF_LINE: Final = 5.0  # ... and at the line's end


def label_ends(
    figure: Figure,
    axis: Axes,
    lines: Sequence[Line],
    styles: Mapping[str, RowStyle],
    size: float = 9.0,
) -> None:
    """Names beside the lines' ends, pushed apart, each tied to its line; a legend if they are many.

    size: of the letters, points.  The limits of the axes must be final.
    """
    axis.get_xlim(), axis.get_ylim()  # matplotlib settles its limits when it is asked for them
    box = axis.get_window_extent()
    point = figure.dpi / 72
    gap = size * 1.28 * point
    if gap * len(lines) > box.height * 1.08:
        _legend(axis, lines, styles)
        return
    ends = axis.transData.transform([(line.x[-1], line.y[-1]) for line in lines])
    order = sorted(range(len(lines)), key=lambda i: (float(ends[i][1]), lines[i].row))
    places = spread([float(ends[i][1]) for i in order], gap, box.y0 - gap / 2, box.y1 + gap / 2)
    ties = []
    for i, place in zip(order, places, strict=True):
        look: dict[str, Any] = {"color": styles[lines[i].row].light, "fontsize": size}
        height = (place - box.y0) / box.height
        name = axis.text(_NAMES_AT, height, lines[i].row, transform=axis.transAxes, **look)
        name.set(fontweight="bold", va="center")
        start = (box.x0 + _NAMES_AT * box.width, place)
        ties.append(_shortened(start, ends[i], _OFF_NAME * point, _OFF_LINE * point))
    _draw_ties(axis, ties, [styles[lines[i].row].light for i in order])


def _draw_ties(
    axis: Axes, ties: Sequence[Sequence[tuple[float, float]]], colours: Sequence[str]
) -> None:
    """Thin lines between names and lines' ends. ties: in pixels; kept as shares of the axes."""
    shares = axis.transAxes.inverted()
    axis.add_collection(
        LineCollection(
            [shares.transform(tie) for tie in ties],
            colors=colours,
            alpha=0.45,
            linewidths=0.8,
            transform=axis.transAxes,
            clip_on=False,
            zorder=3,
        ),
        autolim=False,
    )


def _shortened(
    start: Sequence[float], end: Sequence[float], before: float, after: float
) -> list[tuple[float, float]]:
    """The way from start to end less these lengths at its ends; a point where it is too short."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = max((dx * dx + dy * dy) ** 0.5, before + after)
    a, b = before / length, 1 - after / length
    return [(start[0] + a * dx, start[1] + a * dy), (start[0] + b * dx, start[1] + b * dy)]


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places as near as possible to the rising wanted ones, at least gap apart, inside low..high.

    Neighbours that are too close become one block, placed at the mean of what its members want.
    When there is no room for all, the gap shrinks.
    """
    gap = min(gap, (high - low) / max(1, len(wanted)))
    blocks: list[tuple[list[float], float]] = []  # wants less their offsets inside, first place
    for want in wanted:
        blocks.append(([want], _clamped(want, 1, gap, low, high)))
        while len(blocks) > 1:
            (before, first), (after, second) = blocks[-2], blocks[-1]
            if first + len(before) * gap <= second:
                break
            members = before + [value - len(before) * gap for value in after]
            start = _clamped(sum(members) / len(members), len(members), gap, low, high)
            blocks[-2:] = [(members, start)]
    return [start + i * gap for members, start in blocks for i in range(len(members))]


def _clamped(start: float, members: int, gap: float, low: float, high: float) -> float:
    last = high - gap / 2 - (members - 1) * gap
    return max(low + gap / 2, min(start, last))


def _legend(axis: Axes, lines: Sequence[Line], styles: Mapping[str, RowStyle]) -> None:
    """Names in columns behind the axes, for more rows than fit beside the lines' ends."""
    handles = [
        Line2D(
            [],
            [],
            color=styles[line.row].light,
            linestyle=dash(styles[line.row]),
            marker=styles[line.row].marker,
            label=line.row,
        )
        for line in lines
    ]
    axis.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        fontsize=8 if len(lines) <= 24 else 6.5,
        frameon=False,
        ncols=1 if len(lines) <= 30 else 2,
        handlelength=3.2,
        labelspacing=0.25,
    )
