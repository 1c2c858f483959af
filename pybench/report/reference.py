"""The figures of the 2016 report beside ours, as ratios to one row: machine speed drops out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from pybench.analysis.compare import ratio_of_cells, side_stamps_of
from pybench.analysis.model import Group
from pybench.analysis.verdict import METRICS as COMPARED
from pybench.analysis.verdict import (
    Verdict,
    decide_family,
    interval_words,
    share_words,
)
from pybench.backends.names import canonical, row_order
from pybench.errors import UsageError
from pybench.report.metrics import METRICS
from pybench.report.tables import find_row
from pybench.report.text import ratio_text
from pybench.units import count_label

CHOICES: Final = ("2016", "2016-local", "2016-remote")

_DEFAULT_ROW = "c_epoll"


@dataclass(frozen=True, slots=True)
class ThenNow:
    """One cell of 2016 and of today, both relative to the same row at the same count.

    ci95: of `now`, the noise of both rows in it; None for a single round, and for what is no ratio.
    verdict: on now / then; what was printed then is taken for exact.
    """

    then: float
    now: float
    ci95: tuple[float, float] | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True)
class ReferenceTable:
    """One quantity then and now. key: `mps`, `lat95_ns` or `user_pct`; the last is no ratio."""

    key: str
    title: str
    rows: Sequence[str]
    counts: Sequence[int]
    entries: Mapping[tuple[str, int], ThenNow]

    def text(self, row: str, count: int, missing: str) -> str:
        """`0.60 -> 0.62`."""
        entry = self.entries.get((row, count))
        if entry is None:
            return missing
        if self.key == "user_pct":
            return f"{entry.then:.0f} -> {entry.now:.0f}"
        return f"{ratio_text(entry.then)} -> {ratio_text(entry.now)}"


@dataclass(frozen=True, slots=True)
class Reference:
    """All that can be set beside 2016. where: `local` or `remote`, which of its servers."""

    where: str
    relative_to: str
    tables: Sequence[ReferenceTable]
    sentences: Sequence[str]


@cache
def figures() -> Any:
    """The report's figures, as carried in `pybench/data`: table -> row -> connections -> figure."""
    text = files("pybench").joinpath("data/report2016.json").read_text(encoding="utf-8")
    return json.loads(text)


def build_reference(group: Group, choice: str, relative_to: str | None) -> Reference:
    """What the group and the report of 2016 have in common.

    choice: one of CHOICES; plain `2016` takes the report's local figures for a local load server
    and the remote ones for any other.  relative_to: the row that is 1; by default c_epoll.
    Raises UsageError when the group lacks that row.
    """
    where = choice.partition("-")[2] or ("local" if group.local else "remote")
    if relative_to is None and not any(canonical(r) == _DEFAULT_ROW for r in group.rows):
        rows = ", ".join(group.rows)
        raise UsageError(f"--reference: no {_DEFAULT_ROW} here: give --relative-to, one of {rows}")
    base = find_row(group, relative_to or _DEFAULT_ROW)
    mps = _ratios(group, "mps", f"mps_{where}", base)
    tables = [_table(group, "mps", f"Messages per second relative to {base}: 2016 -> now", mps)]
    if where == "remote":
        lat95 = _ratios(group, "lat95_ns", "lat95_remote_ns", base)
        title = f"95th percentile of latency relative to {base}: 2016 -> now"
        tables.append(_table(group, "lat95_ns", title, lat95))
    user = {
        (row, 1000): ThenNow(then, summary.mean)
        for row in group.rows
        if (then := _then("user_mode_percent_1k", row)) is not None
        and (summary := group.summary(row, 1000, "user_pct")) is not None
    }
    tables.append(_table(group, "user_pct", f"{METRICS['user'].title}: 2016 -> now", user))
    kept = [table for table in tables if table.entries]
    return Reference(where, base, kept, _sentences(mps, base))


def _then(table: str, row: str, count: int | None = None) -> float | None:
    """The report's figure for the row, by its name then or now; None when it has none."""
    for name, cells in figures()[table].items():
        if canonical(name) == canonical(row):
            figure = cells if count is None else cells.get(str(count))
            if isinstance(figure, list):
                figure = figure[0]
            return float(figure) if isinstance(figure, int | float) else None  # not `>1s`
    return None


def _ratios(group: Group, quantity: str, table: str, base: str) -> dict[tuple[str, int], ThenNow]:
    """The cells that both have, where both also have the base row; all changes are one family."""
    thens: dict[tuple[str, int], float] = {}
    members = []
    for (row, count), cell in group.cells.items():
        against = group.cells.get((base, count))
        then, then_base = _then(table, row, count), _then(table, base, count)
        if not (then and then_base and against and not cell.at_least(quantity)):
            continue
        if min([*cell.values(quantity), *against.values(quantity)], default=0) <= 0 or not (
            cell.values(quantity) and against.values(quantity)
        ):
            continue
        estimate, _ = ratio_of_cells(against, cell, quantity)
        thens[row, count] = then / then_base
        members.append(
            (estimate.scaled(then_base / then), side_stamps_of(cell), side_stamps_of(against))
        )
    metric = COMPARED["mps" if quantity == "mps" else "p50"]
    verdicts = decide_family(members, metric=metric)
    return {
        key: _then_now(then, verdict)
        for (key, then), verdict in zip(thens.items(), verdicts, strict=True)
    }


def _then_now(then: float, verdict: Verdict) -> ThenNow:
    now = verdict.estimate.scaled(then)
    return ThenNow(then, now.value, (now.low, now.high) if now.df else None, verdict)


def _table(
    group: Group, key: str, title: str, entries: Mapping[tuple[str, int], ThenNow]
) -> ReferenceTable:
    rows = [row for row in group.rows if any(row == r for r, _ in entries)]
    counts = [count for count in group.counts if any(count == c for _, c in entries)]
    return ReferenceTable(key, title, rows, counts, entries)


def _sentences(entries: Mapping[tuple[str, int], ThenNow], base: str) -> list[str]:
    """The speeds in words, at the largest count that has most of the rows."""
    others = [(row, count) for row, count in entries if row != base]
    if not others:
        return []
    counts = [count for _, count in others]
    most = max(counts.count(c) for c in counts)
    chosen = max(c for c in counts if counts.count(c) >= 0.8 * most)
    return [
        f"{row} was {ratio_text(entries[row, count].then)} of {base} at {count_label(count)} "
        f"connections in 2016, {_now_words(entries[row, count])}."
        for row, count in sorted(others, key=lambda key: row_order(key[0]))
        if count == chosen
    ]


def _now_words(entry: ThenNow) -> str:
    """`0.62 now (95% CI 0.58 to 0.66: undecided)`: whether the figure is another than then."""
    verdict = entry.verdict
    if verdict is None or not verdict.estimate.df:
        return f"{ratio_text(entry.now)} now"
    changes = {"equal": f"equal within {share_words(verdict.margin)}", "undecided": "undecided"}
    more = "more" if verdict.estimate.value > 1 else "less"
    interval = interval_words(verdict.estimate.scaled(entry.then))
    return f"{ratio_text(entry.now)} now (95% CI {interval}: {changes.get(verdict.kind, more)})"
