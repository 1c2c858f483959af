"""Figures for github-action-benchmark, `tool: customBiggerIsBetter` or `customSmallerIsBetter`.

One file has one direction, for the action is told which by its `tool`. Of a race it has the ratios:
the action compares with what was measured at another hour, where messages/s are not to be believed.
Source: the action's README, "Usage": an array of objects with name, unit and value, and optional
range and extra.
"""

import json
from collections.abc import Sequence
from typing import Any, Final, TextIO

from pybench.errors import UsageError
from pybench.report.figures import Figure

TOOLS: Final = {"more": "customBiggerIsBetter", "less": "customSmallerIsBetter"}


def write(figures: Sequence[Figure], file: TextIO) -> None:
    """Write the array. Raises UsageError for figures of both directions."""
    figures = [figure for figure in figures if figure.measure != "race_mps"]
    by_direction: dict[str, set[str]] = {}
    for figure in figures:
        by_direction.setdefault(figure.better, set()).add(figure.measure)
    if len(by_direction) > 1:
        more, less = (", ".join(sorted(by_direction[key])) for key in ("more", "less"))
        raise UsageError(
            f"--format github: one file has one direction: of {more} more is better, of {less}"
            " less (--table names those that belong together: mps, or lat50,lat99)"
        )
    json.dump([_entry(figure) for figure in figures], file, indent=1)
    file.write("\n")


def _entry(figure: Figure) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": f"{figure.name} {figure.measure}",
        "unit": f"x {figure.base}" if figure.base else figure.unit,
        "value": figure.value,
    }
    if figure.low is not None and figure.high is not None:
        entry["range"] = f"{figure.low:.4g} to {figure.high:.4g}"
    said = [f"rounds: {len(figure.rounds)}"] if figure.rounds else []
    said += [f"{key}: {value}" for key, value in figure.facts.items()]
    said += ["a lower bound"] if figure.at_least else []
    said += [f"stamps: {' '.join(figure.codes)}"] if figure.codes else []
    return entry | ({"extra": "\n".join(said)} if said else {})
