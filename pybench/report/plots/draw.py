"""The report's pictures as SVG and PNG, drawn by matplotlib on white.

Every picture names its setting, labels rows directly at the lines' ends, and draws stamped cells
with a hollow marker. More rows than one chart can show get a panel per family, with the fastest C
row in each to compare with. Nothing here opens a window or touches matplotlib's global state.
"""

import math
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, cast

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from pybench.analysis.model import Cell, Group, fastest_first, kept_rate
from pybench.analysis.stats import percentile_ns
from pybench.backends.names import by_family
from pybench.errors import UsageError
from pybench.report.select import Wanted, chosen_cells, spread_counts
from pybench.report.style import MANY, RowStyle, mixed, row_styles
from pybench.report.text import duration_text, plain_text, rate_text, sentence_case
from pybench.units import count_label

INK: Final = "#1f2328"
MUTED: Final = "#59636e"
RULE: Final = "#d8dee4"

_PANELS: Final = 4  # counts side by side in one picture, at most
_COLUMNS: Final = 3  # panels of families side by side
_DPI: Final = 150
_CHARS_PER_INCH: Final = 14.5  # of a subtitle
_MARGIN: Final = 1.16  # around the outermost counts
_DODGE: Final = 0.09  # of a decade: how far apart the rows' error bars stand at one count

_RC: Final[dict[str, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "svg.hashsalt": "pybench",
    "svg.fonttype": "path",
}


@dataclass(frozen=True)
class Line:
    """One row's points in a line chart. error: half of an error bar, or None."""

    row: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] | None = None
    stamped: Sequence[bool] = ()


def write_plots(
    groups: Sequence[Group], folder: Path, *, wanted: Wanted | None = None
) -> list[Path]:
    """Every picture of every group; the paths written.

    wanted: the cells of the latency distribution; by default all rows at one count.
    Raises UsageError when the folder cannot be written to.
    """
    written: list[Path] = []
    with rc_context(cast(Any, _RC)):
        for group, suffix in zip(groups, suffixes(groups), strict=True):
            styles = row_styles(group.rows, group.families)
            for name, draw in _PICTURES.items():
                figure = draw(group, styles, wanted)
                if figure is not None:
                    written += _save(figure, folder, f"{name}{suffix}")
    return written


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
        figure.savefig(paths[1], dpi=_DPI)
    except OSError as exc:
        raise UsageError(f"--plots {folder}: {exc.strerror}") from exc
    return paths


# The frame that all pictures share.


def _figure(
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
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).flat
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
    return figure, [_plain(axis) for axis in axes]


def _plain(axis: Axes) -> Axes:
    """The axes without a frame, with pale horizontal lines behind everything."""
    axis.grid(True, axis="y", color=RULE, linewidth=0.8)
    axis.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.tick_params(length=3, color=RULE)
    return axis


def _subtitle(group: Group, text: str, lines: Sequence[Line] = ()) -> str:
    stamped = any(any(line.stamped) for line in lines)
    hollow = "; hollow: stamped, see the tables" if stamped else ""
    return f"{sentence_case(group.title)}. {text}{hollow}"


def _dash(style: RowStyle) -> Any:
    return (0, style.dash) if style.dash else "-"


def _counts_axis(axis: Axes, group: Group, counts: Sequence[int], *, apart: float = 0.14) -> None:
    """A log axis of the tables' columns whose ticks are the counts that were measured.

    apart: how many decades there are between two of them at least.
    """
    axis.set_xscale("log")
    kept: list[int] = []
    for count in reversed(counts):  # the largest always; drop what would collide with its neighbour
        if not kept or math.log10(kept[-1] / count) > apart:
            kept.append(count)
    axis.xaxis.set_major_locator(FixedLocator(sorted(kept)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count_label(round(value))))
    margin = _MARGIN if len(counts) > 1 else 2.0  # the points beside each other stay together
    axis.set_xlim(counts[0] / margin, counts[-1] * margin)
    axis.set_xlabel(group.setting.axis)


