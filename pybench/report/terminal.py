"""Documents for a terminal, tables in the look of the 2016 report. Needs rich."""

from collections.abc import Sequence
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from pybench.report.document import (
    Block,
    Document,
    Failures,
    Grid,
    Heading,
    Legend,
    Remarks,
    Sentences,
)
from pybench.report.tables import Failure, StampNote
from pybench.report.text import MISSING

UNBOUNDED = 10_000  # columns: output that is not a terminal is never folded

_STAMPED = "yellow"


def write(document: Document, file: TextIO) -> None:
    """Write every block; what is not a terminal gets lines of any length."""
    console = make_console(file)
    for number, block in enumerate(document.blocks):
        if number and isinstance(block, Heading):
            console.print()
        _print(console, block)


def make_console(file: TextIO) -> Console:
    """A console that writes to file. What is no terminal is not folded, and gets no colours.

    FORCE_COLOR would have rich take a log for a terminal of 80 columns.
    """
    if file.isatty():
        return Console(file=file, highlight=False, emoji=False, markup=False)
    return Console(
        file=file, highlight=False, emoji=False, markup=False, force_terminal=False, width=UNBOUNDED
    )


def _print(console: Console, block: Block) -> None:
    match block:
        case Heading(text):
            console.print(Text(text, style="bold underline"))
        case Grid():
            print_grid(console, block)
        case Legend(stamps):
            _print_legend(console, stamps)
        case Failures(failures):
            _print_failures(console, failures)
        case Sentences(lines):
            console.print()
            _print_lines(console, lines)
        case Remarks(lines):
            _print_lines(console, lines)


def print_grid(console: Console, grid: Grid) -> None:
    """Write one table, in several parts when the console is too narrow for all columns."""
    columns = list(zip(grid.heads, *grid.rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    console.print()
    console.print(Text(grid.title, style="bold"))
    for part in _parts(widths, grid.fixed, console.width):
        table = RichTable(box=box.ASCII_DOUBLE_HEAD)
        for column in part:
            head = Text(grid.heads[column], justify="center")
            folds = grid.words and column >= grid.fixed  # where it is wider than the terminal
            table.add_column(head, justify="center", no_wrap=not folds)
        for number, line in enumerate(grid.rows):
            table.add_row(
                *(
                    Text(
                        text := _aligned(grid, line[column], widths[column], column),
                        style=_STAMPED if (number, column) in grid.stamped else "",
                        # rich takes blanks off the end of what it centres, and marks are padded
                        justify="left" if len(text) == widths[column] else "center",
                    )
                    for column in part
                )
            )
        console.print(table)


def _aligned(grid: Grid, text: str, width: int, column: int) -> str:
    """Names, words and missing cells are centred, figures end under each other."""
    if column < grid.fixed or text == MISSING:
        return text
    if grid.words and not text.replace(".", "").isdigit():
        return text
    return text.rjust(width)


def _parts(widths: Sequence[int], fixed: int, room: int) -> list[list[int]]:
    """Columns apart, so that each part with the first `fixed` columns fits into the room."""
    first = list(range(fixed))
    taken = 1 + sum(widths[i] + 3 for i in first)
    parts: list[list[int]] = []
    used = 0
    for column in range(fixed, len(widths)):
        need = widths[column] + 3
        if not parts or used + need > room:
            parts.append(first.copy())
            used = taken
        parts[-1].append(column)
        used += need
    return parts or [first]


def _print_legend(console: Console, stamps: Sequence[StampNote]) -> None:
    console.print()
    console.print(Text("Stamped cells, and what to do about them", style="bold"))
    for stamp in stamps:
        name, where = stamp.head.split(" (", 1)
        head = Text(name, style=_STAMPED if stamp.mark else "")
        console.print(head + Text(f" ({where}: {stamp.text}", style="default"))
        if stamp.remedy:
            console.print(Text(f"   -> {stamp.remedy}"))


def _print_failures(console: Console, failures: Sequence[Failure]) -> None:
    console.print()
    console.print(Text("Not measured", style="bold"))
    for failure in failures:
        console.print(Text(failure.text, style="red"))


def _print_lines(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        console.print(Text(line))
