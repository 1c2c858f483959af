"""Panels of one line per row, side by side for some columns of the tables."""

from collections.abc import Mapping, Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pybench.backends.names import by_family
from pybench.report.charts import Charts
from pybench.report.plots.frame import make_figure, names_room, panel_title
from pybench.report.plots.look import INK
from pybench.report.plots.panel import name_lines
from pybench.report.style import MANY

PANELS: Final = 4  # counts side by side in one picture, at most


def bar_panels(
    charts: Charts, title: str, subtitle: str, rows: Sequence[str], counts: Sequence[int]
) -> tuple[Figure, list[Axes], dict[str, float]]:
    """One panel per count, one line per row, the first row on top; and row -> its place.

    Many rows stand under the names of their families.
    """
    places, heads = bar_places(rows, charts.group.families)
    height = max(places.values()) + 1
    panels = 2.6 * max(2, len(counts))
    names = names_room(rows)
    width = max(2.0 + panels, names + panels)
    size = (width, 2.1 + (0.24 if heads else 0.3) * height)
    figure, axes = make_figure(title, subtitle, size, len(counts), head=1.05)
    figure.subplots_adjust(left=names / width)
    for axis, count in zip(axes, counts, strict=True):
        panel_title(axis, charts.group.at(count).removeprefix("at "), fontsize=10)
        axis.set_ylim(height - 0.4, min(-0.6, min(heads.values(), default=0) - 0.6))
    name_lines(axes[0], {place: row for row, place in places.items()}, color=INK)
    heads_at = {place: family for family, place in heads.items()}
    name_lines(axes[0], heads_at, fontweight="bold", fontsize=9)
    return figure, axes, places


def bar_places(
    rows: Sequence[str], families: Mapping[str, str]
) -> tuple[dict[str, float], dict[str, float]]:
    """row -> its place from the top, and family -> that of its name; no names with few rows."""
    if len(rows) <= MANY:
        return {row: float(place) for place, row in enumerate(rows)}, {}
    places: dict[str, float] = {}
    heads: dict[str, float] = {}
    place = 0.0
    for family, own in by_family(rows, families).items():
        heads[family] = place
        for row in own:
            place += 1
            places[row] = place
        place += 1.3
    return places, heads
