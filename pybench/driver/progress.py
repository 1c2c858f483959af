"""Shows how a campaign goes, on standard error: live on a terminal, plain lines elsewhere.

It only shows: nothing is measured or decided here. `make_reporter` chooses.
"""

import time
from collections.abc import Sequence
from typing import Final, Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pybench.analysis.stamps import class_of
from pybench.driver.control import Progress
from pybench.driver.plan import GUESSED_OVERHEAD_S, asked_s
from pybench.driver.rowtable import RowTable, cut, where_label
from pybench.result import Result, ServerPart
from pybench.spec import Cell, axes
from pybench.spec.cell import USUAL_MSIZE
from pybench.units import printable


class Reporter(Protocol):
    """What a campaign tells while it runs."""

    def __enter__(self) -> "Reporter": ...

    def __exit__(self, *exc_info: object) -> None: ...

    def round_started(self, cell: Cell, number: int) -> None:
        """A round begins. number: from 1."""

    def live(self, progress: Progress) -> None:
        """The load server's line, about once a second."""

    def round_finished(self, result: Result) -> None:
        """A round has ended and is recorded."""

    def expect(self, cells: Sequence[Cell]) -> None:
        """What is left has changed: a sweep does not know its rounds beforehand."""


class SilentReporter:
    """Says nothing."""

    def __enter__(self) -> "SilentReporter":
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def round_started(self, cell: Cell, number: int) -> None:
        pass

    def live(self, progress: Progress) -> None:
        pass

    def round_finished(self, result: Result) -> None:
        pass

    def expect(self, cells: Sequence[Cell]) -> None:
        pass


def make_reporter(cells: Sequence[Cell], rounds: int, stream: TextIO) -> Reporter:
    """A reporter for tasks whose cells are given, in order, one per round to run.

    rounds: of the campaign, for "round 2/7".
    """
    if stream.isatty():  # rich would believe FORCE_COLOR, and move the cursor in a file
        console = Console(file=stream, highlight=False, soft_wrap=True)
        if console.is_terminal and not console.is_dumb_terminal:
            return LiveReporter(cells, rounds, console)
    return PlainReporter(len(cells), rounds, stream)


def outcome(result: Result) -> str:
    """A finished round in a few words, with its warnings by name."""
    if not result.ok or result.latency_ns is None:
        return f"{result.status}: {result.error}"
    latency = result.latency_ns
    text = (
        f"{result.mps:,.0f} messages/s, latency 50% {short_time(latency.p50)},"
        f" 95% {short_time(latency.p95)}"
    )
    if result.server is not None and result.server.parts:
        text += f" ({shares(result.server.parts)})"
    codes = marking(result)
    return text + (f" [{', '.join(codes)}]" if codes else "")


def shares(parts: Sequence[ServerPart]) -> str:
    """What each of several load servers had of the messages, and how far apart they began."""
    whole = max(1, sum(part.messages for part in parts))
    text = ", ".join(f"{part.address} {100 * part.messages / whole:.0f}%" for part in parts)
    starts = [part.start_s for part in parts if part.start_s is not None]
    if len(starts) < len(parts):
        return text
    return f"{text}; began within {short_time(1e9 * max(starts))}"


def marking(result: Result) -> list[str]:
    """The codes of its stamps, but not what is true of the whole machine: the end says that."""
    return [w.code for w in result.warnings if class_of(w.code) != "machine"]


def short_time(time_ns: float) -> str:
    """A time with three digits and its unit: `87.3us`."""
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if time_ns >= scale:
            return f"{time_ns / scale:.3g}{unit}"
    return f"{time_ns:.0f}ns"


