"""One picture of one group, or of one race, by its name: for who asks for it in a program."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Literal, cast

from matplotlib import rc_context
from matplotlib.figure import Figure

from pybench.analysis.along import groups_along, usual
from pybench.analysis.model import Group
from pybench.analysis.race import Contest
from pybench.errors import UsageError
from pybench.report.charts import Charts
from pybench.report.plots import frame, sizes, write
from pybench.report.plots.write import PICTURES, race_picture
from pybench.report.select import Wanted
from pybench.report.style import row_styles

BY_SIZE: Final = {"mbps_by_size": "mbps", "mps_by_size": "mps"}
NAMES: Final = (*PICTURES, *BY_SIZE)
DPI: Final = write.DPI


def draw(groups: list[Group], name: str, number: int, wanted: Wanted | None) -> Figure:
    """The picture of that name, as `report --plots` calls its file.

    number: of the group, from 0; pictures by size are of all.  wanted: the cells of the latency
    distribution, as `parse_cells` makes it.
    Raises UsageError when there is no such picture, or nothing to be seen in it.
    """
    figure: Figure | None = None
    with _look():
        if name in PICTURES:
            charts = Charts(groups[number])
            styles = row_styles(charts.group.rows, charts.group.families)
            figure = PICTURES[name](charts, styles, wanted)
        elif name in BY_SIZE:
            figure = _by_size(groups, BY_SIZE[name])
        else:
            raise UsageError(f"plot: no picture {name!r}; there are {' '.join(NAMES)}")
    if figure is None:
        raise UsageError(f"plot: {name}: the results have nothing to show in it")
    return figure


def _by_size(groups: list[Group], quantity: str) -> Figure | None:
    for family in groups_along(groups):
        shown = usual(family)
        return sizes.by_size(Charts(shown), row_styles(shown.rows, shown.families), quantity)
    return None


def draw_race(contest: Contest) -> Figure:
    """The intervals of a race. Raises UsageError when it has none."""
    with _look():
        figure = race_picture(contest)
    if figure is None:
        raise UsageError("plot: the race has no ratio to show")
    return figure


def image(figure: Figure, kind: Literal["svg", "png"]) -> bytes:
    """The figure as a file has it."""
    file = io.BytesIO()
    with _look():
        metadata: Any = {"Date": None} if kind == "svg" else None
        figure.savefig(file, format=kind, dpi=DPI, metadata=metadata)
    return file.getvalue()


@contextmanager
def _look() -> Iterator[None]:
    with rc_context(cast(Any, frame.RC)):
        yield
