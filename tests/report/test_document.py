"""Documents: one of every block, written in every format by writers that know no subject."""

import csv
import io
import json
from typing import get_args

import pytest
from rich.console import Console

from pybench.report.document import (
    Document,
    Failures,
    Format,
    Grid,
    Heading,
    Legend,
    Remarks,
    Sentences,
    write_document,
)
from pybench.report.tables import Failure, StampNote
from pybench.report.terminal import print_grid

DOCUMENT = Document(
    blocks=[
        Heading("Everything"),
        Grid(
            title="Speed",
            heads=("Test", "10"),
            rows=[("a|b", "7"), ("c", "123 ")],
            stamped=frozenset({(1, 1)}),
        ),
        Grid(title="Calls", heads=("Test", "Now"), rows=[("c", "recvfrom + sendto")], words=True),
        Sentences(["One.", "Two."]),
        Legend([StampNote("a", "unfair", "starved", "think", 2, [("c", 10)])]),
        Failures([Failure("d", 1000, ["failed"], ["no [bold]luck[/bold]"], 1, 1)]),
        Remarks(["mind this"]),
    ],
    columns=("test", "mps"),
    lines=[("c", 1.5), ("d", None)],
    record={"schema": 1, "cells": []},
    blank=(1, 1),
)

MARKDOWN = """
## Everything

### Speed

| Test |  10 |
| ---- | --: |
| a\\|b |   7 |
| c    | 123 |

### Calls

| Test | Now |
| --- | --- |
| c | recvfrom + sendto |

One.

Two.

Stamped cells, and what to do about them:

- `!a` **unfair** (2 rounds: c at 10): starved. Remedy: think

Not measured:

- d at 1k: failed: no [bold]luck[/bold]

- mind this

"""

TERMINAL = """\
Everything

Speed
+------+------+
| Test |  10  |
+======+======+
| a|b  |    7 |
|  c   | 123  |
+------+------+

Calls
+------+-------------------+
| Test |        Now        |
+======+===================+
|  c   | recvfrom + sendto |
+------+-------------------+

One.
Two.

Stamped cells, and what to do about them
!a unfair (2 rounds: c at 10): starved
   -> think

Not measured
d at 1k: failed: no [bold]luck[/bold]
mind this
"""


def written(document: Document, fmt: Format) -> str:
    file = io.StringIO()
    write_document(document, fmt, file)
    return file.getvalue()


def test_for_people() -> None:
    assert written(DOCUMENT, "markdown") == MARKDOWN
    assert written(DOCUMENT, "table") == TERMINAL


def test_words_fold_where_the_terminal_is_narrow() -> None:
    """Figures never do, nor what names the row."""
    grid = Grid(
        title="Checks",
        heads=("Check", "Verdict", "Found"),
        rows=[("open files", "caution", "many words that do not fit into it")],
        fixed=2,
        words=True,
    )
    console = Console(file=io.StringIO(), width=44, color_system=None)
    print_grid(console, grid)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= 44
    assert "| open files | caution | many words that" in lines[5]
    assert "do not fit into" in lines[6]


def test_inside_something_else() -> None:
    """Every text once, and as text."""
    text = written(DOCUMENT, "html")
    assert text.startswith('<div class="pybench">') and text.endswith("</div>\n")
    assert '<th scope="row" style="' in text and ">a|b</th>" in text
    for words in (
        *("Everything", "recvfrom + sendto", "!a unfair (2 rounds: c at 10)", "&rarr; think"),
        *("no [bold]luck[/bold]", "<li>mind this</li>", "<p>One.</p>"),
    ):
        assert text.count(words) == 1, words
    (stamped,) = [line for line in text.split("<t") if "dotted" in line]
    assert ">123<" in stamped


def test_for_programs() -> None:
    assert json.loads(written(DOCUMENT, "json")) == {"schema": 1, "cells": []}
    lines = list(csv.reader(io.StringIO(written(DOCUMENT, "csv"))))
    assert lines == [["test", "mps"], ["c", "1.5"], ["d", ""]]


@pytest.mark.parametrize("fmt", get_args(Format))
def test_every_format_writes_an_empty_document(fmt: Format) -> None:
    assert written(Document(blocks=[]), fmt).strip() in ("", "{}")
