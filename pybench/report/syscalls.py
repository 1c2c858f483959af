"""System calls per ping as the 2016 report lists them, and what `--explain` prints.

The report's own list is data (`pybench/data/report2016.json`); ours comes from `explain.json`.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TextIO

from pybench.backends.names import canonical, row_order
from pybench.errors import UsageError
from pybench.explain import Explained, Explanation
from pybench.explain.explanation import Cpu
from pybench.explain.layers import layer_order
from pybench.report.document import Block, Document, Format, Grid, write_document
from pybench.report.reference import figures
from pybench.report.text import MISSING

SHOWN_FROM: Final = 0.005  # calls per ping; what would be written 0.00 is left out
WHOLE_WITHIN: Final = 0.03  # how far from a whole number is still written as one

# Rows of which the report has two: one measured in another setting.
_VARIANTS: Final = {"asyncio_sock_local": "asyncio_sock", "thread_no_affinity": "thread"}
_SETTINGS: Final = {"asyncio_sock_local": "local server", "thread_no_affinity": "not pinned"}

TITLE: Final = "System calls per ping"
HEADS: Final = ("Test", "Conns", "2016, 100 connections", "Now")


def formula(per_ping: Mapping[str, float]) -> str:
    """Calls per ping in the report's words: `recvfrom + sendto + 0.01 epoll_wait`."""
    shown = [(name, rate) for name, rate in per_ping.items() if rate >= SHOWN_FROM]
    shown.sort(key=lambda item: (-round(item[1], 1), item[0]))
    return " + ".join(f"{_coefficient(rate)}{name}" for name, rate in shown) or "none"


def _coefficient(rate: float) -> str:
    whole = round(rate)
    if whole >= 1 and abs(rate - whole) <= WHOLE_WITHIN * whole:
        return "" if whole == 1 else f"{whole} "
    return f"{rate:.2f} " if rate < 9.95 else f"{rate:.0f} "


def now_text(cell: Explained) -> str:
    """Our own list for a cell; what could not be counted is `---`."""
    return MISSING if cell.syscalls is None else formula(cell.syscalls.per_ping)


def then_texts(func: str) -> list[str]:
    """The report's lists for a row, by its name then or now: the usual setting first."""
    texts = []
    for name, calls in figures()["syscalls_per_ping_100conns"].items():
        if canonical(_VARIANTS.get(name, name)) == canonical(func):
            note = _SETTINGS.get(name)
            texts.append((note is not None, formula(calls) + (f" ({note})" if note else "")))
    return [text for _, text in sorted(texts)]


def syscall_lines(explanation: Explanation) -> list[tuple[str, str, str, str]]:
    """The table's lines: every row of the report or of ours, a line more for a second setting."""
    ours: dict[str, list[Explained]] = {}
    for cell in explanation.cells:
        ours.setdefault(canonical(cell.func), []).append(cell)
    theirs = figures()["syscalls_per_ping_100conns"]
    rows = {*ours, *(canonical(_VARIANTS.get(name, name)) for name in theirs)}
    lines = []
    for row in sorted(rows, key=row_order):
        then = then_texts(row) or [MISSING]
        now = [
            (_label(cell), str(cell.conns), now_text(cell))
            for cell in sorted(ours.get(row, []), key=lambda cell: cell.conns)
        ] or [(row, MISSING, MISSING)]
        for i in range(max(len(then), len(now))):
            label, conns, text = now[i] if i < len(now) else ("", "", "")
            lines.append((label, conns, then[i] if i < len(then) else "", text))
    return lines


def _label(cell: Explained) -> str:
    """The row, with what distinguishes the cell besides its connections."""
    return cell.cell.removesuffix(f" x {cell.conns}")


def syscalls_document(explanation: Explanation) -> Document:
    """The report's table with ours beside it.

    As JSON `{"schema": 1, "report2016": {ROW: {CALL: per ping}}, "cells": [{"cell", "func",
    "conns", "per_ping": {CALL: per ping} or null}]}`.
    """
    lines = syscall_lines(explanation)
    cells = [
        {
            "cell": cell.cell,
            "func": cell.func,
            "conns": cell.conns,
            "per_ping": None if cell.syscalls is None else dict(cell.syscalls.per_ping),
        }
        for cell in explanation.cells
    ]
    return Document(
        blocks=[Grid(title=TITLE, heads=HEADS, rows=lines, words=True)],
        columns=("test", "conns", "then", "now"),
        lines=lines,
        record={
            "schema": 1,
            "report2016": figures()["syscalls_per_ping_100conns"],
            "cells": cells,
        },
        blank=(1, 0),
    )


def write_explanation(explanation: Explanation, fmt: Format, file: TextIO) -> None:
    """Write what `--explain` found: calls per ping, then the CPU time by layer.

    fmt: table or markdown.  Raises UsageError for another: `explain.json` is for programs.
    """
    if fmt not in ("table", "markdown"):
        raise UsageError(f"an explanation has no format {fmt}: read explain.json")
    write_document(explanation_document(explanation), fmt, file)


def explanation_document(explanation: Explanation) -> Document:
    """Calls per ping, then the CPU time by layer: for people only."""
    calls = [(cell.cell, now_text(cell)) for cell in explanation.cells]
    blocks: list[Block] = [Grid(title=TITLE, heads=("Cell", "Calls"), rows=calls, words=True)]
    sampled = [(cell.cell, cell.cpu) for cell in explanation.cells if cell.cpu is not None]
    if sampled:
        blocks.append(_layers_grid(sampled))
    return Document(blocks=blocks, blank=(1, 0))


def _layers_grid(sampled: Sequence[tuple[str, Cpu]]) -> Grid:
    """The cells' CPU time by layer, layers without a whole half percent anywhere left out."""
    names = list(dict.fromkeys(layer for _, cpu in sampled for layer in cpu.layers))
    layers = [
        layer
        for layer in layer_order(names)
        if any(cpu.layers.get(layer, 0) >= 0.005 for _, cpu in sampled)
    ]
    rows = [
        (
            name,
            f"{cpu.cpu_us_per_ping:.1f}",
            f"{100 * cpu.kernel:.0f}",
            *(_percent(cpu.layers.get(layer, 0.0)) for layer in layers),
        )
        for name, cpu in sampled
    ]
    title = "The worker's CPU time, percent by layer"
    return Grid(title=title, heads=("Cell", "us/ping", "Kernel", *layers), rows=rows, words=True)


def _percent(share: float) -> str:
    """A share as whole percent, nothing for what would be written 0."""
    return f"{100 * share:.0f}" if share >= 0.005 else ""
