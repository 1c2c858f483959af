"""How the windows of a cell went: a course a round, over the time since the window's beginning."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pybench.analysis.model import CellRounds, Round
from pybench.units import NS_PER_S

POINTS: Final = 60
"""Of a course at most: slices of a longer window are put together."""

ROUNDS: Final = 5
"""Of a cell that are drawn: the first ones."""


@dataclass(frozen=True, slots=True)
class Course:
    """One window in columns of one length, an entry a slice; those that are not known are empty.

    seconds: the middle of each slice.  mps: messages/s.  mean_ns, max_ns: latency, None where no
    echo came.  cpu_us: the worker's CPU time per message.
    """

    seconds: Sequence[float]
    mps: Sequence[float]
    mean_ns: Sequence[float | None]
    max_ns: Sequence[float | None]
    cpu_us: Sequence[float | None]


def courses(cell: CellRounds) -> list[Course]:
    """Of the cell's good rounds that have one; none of a window of a single slice."""
    found = [r for r in cell.good if r.series is not None and len(r.series.messages) > 1]
    return [_course(one) for one in found[:ROUNDS]]


def _course(one: Round) -> Course:
    series = one.series
    assert series is not None
    slices = len(series.messages)
    together = -(-slices // POINTS)
    parts = [range(at, min(slices, at + together)) for at in range(0, slices, together)]
    slice_s = series.slice_ms / 1000
    ends_s = [min(part.stop * slice_s, one.window_s) for part in parts]
    starts_s = [part.start * slice_s for part in parts]
    counts = [sum(series.messages[i] for i in part) for part in parts]
    waits = [sum(series.messages[i] * series.mean_ns[i] for i in part) for part in parts]
    cpu_ns = [sum(series.cpu_ns[i] for i in part) for part in parts] if series.cpu_ns else []
    return Course(
        seconds=[(start + end) / 2 for start, end in zip(starts_s, ends_s, strict=True)],
        mps=[
            n / max(1 / NS_PER_S, end - start)
            for n, start, end in zip(counts, starts_s, ends_s, strict=True)
        ],
        mean_ns=[wait / n if n else None for wait, n in zip(waits, counts, strict=True)],
        max_ns=[max(series.max_ns[i] for i in part) or None for part in parts],
        cpu_us=[ns / 1000 / n if n else None for ns, n in zip(cpu_ns, counts, strict=False)],
    )