def _draw_lines(axis: Axes, lines: Sequence[Line], styles: Mapping[str, RowStyle]) -> None:
    for place, line in enumerate(lines):
        style = styles[line.row]
        aside = 10 ** (_DODGE * (place - (len(lines) - 1) / 2) / max(1, len(lines) - 1))
        xs = [x * aside for x in line.x] if line.error else line.x
        axis.errorbar(
            xs,
            line.y,
            yerr=line.error,
            color=style.light,
            linestyle=_dash(style),
            linewidth=1.7,
            elinewidth=1.0,
            capsize=2.5,
            capthick=1.0,
            zorder=3,
        )
        for hollow in (False, True):
            points = [i for i, stamped in enumerate(line.stamped) if stamped == hollow]
            axis.plot(
                [xs[i] for i in points],
                [line.y[i] for i in points],
                linestyle="",
                marker=style.marker,
                markersize=5.5,
                markeredgewidth=1.3,
                markeredgecolor=style.light,
                markerfacecolor="white" if hollow else style.light,
                zorder=4,
                clip_on=False,
            )


def _label_ends(
    figure: Figure,
    axis: Axes,
    lines: Sequence[Line],
    styles: Mapping[str, RowStyle],
    size: float = 9.0,
) -> None:
    """Names beside the lines' ends, pushed apart, each tied to its line; a legend if they are many.

    size: of the letters, points.  The limits of the axes must be final.
    """
    figure.canvas.draw()
    box = axis.get_window_extent()
    gap = size * 1.28 * figure.dpi / 72
    if gap * len(lines) > box.height * 1.08:
        _legend(axis, lines, styles)
        return
    ends = [axis.transData.transform((line.x[-1], line.y[-1])) for line in lines]
    order = sorted(range(len(lines)), key=lambda i: (float(ends[i][1]), lines[i].row))
    places = spread([float(ends[i][1]) for i in order], gap, box.y0 - gap / 2, box.y1 + gap / 2)
    for i, y_pixel in zip(order, places, strict=True):
        line = lines[i]
        _label_end(axis, line, (y_pixel - box.y0) / box.height, styles[line.row].light, size)


def _label_end(axis: Axes, line: Line, y: float, colour: str, size: float) -> None:
    """The line's name at that height of the axes, tied to the line's end."""
    axis.annotate(
        line.row,
        xy=(line.x[-1], line.y[-1]),
        xytext=(1.035, y),
        textcoords="axes fraction",
        color=colour,
        fontsize=size,
        fontweight="bold",
        va="center",
        annotation_clip=False,
        arrowprops={
            "arrowstyle": "-",
            "color": colour,
            "alpha": 0.45,
            "linewidth": 0.8,
            "shrinkA": 1,
            "shrinkB": 5,
            "relpos": (0, 0.5),
        },
    )


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
        axis.plot(
            [],
            [],
            color=styles[line.row].light,
            linestyle=_dash(styles[line.row]),
            marker=styles[line.row].marker,
            label=line.row,
        )[0]
        for line in lines
    ]
    columns = 1 if len(lines) <= 30 else 2
    axis.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        fontsize=8 if len(lines) <= 24 else 6.5,
        frameon=False,
        ncols=columns,
        handlelength=3.2,
        labelspacing=0.25,
    )


def _rows_lines(
    group: Group, quantity: str, *, centre: str, rows: Sequence[str], bars: bool
) -> list[Line]:
    """The quantity by connection count, for each row that has it."""
    lines = []
    for row in rows:
        found = [(c, s) for c in group.counts if (s := group.summary(row, c, quantity)) is not None]
        if not found:
            continue
        error = [2.5 * (s.stddev or 0.0) for _, s in found] if bars else None
        stamped = [bool(group.cells[row, c].codes) for c, _ in found]
        values = [s.median if centre == "median" else s.mean for _, s in found]
        lines.append(Line(row, [c for c, _ in found], values, error, stamped))
    return lines


@dataclass(frozen=True)
class _Chart:
    """A line chart before it is drawn, in one panel or in one for each family.

    x_axis: sets up one panel's axis.  y_axis: that of all panels, once everything is drawn.
    draw: what draws the lines.  mark: adds to a panel whose limits are final.
    reference: the row that every family is shown beside.  right: where a single panel ends.
    """

    title: str
    subtitle: str
    lines: Sequence[Line]
    x_axis: Callable[[Axes], None]
    y_axis: Callable[[Axes], None]
    draw: Callable[[Axes, Sequence[Line], Mapping[str, RowStyle]], None] = _draw_lines
    mark: Callable[[Axes, Sequence[Line], Mapping[str, RowStyle]], None] | None = None
    reference: str | None = None
    right: float = 0.83


