"""Where is the knee? Which rate a sweep tries next: pure numbers, no clock, no state.

A sweep starts low and doubles until two rates in a row were too much: one may be a hiccup of the
machine. Then it closes in by halves of the logarithm. What it does next follows from what is known
so far, so that an interrupted one just goes on.
"""

import math
from collections.abc import Mapping
from typing import Final

START: Final = 1000
LOWEST: Final = 10
HIGHEST: Final = 20_000_000
CLOSE: Final = 1.1
"""A sweep ends when the lowest rate that was too much is within this factor of the one below."""

_GUESSED_DOUBLINGS: Final = 6


def next_rate(known: Mapping[int, bool], conns: int) -> int | None:
    """The rate to try next, in pings per second; None when the knee is known.

    known: rate -> whether it was too much.  conns: the first rate is at least a ping per second for
    each, so that all take part. Rates have two significant digits.
    """
    if not known:
        return two_digits(max(START, conns))
    good, bad = _bounds(known)
    if good is None:
        lower = two_digits(min(known) / 2)
        return lower if lower >= LOWEST else None
    if bad is None:
        return 2 * good if good < HIGHEST else None
    if not _confirmed(known, good) and 2 * bad <= HIGHEST:
        return 2 * bad
    if bad <= CLOSE * good:
        return None
    middle = two_digits(math.sqrt(good * bad))
    return middle if good < middle < bad else None


def steps_left(known: Mapping[int, bool]) -> int:
    """About how many rates are still to be tried."""
    good, bad = _bounds(known)
    if good is None or bad is None:
        return _closing(2) + max(2, _GUESSED_DOUBLINGS - len(known))
    return _closing(bad / good) + (not _confirmed(known, good))


def _closing(factor: float) -> int:
    """How many halves of its logarithm it takes to bring the factor down to CLOSE."""
    return max(0, math.ceil(math.log2(math.log(factor) / math.log(CLOSE))))


def two_digits(rate: float) -> int:
    """The rate rounded to two significant digits, at least 1."""
    return max(1, round(float(f"{rate:.1e}")))


def _bounds(known: Mapping[int, bool]) -> tuple[int | None, int | None]:
    """The highest rate that was kept, and the lowest above it that was too much."""
    good = max((rate for rate, too_much in known.items() if not too_much), default=None)
    return good, min((rate for rate in known if rate > (good or 0)), default=None)


def _confirmed(known: Mapping[int, bool], good: int) -> bool:
    """Whether more than one rate above the best one was too much."""
    return sum(rate > good for rate in known) > 1
