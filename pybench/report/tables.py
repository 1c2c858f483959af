"""Groups into tables: the one model that every output format writes down."""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from pybench.analysis import stamps
from pybench.analysis.model import Group
from pybench.analysis.stats import Summary
from pybench.analysis.steadiness import Mode
from pybench.backends.names import canonical
from pybench.errors import UsageError
from pybench.report.metrics import Metric
from pybench.report.text import letters, rate_text, ratio_text, share_text
from pybench.result import Stamp
from pybench.units import count_label

CENSORED_PCT: Final = 0.5
"""With more pings than that without an echo at the end, latencies from the due time are lower
bounds."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One cell. text: as shown, without marks.  at_least: the number is a lower bound.
    marks: letters of the stamps on the cell, such as `ab`; empty for a clean one."""

    summary: Summary
    text: str
    at_least: bool
    marks: str


@dataclass(frozen=True, slots=True)
class Table:
    """One table: rows by connection counts. A cell that is not in `entries` was not measured."""

    metric: Metric
    rows: Sequence[str]
    counts: Sequence[int]
    entries: Mapping[tuple[str, int], Entry]

    def text(self, row: str, count: int, missing: str) -> str:
        """The cell as text, its marks padded so that a column's figures stay under each other."""
        entry = self.entries.get((row, count))
        if entry is None:
            return missing
        width = max(len(e.marks) for (_, c), e in self.entries.items() if c == count)
        if not width:
            return entry.text
        return entry.text + (f" !{entry.marks}" if entry.marks else "").ljust(width + 2)


@dataclass(frozen=True, slots=True)
class StampNote:
    """One kind of warning and where it stands. text, remedy: from its first occurrence."""

    mark: str
    code: str
    text: str
    remedy: str
    rounds: int
    cells: Sequence[tuple[str, int]]

    @property
    def rounds_text(self) -> str:
        """`1 round`, `3 rounds`."""
        return "1 round" if self.rounds == 1 else f"{self.rounds} rounds"

    @property
    def where(self) -> str:
        """The cells in words, shortened when they are many."""
        named = [f"{func} at {count_label(conns)}" for func, conns in self.cells]
        more = f" and {len(named) - 4} more" if len(named) > 5 else ""
        return ", ".join(named[:4] if more else named) + more


@dataclass(frozen=True, slots=True)
class Failure:
    """A cell with rounds that measured nothing. errors: their distinct reasons."""

    func: str
    conns: int
    statuses: Sequence[str]
    errors: Sequence[str]
    failed: int
    rounds: int

    @property
    def text(self) -> str:
        """`thread at 10k: hung (1 of 3 rounds): reason`."""
        rounds = f" ({self.failed} of {self.rounds} rounds)" if self.rounds > 1 else ""
        reason = f": {'; '.join(self.errors)}" if self.errors else ""
        return (
            f"{self.func} at {count_label(self.conns)}: {', '.join(self.statuses)}{rounds}{reason}"
        )


@dataclass(frozen=True, slots=True)
class GroupTables:
    """A group's tables, and what a reader must know before believing them."""

    group: Group
    tables: Sequence[Table]
    stamps: Sequence[StampNote]
    failures: Sequence[Failure]


def build_tables(
    group: Group, metrics: Sequence[Metric], *, relative_to: str | None = None
) -> GroupTables:
    """The group's tables, those without a single figure left out.

    relative_to: row whose speed is 1 at every count in the table `rel`, instead of the smallest
    cell being 1. Raises UsageError when the group has no such row.
    """
    stamps = collect_stamps(group)
    tables = []
    for metric in metrics:
        marks = cell_marks(group, stamps, of_pairs=metric.quantity == "mps")
        if metric.name != "rel":
            table = _plain_table(group, metric, marks)
        elif group.open_loop:  # its speeds are what was asked for
            continue
        else:
            table = _relative_table(group, metric, marks, relative_to)
        if table.entries:
            tables.append(table)
    return GroupTables(group, tables, stamps, collect_failures(group))


def cell_marks(
    group: Group, stamps: Sequence[StampNote], *, of_pairs: bool = True
) -> dict[tuple[str, int], str]:
    """The letters of the stamps on each cell.

    of_pairs: those too that are about the difference of two cells' speeds, not about one cell.
    """
    return {
        key: "".join(
            s.mark for s in stamps if key in s.cells and (of_pairs or s.code in cell.codes)
        )
        for key, cell in group.cells.items()
    }


def _plain_table(group: Group, metric: Metric, marks: Mapping[tuple[str, int], str]) -> Table:
    entries = {}
    for key, cell in group.cells.items():
        summary = cell.summary(metric.quantity)
        if summary is None:
            continue
        at_least = cell.at_least(metric.quantity)
        text = metric.cell(summary, at_least=at_least)
        if metric.quantity == "mps" and cell.modes:
            text = modes_text(cell.modes)
        if metric.name.startswith("due"):
            text = _bound_text(text, max(cell.values("censored_pct"), default=0.0))
        if metric.name == "jain":
            starved = max(cell.values("starved"), default=0)
            text += f", {starved:.0f} starved" if starved else ""
        entries[key] = Entry(summary, text, at_least, marks[key])
    return Table(metric, group.rows, group.counts, entries)


