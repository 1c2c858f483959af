"""What a finished run prints: one line per cell, its stamps, and what went wrong."""

from collections.abc import Sequence
from typing import Any, Final, TextIO

from pybench.analysis.machines import by_machine
from pybench.analysis.model import CellRounds, Group, group_rounds, rounds_of_section
from pybench.analysis.race import Contest
from pybench.analysis.scaling import scales_of
from pybench.report.document import (
    Block,
    Document,
    Format,
    Grid,
    Remarks,
    notes,
    write_document,
)
from pybench.report.machines import machine_blocks
from pybench.report.metrics import METRICS
from pybench.report.ranking import with_races
from pybench.report.results import axes_told, group_record, joined
from pybench.report.scaling import scaling_blocks
from pybench.report.sizes import size_blocks, size_tables
from pybench.report.tables import (
    BEST,
    BEST_LEGEND,
    CENSORED_PCT,
    GroupTables,
    build_tables,
    cell_marks,
    modes_text,
)
from pybench.report.text import MISSING, duration_text, sentence_case
from pybench.result import Result
from pybench.units import count_label

_LATENCIES: Final = ("latmean_ns", "lat50_ns", "lat95_ns", "lat99_ns", "latmax_ns")
_DUE_LATENCIES: Final = ("due50_ns", "due99_ns", "duemax_ns")

_COLUMNS: Final[dict[str, str]] = {
    "latmean_ns": "Mean",
    "lat50_ns": "p50",
    "lat95_ns": "p95",
    "lat99_ns": "p99",
    "latmax_ns": "Max",
    "due50_ns": "Due p50",
    "due99_ns": "Due p99",
    "duemax_ns": "Due max",
}
_CLOSED: Final = _LATENCIES
_OPEN: Final = ("due50_ns", "due99_ns", "duemax_ns", "lat50_ns", "lat99_ns")

_NAMES: Final = ("Test", "Conns")
_SHARES: Final = ("User %", "CPU us/msg", "Gen. queue", "Fairness")


def run_summary(
    results: Sequence[Result], fmt: Format, file: TextIO, contests: Sequence[Contest] = ()
) -> None:
    """Write the results of one run, and of the races behind it."""
    document = summary_document(results)
    write_document(with_races(document, contests) if contests else document, fmt, file)


def summary_document(results: Sequence[Result]) -> Document:
    """The results of one run, failed rows as well.

    Latencies are medians of the rounds, the maximum is the largest of all; the rest are means.
    `Due` latencies of an open loop count from when a ping was due, the others from when it was
    sent; `>=` before them: more than CENSORED_PCT of the pings had no echo at the end of the
    window, and count as far as they got. `Gen. queue` is the share of the latency that passed in
    the load server's own queue.
    As JSON: the object of `results` for each group, with all tables, and its cells' figures under
    `cells`; as CSV those figures, a line each. Of several sizes of a message there are tables by
    size behind the others, of several numbers of workers or loops how messages/s grow with them.
    """
    found = group_rounds(rounds_of_section(results))
    groups = [build_tables(group, list(METRICS.values())) for group in found]
    sizes, scales, machines = size_tables(found), scales_of(found), by_machine(found)
    told = axes_told(found)
    cells = [[_record(c, told) for c in _ordered(group.group)] for group in groups]
    every = [record for records in cells for record in records]
    return Document(
        blocks=[
            *(block for group in groups for block in _blocks(group)),
            *size_blocks(sizes),
            *scaling_blocks(scales),
            *machine_blocks(machines),
        ],
        columns=list(every[0]) if every else (),
        lines=[_csv_line(record) for record in every],
        record=joined(
            [
                group_record(group) | {"cells": records}
                for group, records in zip(groups, cells, strict=True)
            ],
            sizes,
            scales,
            machines,
        ),
        blank=(0, 1),
    )


def _ordered(group: Group) -> list[CellRounds]:
    """The cells by column, then in the order of rows: what competes stands together."""
    return sorted(group.cells.values(), key=lambda c: (c.column, group.rows.index(c.func)))


def _heads(group: Group) -> list[str]:
    rate = ["Rate"] if group.open_loop else []
    latencies = [_COLUMNS[key] for key in _latencies(group)]
    return [*_NAMES, *rate, "Messages/s", *latencies, *_SHARES]


def _speed_column(group: Group) -> int:
    """Where the stamps are."""
    return len(_NAMES) + group.open_loop


def _latencies(group: Group) -> tuple[str, ...]:
    return _OPEN if group.open_loop else _CLOSED


