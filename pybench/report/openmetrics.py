"""Figures as OpenMetrics text, for Prometheus, a Pushgateway or node_exporter's textfile collector.

A family a measure, and one for each end of its 95% interval; labels tell rows and cells apart. All
are gauges in base units: seconds, bytes, shares of 1. Stamps are gauges that are 1 where there is
one. Source: the OpenMetrics specification 1.0, "Text Format".
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, TextIO

from pybench.report.figures import RATIO_UNIT, Figure

_UNITS: Final[Mapping[str, tuple[str, float]]] = {
    "1/s": ("per_second", 1),
    "MB/s": ("bytes_per_second", 1e6),
    "s": ("seconds", 1),
    "ns": ("seconds", 1e-9),
    "us": ("seconds", 1e-6),
    "KiB": ("bytes", 1024),
    "%": ("ratio", 0.01),
    RATIO_UNIT: ("ratio", 1),
}
"""Our unit -> the base unit that a name ends with, and what a value is multiplied by."""
_STEMS: Final = {"mps": "messages", "race_mps": "race_messages", "mb_per_s": "data"}
"""What a name begins with where the measure's own would say its unit twice."""
_OUR_UNIT: Final = re.compile(r"_(ns|us|s|pct|kib|ratio)(?=_|$)")

_ENDS: Final[Sequence[tuple[str, str, Callable[[Figure], float | None]]]] = (
    ("", "", lambda figure: figure.value),
    ("_ci95_low", ": lower end of its 95% interval", lambda figure: figure.low),
    ("_ci95_high", ": upper end of its 95% interval", lambda figure: figure.high),
)


def write(figures: Sequence[Figure], file: TextIO) -> None:
    """Write all families and the end mark."""
    by_measure: dict[str, list[Figure]] = {}
    for figure in figures:
        by_measure.setdefault(figure.measure, []).append(figure)
    for measure, found in by_measure.items():
        for suffix, words, value_of in _ENDS:
            file.writelines(_family(measure, found, suffix, words, value_of))
    file.writelines(_stamps(figures))
    file.write("# EOF\n")


def _family(
    measure: str,
    found: Sequence[Figure],
    suffix: str,
    words: str,
    value_of: Callable[[Figure], float | None],
) -> Iterator[str]:
    unit, factor = _UNITS.get(found[0].unit, ("", 1))
    stem = f"pybench_{_STEMS.get(measure, _OUR_UNIT.sub('', measure))}{suffix}"
    name = f"{stem}_{unit}" if unit else stem
    samples = [(f, value) for f in found if (value := value_of(f)) is not None]
    if not samples:
        return
    yield f"# TYPE {name} gauge\n"
    if unit:
        yield f"# UNIT {name} {unit}\n"
    yield f"# HELP {name} {_escaped(found[0].title.partition(' ~ ')[0] + words)}\n"
    for figure, value in samples:
        yield f"{name}{_labels(figure.labels)} {value * factor:.10g}\n"


def _stamps(figures: Sequence[Figure]) -> Iterator[str]:
    """Each stamp of each cell once, though it stands on every figure of the cell."""
    stamped = {
        _labels({**figure.labels, "code": code}): None
        for figure in figures
        if not figure.base
        for code in figure.codes
    }
    if stamped:
        yield "# TYPE pybench_stamp gauge\n"
        yield "# HELP pybench_stamp What must be known before a figure is believed.\n"
        yield from (f"pybench_stamp{labels} 1\n" for labels in stamped)


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{_name(k)}="{_escaped(v)}"' for k, v in labels.items()) + "}"


def _name(text: str) -> str:
    return re.sub(r"\W", "_", text, flags=re.ASCII)


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
