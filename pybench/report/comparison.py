"""What `compare` prints: one line per cell, then what was refused and what to keep in mind."""

from collections.abc import Sequence
from typing import Final, TextIO

from msgspec import to_builtins

from pybench.analysis.compare import Comparison
from pybench.report.document import Document, Format, Grid, Remarks, write_document
from pybench.report.text import MISSING, rate_text
from pybench.units import count_label

_HEADS: Final = ("Test", "Conns", "BASE", "NEW", "NEW/BASE", "95% interval", "p", "Verdict")
_COLUMNS: Final = (
    *("base_func", "new_func", "conns", "base_mps", "base_n", "new_mps", "new_n"),
    *("ratio", "ci95_low", "ci95_high", "p", "paired", "verdict", "refused"),
)


def write_comparison(
    comparisons: Sequence[Comparison],
    below: Sequence[Comparison],
    notes: Sequence[str],
    fmt: Format,
    file: TextIO,
) -> None:
    """Write what `comparison_document` says of them."""
    write_document(comparison_document(comparisons, below, notes), fmt, file)


def comparison_document(
    comparisons: Sequence[Comparison], below: Sequence[Comparison], notes: Sequence[str]
) -> Document:
    """Comparisons, a line each.

    below: those that are surely below the limit that was asked for.  notes: lines to add, such as
    differences of the environments.
    As JSON `{"schema": 1, "cells": [...], "notes": [...]}`, a cell being a `Comparison` with its
    name and whether it is below the limit.
    """
    grid = Grid(
        title="Messages per second, NEW against BASE",
        heads=_HEADS,
        rows=[_line(c, c in below) for c in comparisons],
        fixed=2,
        stamped=frozenset((i, len(_HEADS) - 1) for i, c in enumerate(comparisons) if c in below),
    )
    remarks = [*_remarks(comparisons), *notes]
    cells = [to_builtins(c) | {"name": c.name, "below_limit": c in below} for c in comparisons]
    return Document(
        blocks=[grid, Remarks(remarks)] if remarks else [grid],
        columns=_COLUMNS,
        lines=[_csv_line(c) for c in comparisons],
        record={"schema": 1, "cells": cells, "notes": list(notes)},
    )


def _line(c: Comparison, below: bool) -> list[str]:
    """The cells of one comparison; a refused one has no figures."""
    name = [c.name, count_label(c.conns)]
    if c.ratio is None or c.base is None or c.new is None:
        return [*name, *[MISSING] * 5, "not compared"]
    r = c.ratio
    return [
        *name,
        _rate(c.base.mean, c.base.n),
        _rate(c.new.mean, c.new.n),
        f"{r.ratio:.3f}",
        f"{r.low:.3f} to {r.high:.3f}",
        f"{r.p:.3f}",
        r.verdict
        + (", below the limit" if below else "")
        + (f" !{c.stamp.code}" if c.stamp else ""),
    ]


def _rate(mean: float, rounds: int) -> str:
    return f"{rate_text(mean)} ({rounds})"


def _remarks(comparisons: Sequence[Comparison]) -> list[str]:
    """How rounds were matched, and why cells were refused, each reason once."""
    remarks = []
    paired = {c.ratio.paired for c in comparisons if c.ratio is not None}
    if True in paired:
        remarks.append("Paired by round: one interleaved campaign. p knows nothing of the pairs.")
    if False in paired:
        remarks.append("Not paired: the sides were measured one after the other.")
    stamps = [c for c in comparisons if c.stamp is not None]
    for c in stamps[:1]:
        assert c.stamp is not None
        many = f" ({len(stamps)} cells)" if len(stamps) > 1 else ""
        remarks.append(f"!{c.stamp.code}{many}: {c.stamp.text} -> {c.stamp.remedy}")
    reasons: dict[str, list[str]] = {}
    for c in comparisons:
        if c.refused:
            reasons.setdefault(c.refused, []).append(f"{c.name} at {count_label(c.conns)}")
    remarks += [f"Not compared: {', '.join(cells)}: {why}" for why, cells in reasons.items()]
    return remarks


def _csv_line(c: Comparison) -> list[object]:
    sides = [x for s in (c.base, c.new) for x in ((s.mean, s.n) if s else (None, None))]
    r = c.ratio
    figures = [r.ratio, r.low, r.high, r.p, int(r.paired), r.verdict] if r else [None] * 6
    return [c.base_func, c.new_func, c.conns, *sides, *figures, c.refused]
