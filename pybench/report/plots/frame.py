"""The frame that all pictures share: heading, panels, colours of what is not a row."""

import textwrap
from collections.abc import Sequence
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pybench.analysis.model import Group
from pybench.report.plots.look import INK, MUTED
from pybench.report.text import sentence_case

RC: Final[dict[str, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # a name may have dollars
    "svg.hashsalt": "pybench",
    "svg.fonttype": "path",
    "text.hinting": "none",  # letters at even distances, and a sixth less work
}

_CHARS_PER_INCH: Final = 14.5  # of a subtitle
_LONGEST: Final = 200  # letters of a name: one with variables of --env has a hundred


def make_figure(
    title: str,
    subtitle: str,
    size: tuple[float, float],
    columns: int = 1,
    rows: int = 1,
    *,
    right: float = 0.98,
    head: float = 0.85,
    apart: tuple[float, float] = (0.08, 0.2),
) -> tuple[Figure, list[Axes]]:
    """A figure with its heading and rows of panels under it.

    size: inches.  right: where the panels end, as a fraction; labels stand behind it.
    head: inches above the panels.  apart: room beside and below a panel, as shares of its size.
    """
    lines = textwrap.wrap(subtitle, int((size[0] - 0.4) * _CHARS_PER_INCH))
    more = 0.18 * (len(lines) - 1)
    height = size[1] + more
    figure = Figure(figsize=(size[0], height), facecolor="white")
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
    figure.subplots_adjust(
        left=0.75 / size[0],
        right=right,
        top=1 - (head + more) / height,
        bottom=0.75 / height,
        wspace=apart[0],
        hspace=apart[1],
    )
    left = 0.16 / size[0]
    figure.text(left, 1 - 0.32 / height, title, fontsize=14, fontweight="bold")
    for number, line in enumerate(lines):
        figure.text(left, 1 - (0.56 + 0.18 * number) / height, line, fontsize=9.5, color=MUTED)
    return figure, list(axes.flat)


def names_room(names: Sequence[str]) -> float:
    """Inches that names take beside a panel. Beyond some that nobody gives they are cut."""
    return 0.25 + 0.085 * min(_LONGEST, max(map(len, names)))


def panel_title(axis: Axes, text: str, **look: Any) -> None:
    """A title at the panel's left edge. Its height is given: to search for it costs a layout."""
    axis.set_title(text, color=INK, loc="left", y=1.0, **look)


def subtitle(group: Group, text: str, *, hollow: bool = False) -> str:
    """The line under the title. hollow: whether some markers in the picture are."""
    stamped = "; hollow: stamped, see the tables" if hollow else ""
    return f"{sentence_case(group.title)}. {text}{stamped}"
