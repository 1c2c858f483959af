"""A panel's axes drawn with a handful of artists.

matplotlib makes five artists of each tick and lays them out anew for every file: with dozens of
panels in a picture that was half of the work. Its locators still choose the ticks.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation

from pybench.report.plots.look import MUTED, RULE

_TICK_LEFT: Final = 0  # markers, in the numbers of matplotlib.lines
_TICK_DOWN: Final = 3

_TICK: Final = 3.0  # points, as all here
_TO_LABEL: Final = 6.5
_TO_TITLE: Final = 21.0  # the axis' own, under its labels


def finish_panel(axis: Axes, *, left: bool, rules: Literal["x", "y"] = "y") -> None:
    """Draw ticks, labels and pale lines; the limits must be final.

    left: whether the vertical axis is labelled.  rules: at whose ticks the lines stand.
    """
    ticks = {"x": _ticks(axis.xaxis), "y": _ticks(axis.yaxis)}
    _draw_rules(axis, list(ticks[rules]), rules)
    _draw_bottom(axis, ticks["x"])
    if left and rules == "y":
        marks = [0.0] * len(ticks["y"])
        _draw_marks(axis, marks, list(ticks["y"]), _TICK_LEFT, axis.get_yaxis_transform())
        name_lines(axis, ticks["y"])
    axis.set_axis_off()


def _ticks(axis: Axis) -> dict[float, str]:
    """Place -> label of the ticks in sight."""
    low, high = sorted(axis.get_view_interval())
    places = [float(place) for place in axis.get_majorticklocs()]
    labels = axis.get_major_formatter().format_ticks(places)
    return {p: label for p, label in zip(places, labels, strict=True) if low <= p <= high}


def _draw_rules(axis: Axes, places: Sequence[float], which: Literal["x", "y"]) -> None:
    flat = which == "y"
    axis.add_collection(
        LineCollection(
            [[(0, p), (1, p)] if flat else [(p, 0), (p, 1)] for p in places],
            colors=RULE,
            linewidths=0.8,
            transform=axis.get_yaxis_transform() if flat else axis.get_xaxis_transform(),
            zorder=0.5,
        ),
        autolim=False,
    )


def _draw_bottom(axis: Axes, ticks: Mapping[float, str]) -> None:
    """The line under the panel with its marks and labels, and what it counts."""
    look: dict[str, Any] = {"color": MUTED, "linewidth": 0.8, "clip_on": False, "zorder": 2.5}
    axis.add_artist(Line2D([0, 1], [0, 0], transform=axis.transAxes, **look))
    transform = axis.get_xaxis_transform()
    _draw_marks(axis, list(ticks), [0.0] * len(ticks), _TICK_DOWN, transform)
    below = transform + _shift(axis, 0, -_TO_LABEL)
    for place, label in ticks.items():
        axis.text(place, 0, label, transform=below, ha="center", va="top", color=MUTED)
    if axis.get_xlabel():
        under = axis.transAxes + _shift(axis, 0, -_TO_TITLE)
        axis.text(0.5, 0, axis.get_xlabel(), transform=under, ha="center", va="top", color=MUTED)


def _draw_marks(
    axis: Axes, xs: Sequence[float], ys: Sequence[float], marker: Any, transform: Any
) -> None:
    axis.add_artist(  # not `plot`, which would move the limits
        Line2D(
            xs,
            ys,
            linestyle="",
            marker=marker,
            markersize=_TICK,
            markeredgewidth=0.8,
            color=RULE,
            transform=transform,
            clip_on=False,
        )
    )


def name_lines(axis: Axes, names: Mapping[float, str], **look: Any) -> None:
    """Words at the panel's left edge, at these heights."""
    transform = axis.get_yaxis_transform() + _shift(axis, -_TO_LABEL, 0)
    for place, name in names.items():
        words = {"ha": "right", "va": "center_baseline", "color": MUTED} | look
        axis.text(0, place, name, transform=transform, **words)


def _shift(axis: Axes, right: float, up: float) -> ScaledTranslation:
    """By so many points."""
    return ScaledTranslation(right / 72, up / 72, axis.figure.dpi_scale_trans)
