"""What is to be printed, as data: whoever has something to say builds a `Document`.

One writer a format (`terminal`, `markdown`, `csv`, `json`, `html`) writes any of them and knows
none of their subjects. People read the blocks, programs the lines or the record.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Final, Literal, TextIO

from pybench.report.tables import Failure, StampNote

Format = Literal["table", "json", "csv", "markdown", "html"]

_WRITERS: Final[dict[Format, str]] = {
    "table": "terminal",
    "json": "json",
    "csv": "csv",
    "markdown": "markdown",
    "html": "html",
}


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands over the blocks behind it."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """One table.

    rows: as many texts each as there are heads.  fixed: how many first columns name the row.
    stamped: row and column of the cells that are to look different.  words: whether the other
    columns hold words too, not figures under each other.  main: whether the title heads all that
    follows, not this table alone.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    fixed: int = 1
    stamped: frozenset[tuple[int, int]] = frozenset()
    words: bool = False
    main: bool = False


@dataclass(frozen=True, slots=True)
class Legend:
    """What the marks on stamped cells mean, and what to do about them."""

    stamps: Sequence[StampNote]


@dataclass(frozen=True, slots=True)
class Failures:
    """What was not measured."""

    failures: Sequence[Failure]


@dataclass(frozen=True, slots=True)
class Sentences:
    """Findings in words, each to be read by itself."""

    lines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Remarks:
    """What to keep in mind about the table above."""

    lines: Sequence[str]


Block = Heading | Grid | Legend | Failures | Sentences | Remarks


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One thing to print, in every shape that a format may ask for.

    blocks: for people.  columns, lines: for CSV, numbers unrounded, no columns when there is
    nothing to list.  record: for JSON, its schema number first.
    blank: empty lines before and after it in Markdown, for what stands among other output.
    """

    blocks: Sequence[Block]
    columns: Sequence[str] = ()
    lines: Sequence[Sequence[object]] = ()
    record: Mapping[str, Any] = field(default_factory=dict)
    blank: tuple[int, int] = (0, 0)


def write_document(document: Document, fmt: Format, file: TextIO) -> None:
    """Write it in that format. Only `table` needs rich, the others the standard library alone."""
    import_module(f"pybench.report.{_WRITERS[fmt]}").write(document, file)


def document_text(document: Document, fmt: Format) -> str:
    """What `write_document` would write."""
    file = io.StringIO()
    write_document(document, fmt, file)
    return file.getvalue()


def notes(stamps: Sequence[StampNote], failures: Sequence[Failure]) -> list[Block]:
    """The legend and what was not measured, each where there is any."""
    found: list[Block] = []
    if stamps:
        found.append(Legend(stamps))
    if failures:
        found.append(Failures(failures))
    return found
