"""Every picture of every group into a folder."""

import gc
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, cast

from matplotlib import rc_context
from matplotlib.figure import Figure

from pybench.analysis.along import INFLIGHT, SIZE, TRANSPORT, Along, groups_along, usual
from pybench.analysis.model import Group
from pybench.analysis.race import Contest, judge
from pybench.analysis.scaling import AXES, Axis, scale_groups
from pybench.errors import UsageError
from pybench.report.charts import Charts
from pybench.report.charts.intervals import intervals_of
from pybench.report.plots import (
    cpu,
    distribution,
    fairness,
    frame,
    intervals,
    latency,
    scaling,
    sizes,
    speed,
)
from pybench.report.plots.look import Styles
from pybench.report.select import Wanted
from pybench.report.style import row_styles

DPI: Final = 150

_PNG: Final = {"compress_level": 3}  # a quarter less time than the usual 6, a seventh more bytes

# File name -> what draws it; None where the group has nothing to show in it.
PICTURES: Final[dict[str, Callable[[Charts, Styles, Wanted | None], Figure | None]]] = {
    "mps": speed.speed,
    "mps_no_c": speed.speed_without_c,
    "lat95": latency.percentile(95),
    "lat50": latency.percentile(50),
    "cpu_per_message": cpu.cpu,
    "latency_distribution": distribution.distribution,
    "latency_by_rate": latency.by_rate,
    "fairness": fairness.fairness,
}


BESIDE: Final[dict[Along, tuple[str, ...]]] = {
    SIZE: ("mbps", "mps"),
    INFLIGHT: ("mps", "lat50"),
    TRANSPORT: ("mps",),
}
"""The pictures of what stands side by side."""


def write_plots(
    charts: Sequence[Charts],
    folder: Path,
    *,
    wanted: Wanted | None = None,
    contests: Sequence[Contest] = (),
) -> list[Path]:
    """Every picture of every group, and one of each race; the paths written.

    wanted: the cells of the latency distribution; by default all rows at one count.
    Raises UsageError when the folder cannot be written to.
    """
    written: list[Path] = []
    groups = [c.group for c in charts]
    with rc_context(cast(Any, frame.RC)):
        for one, suffix in zip(charts, suffixes(groups), strict=True):
            styles = row_styles(one.group.rows, one.group.families)
            for name, draw in PICTURES.items():
                with _uncollected():
                    figure = draw(one, styles, wanted)
                    if figure is not None:
                        written += _save(figure, folder, f"{name}{suffix}")
        for along in BESIDE:
            written += _by_size(groups, folder, along)
        for axis in AXES:
            written += _by_parallel(groups, axis, folder)
        for number, contest in enumerate(contests, 1):
            figure = race_picture(contest)
            if figure is not None:
                name = "race" if len(contests) == 1 else f"race-{number}"
                written += _save(figure, folder, name)
    return written


def _by_size(groups: Sequence[Group], folder: Path, along: Along) -> list[Path]:
    """The pictures by size of message, or along what else, of one number of connections of each
    setting."""
    shown = [usual(family) for family in groups_along(groups, along)]
    written: list[Path] = []
    for group, suffix in zip(shown, suffixes(shown), strict=True):
        styles = row_styles(group.rows, group.families)
        for name in BESIDE[along]:
            figure = sizes.by_size(Charts(group), styles, name, along)
            written += _save(figure, folder, f"{name}_by_{along.name}{suffix}")
    return written


def _by_parallel(groups: Sequence[Group], axis: Axis, folder: Path) -> list[Path]:
    """The pictures by workers or by loops, one of each setting."""
    shown = scale_groups(groups, axis)
    written: list[Path] = []
    for group, suffix in zip(shown, suffixes(shown), strict=True):
        figure = scaling.by_parallel(Charts(group), row_styles(group.rows, group.families))
        written += _save(figure, folder, f"mps_by_{axis}{suffix}")
    return written


def race_picture(contest: Contest) -> Figure | None:
    """The intervals of a race; None where it has none."""
    standings = judge(contest.asked, contest.results)
    panels = [intervals_of(one, contest.asked.margin) for one in standings]
    families = {r.func: r.family for r in contest.results if r.family}
    return intervals.intervals(panels, row_styles(contest.asked.contenders, families))


@contextmanager
def _uncollected() -> Iterator[None]:
    """Leave garbage until the picture is written: the collector looks often and finds nothing."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def suffixes(groups: Sequence[Group]) -> list[str]:
    """What keeps the files of several groups apart: empty for one, else a number and the server."""
    if len(groups) == 1:
        return [""]
    slugs = [re.sub(r"[^A-Za-z0-9.]+", "_", group.setting.server) for group in groups]
    return [f"-{number}-{slug}" for number, slug in enumerate(slugs, 1)]


def _save(figure: Figure, folder: Path, name: str) -> list[Path]:
    paths = [folder / f"{name}.svg", folder / f"{name}.png"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(paths[0], metadata={"Date": None})
        figure.savefig(paths[1], dpi=DPI, pil_kwargs=_PNG)
    except OSError as exc:
        raise UsageError(f"--plots {folder}: {exc.strerror}") from exc
    return paths
