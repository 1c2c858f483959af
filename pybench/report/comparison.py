"""What `compare` prints: one line per cell, then what was refused and what to keep in mind."""

import math
from collections.abc import Sequence
from typing import Any, Final, TextIO

from msgspec import to_builtins

from pybench.analysis.compare import SEPARATE, Comparison
from pybench.analysis.stamps import class_of
from pybench.analysis.stats import Summary
from pybench.analysis.verdict import (
    MPS,
    Judgement,
    Metric,
    Verdict,
    interval_words,
    remedy_words,
    share_words,
)
from pybench.report.document import Document, Format, Grid, Remarks, write_document
from pybench.report.metrics import METRICS
from pybench.report.text import MISSING, sentence_case
from pybench.spec.axes import AXES
from pybench.spec.cell import USUAL_MSIZE
from pybench.units import count_label

_NAMES: Final = ("Test", "Conns")
_HEADS: Final = ("BASE", "NEW", "NEW/BASE", "95% interval", "Verdict")
_COLUMNS: Final = (
    *("base_func", "new_func", "conns", "metric", "base", "base_n", "new", "new_n"),
    *("ratio", "ci95_low", "ci95_high", "basis", "verdict", "reason", "more_rounds"),
    *("demand", "refused"),
)
_UNITS: Final = {"rounds": "round", "campaigns": "campaign a side", "separate": "round"}
_STAMP_WORDS: Final = {
    "invalid": "nothing can be said of that side",
    "bound": "the figure is only a bound; where both sides have it, the ratio is nearer to 1 than"
    " the truth",
    "caution": "see docs/numbers.md",
}
_BASES: Final = {
    "rounds": "Paired by round: one interleaved campaign.",
    "campaigns": "Whole campaigns are held against each other: one value each.",
    "separate": "Not paired: the sides were measured one after the other, and intervals know"
    " nothing of what lay between.",
}


def write_comparison(
    comparisons: Sequence[Comparison],
    demands: Sequence[Judgement | None],
    notes: Sequence[str],
    fmt: Format,
    file: TextIO,
    metric: Metric = MPS,
) -> None:
    """Write what `comparison_document` says of them."""
    write_document(comparison_document(comparisons, demands, notes, metric), fmt, file)


def comparison_document(
    comparisons: Sequence[Comparison],
    demands: Sequence[Judgement | None],
    notes: Sequence[str],
    metric: Metric = MPS,
) -> Document:
    """Comparisons, a line each.

    demands: what came of `--fail-below`, one a comparison; empty where nothing was demanded.
    notes: lines to add, such as differences of the environments.
    As JSON `{"schema": 1, "metric": NAME, "cells": [...], "notes": [...]}`. A cell has its rows,
    both summaries, `msize` and axes of a cell where they differ, `ratio` (value and interval, null
    at an open end; the verdict, why it is undecided, and how many more rounds would decide),
    `demand`, stamps of both sides, or `refused`.
    """
    asked = list(demands) or [None] * len(comparisons)
    broken = [one is not None and one.outcome == "broken" for one in asked]
    each = list(zip(comparisons, asked, strict=True))
    sized, more = _sized(comparisons), _differing(comparisons)
    heads = [*_NAMES, *(["Bytes"] if sized else []), *_HEADS]
    grid = Grid(
        title=f"{sentence_case(metric.what)}, NEW against BASE",
        heads=heads,
        rows=[_line(c, one, metric, sized=sized) for c, one in each],
        fixed=len(heads) - len(_HEADS),
        stamped=frozenset((i, len(heads) - 1) for i, is_broken in enumerate(broken) if is_broken),
    )
    remarks = [*_remarks(comparisons, metric), *_broken(comparisons, asked), *notes]
    return Document(
        blocks=[grid, Remarks(remarks)] if remarks else [grid],
        columns=(*_COLUMNS, *more),
        lines=[[*_csv_line(c, one, metric), *(getattr(c, key) for key in more)] for c, one in each],
        record={
            "schema": 1,
            "metric": metric.name,
            "cells": [_record(c, one) | {key: getattr(c, key) for key in more} for c, one in each],
            "notes": list(notes),
        },
    )


