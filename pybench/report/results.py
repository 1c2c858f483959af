"""What `report` prints: every group's tables, its stamps and failures, and 2016 beside them.

As JSON:

    {"schema": 1, "server": NAME, "setting": {...}, "columns": "conns",
     "tables": {"mps": {ROW: {CONNS: {"mean", "median", "stddev", "dev_pct", "n", "ci95"}}}, ...},
     "warnings": [...], "failures": [...], "reference": {...}}

CONNS is a decimal string. In an open loop "columns" is "rate" and the asked rate stands in its
place; the connections are in the setting. A cell that was not measured is absent; with one round
stddev, dev_pct and ci95 are null; `"at_least": true` marks a lower bound. "ties" are the groups of
rows in the cell's column that are not surely different, 0 that of the best. With results of several
load servers (or message sizes, ...) the document is `{"schema": 1, "groups": [one such object
each]}`, and of several message sizes it has besides
`"by_size": [{"conns": N, "tables": {"mps": {ROW: {BYTES: MEAN}}, ...}}]`; of several numbers of
pings in flight `"by_inflight"`, and of several transports, whose names are their keys,
`"by_transport"`, which are the same with those for BYTES; of several numbers of workers or loops
`"scaling"`, as `scaling.py` says; of several machines of a cluster `"by_machine"`: `machines.py`.

As CSV: one line per table, row and column of it. rate: what was asked for in an open loop, 0 in a
closed one. Warnings are codes; 2016 is left out. An axis on which any of them is not as usual
(`pybench/spec/axes.py`: inflight, idle, ...) has a column of its own.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pybench.analysis.machines import MachineRatios
from pybench.analysis.model import Group
from pybench.analysis.scaling import Scale
from pybench.report.document import Block, Document, Grid, Heading, Remarks, Sentences, notes
from pybench.report.machines import machine_blocks, machine_records
from pybench.report.reference import Reference, ReferenceTable, ThenNow
from pybench.report.scaling import scaling_blocks, scaling_records
from pybench.report.sizes import SizeTables, size_blocks, size_records
from pybench.report.tables import BEST_LEGEND, Entry, GroupTables, Table
from pybench.report.text import MISSING, sentence_case
from pybench.spec import axes
from pybench.units import count_label

SCHEMA: Final = 1

_COLUMNS: Final = (
    *("server", "msize", "runtime_s", "table", "unit", "test", "conns", "rate", "n"),
    *("mean", "median", "stddev", "dev_pct", "ci95_low", "ci95_high", "at_least", "warnings"),
)


def report_document(
    groups: Sequence[GroupTables],
    references: Sequence[Reference | None],
    sizes: Sequence[SizeTables] = (),
    scales: Sequence[Scale] = (),
    machines: Sequence[MachineRatios] = (),
) -> Document:
    """Everything about all groups.

    references: one per group, None where it was not asked for.  sizes: the same by size of message.
    scales: how messages/s grow with workers or loops.
    machines: ratios of what several machines have measured.
    """
    pairs = list(zip(groups, references, strict=True))
    blocks = [block for group, reference in pairs for block in _blocks(group, reference)]
    told = axes_told([group.group for group in groups])
    return Document(
        blocks=[
            *blocks,
            *size_blocks(sizes),
            *scaling_blocks(scales),
            *machine_blocks(machines),
        ],
        columns=(*_COLUMNS, *told),
        lines=[
            [*line, *(getattr(group.group.setting, name) for name in told)]
            for group in groups
            for table in group.tables
            for line in _lines(group, table)
        ],
        record=joined(
            [group_record(group, reference) for group, reference in pairs], sizes, scales, machines
        ),
    )


def axes_told(groups: Iterable[Group]) -> list[str]:
    """The axes that have columns: where one of the groups is not as usual."""
    unusual = [axes.unusual(group.setting) for group in groups]
    return [name for name in axes.AXES if any(name in one for one in unusual)]


def _blocks(group: GroupTables, reference: Reference | None) -> list[Block]:
    blocks: list[Block] = [Heading(sentence_case(group.group.title))]
    blocks += [_grid(table) for table in group.tables]
    if any(table.tied for table in group.tables):
        blocks.append(Remarks([BEST_LEGEND]))
    if reference is not None:
        blocks += [_reference_grid(table) for table in reference.tables]
        if reference.sentences:
            blocks.append(Sentences(reference.sentences))
    return blocks + notes(group.stamps, group.failures)


def _grid(table: Table) -> Grid:
    return Grid(
        title=table.metric.title,
        heads=["Test", *map(count_label, table.counts)],
        rows=[
            [row, *(table.text(row, count, MISSING) for count in table.counts)]
            for row in table.rows
        ],
        stamped=frozenset(
            (table.rows.index(row), table.counts.index(count) + 1)
            for (row, count), entry in table.entries.items()
            if entry.marks
        ),
    )


def _reference_grid(table: ReferenceTable) -> Grid:
    return Grid(
        title=table.title,
        heads=["Test", *map(count_label, table.counts)],
        rows=[
            [row, *(table.text(row, count, MISSING) for count in table.counts)]
            for row in table.rows
        ],
    )


def _lines(group: GroupTables, table: Table) -> list[list[object]]:
    """The table's cells by row and column; what was not measured has no line."""
    setting = group.group.setting
    lines: list[list[object]] = []
    for (row, count), entry in sorted(
        table.entries.items(), key=lambda item: (table.rows.index(item[0][0]), item[0][1])
    ):
        s = entry.summary
        conns, rate = (setting.conns, count) if setting.open_loop else (count, 0)
        where = [setting.server, setting.msize, f"{setting.runtime_s:g}"]
        what = [table.metric.key, table.metric.unit, row, conns, rate, s.n]
        figures = [s.mean, s.median, s.stddev, s.dev_pct, *(s.ci95 or (None, None))]
        codes = " ".join(group.group.cells[row, count].every_code)
        lines.append([*where, *what, *figures, int(entry.at_least), codes])
    return lines


