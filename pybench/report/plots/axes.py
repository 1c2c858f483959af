"""Axes of counts, rates and times, with ticks at numbers that people use."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, LogLocator, NullLocator

from pybench.report.text import duration_text, rate_text
from pybench.units import count_label

_MARGIN: Final = 1.16  # around the outermost counts


def counts_axis(
    axis: Axes,
    label: str,
    counts: Sequence[float],
    *,
    apart: float = 0.14,
    write: Callable[[int], str] = count_label,
) -> None:
    """A log axis of the tables' columns whose ticks are the counts that were measured.

    counts: rising.  apart: how many decades there are between two ticks at least.
    write: a count as the text of its tick.
    """
    axis.set_xscale("log")
    kept: list[float] = []
    for count in reversed(counts):  # the largest always; drop what would collide with its neighbour
        if not kept or math.log10(kept[-1] / count) > apart:
            kept.append(count)
    margin = _MARGIN if len(counts) > 1 else 2.0  # the points beside each other stay together
    axis.set_xlim(counts[0] / margin, counts[-1] * margin)
    fixed_ticks(axis, {count: write(round(count)) for count in sorted(kept)})
    axis.set_xlabel(label)


def fixed_ticks(axis: Axes, ticks: Mapping[float, str]) -> None:
    """Ticks of the x axis at these places with these texts, and no others."""
    axis.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FixedFormatter(list(ticks.values())))


def rates_axis(axis: Axes) -> None:
    """A linear axis of messages per second from 0."""
    axis.set_ylim(0, None)
    axis.yaxis.set_major_formatter(FuncFormatter(lambda v, _: rate_text(v) if v else "0"))


def log_axis(axis: Axes, write: Callable[[float], str]) -> None:
    """A log axis with a tick at each power of ten, and at 2 and 5 where there is room."""
    axis.set_yscale("log")
    low, high = axis.get_ylim()
    narrow = math.log10(high / low) < 2.6
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,)))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda v, _: write(v)))


def time_axis(axis: Axes) -> None:
    """A log axis of times."""
    log_axis(axis, lambda v: duration_text(v).replace(".0", ""))