def _draw_chart(chart: _Chart, styles: Mapping[str, RowStyle]) -> Figure:
    families = _lines_by_family(chart.lines, styles)
    if len(chart.lines) > MANY and len(families) > 1:
        return _draw_families(chart, families, styles)
    figure, (axis,) = _figure(chart.title, chart.subtitle, (9, 5.6), right=chart.right)
    chart.draw(axis, chart.lines, styles)
    chart.x_axis(axis)
    chart.y_axis(axis)
    if chart.mark:
        chart.mark(axis, chart.lines, styles)
    _label_ends(figure, axis, chart.lines, styles)
    return figure


def _lines_by_family(
    lines: Sequence[Line], styles: Mapping[str, RowStyle]
) -> dict[str, list[Line]]:
    known = {line.row: line for line in lines}
    groups = by_family(known, {row: styles[row].family for row in known})
    return {family: [known[row] for row in rows] for family, rows in groups.items()}


def _draw_families(
    chart: _Chart, families: Mapping[str, Sequence[Line]], styles: Mapping[str, RowStyle]
) -> Figure:
    """A panel per family on common axes; each but C's own has the fastest C row, thin and grey."""
    figure, axes = _family_panels(chart, families)
    reference = [line for line in chart.lines if line.row == chart.reference]
    grey = {line.row: replace(styles[line.row], light=MUTED) for line in reference}
    panels = []
    for axis, (family, own) in zip(axes, families.items(), strict=True):
        beside = [line for line in reference if line not in own]
        for line in beside:
            mark = "o" if len(line.x) == 1 else ""
            axis.plot(line.x, line.y, marker=mark, color=MUTED, linewidth=1.0, ms=4, zorder=2)
        chart.draw(axis, own, styles)
        chart.x_axis(axis)
        axis.set_title(family, fontsize=10.5, color=INK, loc="left", fontweight="bold")
        panels.append((axis, [*own, *beside], {**styles, **grey} if beside else styles))
    chart.y_axis(axes[0])
    for axis in axes[:-_COLUMNS]:
        axis.set_xlabel("")
    for axis, lines, looks in panels:
        if chart.mark:
            chart.mark(axis, lines, looks)
        _label_ends(figure, axis, lines, looks, size=7.5)
    return figure


def _family_panels(
    chart: _Chart, families: Mapping[str, Sequence[Line]]
) -> tuple[Figure, list[Axes]]:
    """As many panels as families, with room for the names beside each."""
    columns = min(_COLUMNS, len(families))
    rows = math.ceil(len(families) / columns)
    room = 0.35 + 0.075 * max(len(line.row) for line in chart.lines)  # inches, as all here
    wide, below = 2.7, 0.62
    high = max(1.9, 0.145 * (1 + max(map(len, families.values()))))
    width = 0.75 + columns * (wide + room)
    figure, axes = _figure(
        chart.title,
        chart.subtitle,
        (width, 1.8 + rows * high + (rows - 1) * below),
        columns,
        rows,
        right=1 - room / width,
        head=1.05,
        apart=(room / wide, below / high),
    )
    for axis in axes[len(families) :]:
        axis.set_visible(False)
    return figure, axes[: len(families)]


# The pictures.


def _fastest_c(group: Group) -> str | None:
    """The row that stands in the panels of all families."""
    return next((row for row in fastest_first([group]) if group.families[row] == "C"), None)


def _draw_mps(
    group: Group, styles: Mapping[str, RowStyle], rows: Sequence[str], title: str
) -> Figure | None:
    lines = _rows_lines(group, "mps", centre="mean", rows=rows, bars=True)
    if not lines:
        return None
    several = any(any(line.error or ()) for line in lines)
    text = "Bars: 2.5 standard deviations of the rounds" if several else "One round"

    def y_axis(axis: Axes) -> None:
        axis.set_ylim(0, None)
        axis.yaxis.set_major_formatter(FuncFormatter(lambda v, _: rate_text(v) if v else "0"))

    chart = _Chart(
        title,
        _subtitle(group, text, lines),
        lines,
        x_axis=lambda axis: _counts_axis(axis, group, _counts_of(lines)),
        y_axis=y_axis,
        reference=_fastest_c(group),
    )
    return _draw_chart(chart, styles)


