"""Tables whose columns are sizes of a message, pings in flight or transports, behind those of each
of these by itself."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from pybench.analysis.along import Along, AlongGroup, side_by_side
from pybench.analysis.model import Group
from pybench.report.document import Block, Grid, Heading, Remarks
from pybench.report.metrics import METRICS, Metric
from pybench.report.tables import BEST_LEGEND, Entry, Table, build_tables
from pybench.report.text import MISSING, sentence_case
from pybench.spec import axes

USUAL: Final = {
    "size": ("mps", "mbps", "cpu"),
    "inflight": ("mps", "lat50", "cpu"),
    "transport": ("mps", "lat50", "cpu"),
}
"""The tables when none were asked for, by what they are along."""

SizeTables = tuple[AlongGroup, Sequence[Table]]


def size_tables(
    groups: Sequence[Group], metrics: Sequence[Metric] | None = None
) -> list[SizeTables]:
    """Of each number of connections that has several sizes, then of each that has several numbers
    of pings in flight, or transports. metrics: USUAL unless told."""
    families = side_by_side(groups)
    return [(group, tables_of(group, metrics)) for family in families for group in family]


def tables_of(group: AlongGroup, metrics: Sequence[Metric] | None = None) -> list[Table]:
    """Of one number of connections. Stamps mark the cells of each size's own tables, not these."""
    wanted = metrics or [METRICS[name] for name in USUAL[group.along.name]]
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
        blocks.append(Heading(f"{sentence_case(group.title)}, by {group.along.by}"))
        blocks += [size_grid(group, table) for table in tables]
    tied = any(table.tied for _, tables in found for table in tables)
    return [*blocks, Remarks([BEST_LEGEND])] if tied else blocks


def size_grid(group: AlongGroup, table: Table) -> Grid:
    """One table; its heads are sizes in bytes, or what else it is by."""
    return Grid(
        title=f"{table.metric.title}, by {group.axis}",
        heads=["Test", *map(group.label, table.counts)],
        rows=[[row, *(table.text(row, c, MISSING) for c in table.counts)] for row in table.rows],
    )


def size_records(found: Sequence[SizeTables]) -> dict[str, list[dict[str, Any]]]:
    """The same for JSON: `{"by_size": [{"conns": N, "tables": {KEY: {ROW: {BYTES: MEAN}}}}]}`, and
    `by_inflight` and `by_transport` likewise; what there is none of is no key."""
    records: dict[str, list[dict[str, Any]]] = {}
    for group, tables in found:
        same = {"msize": group.setting.msize} | axes.unusual(group.setting)
        of = {
            "conns": group.conns,
            **{name: value for name, value in same.items() if name != group.along.key},
            "tables": {table.metric.key: _means(table, group.along) for table in tables},
        }
        records.setdefault(f"by_{group.along.name}", []).append(of)
    return records


def _means(table: Table, along: Along) -> dict[str, dict[str, float]]:
    rows: dict[str, dict[str, float]] = {}
    for (row, column), entry in table.entries.items():
        rows.setdefault(row, {})[along.recorded(column)] = table.metric.value(entry.summary)
    return rows
