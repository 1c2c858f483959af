"""Groups into tables: the one model that every output format writes down."""

import dataclasses
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pybench.analysis import stamps
from pybench.analysis.compare import ratio_of_cells
from pybench.analysis.model import CellRounds, Group
from pybench.analysis.stats import Summary, summarize
from pybench.analysis.steadiness import Mode
from pybench.analysis.ties import column_ties
from pybench.analysis.verdict import METRICS as COMPARED
from pybench.backends.names import canonical
from pybench.errors import UsageError
from pybench.report.metrics import Metric
from pybench.report.text import letters, rate_text, ratio_text, share_text
from pybench.result import Stamp
from pybench.units import count_label

CENSORED_PCT: Final = 0.5
"""With more pings than that without an echo at the end, latencies from the due time are lower
bounds."""
BEST: Final = "*"
BEST_LEGEND: Final = (
    f"{BEST} among the best of its column: no row there is surely better"
    " (95%, all pairs of the column together, paired by round)"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One cell. text: as shown, without marks.  at_least: the number is a lower bound.
    marks: letters of the stamps on the cell, such as `ab`; empty for a clean one.
    ties: groups of rows in its column that are not surely different, 0 that of the best; empty
    where nothing can be said."""

    summary: Summary
    text: str
    at_least: bool
    marks: str
    ties: tuple[int, ...] = ()

    @property
    def best(self) -> bool:
        """Whether no row of its column is surely better."""
        return 0 in self.ties


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
        column = [e for (_, c), e in self.entries.items() if c == count]
        width = max(len(e.marks) for e in column)
        text = entry.text
        if any(e.best for e in column):
            text += f" {BEST}" if entry.best else "  "
        if width:
            text += (f" !{entry.marks}" if entry.marks else "").ljust(width + 2)
        return text

    @property
    def tied(self) -> bool:
        """Whether some cell is marked as among the best."""
        return any(e.best for e in self.entries.values())


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
    def head(self) -> str:
        """`!a unfair (3 rounds: asyncio at 10)`, or `frequency (the whole machine)`."""
        if not self.mark:
            return f"{self.code} (the whole machine)"
        return f"!{self.mark} {self.code} ({self.rounds_text}: {self.where})"

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
    marks = cell_marks(group, stamps)
    ties = {quantity: group_ties(group, quantity) for quantity in {m.quantity for m in metrics}}
    tables = []
    for metric in metrics:
        if metric.name != "rel":
            table = _plain_table(group, metric, marks)
        elif group.open_loop:  # its speeds are what was asked for
            continue
        else:
            table = _relative_table(group, metric, marks, relative_to)
        table = _with_ties(table, ties[metric.quantity])
        if table.entries:
            tables.append(table)
    return GroupTables(group, tables, stamps, collect_failures(group))


def cell_marks(group: Group, stamps: Sequence[StampNote]) -> dict[tuple[str, int], str]:
    """The letters of the stamps on each cell."""
    return {key: "".join(s.mark for s in stamps if key in s.cells) for key in group.cells}


def group_ties(group: Group, quantity: str = "mps") -> dict[tuple[str, int], tuple[int, ...]]:
    """Cell -> its ties in its column; empty for a quantity that verdicts are not asked of.

    An open loop's speeds are what was asked for: nobody is the fastest.
    """
    if quantity == "mb_per_s":  # in a column of one size it is messages/s in other words
        quantity = "mps"
    metric = next((m for m in COMPARED.values() if m.quantity == quantity), None)
    if metric is None or (group.open_loop and quantity == "mps"):
        return {}
    return {
        (row, count): ties
        for count in group.counts
        for row, ties in column_ties(group, count, metric).items()
    }


def _with_ties(table: Table, ties: Mapping[tuple[str, int], tuple[int, ...]]) -> Table:
    entries = {
        key: dataclasses.replace(entry, ties=ties.get(key, ()))
        for key, entry in table.entries.items()
    }
    return dataclasses.replace(table, entries=entries)


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
        scaled = {key: summary.relative_to(smallest) for key, summary in summaries.items()}
    else:
        base = find_row(group, relative_to)
        metric = dataclasses.replace(
            metric, title=f"Relative speed ({base} is 1 at each count)", write=ratio_text
        )
        scaled = {
            key: relative_summary(group.cells[key], group.cells[base, key[1]], metric.quantity)
            for key in summaries
            if (base, key[1]) in summaries
        }
    entries = {
        key: Entry(summary, metric.cell(summary), False, marks[key])
        for key, summary in scaled.items()
    }
    return Table(metric, group.rows, group.counts, entries)


def relative_summary(cell: CellRounds, base: CellRounds, quantity: str) -> Summary:
    """The cell in parts of the base, whose noise is in its interval: both have values above 0.

    Paired by round where they can be: then the rest is of the rounds' ratios, else of the cell's
    own rounds divided by the base's mean.
    """
    estimate, ratios = ratio_of_cells(base, cell, quantity)
    ci95 = (estimate.low, estimate.high) if estimate.df else None
    if ratios:
        spread = summarize(ratios)
    else:
        spread = summarize(cell.values(quantity)).relative_to(
            statistics.fmean(base.values(quantity))
        )
    return dataclasses.replace(spread, mean=estimate.value, ci95=ci95)


def find_row(group: Group, name: str) -> str:
    """The group's row of that name or of its alias. Raises UsageError naming the rows there are."""
    for row in group.rows:
        if name == row or canonical(name) == canonical(row):
            return row
    raise UsageError(f"--relative-to {name}: no such row; there are {', '.join(group.rows)}")


def collect_stamps(group: Group) -> list[StampNote]:
    """Every kind of warning that counts for a cell of the group, by code, each with its mark.

    What is true of the whole machine has none, and stands at the end.
    """
    first: dict[str, Stamp] = {}
    rounds: Counter[str] = Counter()
    cells: dict[str, list[tuple[str, int]]] = {}
    for key in sorted(group.cells, key=lambda k: (group.rows.index(k[0]), k[1])):
        cell = group.cells[key]
        for one in cell.good:
            found = {w.code: w for w in one.warnings if w.code in cell.every_code}
            rounds.update(found.keys())
            first = found | first
        if cell.stamp is not None:
            first.setdefault(cell.stamp.code, cell.stamp)
            rounds[cell.stamp.code] += len(cell.good)
        for code in cell.every_code:
            cells.setdefault(code, []).append(key)
    codes = sorted(first, key=lambda code: (stamps.class_of(code) == "machine", code))
    return [
        StampNote(
            "" if stamps.class_of(code) == "machine" else letters(i),
            code,
            first[code].text,
            first[code].remedy,
            rounds[code],
            cells[code],
        )
        for i, code in enumerate(codes)
    ]


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