def _counts_of(lines: Sequence[Line]) -> list[int]:
    return sorted({int(x) for line in lines for x in line.x})


def _mps(group: Group, styles: Mapping[str, RowStyle], _wanted: Wanted | None) -> Figure | None:
    return _draw_mps(group, styles, group.rows, "Messages per second")


def _mps_no_c(
    group: Group, styles: Mapping[str, RowStyle], _wanted: Wanted | None
) -> Figure | None:
    if group.open_loop:
        return None
    rows = [row for row in group.rows if styles[row].family != "C"]
    if rows == group.rows:
        return None
    title = "Messages per second" + (", without C" if len(rows) > MANY else "")
    return _draw_mps(group, styles, rows, title)


def _latency(percent: int) -> Callable[..., Figure | None]:
    def draw(group: Group, styles: Mapping[str, RowStyle], _wanted: Wanted | None) -> Figure | None:
        if group.open_loop:
            return None
        quantity = f"lat{percent}_ns"
        lines = _rows_lines(group, quantity, centre="median", rows=group.rows, bars=False)
        if not lines:
            return None
        chart = _Chart(
            f"Latency, {percent}th percentile",
            _subtitle(group, "Median of the rounds; lower is better", lines),
            lines,
            x_axis=lambda axis: _counts_axis(axis, group, _counts_of(lines)),
            y_axis=_time_axis,
            reference=_fastest_c(group),
        )
        return _draw_chart(chart, styles)

    return draw


def _latency_by_rate(
    group: Group, styles: Mapping[str, RowStyle], _wanted: Wanted | None
) -> Figure | None:
    """Latency against the rate that was asked for: flat, then the knee, then the queue grows."""
    if not group.open_loop or not group.rows_with("due99_ns"):
        return None
    if len(group.rows_with("due99_ns")) > MANY:
        return _latency_by_rate_in_families(group, styles)
    panels = [
        _rows_lines(group, f"due{percent}_ns", centre="median", rows=group.rows, bars=False)
        for percent in (50, 99)
    ]
    text = "From the due time, thin: from the actual send; line down: the knee. Lower is better"
    figure, axes = _figure(
        "Latency by rate", _subtitle(group, text, panels[1]), (12, 5.8), 2, right=0.85, head=1.05
    )
    for axis, percent, lines in zip(axes, (50, 99), panels, strict=True):
        _draw_sent(axis, group, percent, group.rows, styles)
        _draw_lines(axis, lines, styles)
        decades = math.log10(group.counts[-1] / group.counts[0])
        _counts_axis(axis, group, group.counts, apart=0.1 * decades)
        axis.set_title(f"{percent}th percentile", fontsize=10, color=INK, loc="left")
    _time_axis(axes[0])
    for axis, lines in zip(axes, panels, strict=True):
        _draw_knees(axis, group, lines, styles)
    _label_ends(figure, axes[1], panels[1], styles)
    return figure


def _latency_by_rate_in_families(group: Group, styles: Mapping[str, RowStyle]) -> Figure:
    lines = _rows_lines(group, "due99_ns", centre="median", rows=group.rows, bars=False)
    decades = math.log10(group.counts[-1] / group.counts[0])

    def draw(axis: Axes, own: Sequence[Line], styles: Mapping[str, RowStyle]) -> None:
        _draw_sent(axis, group, 99, [line.row for line in own], styles)
        _draw_lines(axis, own, styles)

    def mark(axis: Axes, own: Sequence[Line], styles: Mapping[str, RowStyle]) -> None:
        _draw_knees(axis, group, own, styles)

    text = "From the due time, thin: from the actual send; line down: the knee. Lower is better"
    chart = _Chart(
        "Latency by rate, 99th percentile",
        _subtitle(group, text, lines),
        lines,
        x_axis=lambda axis: _counts_axis(axis, group, group.counts, apart=0.17 * decades),
        y_axis=_time_axis,
        draw=draw,
        mark=mark,
        reference=_fastest_c(group),
    )
    return _draw_chart(chart, styles)


