"""The table that stands on a terminal while a campaign runs: a line a row, as wide as it may be.

It only shows: what `progress.py` hears is told to it, and rich asks it for lines. A row's line is
of its last round, or of the one that runs: where it was measured, how fast, and how the window
went, from 0 to its own highest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Literal

from rich.console import Console, ConsoleOptions, OverflowMethod, RenderResult
from rich.table import Table
from rich.text import Text

from pybench.spec.cell import USUAL_MSIZE
from pybench.units import count_label

BLOCKS: Final = "▁▂▃▄▅▆▇█"
LETTERS: Final = "_.-:=+*#"
"""For terminals without those."""

WITH_LATENCY: Final = 72
WITH_BEFORE: Final = 100
"""From so many columns on the table has these too: latencies, and the rounds before the last."""

_NAME: Final = (12, 30)  # columns for the row's name: at least, at most
_WINDOW: Final = (8, 24)
_WHERE, _SPEED, _LATENCY, _ROUNDS, _GAP = 10, 7, 17, 7, 1
_FIGURES: Final = ("msg/s", "Rounds")
_AROUND: Final = 4  # lines of the terminal that are not the table's: what stands above, a cursor


def cut(options: ConsoleOptions) -> OverflowMethod:
    """What becomes of a text that is too long: letters that the terminal has not would be worse."""
    return "crop" if options.ascii_only else "ellipsis"


def where_label(conns: int, msize: int, rate: int) -> str:
    """A cell in few letters: `1k`, `100 16kB`, `100 @5k/s`."""
    size = "" if msize == USUAL_MSIZE else f" {count_label(msize)}B"
    return f"{count_label(conns)}{size}" + (f" @{count_label(rate)}/s" if rate else "")


def sparkline(values: Sequence[float], width: int, letters: str = BLOCKS) -> str:
    """How a series went, from 0 to its highest, in at most so many letters.

    Of more values than letters each letter is the mean of its share. Empty without values.
    """
    if not values or width < 1:
        return ""
    count = min(width, len(values))
    edges = [round(i * len(values) / count) for i in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    top = max(means)
    if top <= 0:
        return letters[0] * count
    last = len(letters) - 1
    return "".join(letters[min(last, int(mean / top * len(letters)))] for mean in means)


def short_rate(per_second: float) -> str:
    """Messages per second in three digits: `98.4k`, `1.06M`, `850`."""
    for scale, unit in ((1e6, "M"), (1e3, "k")):
        if per_second >= 0.9995 * scale:
            value = per_second / scale
            digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
            return f"{value:.{digits}f}{unit}"
    return f"{per_second:.0f}"


@dataclass(slots=True)
class _Line:
    """A row. rates: messages/s of the last or running round, in order.  before: where -> the
    speeds of the rounds that are over.  touched: when it was last told something; 0: never."""

    rounds: int = 0
    done: int = 0
    where: str = ""
    mps: float | None = None
    latency: str = ""
    rates: list[float] = field(default_factory=list)
    marks: str = ""
    failed: bool = False
    before: dict[str, list[float]] = field(default_factory=dict)
    touched: int = 0


class RowTable:
    """The lines, by what the rows are called, in the order asked for."""

    def __init__(self) -> None:
        self._lines: dict[str, _Line] = {}
        self._running = ""
        self._clock = 0

    def expect(self, labels: Sequence[str]) -> None:
        """These rounds are still to come, one label each."""
        for line in self._lines.values():
            line.rounds = line.done
        for label in labels:
            self._lines.setdefault(label, _Line()).rounds += 1

    def started(self, label: str, where: str) -> None:
        """A round of a row begins."""
        line = self._touch(label)
        self._running = label
        line.where, line.mps, line.latency, line.marks = where, None, "", ""
        line.rates, line.failed = [], False

    def live(self, rate: float) -> None:
        """The round that runs has this many messages/s now."""
        line = self._touch(self._running)
        line.rates.append(rate)
        line.mps = rate

    def finished(
        self,
        label: str,
        where: str,
        *,
        mps: float | None,
        latency: str = "",
        series: Sequence[float] = (),
        marks: str = "",
    ) -> None:
        """A round has ended. mps: None when it failed.  series: of its window, as even slices."""
        line = self._touch(label)
        self._running = ""
        line.done += 1
        line.rounds = max(line.rounds, line.done)
        line.where, line.mps, line.latency, line.marks = where, mps, latency, marks
        line.failed = mps is None
        line.rates = list(series) or line.rates
        if mps is not None:
            line.before.setdefault(where, []).append(mps)

    def _touch(self, label: str) -> _Line:
        self._clock += 1
        line = self._lines.setdefault(label, _Line())
        line.touched = self._clock
        return line

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = self._shown(max(1, console.height - _AROUND))
        widths = _widths(options.max_width, max(map(len, shown), default=0))
        letters = LETTERS if options.ascii_only else BLOCKS
        table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="dim")
        for head, width in widths.items():
            justify: Literal["left", "right"] = "right" if head in _FIGURES else "left"
            table.add_column(
                head, width=width, justify=justify, no_wrap=True, overflow=cut(options)
            )
        for label in shown:
            line = self._lines[label]
            cells = {
                "Row": self._name(label, line),
                "Conns": Text(line.where),
                "msg/s": _speed(line),
                "p50, p95": Text(line.latency),
                "Window": Text(sparkline(line.rates, widths["Window"], letters), style="cyan"),
                "Rounds": _rounds(line),
                "So far": Text(_so_far(line)),
            }
            table.add_row(*(cells[head] for head in widths))
        yield table
        if len(shown) < len(self._lines):
            yield Text(f"and {len(self._lines) - len(shown)} rows more", style="dim")

    def _shown(self, room: int) -> list[str]:
        """The rows that there is room for: those that something was heard of last."""
        labels = list(self._lines)
        if len(labels) <= room:
            return labels
        recent = sorted(labels, key=lambda one: -self._lines[one].touched)[: max(1, room - 1)]
        return [label for label in labels if label in recent]

    def _name(self, label: str, line: _Line) -> Text:
        style = "bold" if label == self._running else "" if line.touched else "dim"
        return Text(label, style=style)


def _widths(room: int, longest: int) -> dict[str, int]:
    """Head -> width of each column that there is room for, in order, gaps left out.

    longest: of the rows' names.
    """
    fixed = _WHERE + _SPEED + _ROUNDS + 4 * _GAP
    latency = _LATENCY + _GAP if room >= WITH_LATENCY else 0
    least, most = _NAME
    name = max(least, min(longest, most, room - fixed - latency - _WINDOW[0]))
    window = max(_WINDOW[0], min(_WINDOW[1], room - fixed - latency - name))
    found = {"Row": name, "Conns": _WHERE, "msg/s": _SPEED}
    if latency:
        found["p50, p95"] = _LATENCY
    found |= {"Window": window, "Rounds": _ROUNDS}
    left = room - fixed - latency - name - window - _GAP
    return found | ({"So far": left} if room >= WITH_BEFORE and left >= _NAME[0] else {})


def _speed(line: _Line) -> Text:
    if line.failed:
        return Text("failed", style="red")
    if line.mps is None:
        return Text("")
    return Text(short_rate(line.mps) + ("!" if line.marks else ""), "yellow" if line.marks else "")


def _rounds(line: _Line) -> Text:
    return Text(f"{line.done}/{line.rounds}", style="" if line.done else "dim")


def _so_far(line: _Line) -> str:
    """The mean of each place that was measured, with its stamps where it is the last."""
    means = [f"{where}: {short_rate(sum(of) / len(of))}" for where, of in line.before.items()]
    return "  ".join([*means, *([f"[{line.marks}]"] if line.marks else [])])
