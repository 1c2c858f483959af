"""Tables whose columns are sizes of a message, behind those of each size by itself."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from pybench.analysis.bysize import SizeGroup, by_size
from pybench.analysis.model import Group
from pybench.report.document import Block, Grid, Heading, Remarks
from pybench.report.metrics import METRICS, Metric
from pybench.report.tables import BEST_LEGEND, Entry, Table, build_tables
from pybench.report.text import MISSING, sentence_case
from pybench.units import count_label

USUAL: Final = ("mps", "mbps", "cpu")
"""The tables when none were asked for."""

SizeTables = tuple[SizeGroup, Sequence[Table]]


def size_tables(
    groups: Sequence[Group], metrics: Sequence[Metric] | None = None
) -> list[SizeTables]:
    """Of each number of connections that has several sizes. metrics: USUAL unless told."""
    return [(group, tables_of(group, metrics)) for family in by_size(groups) for group in family]


def tables_of(group: SizeGroup, metrics: Sequence[Metric] | None = None) -> list[Table]:
    """Of one number of connections. Stamps mark the cells of each size's own tables, not these."""
    wanted = metrics or [METRICS[name] for name in USUAL]
    wanted = [metric for metric in wanted if metric.name != "rel"]
    return [_unmarked(table) for table in build_tables(group, wanted).tables]


def _unmarked(table: Table) -> Table:
    entries = {key: _without_marks(entry) for key, entry in table.entries.items()}
    return dataclasses.replace(table, entries=entries)


def _without_marks(entry: Entry) -> Entry:
    return dataclasses.replace(entry, marks="")


def size_blocks(found: Sequence[SizeTables]) -> list[Block]:
    """The tables for people."""
    blocks: list[Block] = []
    for group, tables in found:
        blocks.append(Heading(f"{sentence_case(group.title)}, by size of message"))
        blocks += [size_grid(group, table) for table in tables]
    tied = any(table.tied for _, tables in found for table in tables)
    return [*blocks, Remarks([BEST_LEGEND])] if tied else blocks


def size_grid(group: SizeGroup, table: Table) -> Grid:
    """One table; its heads are sizes in bytes."""
    return Grid(
        title=f"{table.metric.title}, by {group.axis}",
        heads=["Test", *map(count_label, table.counts)],
        rows=[[row, *(table.text(row, c, MISSING) for c in table.counts)] for row in table.rows],
    )


def size_records(found: Sequence[SizeTables]) -> list[dict[str, Any]]:
    """The same for JSON: `[{"conns": N, "tables": {KEY: {ROW: {BYTES: MEAN}}}}]`."""
    return [
        {
            "conns": group.conns,
            "tables": {table.metric.key: _means(table) for table in tables},
        }
        for group, tables in found
    ]


def _means(table: Table) -> dict[str, dict[str, float]]:
    rows: dict[str, dict[str, float]] = {}
    for (row, size), entry in table.entries.items():
        rows.setdefault(row, {})[str(size)] = table.metric.value(entry.summary)
    return rows