def _draw_sent(
    axis: Axes, group: Group, percent: int, rows: Sequence[str], styles: Mapping[str, RowStyle]
) -> None:
    """The latency from the actual send, thin and pale."""
    for line in _rows_lines(group, f"lat{percent}_ns", centre="median", rows=rows, bars=False):
        style = styles[line.row]
        colour = paler(style.light, 0.45)
        axis.plot(line.x, line.y, color=colour, linestyle=_dash(style), linewidth=1.0, zorder=2)


def _draw_knees(
    axis: Axes, group: Group, lines: Sequence[Line], styles: Mapping[str, RowStyle]
) -> None:
    """A line from each row's point at its highest rate that was kept down to the axis."""
    bottom, top_edge = axis.get_ylim()
    for line in lines:
        rate = kept_rate(group, line.row)
        if rate is not None and rate in line.x and rate != line.x[-1]:
            top = line.y[list(line.x).index(rate)]
            colour = styles[line.row].light
            axis.plot([rate, rate], [bottom, top], color=colour, linewidth=0.9, alpha=0.7)
    axis.set_ylim(bottom, top_edge)


def _time_axis(axis: Axes) -> None:
    """A log axis of times with a tick at each power of ten, and at 2 and 5 where there is room."""
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    narrow = math.log10(high / low) < 2.6
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,)))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda v, _: duration_text(v).replace(".0", "")))


def _cpu(group: Group, styles: Mapping[str, RowStyle], _wanted: Wanted | None) -> Figure | None:
    counts = spread_counts(_shared_counts(group, "user_us_per_msg"), _PANELS)
    rows = group.rows_with("user_us_per_msg")
    if not counts:
        return None
    stamped = any(group.cells[r, c].codes for r in rows for c in counts if (r, c) in group.cells)
    figure, axes, places = _bar_panels(
        group,
        "The worker's CPU time per message",
        "Microseconds, means: user mode (dark) and system (light)"
        + ("; !: stamped, see the tables" if stamped else ""),
        rows,
        counts,
    )
    totals = [s.mean for r in rows for c in counts if (s := group.summary(r, c, "cpu_us_per_msg"))]
    for axis, count in zip(axes, counts, strict=True):
        for row, place in places.items():
            user = group.summary(row, count, "user_us_per_msg")
            system = group.summary(row, count, "sys_us_per_msg")
            if user is None or system is None:
                continue
            colour, end = styles[row].light, user.mean + system.mean
            axis.barh(place, user.mean, height=0.66, color=colour)
            axis.barh(place, system.mean, left=user.mean, height=0.66, color=paler(colour))
            note = plain_text(end) + (" !" if group.cells[row, count].codes else "")
            beside = end + max(totals) * 0.015
            axis.text(beside, place, note, va="center", fontsize=8, color=MUTED)
        axis.set_xlim(0, max(totals) * 1.16)
        axis.set_xlabel("us per message")
    return figure


def _shared_counts(group: Group, quantity: str) -> list[int]:
    """The columns that have the quantity; of an open loop those where rows can be compared."""
    counts = group.counts_with(quantity)
    if not group.open_loop:
        return counts
    sharing = [sum(group.has(row, c, quantity) for row in group.rows) for c in counts]
    most = max(sharing, default=0)
    return [c for c, rows in zip(counts, sharing, strict=True) if rows == most or rows > 2]


def paler(colour: str, share: float = 0.6) -> str:
    """The `#rrggbb` colour mixed with that share of white."""
    return mixed(colour, "#ffffff", share)


