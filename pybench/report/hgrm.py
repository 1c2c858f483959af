"""Percentile distributions as HdrHistogram prints them, for its plotter and everything like it.

Values are milliseconds, the plotter's default. It lays several files over each other line by line,
so every file climbs the same ladder of percentiles, as far as its samples reach.
Source of the format: HdrHistogram, outputPercentileDistribution.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TextIO

from pybench.analysis.model import CellRounds
from pybench.analysis.stats import SUB_BUCKET_BITS, histogram_mean_ns, percentile_ns
from pybench.errors import UsageError

TICKS_PER_HALF: Final = 5  # levels between 0 and 50 %, 50 and 75 %, 75 and 87.5 %, ...

_NS_PER_MS: Final = 1e6


def write_hgrm(cells: Sequence[CellRounds], folder: Path, suffix: str = "") -> list[Path]:
    """One file `ROW-CONNS.hgrm` per cell that has a histogram; the paths written.

    suffix: goes behind the name, to keep groups apart. Raises UsageError when the folder cannot
    be written to.
    """
    written: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for cell in cells:
            name = f"{cell.func.replace('/', '_')}-{cell.column}{suffix}"
            path = folder / f"{name}.hgrm"
            if path in written:  # `A=/x` and `A=_x`
                path = folder / f"{name}-{len(written)}.hgrm"
            with path.open("w", encoding="ascii", errors="replace") as file:
                largest = max(cell.values("latmax_ns"), default=None)
                write_distribution(cell.histogram, file, max_ns=largest)
            written.append(path)
    except OSError as exc:
        raise UsageError(f"--hgrm {folder}: {exc.strerror}") from exc
    return written


def write_distribution(
    histogram: Mapping[int, int], file: TextIO, *, max_ns: float | None = None
) -> None:
    """Write the percentile distribution of one histogram (lower edge ns -> count, not empty).

    max_ns: the exact largest sample, where it is known: no line goes above it.
    """
    largest = percentile_ns(histogram, 1.0)
    largest = largest if max_ns is None else min(largest, int(max_ns))
    total = sum(histogram.values())
    edges = sorted(histogram)
    file.write("       Value     Percentile TotalCount 1/(1-Percentile)\n\n")
    below, seen = 0, 0
    for level in percentile_levels(total):
        value = percentile_ns(histogram, level)
        while below < len(edges) and edges[below] <= value:
            seen += histogram[edges[below]]
            below += 1
        value = min(value, largest)
        file.write(f"{value / _NS_PER_MS:12.6f} {level:2.12f} {seen:10d} {1 / (1 - level):14.2f}\n")
    file.write(f"{largest / _NS_PER_MS:12.6f} {1.0:2.12f} {total:10d}            inf\n")
    mean, deviation = _moments_ms(histogram)
    octaves = largest.bit_length()
    file.write(f"#[Mean    = {mean:12.6f}, StdDeviation   = {deviation:12.6f}]\n")
    file.write(f"#[Max     = {largest / _NS_PER_MS:12.6f}, Total count    = {total:12d}]\n")
    file.write(f"#[Buckets = {octaves:12d}, SubBuckets     = {1 << SUB_BUCKET_BITS:12d}]\n")


def percentile_levels(total: int) -> Iterator[float]:
    """0, 0.1, ... 0.5, 0.55, ... 0.75, 0.775, ...: up to the last level that total samples have."""
    level, step, half_left = 0.0, 0.5 / TICKS_PER_HALF, 0.5
    base = 0.0
    while 1 / (1 - level) <= total:
        yield level
        tick = round((level - base) / step) + 1
        if tick == TICKS_PER_HALF:
            base += half_left
            level = base
            half_left /= 2
            step /= 2
        else:
            level = base + tick * step


def _moments_ms(histogram: Mapping[int, int]) -> tuple[float, float]:
    """Mean and standard deviation of the samples, in ms."""
    mean = histogram_mean_ns(histogram)
    total = sum(histogram.values())
    square = sum(n * (lower - mean) ** 2 for lower, n in histogram.items()) / total
    return mean / _NS_PER_MS, square**0.5 / _NS_PER_MS
