"""Shows how a race goes, on standard error: in place on a terminal, plain lines elsewhere.

It only shows: what may be said of a ratio is `analysis/race.py`'s, when to stop `course.py`'s.
`make_race_reporter` chooses.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pybench.analysis.race import Standing, Standings
from pybench.analysis.verdict import interval_words, remedy_words
from pybench.driver.progress import short_span
from pybench.driver.rowtable import cut
from pybench.result import Result
from pybench.spec.cell import USUAL_MSIZE

DIGITS = 3
WITH_INTERVALS = 80
"""From so many columns on a live table has intervals, and who is set against whom."""
_STYLES = {"faster": "green", "slower": "red", "equal": "cyan"}


class RaceReporter(Protocol):
    """What a race tells while it runs."""

    def __enter__(self) -> "RaceReporter": ...

    def __exit__(self, *exc_info: object) -> None: ...

    def round_started(self, where: str, number: int) -> None:
        """A round begins, of all heats of one field. where: in words.  number: from 1."""

    def round_finished(
        self, results: Sequence[Result], standings: Callable[[], list[Standings]], left_s: float
    ) -> None:
        """A round has ended and is recorded.

        standings: computes how the race stands.  left_s: of the budget.
        """

    def looked(self, standings: Standings, left_s: float) -> None:
        """It was judged in one field: verdicts fall here."""

    def left_out(self, label: str, where: str) -> None:
        """A contender takes part no more: it has failed again and again."""


def make_race_reporter(budget_s: float, stream: TextIO) -> RaceReporter:
    """A reporter for a race that may take so long."""
    if stream.isatty():  # rich would believe FORCE_COLOR, and move the cursor in a file
        console = Console(file=stream, highlight=False, soft_wrap=True)
        if console.is_terminal and not console.is_dumb_terminal:
            return LiveRaceReporter(budget_s, console)
    return PlainRaceReporter(stream)


def where_words(conns: int, msize: int | None) -> str:
    """`100 connections, 1000-byte messages`. msize: None where it goes without saying."""
    return f"{conns} connections" + ("" if msize is None else f", {msize}-byte messages")


def _where(standings: Standings) -> str:
    return where_words(standings.conns, standings.msize if standings.sized else None)


def _named(msize: int) -> int | None:
    """The size where it does not go without saying."""
    return None if msize == USUAL_MSIZE else msize


def _on(result: Result) -> str:
    """` on one`: the machine of a cluster that measured it."""
    return "" if result.machine is None else f" on {result.machine.name}"


def failures_of(results: Sequence[Result]) -> list[str]:
    """A line for each contender that the round has measured nothing of."""
    return [
        f"{r.func}, {where_words(r.conns, _named(r.msize))} (round {r.round}){_on(r)}:"
        f" {r.status}: {r.error}"
        for r in results
        if not r.ok
    ]


def ratio_text(standing: Standing) -> str:
    """`0.842 (0.801 to 0.885)`, or why there is none."""
    if standing.estimate is None:
        return "not measured"
    if standing.estimate.df < 1:
        return f"{standing.estimate.value:.{DIGITS}f} (one round)"
    interval = interval_words(standing.estimate, DIGITS)
    return f"{standing.estimate.value:.{DIGITS}f} ({interval})"


def verdict_text(standing: Standing) -> str:
    """The verdict in a word or some, with how many rounds would decide."""
    if standing.verdict is None:
        return ""
    more = remedy_words(standing.verdict)
    return standing.verdict.kind + (f": {more}" if more else "")


class SilentRaceReporter:
    """Says nothing."""

    def __enter__(self) -> "SilentRaceReporter":
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def round_started(self, where: str, number: int) -> None:
        pass

    def round_finished(
        self, results: Sequence[Result], standings: Callable[[], list[Standings]], left_s: float
    ) -> None:
        pass

    def looked(self, standings: Standings, left_s: float) -> None:
        pass

    def left_out(self, label: str, where: str) -> None:
        pass


class PlainRaceReporter(SilentRaceReporter):
    """A line for each pair at each look, and for each failure."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> "PlainRaceReporter":
        return self

    def round_finished(
        self, results: Sequence[Result], standings: Callable[[], list[Standings]], left_s: float
    ) -> None:
        self._print(failures_of(results))

    def looked(self, standings: Standings, left_s: float) -> None:
        where = f"[round {standings.rounds}, {_where(standings)}]"
        left = f"{short_span(left_s)} left"
        self._print(
            f"{where} {one.runner.label} / {standings.base}: {ratio_text(one)}"
            f" {verdict_text(one)}; {left}"
            for one in standings.pairs
        )

    def left_out(self, label: str, where: str) -> None:
        self._print([out_text(label, where)])

    def _print(self, lines: Iterable[str]) -> None:
        for line in lines:
            print(line, file=self._stream, flush=True)


