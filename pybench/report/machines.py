"""Ratios machine by machine, and over all, behind the tables of a campaign of several machines.

As JSON under `by_machine`: `[{"metric": NAME, "relative_to": ROW, "ratios": [{"func", "conns" or
"rate", "machines": {NAME: RATIO}, "all": RATIO, "verdict", "reason"}]}]`, where RATIO is
`{"value", "low", "high", "n"}`, null at an open end; n: rounds, of `all` machines.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pybench.analysis.machines import MachineRatio, MachineRatios
from pybench.analysis.ratio import Estimate
from pybench.analysis.verdict import interval_words, remedy_words
from pybench.report.comparison import verdict_text
from pybench.report.document import Block, Grid, Remarks
from pybench.report.text import MISSING, sentence_case
from pybench.units import count_label

_HEADS: Final = ("Test", "Machine", "n", "Ratio", "95% interval", "Verdict")
_REMARK: Final = (
    "Each machine's ratio is of rounds that were paired there; n: so many rounds, or machines. All:"
    " their mean with random effects (DerSimonian-Laird, interval by Hartung-Knapp); two machines"
    " alone say little of others."
)


def machine_blocks(found: Sequence[MachineRatios]) -> list[Block]:
    """The tables for people."""
    blocks: list[Block] = [
        Grid(
            title=_title(of),
            heads=_heads(of),
            rows=_rows(of),
            fixed=3,
        )
        for of in found
    ]
    return [*blocks, Remarks([_REMARK])] if blocks else []


def machine_sections(found: Sequence[MachineRatios]) -> list[dict[str, Any]]:
    """The same for the page's template: title, remark, heads and rows of each table."""
    return [
        {"title": _title(of), "remark": _REMARK, "heads": _heads(of), "rows": _rows(of)}
        for of in found
    ]


def _title(of: MachineRatios) -> str:
    return f"{sentence_case(of.metric.what)}, relative to {of.base}, machine by machine"


def _heads(of: MachineRatios) -> list[str]:
    return [*_HEADS[:1], of.axis.capitalize(), *_HEADS[1:]]


def _rows(of: MachineRatios) -> list[list[str]]:
    return [line for ratio in of.ratios for line in _lines(ratio)]


def _lines(ratio: MachineRatio) -> list[list[str]]:
    name = [ratio.row, count_label(ratio.column)]
    lines = [
        [*name, machine, *_figures(found), MISSING] for machine, found in sorted(ratio.each.items())
    ]
    verdict, count = ratio.verdict, len(ratio.each)
    said = [part for part in (verdict.reason, remedy_words(verdict)) if part]
    text = "; ".join([verdict_text(verdict), *([] if verdict.decided else said)])
    if count > 1:
        return [*lines, [*name, f"all {count}", *_figures(verdict.estimate, count), text]]
    return [[*lines[0][:-1], text]]


def _figures(found: Estimate, count: int | None = None) -> list[str]:
    interval = interval_words(found, 3) if found.df else MISSING
    return [str(count or found.rounds), f"{found.value:.3f}", interval]


def machine_records(found: Sequence[MachineRatios]) -> list[dict[str, Any]]:
    """The same for JSON, as the module describes it."""
    return [
        {
            "metric": of.metric.name,
            "relative_to": of.base,
            "ratios": [_record(ratio, open_loop=of.open_loop) for ratio in of.ratios],
        }
        for of in found
    ]


def _record(ratio: MachineRatio, *, open_loop: bool) -> dict[str, Any]:
    return {
        "func": ratio.row,
        "rate" if open_loop else "conns": ratio.column,
        "machines": each_machine(ratio.each),
        "all": _ratio_record(ratio.verdict.estimate),
        "verdict": ratio.verdict.kind,
        "reason": ratio.verdict.reason,
    }


def each_machine(each: Mapping[str, Estimate]) -> dict[str, Any]:
    """Machine -> its RATIO."""
    return {name: _ratio_record(one) for name, one in sorted(each.items())}


def _ratio_record(found: Estimate) -> dict[str, Any]:
    return {
        "value": found.value,
        "low": found.low or None,
        "high": found.high if math.isfinite(found.high) else None,
        "n": found.rounds,
    }