def short_span(seconds: float) -> str:
    """Minutes and seconds, hours when needed: `2:05`, `1:02:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def cell_name(of: Cell | Result, number: int, rounds: int) -> str:
    """How a round is called in every line about it.

    of: what it measures, or has measured.  number: of the round, of so many rounds.
    """
    func = printable(of.label if isinstance(of, Cell) else of.func)
    conns, rate = of.conns, of.rate
    size = "" if of.msize == USUAL_MSIZE else f", {of.msize}-byte messages"
    asked = f", {words}" if (words := axes.words(of)) else ""
    asked += f", {rate:,}/s asked for" if rate else ""
    suffix = f" (round {number}/{rounds})" if rounds > 1 else ""
    if isinstance(of, Result) and of.machine is not None:
        suffix += f" on {of.machine.name}"
    return f"{func}, {conns} connection{'s' if conns > 1 else ''}{size}{asked}{suffix}"


class PlainReporter:
    """One line per round, when it has ended."""

    def __init__(self, total: int, rounds: int, stream: TextIO) -> None:
        self._total = total
        self._rounds = rounds
        self._stream = stream
        self._finished = 0

    def __enter__(self) -> "PlainReporter":
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def round_started(self, cell: Cell, number: int) -> None:
        pass

    def live(self, progress: Progress) -> None:
        pass

    def round_finished(self, result: Result) -> None:
        self._finished += 1
        name = cell_name(result, result.round, self._rounds)
        lines = [f"[{self._finished}/{self._total}] {name}: {outcome(result)}"]
        lines += [f"    {line}" for line in result.details.splitlines()]
        print("\n".join(lines), file=self._stream, flush=True)

    def expect(self, cells: Sequence[Cell]) -> None:
        self._total = self._finished + len(cells)


class Estimate:
    """How long a campaign will still take: what its rounds ask for, and what each costs more."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._left_s = [asked_s(cell) for cell in cells]
        self._total_s = sum(self._left_s)
        self._overheads: list[float] = []
        self._started: float | None = None

    def expect(self, cells: Sequence[Cell]) -> None:
        """What is left is these, whatever was thought before. Between two rounds only."""
        over_s = self._total_s - sum(self._left_s)
        self._left_s = [asked_s(cell) for cell in cells]
        self._total_s = over_s + sum(self._left_s)

    def start(self) -> None:
        """A round begins now."""
        self._started = time.monotonic()

    def finish(self) -> None:
        """The first of the rounds that were left has ended now."""
        asked = self._left_s.pop(0) if self._left_s else 0.0
        if self._started is not None:
            self._overheads.append(max(0.0, time.monotonic() - self._started - asked))
        self._started = None

    @property
    def left_s(self) -> float:
        """Seconds until the end."""
        known = len(self._overheads)
        overhead = sum(self._overheads) / known if known else GUESSED_OVERHEAD_S
        running = 0.0 if self._started is None else time.monotonic() - self._started
        return max(0.0, sum(self._left_s) + overhead * len(self._left_s) - running)

    @property
    def fraction(self) -> float:
        """How much of the campaign is over, from 0 to 1."""
        running = 0.0 if self._started is None else time.monotonic() - self._started
        over = self._total_s - sum(self._left_s)
        current = min(running, self._left_s[0]) if self._left_s else 0.0
        return min(1.0, (over + current) / self._total_s) if self._total_s else 1.0


REFRESHES: Final = 2
"""A second: the driver shares the machine with what is measured."""


class LiveReporter:
    """A bar over the whole campaign with the time left, the round that runs, and a line a row.

    Rounds that fail stay above it, with why.
    """

    def __init__(self, cells: Sequence[Cell], rounds: int, console: Console) -> None:
        self._console = console
        self._rounds = rounds
        self._total = len(cells)
        self._finished = 0
        self._estimate = Estimate(cells)
        self._table = RowTable()
        self._table.expect([cell.label for cell in cells])
        self._current = "starting"
        self._rate = ""
        self._last: Progress | None = None
        self._live = Live(
            console=console,
            get_renderable=self._render,
            refresh_per_second=REFRESHES,
            transient=True,
        )

    def __enter__(self) -> "LiveReporter":
        self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._live.stop()

    def round_started(self, cell: Cell, number: int) -> None:
        self._current = cell_name(cell, number, self._rounds)
        self._rate, self._last = "starting", None
        self._table.started(cell.label, where_label(cell.conns, cell.msize, cell.rate))
        self._estimate.start()

    def live(self, progress: Progress) -> None:
        before = self._last or Progress(0, 0, 0)
        elapsed_s = (progress.t_ms - before.t_ms) / 1000
        if elapsed_s > 0:
            rate = (progress.messages - before.messages) / elapsed_s
            self._rate = f"{rate:,.0f} messages/s, {progress.alive} alive"
            self._table.live(rate)
        self._last = progress

    def round_finished(self, result: Result) -> None:
        self._estimate.finish()
        self._finished += 1
        latency = result.latency_ns
        times = (latency.p50, latency.p95) if result.ok and latency is not None else ()
        self._table.finished(
            result.func,
            where_label(result.conns, result.msize, result.rate),
            mps=result.mps if result.ok else None,
            latency=", ".join(map(short_time, times)),
            series=result.series.messages if result.series is not None else (),
            marks=" ".join(marking(result)),
        )
        if not result.ok:
            name = cell_name(result, result.round, self._rounds)
            self._console.print(Text(f"{name}: {outcome(result)}", style="red"))
        if result.details:
            self._console.print(Text(result.details.rstrip(), style="dim"))

    def expect(self, cells: Sequence[Cell]) -> None:
        self._total = self._finished + len(cells)
        self._estimate.expect(cells)
        self._table.expect([cell.label for cell in cells])

    def _render(self) -> RenderableType:
        overall = Table.grid(padding=(0, 1))
        overall.add_row(
            ProgressBar(total=1.0, completed=self._estimate.fraction, width=30),
            f"{self._finished}/{self._total}",
            f"{short_span(self._estimate.left_s)} left",
        )
        current = Text.assemble((self._current, "bold"), "  ", self._rate)
        current.overflow = cut(self._console.options)
        current.no_wrap = True
        return Group(overall, current, self._table)
