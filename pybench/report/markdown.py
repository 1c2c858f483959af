"""Tables as Markdown, to be pasted into an issue or a README."""

from collections.abc import Sequence
from typing import TextIO

from pybench.report.reference import Reference
from pybench.report.tables import Failure, GroupTables, Stamp
from pybench.report.text import MISSING, sentence_case
from pybench.units import count_label


def write_markdown(
    groups: Sequence[GroupTables], references: Sequence[Reference | None], file: TextIO
) -> None:
    """Write every group's tables, its stamps and failures, and what it was then in 2016."""
    parts: list[str] = []
    for group, reference in zip(groups, references, strict=True):
        parts.append(f"## {sentence_case(group.group.title)}")
        for table in group.tables:
            heads = ["Test", *(count_label(c) for c in table.counts)]
            body = [
                [row, *(table.text(row, c, MISSING).rstrip() for c in table.counts)]
                for row in table.rows
            ]
            parts += [f"### {table.metric.title}", grid(heads, body)]
        if reference is not None:
            for then_now in reference.tables:
                heads = ["Test", *(count_label(c) for c in then_now.counts)]
                body = [
                    [row, *(then_now.text(row, c, MISSING) for c in then_now.counts)]
                    for row in then_now.rows
                ]
                parts += [f"### {then_now.title}", grid(heads, body)]
            parts += reference.sentences
        parts += notes(group.stamps, group.failures)
    file.write("\n\n".join(parts) + "\n")


def grid(heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A pipe table, its first column to the left, the others to the right, padded."""
    lines = [[_escaped(cell) for cell in line] for line in [heads, *body]]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(heads))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    padded = [
        [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        for line in lines
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in [padded[0], rule, *padded[1:]])


def notes(stamps: Sequence[Stamp], failures: Sequence[Failure]) -> list[str]:
    """The legend of the stamps and the list of what was not measured, as paragraphs."""
    parts = []
    if stamps:
        lines = ["Stamped cells, and what to do about them:", ""]
        for stamp in stamps:
            rounds = "1 round" if stamp.rounds == 1 else f"{stamp.rounds} rounds"
            remedy = f" Remedy: {stamp.remedy}" if stamp.remedy else ""
            head = f"- `!{stamp.mark}` **{stamp.code}** ({rounds}: {stamp.where})"
            lines.append(f"{head}: {stamp.text}.{remedy}")
        parts.append("\n".join(lines))
    if failures:
        parts.append("\n".join(["Not measured:", "", *(f"- {f.text}" for f in failures)]))
    return parts


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