class ClusterRaceReporter(PlainRaceReporter):
    """A line for each round as well, with the machine that measured it."""

    def round_finished(
        self, results: Sequence[Result], standings: Callable[[], list[Standings]], left_s: float
    ) -> None:
        super().round_finished(results, standings, left_s)
        good = [r for r in results if r.ok]
        if not good:
            return
        one = good[0]
        where = f"[round {one.round}, {where_words(one.conns, _named(one.msize))}]{_on(one)}"
        figures = ", ".join(f"{r.func} {r.mps:,.0f}" for r in good)
        self._print([f"{where}: {figures} messages/s; {short_span(left_s)} left"])


def out_text(label: str, where: str) -> str:
    """What is said of a contender that is out."""
    return f"{label}, {where}: failed again, and is out of the race"


class LiveRaceReporter:
    """A table with a line for each pair, in place; failures stay above it."""

    def __init__(self, budget_s: float, console: Console) -> None:
        self._console = console
        self._deadline = time.monotonic() + budget_s
        self._current = "starting"
        self._shown: list[Standings] = []
        self._verdicts: dict[tuple[str, str], str] = {}
        self._live = Live(
            console=console, get_renderable=self._render, refresh_per_second=2, transient=True
        )

    def __enter__(self) -> "LiveRaceReporter":
        self._live.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._live.stop()

    def round_started(self, where: str, number: int) -> None:
        self._current = f"round {number} at {where}"

    def round_finished(
        self, results: Sequence[Result], standings: Callable[[], list[Standings]], left_s: float
    ) -> None:
        self._shown = standings()
        for line in failures_of(results):
            self._console.print(Text(line, style="red"))

    def looked(self, standings: Standings, left_s: float) -> None:
        for one in standings.pairs:
            self._verdicts[_where(standings), one.runner.label] = verdict_text(one)

    def left_out(self, label: str, where: str) -> None:
        self._console.print(Text(out_text(label, where), style="red"))

    def _render(self) -> RenderableType:
        left_s = max(0.0, self._deadline - time.monotonic())
        head = Text.assemble((self._current, "bold"), f"  {short_span(left_s)} left")
        wide = self._console.width >= WITH_INTERVALS
        table = Table.grid(padding=(0, 2))
        for _ in range(4):
            table.add_column(no_wrap=True, overflow=cut(self._console.options))
        for standings in self._shown:
            for one in standings.pairs:
                verdict = self._verdicts.get((_where(standings), one.runner.label), "")
                table.add_row(
                    _where(standings) if standings.sized else f"{standings.conns}",
                    # a label has brackets, in which rich would look for its markup
                    Text(f"{one.runner.label} / {standings.base}" if wide else one.runner.label),
                    ratio_text(one) if wide else _short_ratio(one),
                    Text(verdict, style=_STYLES.get(verdict, "")),
                )
        return Group(head, table)


def _short_ratio(standing: Standing) -> str:
    """`0.842`, for a narrow terminal."""
    found = standing.estimate
    return "" if found is None else f"{found.value:.{DIGITS}f}"
