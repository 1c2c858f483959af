"""Documents as Markdown, to be pasted into an issue or a README."""

from collections.abc import Sequence
from typing import TextIO

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
from pybench.report.tables import StampNote


def write(document: Document, file: TextIO) -> None:
    """Write every block, apart by an empty line."""
    before, after = document.blank
    parts = [part for block in document.blocks for part in _paragraphs(block)]
    file.write("\n" * before + "\n\n".join(parts) + "\n" * (1 + after))


def _paragraphs(block: Block) -> list[str]:
    match block:
        case Heading(text):
            return [f"## {text}"]
        case Grid():
            lines = _lines(block) if block.words else _padded_lines(block)
            return [f"{'##' if block.main else '###'} {block.title}", "\n".join(lines)]
        case Legend(stamps):
            head = "Stamped cells, and what to do about them:"
            return ["\n".join([head, "", *map(_stamp, stamps)])]
        case Failures(failures):
            return ["\n".join(["Not measured:", "", *(f"- {f.text}" for f in failures)])]
        case Sentences(lines):
            return list(lines)
        case Remarks(lines):
            return ["\n".join(f"- {line}" for line in lines)]


def _padded_lines(grid: Grid) -> list[str]:
    """A pipe table, its first column to the left, the others to the right, padded."""
    table = [[_escaped(cell.rstrip()) for cell in line] for line in [grid.heads, *grid.rows]]
    widths = [max(3, *(len(line[i]) for line in table)) for i in range(len(grid.heads))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    padded = [
        [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        for line in table
    ]
    return [_piped(line) for line in [padded[0], rule, *padded[1:]]]


def _lines(grid: Grid) -> list[str]:
    """A pipe table as it comes: padding to the longest formula would help nobody."""
    body = [[_escaped(cell) for cell in line] for line in [grid.heads, *grid.rows]]
    return [_piped(line) for line in [body[0], ["---"] * len(grid.heads), *body[1:]]]


def _piped(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _stamp(stamp: StampNote) -> str:
    remedy = f" Remedy: {stamp.remedy}" if stamp.remedy else ""
    if not stamp.mark:
        return f"- **{stamp.code}** (the whole machine): {stamp.text}.{remedy}"
    head = f"- `!{stamp.mark}` **{stamp.code}** ({stamp.rounds_text}: {stamp.where})"
    return f"{head}: {stamp.text}.{remedy}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