def _bar_panels(
    group: Group, title: str, text: str, rows: Sequence[str], counts: Sequence[int]
) -> tuple[Figure, list[Axes], dict[str, float]]:
    """One panel per count, one line per row, the first row on top; and row -> its place.

    Many rows stand under the names of their families.
    """
    places, heads = _bar_places(group, rows)
    height = max(places.values()) + 1
    width = 2.0 + 2.6 * max(2, len(counts))
    size = (width, 2.1 + (0.24 if heads else 0.3) * height)
    figure, axes = _figure(title, _subtitle(group, text), size, len(counts), head=1.05)
    longest = max(len(row) for row in rows)
    figure.subplots_adjust(left=(0.25 + 0.085 * longest) / width)
    for axis, count in zip(axes, counts, strict=True):
        axis.grid(False)
        axis.grid(True, axis="x", color=RULE, linewidth=0.8)
        where = group.setting.at(count).removeprefix("at ")
        axis.set_title(where, fontsize=10, color=INK, loc="left")
        axis.set_ylim(height - 0.4, min(-0.6, min(heads.values(), default=0) - 0.6))
        axis.tick_params(axis="y", length=0, labelcolor=INK)
    names = {place: name for name, place in [*places.items(), *heads.items()]}
    axes[0].yaxis.set_major_locator(FixedLocator(sorted(names)))
    axes[0].yaxis.set_major_formatter(FuncFormatter(lambda v, _: names.get(v, "")))
    for tick in axes[0].get_yticklabels():
        if tick.get_position()[1] in heads.values():
            tick.set(color=MUTED, fontweight="bold", fontsize=9)
    return figure, axes, places


def _bar_places(group: Group, rows: Sequence[str]) -> tuple[dict[str, float], dict[str, float]]:
    """row -> its place from the top, and family -> that of its name; no names with few rows."""
    if len(rows) <= MANY:
        return {row: float(place) for place, row in enumerate(rows)}, {}
    places: dict[str, float] = {}
    heads: dict[str, float] = {}
    place = 0.0
    for family, own in by_family(rows, group.families).items():
        heads[family] = place
        for row in own:
            place += 1
            places[row] = place
        place += 1.3
    return places, heads


def _fairness(
    group: Group, styles: Mapping[str, RowStyle], _wanted: Wanted | None
) -> Figure | None:
    counts = spread_counts(_shared_counts(group, "conn_p5"), _PANELS)
    rows = group.rows_with("conn_p5")
    if not counts:
        return None
    figure, axes, places = _bar_panels(
        group,
        "Fairness: messages per connection",
        "Relative to the row's median connection: 5 to 95% of the connections (thick)"
        + (", all of them (thin); Jain's index" if group.rows_with("jain") else ""),
        rows,
        counts,
    )
    spans = {
        (row, count): span
        for row in rows
        for count in counts
        if (span := connection_span(group, row, count)) is not None
    }
    starving = [c for c in group.cells.values() if max(c.values("starved"), default=0)]
    reach = max((span[-1] for span in spans.values()), default=1.0)
    for axis, count in zip(axes, counts, strict=True):
        axis.axvline(1.0, color=MUTED, linewidth=0.8, zorder=1)
        for row, place in places.items():
            if (row, count) in spans:
                _draw_span(axis, group, spans[row, count], (row, count), place, styles[row])
        _span_axis(axis, reach, starved=bool(starving))
    return figure


def connection_span(
    group: Group, row: str, count: int
) -> tuple[float, float, float, float, float] | None:
    """Minimum, 5%, median, 95% and maximum of messages per connection, the median being 1.

    Means of the rounds. The files of 2016 have only 5% and 95%: their middle stands for the
    median, they for the extremes. None when the cell has neither.
    """
    means = {
        name: summary.mean
        for name in ("min", "p5", "p50", "p95", "max")
        if (summary := group.summary(row, count, f"conn_{name}")) is not None
    }
    if "p5" not in means or "p95" not in means:
        return None
    low, high = means["p5"], means["p95"]
    median = means.get("p50", (low + high) / 2)
    if median <= 0:
        return None
    edges = (means.get("min", low), low, median, high, means.get("max", high))
    return edges[0] / median, edges[1] / median, 1.0, edges[3] / median, edges[4] / median


def _draw_span(
    axis: Axes,
    group: Group,
    span: tuple[float, float, float, float, float],
    key: tuple[str, int],
    place: float,
    style: RowStyle,
) -> None:
    colour = style.light
    axis.plot([span[0], span[4]], [place, place], color=colour, linewidth=1.4, zorder=2)
    axis.plot(
        [span[1], span[3]],
        [place, place],
        color=colour,
        linewidth=6.5,
        solid_capstyle="butt",
        alpha=0.55,
        zorder=3,
    )
    hollow = bool(group.cells[key].codes)
    axis.plot(
        *([1.0], [place]),
        marker="o",
        markersize=5.5,
        color=colour,
        markerfacecolor="white" if hollow else colour,
        zorder=4,
    )
    _note_fairness(axis, group, key, place)


