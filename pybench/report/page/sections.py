"""What the page's template shows of a group: sentences, tables, stamps, 2016."""

from collections.abc import Mapping, Sequence
from typing import Any

from pybench.analysis.along import SIZE
from pybench.analysis.model import CellRounds, Group, Round
from pybench.report.page.data import QUANTITIES
from pybench.report.reference import Reference
from pybench.report.sentences import summary_sentences
from pybench.report.sizes import SizeTables
from pybench.report.tables import BEST_LEGEND, GroupTables, Table, collect_stamps
from pybench.report.text import MISSING, sentence_case
from pybench.units import count_label


def section(
    part: GroupTables,
    reference: Reference | None,
    number: int,
    order: Sequence[str],
    counts: Mapping[str, Sequence[int]],
) -> dict[str, Any]:
    """One group for the template.

    part: with every table.  number: of the group on the page, from 0.  order: its rows as they
    are to be listed.  counts: chart -> the columns of which it can show one.
    """
    stamps = {stamp.mark: f"{stamp.code}: {stamp.text}" for stamp in part.stamps}
    tables = {table.metric.name: _table(table, stamps, order) for table in part.tables}
    return {
        "id": f"g{number}",
        "number": number,
        "title": sentence_case(part.group.title),
        "open_loop": part.group.open_loop,
        "axis": part.group.axis,
        "families": part.group.families,
        "sentences": summary_sentences(part.group),
        "tables": tables,
        "counts": {
            chart: [(count, count_label(count)) for count in found]
            for chart, found in counts.items()
        },
        "stamps": [stamp for stamp in part.stamps if stamp.mark],
        "of_machine": [stamp for stamp in part.stamps if not stamp.mark],
        "best_legend": BEST_LEGEND if any(table.tied for table in part.tables) else "",
        "warnings": row_warnings(part.group),
        "failures": part.failures,
        "reference": None if reference is None else _reference(reference),
    }


def size_section(found: Sequence[SizeTables], number: int, order: Sequence[str]) -> dict[str, Any]:
    """One setting by size of message for the template.

    found: a number of connections each.  number: of its data, behind the groups.  order: of rows.
    """
    groups = [group for group, _ in found]
    return {
        "id": f"s{number}",
        "number": number,
        "title": sentence_case(groups[0].setting_title),
        "axis": "connections",
        "by": groups[0].along.by,
        "quantities": QUANTITIES[groups[0].along.name],
        "bytes": groups[0].along is SIZE,
        "families": {row: name for group in groups for row, name in group.families.items()},
        "counts": {"size": [(group.conns, count_label(group.conns)) for group in groups]},
        "parts": [
            {
                "where": sentence_case(group.setting.at(group.conns)),
                "tables": [
                    _table(table, {}, order)
                    | {"bars": False, "heads": [group.label(c) for c in table.counts]}
                    for table in tables
                ],
            }
            for group, tables in found
        ],
    }


def _table(table: Table, stamps: Mapping[str, str], order: Sequence[str]) -> dict[str, Any]:
    """Heads and cells, rows in that order.

    A cell has its text, the number it sorts by, its share of the table's largest, its marks and
    what they mean, and whether it is among the best of its column.
    """
    shown = {key: table.metric.value(entry.summary) for key, entry in table.entries.items()}
    largest = max(shown.values(), default=0.0) or 1.0
    lines = []
    for row in sorted(table.rows, key=order.index):
        cells = []
        for count in table.counts:
            entry = table.entries.get((row, count))
            cells.append(
                {"text": MISSING, "sort": "", "share": 0, "marks": "", "why": "", "best": False}
                if entry is None
                else {
                    "text": " ".join(entry.text.split()),
                    "sort": repr(shown[row, count]),
                    "share": round(100 * shown[row, count] / largest, 1),
                    "marks": entry.marks,
                    "best": entry.best,
                    "why": "\n".join(stamps[mark] for mark in _each_mark(entry.marks, stamps)),
                }
            )
        lines.append({"row": row, "cells": cells})
    return {
        "name": table.metric.name,
        "title": table.metric.title,
        "heads": [count_label(c) for c in table.counts],
        "lines": lines,
        "bars": table.metric.name == "mps",
    }


def _each_mark(marks: str, known: Mapping[str, str]) -> list[str]:
    """The single marks in a cell's `ab`; with more than 26 kinds a mark may have two letters."""
    if all(mark in known for mark in marks):
        return list(marks)
    return [mark for mark in known if mark in marks]


def row_warnings(group: Group) -> list[dict[str, Any]]:
    """For each row its stamps: mark, code, the cells, every distinct text, the remedy."""
    found = []
    all_stamps = [stamp for stamp in collect_stamps(group) if stamp.mark]
    for row in group.rows:
        items = []
        for stamp in all_stamps:
            cells = [group.cells[key] for key in stamp.cells if key[0] == row]
            if not cells:
                continue
            of_rounds = [r for c in cells for r in c.good if _has(r, stamp.code)]
            items.append(
                {
                    "mark": stamp.mark,
                    "code": stamp.code,
                    "where": ", ".join(count_label(cell.column) for cell in cells),
                    "rounds": len(of_rounds),
                    "texts": _texts(cells, stamp.code),
                    "remedy": stamp.remedy,
                }
            )
        if items:
            found.append({"row": row, "stamps": items})
    return found


def _has(one: Round, code: str) -> bool:
    return any(warning.code == code for warning in one.warnings)


def _texts(cells: Sequence[CellRounds], code: str, most: int = 3) -> list[str]:
    """The first distinct texts of a warning, and how many more there are."""
    texts = list(
        dict.fromkeys(
            w.text for cell in cells for r in cell.good for w in r.warnings if w.code == code
        )
    )
    more = len(texts) - most
    return texts[:most] + ([f"and {more} more like these"] if more > 0 else [])


def _reference(reference: Reference) -> dict[str, Any]:
    return {
        "where": reference.where,
        "relative_to": reference.relative_to,
        "sentences": reference.sentences,
        "tables": [
            {
                "title": table.title,
                "heads": [count_label(c) for c in table.counts],
                "lines": [
                    {"row": row, "cells": [table.text(row, c, MISSING) for c in table.counts]}
                    for row in table.rows
                ],
            }
            for table in reference.tables
        ],
    }
