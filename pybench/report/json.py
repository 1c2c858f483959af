"""Tables as one JSON document, for programs.

    {"schema": 1, "server": NAME, "setting": {...}, "columns": "conns",
     "tables": {"mps": {ROW: {CONNS: {"mean", "median", "stddev", "dev_pct", "n", "ci95"}}}, ...},
     "warnings": [...], "failures": [...], "reference": {...}}

CONNS is a decimal string. In an open loop "columns" is "rate" and the asked rate stands in its
place; the connections are in the setting. A cell that was not measured is absent; with one round
stddev, dev_pct and ci95 are null; `"at_least": true` marks a lower bound. With results of several
load servers (or message sizes, ...) the document is `{"schema": 1, "groups": [one such object
each]}`.
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any, TextIO

from pybench.report.reference import Reference
from pybench.report.tables import Entry, GroupTables, Table

SCHEMA = 1


def write_json(
    groups: Sequence[GroupTables], references: Sequence[Reference | None], file: TextIO
) -> None:
    """Write the document, indented, with a newline at its end."""
    objects = [group_object(g, r) for g, r in zip(groups, references, strict=True)]
    document = objects[0] if len(objects) == 1 else {"groups": objects}
    json.dump({"schema": SCHEMA} | document, file, indent=1)
    file.write("\n")


def group_object(group: GroupTables, reference: Reference | None = None) -> dict[str, Any]:
    """One group as the object that the module describes."""
    setting = dataclasses.asdict(group.group.setting)
    result: dict[str, Any] = {
        "server": setting.pop("server"),
        "setting": setting,
        "columns": "rate" if group.group.open_loop else "conns",
        "tables": {table.metric.key: _table(table) for table in group.tables},
        "warnings": [
            {"code": s.code, "text": s.text, "remedy": s.remedy, "rounds": s.rounds}
            | {"cells": [list(key) for key in s.cells]}
            for s in group.stamps
        ],
        "failures": [dataclasses.asdict(failure) for failure in group.failures],
    }
    if reference is not None:
        result["reference"] = _reference(reference)
    return result


def _table(table: Table) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    for row in table.rows:
        cells = {
            str(conns): _entry(table.entries[row, conns])
            for conns in table.counts
            if (row, conns) in table.entries
        }
        if cells:
            rows[row] = cells
    return rows


def _entry(entry: Entry) -> dict[str, Any]:
    s = entry.summary
    cell: dict[str, Any] = {"mean": s.mean, "median": s.median, "stddev": s.stddev}
    cell |= {"dev_pct": s.dev_pct, "n": s.n, "ci95": None if s.ci95 is None else list(s.ci95)}
    return cell | ({"at_least": True} if entry.at_least else {})


def _reference(reference: Reference) -> dict[str, Any]:
    tables: dict[str, dict[str, dict[str, Any]]] = {}
    for table in reference.tables:
        rows = tables.setdefault(table.key, {})
        for (row, conns), entry in table.entries.items():
            rows.setdefault(row, {})[str(conns)] = {"then": entry.then, "now": entry.now}
    return {
        "source": f"2016-{reference.where}",
        "relative_to": reference.relative_to,
        "tables": tables,
        "sentences": list(reference.sentences),
    }
