"""Tables for a terminal, in the look of the 2016 report. The only module here that needs rich."""

from collections.abc import Sequence
from typing import TextIO

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from pybench.report.reference import Reference
from pybench.report.tables import Failure, GroupTables, Stamp, Table
from pybench.report.text import MISSING, sentence_case
from pybench.units import count_label

UNBOUNDED = 10_000  # columns: output that is not a terminal is never folded

_STAMPED = "yellow"


def make_console(file: TextIO) -> Console:
    """A console that writes to file, and folds nothing unless it is a terminal."""
    console = Console(file=file, highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        console = Console(file=file, highlight=False, emoji=False, markup=False, width=UNBOUNDED)
    return console


def print_tables(
    groups: Sequence[GroupTables], references: Sequence[Reference | None], file: TextIO
) -> None:
    """Write every group's tables, its stamps and failures, and what it was then in 2016."""
    console = make_console(file)
    for number, (group, reference) in enumerate(zip(groups, references, strict=True)):
        if number:
            console.print()
        console.print(Text(sentence_case(group.group.title), style="bold underline"))
        for table in group.tables:
            cells = [[table.text(row, c, MISSING) for c in table.counts] for row in table.rows]
            heads = ["Test", *(count_label(c) for c in table.counts)]
            body = [[row, *line] for row, line in zip(table.rows, cells, strict=True)]
            print_grid(console, table.metric.title, heads, body, stamped=_stamped(table))
        if reference is not None:
            print_reference(console, reference)
        print_notes(console, group.stamps, group.failures)


def _stamped(table: Table) -> set[tuple[int, int]]:
    """Line and column of every stamped cell, the row's name being column 0."""
    return {
        (table.rows.index(row), table.counts.index(count) + 1)
        for (row, count), entry in table.entries.items()
        if entry.marks
    }


def print_grid(
    console: Console,
    title: str,
    heads: Sequence[str],
    body: Sequence[Sequence[str]],
    *,
    fixed: int = 1,
    stamped: set[tuple[int, int]] = frozenset(),  # type: ignore[assignment]
) -> None:
    """Write one table, in several parts when the console is too narrow for all columns.

    fixed: how many first columns every part repeats.  stamped: line and column of the cells that
    are to look different.
    """
    widths = [max(len(line[i]) for line in [heads, *body]) for i in range(len(heads))]
    console.print()
    console.print(Text(title, style="bold"))
    for part in _parts(widths, fixed, console.width):
        grid = RichTable(box=box.ASCII_DOUBLE_HEAD)
        for column in part:
            grid.add_column(Text(heads[column], justify="center"), justify="center", no_wrap=True)
        for number, line in enumerate(body):
            grid.add_row(
                *(
                    Text(
                        _aligned(line[column], widths[column], column < fixed),
                        style=_STAMPED if (number, column) in stamped else "",
                    )
                    for column in part
                )
            )
        console.print(grid)


def _aligned(text: str, width: int, name: bool) -> str:
    """Names and missing cells are centred, figures end under each other."""
    return text if name or text == MISSING else text.rjust(width)


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


def print_notes(console: Console, stamps: Sequence[Stamp], failures: Sequence[Failure]) -> None:
    """Write the legend of the stamps and the list of what was not measured."""
    if stamps:
        console.print()
        console.print(Text("Stamped cells, and what to do about them", style="bold"))
    for stamp in stamps:
        rounds = "1 round" if stamp.rounds == 1 else f"{stamp.rounds} rounds"
        head = Text(f"!{stamp.mark} {stamp.code}", style=_STAMPED)
        console.print(head + Text(f" ({rounds}: {stamp.where}): {stamp.text}", style="default"))
        if stamp.remedy:
            console.print(Text(f"   -> {stamp.remedy}"))
    if failures:
        console.print()
        console.print(Text("Not measured", style="bold"))
    for failure in failures:
        console.print(Text(failure.text, style="red"))


def print_reference(console: Console, reference: Reference) -> None:
    """Write the figures of 2016 beside ours, then in words."""
    for table in reference.tables:
        heads = ["Test", *(count_label(c) for c in table.counts)]
        body = [[row, *(table.text(row, c, MISSING) for c in table.counts)] for row in table.rows]
        print_grid(console, table.title, heads, body)
    if reference.sentences:
        console.print()
    for sentence in reference.sentences:
        console.print(Text(sentence))
