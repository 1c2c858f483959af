"""Figures in Bencher's metric format: benchmark -> measure -> value with its bounds.

`bencher run --adapter json` reads it. Messages/s are its built-in measure `throughput`; other
measures are made by Bencher when it meets them.
Source: https://bencher.dev/docs/reference/bencher-metric-format, with its JSON Schema.
"""

import json
from collections.abc import Sequence
from typing import Final, TextIO

from pybench.report.figures import Figure

_BUILT_IN: Final = {"mps": "throughput"}
_LONGEST: Final = 1024  # of a benchmark's name


def write(figures: Sequence[Figure], file: TextIO) -> None:
    """Write the object."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for figure in figures:
        measure = _BUILT_IN.get(figure.measure, figure.measure.replace("_", "-"))
        metric = {"value": figure.value}
        if figure.low is not None:
            metric["lower_value"] = figure.low
        if figure.high is not None:
            metric["upper_value"] = figure.high
        found.setdefault(figure.name[:_LONGEST], {})[measure] = metric
    json.dump(found, file, indent=1)
    file.write("\n")
