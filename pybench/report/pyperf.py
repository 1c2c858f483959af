"""Figures as pyperf's JSON, for `pyperf stats`, `compare_to` and all that reads it.

A benchmark is a figure of a row, a run one of its rounds. pyperf knows seconds and bytes, and that
less is better: messages/s are written as seconds per message. Ratios have no place in it.
Source: pyperf's documentation, "JSON format", version 1.0.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TextIO

from pybench.errors import UsageError
from pybench.report.figures import Figure

_VERSION: Final = "1.0"

_UNITS: Final[Mapping[str, tuple[str, Callable[[float], float]]]] = {
    "1/s": ("second", lambda per_second: 1 / per_second),
    "s": ("second", lambda seconds: seconds),
    "ns": ("second", lambda ns: ns / 1e9),
    "us": ("second", lambda us: us / 1e6),
    "KiB": ("byte", lambda kib: round(kib * 1024)),
}
"""Our unit -> pyperf's, and how a value is written in it."""

_WORDS: Final = {"mps": "seconds per message", "race_mps": "seconds per message (race)"}
_METADATA: Final = {"cpu_model": "cpu_model_name", "python": "driver_python", "date": "date"}


def write(figures: Sequence[Figure], file: TextIO) -> None:
    """Write a suite. Raises UsageError when none of the figures is a time or a size."""
    benchmarks = [found for figure in figures if (found := _benchmark(figure)) is not None]
    if not benchmarks:
        raise UsageError(
            "--format pyperf: it holds times and sizes, and none of these figures is one"
            " (--table mps,lat50,lat99,cpu,memory; a race of mps)"
        )
    json.dump({"version": _VERSION, "metadata": {}, "benchmarks": benchmarks}, file, indent=1)
    file.write("\n")


def _benchmark(figure: Figure) -> dict[str, Any] | None:
    if figure.unit not in _UNITS:
        return None
    unit, convert = _UNITS[figure.unit]
    values = [convert(value) for value in figure.rounds if value > 0]
    # pyperf takes no zero, of less than a byte, and JSON has no infinity
    values = [value for value in values if 0 < value < math.inf]
    if not values:
        return None
    metadata: dict[str, Any] = {
        "name": f"{figure.name} {_WORDS.get(figure.measure, figure.measure)}",
        "unit": unit,
        **{f"pybench_{key}": value for key, value in figure.labels.items()},
    }
    metadata |= {_METADATA.get(key, f"pybench_{key}"): value for key, value in figure.facts.items()}
    if figure.codes:
        metadata["pybench_stamps"] = " ".join(figure.codes)
    return {"metadata": metadata, "runs": [{"values": [value]} for value in values]}