def _note_fairness(axis: Axes, group: Group, key: tuple[str, int], place: float) -> None:
    """Jain's index and the starved connections at the right edge, in red when they are bad."""
    jain = group.summary(*key, "jain")
    starved = max(group.cells[key].values("starved"), default=0)
    note = "" if jain is None else f"{jain.mean:.3f}"
    note += f", {starved:.0f} starved" if starved else ""
    axis.annotate(
        note,
        (0.99, place),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="center",
        fontsize=7.5,
        color="#a8201a" if starved or (jain is not None and jain.mean < 0.9) else MUTED,
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
    axis.xaxis.set_major_locator(FixedLocator([0.0, *powers]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))


def _distribution(
    group: Group, styles: Mapping[str, RowStyle], wanted: Wanted | None
) -> Figure | None:
    cells = chosen_cells(group, wanted)
    if not cells:
        return None
    several = len({cell.conns for cell in cells}) > 1
    names = {
        id(cell): cell.func
        + (f" {count_label(cell.conns)}" if several else "")
        + (" !" if cell.codes else "")
        for cell in cells
    }
    stamped = "; !: stamped, see the tables" if any(cell.codes for cell in cells) else ""
    lines = [Line(names[id(cell)], *percentile_curve(cell)) for cell in cells]
    shown = dict(styles) | {names[id(cell)]: styles[cell.func] for cell in cells}
    where = "" if several else f" {group.setting.at(cells[0].conns)}"
    last = max(line.x[-1] for line in lines)
    fastest = _fastest_c(group)
    chart = _Chart(
        f"Latency by percentile{where}",
        _subtitle(group, f"All rounds together; lower is better{stamped}"),
        lines,
        x_axis=lambda axis: _percentile_axis(axis, last),
        y_axis=_time_axis,
        draw=_draw_curves,
        reference=next((names[id(cell)] for cell in cells if cell.func == fastest), None),
        right=0.80 if several else 0.83,
    )
    return _draw_chart(chart, shown)


def _draw_curves(axis: Axes, lines: Sequence[Line], styles: Mapping[str, RowStyle]) -> None:
    for line in lines:
        style = styles[line.row]
        axis.plot(line.x, line.y, color=style.light, linestyle=_dash(style), linewidth=1.7)


def percentile_curve(cell: Cell) -> tuple[list[float], list[float]]:
    """1 / (1 - q), evenly in its logarithm from q = 0 to the last sample, and the latency in ns."""
    total = sum(cell.histogram.values())
    steps = max(2, round(40 * math.log10(max(total, 2))))
    xs = [total ** (i / steps) for i in range(steps + 1)]
    largest = max(cell.values("latmax_ns"), default=math.inf)  # exact; a bucket's edge lies above
    return xs, [min(percentile_ns(cell.histogram, 1 - 1 / x), largest) for x in xs]


def _inches(axis: Axes) -> float:
    """How wide the axis is."""
    return float(axis.get_position().width * axis.get_figure(root=True).get_figwidth())  # type: ignore[union-attr]


def _percentile_axis(axis: Axes, last: float) -> None:
    """HdrHistogram's axis: each step to the right is ten times as rare."""
    axis.set_xscale("log")
    axis.set_xlim(1, last * 1.05)
    powers = math.floor(math.log10(last))
    ticks = [1.0, 2.0, *(10.0**p for p in range(1, powers + 1))]
    if _inches(axis) < 1.2 * powers:  # 0% and 50% would touch
        ticks.remove(2.0)
    axis.xaxis.set_major_locator(FixedLocator(ticks))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 - 100 / v:.10g}%"))
    axis.set_xlabel("percentile")


_PICTURES: Final[dict[str, Callable[..., Figure | None]]] = {
    "mps": _mps,
    "mps_no_c": _mps_no_c,
    "lat95": _latency(95),
    "lat50": _latency(50),
    "cpu_per_message": _cpu,
    "latency_distribution": _distribution,
    "latency_by_rate": _latency_by_rate,
    "fairness": _fairness,
}