def joined(
    records: Sequence[Mapping[str, Any]],
    sizes: Sequence[SizeTables] = (),
    scales: Sequence[Scale] = (),
    machines: Sequence[MachineRatios] = (),
) -> dict[str, Any]:
    """The groups' records as one: a single one's keys stand at the top, those of several apart."""
    only = records[0] if len(records) == 1 else {"groups": list(records)}
    beside = {"scaling": scaling_records(scales)} if scales else {}
    beside |= {"by_machine": machine_records(machines)} if machines else {}
    return {"schema": SCHEMA, **only, **size_records(sizes), **beside}


def group_record(group: GroupTables, reference: Reference | None = None) -> dict[str, Any]:
    """One group as the object that the module describes."""
    setting = dataclasses.asdict(group.group.setting)
    if not setting["options"]:
        del setting["options"]
    for name in axes.AXES.keys() - axes.unusual(group.group.setting).keys():
        del setting[name]
    result: dict[str, Any] = {
        "server": setting.pop("server"),
        "setting": setting,
        "columns": "rate" if group.group.open_loop else "conns",
        "tables": {table.metric.key: _table_record(table) for table in group.tables},
        "warnings": [
            {"code": s.code, "text": s.text, "remedy": s.remedy, "rounds": s.rounds}
            | {"cells": [list(key) for key in s.cells]}
            for s in group.stamps
        ],
        "failures": [dataclasses.asdict(failure) for failure in group.failures],
    }
    if reference is not None:
        result["reference"] = _reference_record(reference)
    return result


def _table_record(table: Table) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for row in table.rows:
        cells = {
            str(conns): _entry_record(table.entries[row, conns])
            for conns in table.counts
            if (row, conns) in table.entries
        }
        if cells:
            rows[row] = cells
    return rows


def _entry_record(entry: Entry) -> dict[str, Any]:
    s = entry.summary
    cell: dict[str, Any] = {"mean": s.mean, "median": s.median, "stddev": s.stddev}
    cell |= {"dev_pct": s.dev_pct, "n": s.n, "ci95": None if s.ci95 is None else list(s.ci95)}
    cell |= {"ties": list(entry.ties)} if entry.ties else {}
    return cell | ({"at_least": True} if entry.at_least else {})


def _reference_record(reference: Reference) -> dict[str, Any]:
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    for table in reference.tables:
        rows = tables.setdefault(table.key, {})
        for (row, conns), entry in table.entries.items():
            rows.setdefault(row, {})[str(conns)] = _then_now_record(entry)
    return {
        "source": f"2016-{reference.where}",
        "relative_to": reference.relative_to,
        "tables": tables,
        "sentences": list(reference.sentences),
    }


def _then_now_record(entry: ThenNow) -> dict[str, Any]:
    """ci95 null where there is none, an end of it null where a bound opens it."""
    record: dict[str, Any] = {"then": entry.then, "now": entry.now, "ci95": None}
    if entry.ci95 is not None:
        low, high = entry.ci95
        record["ci95"] = [low or None, high if math.isfinite(high) else None]
    return record | ({"verdict": entry.verdict.kind} if entry.verdict else {})
