"""System calls per ping as the 2016 report lists them, and what `--explain` prints.

The report's own list is data (`pybench/data/report2016.json`); ours comes from `explain.json`.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TextIO

from pybench.backends.names import canonical, row_order
from pybench.errors import UsageError
from pybench.explain import Explained, Explanation
from pybench.report.reference import figures
from pybench.report.text import MISSING

SHOWN_FROM: Final = 0.005  # calls per ping; what would be written 0.00 is left out
WHOLE_WITHIN: Final = 0.03  # how far from a whole number is still written as one

# Rows of which the report has two: one measured in another setting.
_VARIANTS: Final = {"asyncio_sock_local": "asyncio_sock", "thread_no_affinity": "thread"}
_SETTINGS: Final = {"asyncio_sock_local": "local server", "thread_no_affinity": "not pinned"}

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


def write_syscalls(explanation: Explanation, fmt: str, file: TextIO) -> None:
    """Write the report's table with ours beside it. fmt: table, json, csv or markdown."""
    lines = syscall_lines(explanation)
    if fmt == "json":
        json.dump(_syscalls_object(explanation), file, indent=1)
        file.write("\n")
    elif fmt == "csv":
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("test", "conns", "then", "now"))
        writer.writerows(lines)
    else:
        _write_lines("System calls per ping", HEADS, lines, fmt, file)


def _syscalls_object(explanation: Explanation) -> dict[str, Any]:
    return {
        "schema": 1,
        "report2016": figures()["syscalls_per_ping_100conns"],
        "cells": [
            {
                "cell": cell.cell,
                "func": cell.func,
                "conns": cell.conns,
                "per_ping": None if cell.syscalls is None else dict(cell.syscalls.per_ping),
            }
            for cell in explanation.cells
        ],
    }


def write_explanation(explanation: Explanation, fmt: str, file: TextIO) -> None:
    """Write what `--explain` found: calls per ping, then the CPU time by layer.

    fmt: table or markdown.  Raises UsageError for another: `explain.json` is for programs.
    """
    if fmt not in ("table", "markdown"):
        raise UsageError(f"an explanation has no format {fmt}: read explain.json")
    calls = [(cell.cell, now_text(cell)) for cell in explanation.cells]
    _write_lines("System calls per ping", ("Cell", "Calls"), calls, fmt, file)
    sampled = [(cell.cell, cell.cpu) for cell in explanation.cells if cell.cpu is not None]
    if not sampled:
        return
    names = list(dict.fromkeys(layer for _, cpu in sampled for layer in cpu.layers))
    from pybench.explain.layers import layer_order

    layers = [
        layer
        for layer in layer_order(names)
        if any(cpu.layers.get(layer, 0) >= 0.005 for _, cpu in sampled)
    ]
    heads = ("Cell", "us/ping", "Kernel", *layers)
    body = [
        (
            name,
            f"{cpu.cpu_us_per_ping:.1f}",
            f"{100 * cpu.kernel:.0f}",
            *(_percent(cpu.layers.get(layer, 0.0)) for layer in layers),
        )
        for name, cpu in sampled
    ]
    _write_lines("The worker's CPU time, percent by layer", heads, body, fmt, file)


def _percent(share: float) -> str:
    """A share as whole percent, nothing for what would be written 0."""
    return f"{100 * share:.0f}" if share >= 0.005 else ""


def _write_lines(
    title: str, heads: Sequence[str], body: Sequence[Sequence[str]], fmt: str, file: TextIO
) -> None:
    if fmt == "markdown":
        rule = ["---"] * len(heads)
        table = "\n".join("| " + " | ".join(line) + " |" for line in (heads, rule, *body))
        file.write(f"\n### {title}\n\n{table}\n")
        return
    from pybench.report.terminal import make_console, print_grid

    widths = [max(map(len, column)) for column in zip(heads, *body, strict=True)]
    padded = [
        [_padded(text, width) for text, width in zip(line, widths, strict=True)] for line in body
    ]
    print_grid(make_console(file), title, heads, padded)


def _padded(text: str, width: int) -> str:
    """Words begin under each other; numbers are left for the table to align."""
    return text if text.replace(".", "").isdigit() else text.ljust(width)