def _sized(comparisons: Sequence[Comparison]) -> bool:
    """Whether they are of several sizes of a message, so that each is to be named."""
    return len({c.msize for c in comparisons}) > 1


def _differing(comparisons: Sequence[Comparison]) -> list[str]:
    """Size of messages and axes of a cell, of which they have several values."""
    names = ("msize", *AXES)
    return [name for name in names if len({getattr(c, name) for c in comparisons}) > 1]


def _line(c: Comparison, asked: Judgement | None, metric: Metric, *, sized: bool) -> list[str]:
    """The cells of one comparison; a refused one has no figures."""
    name = [c.name, count_label(c.conns), *([count_label(c.msize)] if sized else [])]
    if c.verdict is None or c.base is None or c.new is None:
        return [*name, *[MISSING] * 4, "not compared"]
    found = c.verdict.estimate
    return [
        *name,
        _figure(c.base, metric),
        _figure(c.new, metric),
        f"{found.value:.3f}",
        interval_words(found, 3),
        verdict_text(c.verdict) + (f", {_demand_text(asked)}" if asked else ""),
    ]


def verdict_text(verdict: Verdict) -> str:
    """`faster`, `equal within 3%`, `undecided`."""
    if verdict.kind == "equal":
        return f"equal within {share_words(verdict.margin)}"
    return verdict.kind


def _demand_text(asked: Judgement) -> str:
    return {
        "broken": "below the limit",
        "kept": f"{asked.demand}",
        "undecided": "limit undecided",
    }[asked.outcome]


def _figure(summary: Summary, metric: Metric) -> str:
    write = next(m.write for m in METRICS.values() if m.quantity == metric.quantity)
    return f"{write(summary.mean)} ({summary.n})"


def _remarks(comparisons: Sequence[Comparison], metric: Metric) -> list[str]:
    """How rounds were matched, what was undecided and why, and why cells were refused."""
    sized = _sized(comparisons)
    bases = dict.fromkeys(c.basis for c in comparisons if c.verdict is not None)
    remarks = [_BASES[basis] for basis in bases]
    reasons: dict[str, list[str]] = {}
    for c in comparisons:
        if c.verdict is not None and c.verdict.kind == "undecided":
            reasons.setdefault(_why(c, c.verdict), []).append(_place(c, sized=sized))
    remarks += [_said_of("Undecided", cells, why) for why, cells in reasons.items()]
    separate = [c for c in comparisons if c.verdict is not None and c.verdict.reason == SEPARATE]
    if separate:
        remarks.append(f"To decide: {race_command(separate, metric)}")
    refusals: dict[str, list[str]] = {}
    for c in comparisons:
        if c.refused:
            refusals.setdefault(c.refused, []).append(_place(c, sized=sized))
    remarks += [_said_of("Not compared", cells, why) for why, cells in refusals.items()]
    return remarks + _stamp_remarks(comparisons)


def _place(c: Comparison, *, sized: bool) -> str:
    size = f" ({count_label(c.msize)} bytes)" if sized else ""
    return f"{c.name} at {count_label(c.conns)}{size}"


def _said_of(what: str, cells: Sequence[str], why: str) -> str:
    shown = (
        f"{', '.join(cells[:4])} and {len(cells) - 4} more" if len(cells) > 5 else ", ".join(cells)
    )
    return f"{what}: {shown}" + (f": {why}" if why else "")


def _why(c: Comparison, verdict: Verdict) -> str:
    unit = "machine" if verdict.estimate.level == "machine" else _UNITS[c.basis]
    remedy = "" if verdict.reason == SEPARATE else remedy_words(verdict, unit)
    return "; ".join(part for part in (verdict.reason, remedy) if part)


