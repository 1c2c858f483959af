"""Documents as HTML, to stand inside something else: the output of a notebook's cell.

Its own style is in its elements: notebooks take style sheets out of what they do not trust.
"""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final, TextIO

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
from pybench.report.text import MISSING

_SCROLL: Final = "overflow-x: auto; margin: 0.5em 0"
_TABLE: Final = "border-collapse: collapse; font-size: inherit; font-variant-numeric: tabular-nums"
_CAPTION: Final = "caption-side: top; text-align: left; font-weight: bold; padding: 0.25em 0"
_CELL: Final = "padding: 0.2em 0.7em; white-space: nowrap"
_STAMPED: Final = "font-style: italic; text-decoration: underline dotted"
_FAILED: Final = "color: #c0392b"


def write(document: Document, file: TextIO) -> None:
    """Write every block, all in one element; nothing at all for a document without blocks."""
    parts = [part for block in document.blocks for part in _elements(block)]
    if parts:
        file.write("\n".join(['<div class="pybench">', *parts, "</div>", ""]))


def _elements(block: Block) -> Iterator[str]:
    match block:
        case Heading(text):
            yield f"<h4>{escape(text)}</h4>"
        case Grid():
            yield from _table(block)
        case Legend(stamps):
            yield "<p><b>Stamped cells, and what to do about them</b></p>"
            yield from _list(map(_stamp, stamps))
        case Failures(failures):
            yield "<p><b>Not measured</b></p>"
            yield from _list(_styled("span", escape(f.text), _FAILED) for f in failures)
        case Sentences(lines):
            yield from (f"<p>{escape(line)}</p>" for line in lines)
        case Remarks(lines):
            yield from _list(map(escape, lines))


def _table(grid: Grid) -> Iterator[str]:
    heads = [
        f'<th scope="col" style="{_CELL}; text-align: {_side(grid, column)}">{escape(head)}</th>'
        for column, head in enumerate(grid.heads)
    ]
    yield f'<div style="{_SCROLL}"><table style="{_TABLE}">'
    yield f'<caption style="{_CAPTION}">{escape(grid.title)}</caption>'
    yield f"<thead><tr>{''.join(heads)}</tr></thead>"
    yield "<tbody>"
    for number, row in enumerate(grid.rows):
        yield f"<tr>{''.join(_cells(grid, number, row))}</tr>"
    yield "</tbody></table></div>"


def _cells(grid: Grid, number: int, row: Sequence[str]) -> Iterator[str]:
    """What names the row is a heading of it; marks are not padded, a column's figures are."""
    for column, text in enumerate(row):
        style = f"{_CELL}; text-align: {_side(grid, column)}"
        if (number, column) in grid.stamped:
            style += f"; {_STAMPED}"
        tag = 'th scope="row"' if column < grid.fixed else "td"
        plain = escape(" ".join(text.split()))
        yield f'<{tag} style="{style}">{plain or "&nbsp;"}</{tag.split()[0]}>'


def _side(grid: Grid, column: int) -> str:
    """Names and words to the left; figures to the right, under each other."""
    if column < grid.fixed:
        return "left"
    texts = [row[column] for row in grid.rows if row[column] != MISSING]
    figures = not texts or any(c.isdigit() for text in texts for c in text)
    return "right" if figures and not grid.words else "left"


def _stamp(stamp: StampNote) -> str:
    remedy = f"<br>&rarr; {escape(stamp.remedy)}" if stamp.remedy else ""
    return f"<b>{escape(stamp.head)}</b>: {escape(stamp.text)}{remedy}"


def _list(items: Iterable[str]) -> Iterator[str]:
    yield f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"


def _styled(tag: str, inner: str, style: str) -> str:
    return f'<{tag} style="{style}">{inner}</{tag}>'