def _bound_text(text: str, censored_pct: float) -> str:
    """`>=12 ms (3.1% open)`: so many pings had no echo, and count as far as they got."""
    if censored_pct <= CENSORED_PCT:
        return text
    return f">={text} ({share_text(censored_pct)}% open)"


def modes_text(modes: Sequence[Mode]) -> str:
    """`132k x4, 56k x1`: what takes a mean's place, the more frequent first."""
    often = sorted(modes, key=lambda mode: -mode.rounds)
    return ", ".join(f"{rate_text(mode.speed)} x{mode.rounds}" for mode in often)


def _relative_table(
    group: Group, metric: Metric, marks: Mapping[tuple[str, int], str], relative_to: str | None
) -> Table:
    found = {key: cell.summary(metric.quantity) for key, cell in group.cells.items()}
    summaries = {key: s for key, s in found.items() if s is not None and s.mean > 0}
    if relative_to is None:
        smallest = min((s.mean for s in summaries.values()), default=1.0)
        units = dict.fromkeys(group.counts, smallest)
    else:
        row = find_row(group, relative_to)
        metric = dataclasses.replace(
            metric, title=f"Relative speed ({row} is 1 at each count)", write=ratio_text
        )
        units = {conns: s.mean for (func, conns), s in summaries.items() if func == row}
    entries = {}
    for key, summary in summaries.items():
        if key[1] in units:
            scaled = summary.relative_to(units[key[1]])
            entries[key] = Entry(scaled, metric.cell(scaled), False, marks[key])
    return Table(metric, group.rows, group.counts, entries)


def find_row(group: Group, name: str) -> str:
    """The group's row of that name or of its alias. Raises UsageError naming the rows there are."""
    for row in group.rows:
        if name == row or canonical(name) == canonical(row):
            return row
    raise UsageError(f"--relative-to {name}: no such row; there are {', '.join(group.rows)}")


def collect_stamps(group: Group) -> list[StampNote]:
    """Every kind of warning in the group's good rounds, by code, each with its mark."""
    first: dict[str, Stamp] = {}
    rounds: Counter[str] = Counter()
    cells: dict[str, list[tuple[str, int]]] = {}
    for key in sorted(group.cells, key=lambda k: (group.rows.index(k[0]), k[1])):
        cell = group.cells[key]
        for one in cell.good:
            rounds.update({w.code for w in one.warnings})
            for warning in one.warnings:
                first.setdefault(warning.code, warning)
        if cell.stamp is not None:
            first.setdefault(cell.stamp.code, cell.stamp)
            rounds[cell.stamp.code] += len(cell.good)
        for code in cell.codes:
            cells.setdefault(code, []).append(key)
    for key, warning in _noise_warnings(group):
        first.setdefault(warning.code, warning)
        rounds[warning.code] += len(group.cells[key].good)
        cells.setdefault(warning.code, []).append(key)
    return [
        StampNote(letters(i), code, first[code].text, first[code].remedy, rounds[code], cells[code])
        for i, code in enumerate(sorted(first))
    ]


def _noise_warnings(group: Group) -> list[tuple[tuple[str, int], Stamp]]:
    """Cells whose speed differs from the next one's of its column by no more than the noise.

    What two single runs differ by shrinks with the root of the rounds that a mean is of. Empty
    without a calibration, and for an open loop, whose speeds are what was asked for.
    """
    if group.noise_floor is None or group.open_loop:
        return []
    found: dict[tuple[str, int], Stamp] = {}
    for count in group.counts:
        speeds = {row: s for row in group.rows if (s := group.summary(row, count, "mps"))}
        ranking = sorted(speeds, key=lambda row: speeds[row].mean)
        for slow, fast in pairwise(ranking):
            if speeds[slow].mean <= 0:
                continue
            floor = group.noise_floor / math.sqrt(min(speeds[slow].n, speeds[fast].n))
            of = f"{slow} and {fast} {group.setting.at(count)}"
            warning = stamps.noise_floor(speeds[fast].mean / speeds[slow].mean, floor, of)
            if warning is not None:
                found.setdefault((slow, count), warning)
                found.setdefault((fast, count), warning)
    order = sorted(found, key=lambda key: (group.rows.index(key[0]), key[1]))
    return [(key, found[key]) for key in order]


def collect_failures(group: Group) -> list[Failure]:
    """The cells with rounds that failed, hung or could not be run, in the order of the tables."""
    failures = []
    for key in sorted(group.cells, key=lambda k: (group.rows.index(k[0]), k[1])):
        cell = group.cells[key]
        bad = [r for r in cell.rounds if not r.ok]
        if bad:
            failures.append(
                Failure(
                    *key,
                    statuses=list(dict.fromkeys(r.status for r in bad)),
                    errors=list(dict.fromkeys(r.error for r in bad if r.error)),
                    failed=len(bad),
                    rounds=len(cell.rounds),
                )
            )
    return failures
