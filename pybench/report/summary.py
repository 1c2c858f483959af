"""What a finished run prints: one line per cell, its stamps, and what went wrong."""

import csv
import json
from collections.abc import Sequence
from typing import Any, Final, Literal, TextIO

from pybench.report.json_format import SCHEMA, group_object
from pybench.report.metrics import METRICS
from pybench.report.model import Cell, Group, group_rounds, rounds_of_section
from pybench.report.tables import GroupTables, build_tables
from pybench.report.text import MISSING, count_label, duration_text, sentence_case
from pybench.result import Result

Format = Literal["table", "json", "csv", "markdown"]

_LATENCIES: Final = ("latmean_ns", "lat50_ns", "lat95_ns", "lat99_ns", "latmax_ns")

_HEADS: Final = (
    *("Test", "Conns", "Messages/s", "Mean", "p50", "p95", "p99", "Max"),
    *("User %", "CPU us/msg", "Fairness"),
)


def run_summary(results: Sequence[Result], fmt: Format, file: TextIO) -> None:
    """Write the results of one run.

    fmt `table` needs rich, the others only the standard library. Latencies are medians of the
    rounds, the maximum is the largest of all; the rest are means. Failed rows are shown as well.
    """
    groups = [
        build_tables(group, list(METRICS.values()))
        for group in group_rounds(rounds_of_section(results))
    ]
    if fmt == "json":
        _write_json(groups, file)
    elif fmt == "csv":
        _write_csv(groups, file)
    elif fmt == "markdown":
        _write_markdown(groups, file)
    else:
        _print_table(groups, file)


def _ordered(group: Group) -> list[Cell]:
    """The cells by count, then in the order of rows: what competes stands together."""
    return sorted(group.cells.values(), key=lambda c: (c.conns, group.rows.index(c.func)))


def _line(cell: Cell, marks: str) -> list[str]:
    """The cell's line in the table; a cell without a good round is all missing but its name."""
    name = [cell.func, count_label(cell.conns)]
    summary = cell.summary("mps")
    if summary is None:
        return name + [MISSING] * (len(_HEADS) - 2)
    figures = _record(cell)
    latencies = [
        MISSING if figures[key] is None else duration_text(figures[key]) for key in _LATENCIES
    ]
    speed = METRICS["mps"].cell(summary) + (f" !{marks}" if marks else "")
    return [*name, speed, *latencies, *_shares(figures)]


def _shares(figures: dict[str, Any]) -> list[str]:
    user, cpu, jain = figures["user_pct"], figures["cpu_us_per_msg"], figures["jain"]
    fairness = MISSING if jain is None else METRICS["jain"].write(jain)
    if figures["starved"]:
        fairness += f", {figures['starved']:.0f} starved"
    return [
        MISSING if user is None else METRICS["user"].write(user),
        MISSING if cpu is None else METRICS["cpu"].write(cpu),
        fairness,
    ]


def _record(cell: Cell) -> dict[str, Any]:
    """The cell's figures, unrounded; None where there is none."""
    mps = cell.summary("mps")
    record: dict[str, Any] = {
        "func": cell.func,
        "conns": cell.conns,
        "msize": cell.rounds[0].setting.msize,
        "rounds": len(cell.good),
        "failed": len(cell.rounds) - len(cell.good),
        "mps": mps.mean if mps else None,
        "dev_pct": mps.dev_pct if mps else None,
    }
    for quantity in _LATENCIES:
        values = cell.summary(quantity)
        record[quantity] = values.median if values else None
    record["latmax_ns"] = max(cell.values("latmax_ns"), default=None)
    for quantity in ("user_pct", "cpu_us_per_msg", "jain"):
        values = cell.summary(quantity)
        record[quantity] = values.mean if values else None
    for quantity in ("starved", "lost"):
        record[quantity] = max(cell.values(quantity), default=None)
    record["warnings"] = list(cell.codes)
    record["errors"] = list(dict.fromkeys(r.error for r in cell.rounds if r.error))
    return record


def _grid(group: GroupTables) -> list[list[str]]:
    by_code = {stamp.code: stamp.mark for stamp in group.stamps}
    lines = [
        _line(cell, "".join(by_code[code] for code in cell.codes)) for cell in _ordered(group.group)
    ]
    width = max((len(line[2].partition(" !")[2]) for line in lines), default=0)
    if width:  # figures under each other, marks or not
        for line in lines:
            speed, _, marks = line[2].partition(" !")
            tail = f" !{marks}" if marks else ""
            line[2] = line[2] if speed == MISSING else speed + tail.ljust(width + 2)
    return lines


def _print_table(groups: Sequence[GroupTables], file: TextIO) -> None:
    from pybench.report.terminal import make_console, print_grid, print_notes

    console = make_console(file)
    for group in groups:
        body = _grid(group)
        stamped = {(number, 2) for number, line in enumerate(body) if " !" in line[2]}
        title = sentence_case(group.group.title)
        print_grid(console, title, _HEADS, body, fixed=2, stamped=stamped)
        print_notes(console, group.stamps, group.failures)


def _write_markdown(groups: Sequence[GroupTables], file: TextIO) -> None:
    from pybench.report.markdown import grid, notes

    for group in groups:
        body = [[cell.rstrip() for cell in line] for line in _grid(group)]
        parts = [f"## {sentence_case(group.group.title)}", grid(_HEADS, body)]
        file.write("\n\n".join(parts + notes(group.stamps, group.failures)) + "\n\n")


def _write_csv(groups: Sequence[GroupTables], file: TextIO) -> None:
    records = [_record(cell) for group in groups for cell in _ordered(group.group)]
    if not records:
        return
    writer = csv.DictWriter(file, list(records[0]), lineterminator="\n")
    writer.writeheader()
    for record in records:
        joined = {"warnings": " ".join(record["warnings"]), "errors": "; ".join(record["errors"])}
        writer.writerow(record | joined)


def _write_json(groups: Sequence[GroupTables], file: TextIO) -> None:
    objects = [
        group_object(group) | {"cells": [_record(cell) for cell in _ordered(group.group)]}
        for group in groups
    ]
    document = objects[0] if len(objects) == 1 else {"groups": objects}
    json.dump({"schema": SCHEMA} | document, file, indent=1)
    file.write("\n")