def _broken(comparisons: Sequence[Comparison], asked: Sequence[Judgement | None]) -> list[str]:
    """Why demands are broken that the figures alone would not break."""
    sized = _sized(comparisons)
    return [
        f"Below the limit whatever its figure: {_place(c, sized=sized)}: {one.reason}"
        for c, one in zip(comparisons, asked, strict=True)
        if one is not None and one.outcome == "broken" and one.reason
    ]


def _stamp_remarks(comparisons: Sequence[Comparison]) -> list[str]:
    """Each stamp once, with where it is; what is true of the whole machine is left to `report`."""
    sized = _sized(comparisons)
    codes = sorted({code for c in comparisons for code in (*c.base_stamps, *c.new_stamps)})
    return [
        _said_of(
            f"!{code}",
            [
                f"{_place(c, sized=sized)} ({side})"
                for c in comparisons
                if (side := _side_with(code, c))
            ],
            _STAMP_WORDS[class_of(code)],
        )
        for code in codes
        if class_of(code) != "machine"
    ]


def _side_with(code: str, c: Comparison) -> str:
    """Which side has the stamp; empty when none has."""
    if code in c.base_stamps:
        return "both" if code in c.new_stamps else "BASE"
    return "NEW" if code in c.new_stamps else ""


def race_command(comparisons: Sequence[Comparison], metric: Metric = MPS) -> str:
    """The command that decides what separate campaigns cannot.

    A row against itself at another hour was another version of something: both have to be there.
    """
    counts = ",".join(count_label(n) for n in sorted({c.conns for c in comparisons}))
    rows = list(dict.fromkeys(row for c in comparisons for row in (c.base_func, c.new_func) if row))
    if any(c.same_row for c in comparisons):
        row = comparisons[0].new_func
        rows = [f"{side}={row}@python:{side.upper()}/bin/python" for side in ("base", "new")]
    asked = "" if metric is MPS else f" --metric {metric.name}"
    sizes = sorted({c.msize for c in comparisons})
    if sizes != [USUAL_MSIZE]:
        asked = f" --msize {','.join(map(str, sizes))}{asked}"
    for name, axis in AXES.items():
        values = sorted({getattr(c, name) for c in comparisons})
        if values != [axis.usual]:
            asked = f" --{name} {','.join(map(str, values))}{asked}"
    return f"pybench race {' '.join(rows)} --conns {counts}{asked}"


def _ends(verdict: Verdict) -> tuple[float | None, float | None]:
    """Both ends of the interval, None where it is open."""
    low, high = verdict.estimate.low, verdict.estimate.high
    return low if low > 0 else None, high if math.isfinite(high) else None


def _record(c: Comparison, asked: Judgement | None) -> dict[str, Any]:
    record: dict[str, Any] = {
        "name": c.name,
        "base_func": c.base_func,
        "new_func": c.new_func,
        "conns": c.conns,
        "base": to_builtins(c.base),
        "new": to_builtins(c.new),
        "ratio": None,
        "demand": asked.outcome if asked else None,
        "base_stamps": list(c.base_stamps),
        "new_stamps": list(c.new_stamps),
        "refused": c.refused,
    }
    if c.verdict is not None:
        low, high = _ends(c.verdict)
        record["ratio"] = {
            "ratio": c.verdict.estimate.value,
            "low": low,
            "high": high,
            "basis": c.basis,
            "margin": c.verdict.margin,
            "verdict": c.verdict.kind,
            "reason": c.verdict.reason,
            "more_rounds": c.verdict.more_rounds,
        }
    return record


def _csv_line(c: Comparison, asked: Judgement | None, metric: Metric) -> list[object]:
    sides = [x for s in (c.base, c.new) for x in ((s.mean, s.n) if s else (None, None))]
    figures: list[object] = [None] * 7
    if (v := c.verdict) is not None:
        figures = [v.estimate.value, *_ends(v), c.basis, v.kind, v.reason, v.more_rounds]
    outcome = asked.outcome if asked else None
    return [c.base_func, c.new_func, c.conns, metric.name, *sides, *figures, outcome, c.refused]