def _line(group: Group, cell: CellRounds, tail: str) -> list[str]:
    """The cell's line in the table; a cell without a good round is all missing but its name.

    tail: what follows its speed, as wide in each line.
    """
    figures = _record(cell)
    name = [cell.func, count_label(figures["conns"])]
    if group.open_loop:
        name.append(count_label(figures["rate"]))
    summary = cell.summary("mps")
    if summary is None:
        return name + [MISSING] * (len(_heads(group)) - len(name))
    at_least = max(cell.values("censored_pct"), default=0) > CENSORED_PCT
    latencies = [
        MISSING
        if figures[key] is None
        else (">=" if at_least and key in _DUE_LATENCIES else "") + duration_text(figures[key])
        for key in _latencies(group)
    ]
    speed = modes_text(cell.modes) if cell.modes else METRICS["mps"].cell(summary)
    return [*name, speed + tail, *latencies, *_shares(figures)]


def _shares(figures: dict[str, Any]) -> list[str]:
    jain, queue = figures["jain"], figures["server_queue_pct"]
    fairness = MISSING if jain is None else METRICS["jain"].write(jain)
    if figures["starved"]:
        fairness += f", {figures['starved']:.0f} starved"
    user, cpu = figures["user_pct"], figures["cpu_us_per_msg"]
    return [
        MISSING if user is None else METRICS["user"].write(user),
        MISSING if cpu is None else METRICS["cpu"].write(cpu),
        MISSING if queue is None else f"{METRICS['queue'].write(queue)}%",
        fairness,
    ]


def _record(cell: CellRounds, told: Sequence[str] = ()) -> dict[str, Any]:
    """The cell's figures, unrounded; None where there is none.

    told: axes to say where it stands on.
    """
    setting = cell.rounds[0].setting
    mps, megabytes = cell.summary("mps"), cell.summary("mb_per_s")
    record: dict[str, Any] = {
        "func": cell.func,
        "conns": cell.rounds[0].conns,
        "rate": cell.rounds[0].rate,
        "msize": setting.msize,
        **{name: getattr(setting, name) for name in told},
        "rounds": len(cell.good),
        "failed": len(cell.rounds) - len(cell.good),
        "mps": mps.mean if mps else None,
        "dev_pct": mps.dev_pct if mps else None,
        "mb_per_s": megabytes.mean if megabytes else None,
    }
    for quantity in (*_LATENCIES, *_DUE_LATENCIES):
        values = cell.summary(quantity)
        record[quantity] = values.median if values else None
    for quantity in ("latmax_ns", "duemax_ns"):
        record[quantity] = max(cell.values(quantity), default=None)
    for quantity in ("user_pct", "cpu_us_per_msg", "jain", "server_queue_pct"):
        values = cell.summary(quantity)
        record[quantity] = values.mean if values else None
    for quantity in ("starved", "lost", "late_pct", "unsent_pct"):
        record[quantity] = max(cell.values(quantity), default=None)
    record["warnings"] = list(cell.every_code)
    record["errors"] = list(dict.fromkeys(r.error for r in cell.rounds if r.error))
    return record


def _csv_line(record: dict[str, Any]) -> list[object]:
    codes, errors = " ".join(record["warnings"]), "; ".join(record["errors"])
    return list((record | {"warnings": codes, "errors": errors}).values())


def _blocks(group: GroupTables) -> list[Block]:
    rows = _rows(group)
    column = _speed_column(group.group)
    grid = Grid(
        title=sentence_case(group.group.title),
        heads=_heads(group.group),
        rows=rows,
        fixed=column,
        stamped=frozenset((i, column) for i, row in enumerate(rows) if " !" in row[column]),
        main=True,
    )
    legend: list[Block] = [Remarks([BEST_LEGEND])] if _best(group) else []
    return [grid, *legend, *notes(group.stamps, group.failures)]


def _best(group: GroupTables) -> set[tuple[str, int]]:
    """The cells that are among the best of their column."""
    speeds = next((t for t in group.tables if t.metric.name == "mps"), None)
    return set() if speeds is None else {key for key, e in speeds.entries.items() if e.best}


def _rows(group: GroupTables) -> list[list[str]]:
    """The lines, figures under each other, marks or not."""
    marks, best = cell_marks(group.group, group.stamps), _best(group)
    width = max((len(mark) for mark in marks.values()), default=0)

    def tail(key: tuple[str, int]) -> str:
        text = (f" {BEST}" if key in best else "  ") if best else ""
        stamped = f" !{marks[key]}" if marks[key] else ""
        return text + (stamped.ljust(width + 2) if width else "")

    return [
        _line(group.group, cell, tail((cell.func, cell.column))) for cell in _ordered(group.group)
    ]
