"""What several load servers measured of one worker, made one measurement.

Everything is exact but two things, for a server sends percentiles and not the counts behind them:
  - percentiles of messages per connection lie between two of a server's own, at most 5% of its
    connections apart; between these they are taken to rise evenly. With 20 connections or fewer on
    each server they are exact.
  - bounds of an open loop's percentiles are the least that any server has: a lower bound still.
The windows are of one length and begin within a round trip of each other (`ServerPart.start_s`).
Neither prints nor reads clocks.
"""

import dataclasses
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from pybench.driver.control import LOST_CAUSES, Corrected, Listener, Measurement, Queue, Slice

_SUMS = (
    *("messages", "total", "latency_sum_ns", "lost", "threads", "user_ns", "sys_ns", "starved"),
    *("waits", "events", "events_squared", "idle_ns", "idle_lost"),
)
_LARGEST = ("window_ns", "latency_max_ns", "conn_max", "busy_poll_us")
_OPTIONAL_SUMS = ("in_flight_ns", "drained")
_NO_SLICE = Slice(messages=0, latency_sum_ns=0, latency_max_ns=0)


def merge(parts: Sequence[Measurement], conns: Sequence[int]) -> Measurement:
    """All parts, one or more, as one. conns: how many connections each had.

    What a part does not say (`drained`, `queue`, ...) the whole does not say either.
    """
    if len(parts) == 1:
        return parts[0]
    values: dict[str, Any] = {name: _sum(parts, name) for name in _SUMS}
    values |= {name: max(getattr(part, name) for part in parts) for name in _LARGEST}
    for name in _OPTIONAL_SUMS:
        known = all(getattr(part, name) is not None for part in parts)
        values[name] = _sum(parts, name) if known else None
    slices = zip_longest(*(part.slices for part in parts), fillvalue=_NO_SLICE)
    return dataclasses.replace(
        parts[0],
        **values,
        lost_by={cause: sum(part.lost_by[cause] for part in parts) for cause in LOST_CAUSES},
        engine="+".join(dict.fromkeys(part.engine for part in parts)),
        version="+".join(dict.fromkeys(part.version for part in parts)),
        conn_min=min(part.conn_min for part in parts),
        percentiles=_percentiles(parts, conns),
        jain=_jain(parts, conns),
        histogram=_added(part.histogram for part in parts),
        queue=_queue(parts),
        corrected=_corrected(parts),
        slices=tuple(map(_slice, slices)),
        listeners=tuple(map(_listener, zip(*(part.listeners for part in parts), strict=True))),
        handshake_ns=_longest(part.handshake_ns for part in parts),
        cipher="+".join(dict.fromkeys(part.cipher for part in parts)),
    )


def _sum(parts: Iterable[object], name: str) -> int:
    return sum(int(getattr(part, name)) for part in parts)


def _added(histograms: Iterable[Mapping[int, int]]) -> dict[int, int]:
    whole: Counter[int] = Counter()
    for one in histograms:
        whole.update(one)
    return dict(sorted(whole.items()))


def _jain(parts: Sequence[Measurement], conns: Sequence[int]) -> float:
    """Jain's index of all: a part's own, S**2 / (n * Q), gives the sum of its squares Q."""
    squares = sum(
        part.messages**2 / (n * part.jain)
        for part, n in zip(parts, conns, strict=True)
        if part.jain > 0
    )
    if squares == 0:
        return 1.0
    return min(1.0, _sum(parts, "messages") ** 2 / (sum(conns) * squares))


class _Counts:
    """Messages of one server's connections, as far as its percentiles tell: so many have so few."""

    def __init__(self, part: Measurement, conns: int) -> None:
        known = {1: part.conn_min, conns: part.conn_max}
        for place, value in enumerate(part.percentiles, 1):
            known[(conns * 5 * place + 99) // 100] = value  # nearest rank, as in fairness.c
        self._ranks = sorted(known)
        self._values = [known[rank] for rank in self._ranks]

    def at_most(self, messages: int) -> int:
        """Connections that have no more."""
        after = bisect_right(self._values, messages)
        if after == 0:
            return 0
        rank, value = self._ranks[after - 1], self._values[after - 1]
        if after == len(self._ranks):
            return rank
        next_rank, next_value = self._ranks[after], self._values[after]
        return rank + (next_rank - rank) * (messages - value) // (next_value - value)


def _percentiles(parts: Sequence[Measurement], conns: Sequence[int]) -> tuple[int, ...]:
    counts = [_Counts(part, n) for part, n in zip(parts, conns, strict=True)]
    low, high = min(part.conn_min for part in parts), max(part.conn_max for part in parts)
    found = []
    for q in range(5, 100, 5):
        rank = (sum(conns) * q + 99) // 100
        low = _least(low, high, counts, rank)
        found.append(low)
    return tuple(found)


def _least(low: int, high: int, counts: Sequence[_Counts], rank: int) -> int:
    """The least number of messages that so many connections do not exceed."""
    while low < high:
        middle = (low + high) // 2
        if sum(one.at_most(middle) for one in counts) >= rank:
            high = middle
        else:
            low = middle + 1
    return low


def _queue(parts: Sequence[Measurement]) -> Queue | None:
    queues = [part.queue for part in parts if part.queue is not None]
    if len(queues) < len(parts):
        return None
    return Queue(sum_ns=_sum(queues, "sum_ns"), samples=_sum(queues, "samples"))


def _corrected(parts: Sequence[Measurement]) -> Corrected | None:
    found = [part.corrected for part in parts if part.corrected is not None]
    if len(found) < len(parts):
        return None
    return Corrected(
        **{name: _sum(found, name) for name in ("rate", "late", "unsent", "sum_ns", "censored")},
        max_ns=max(one.max_ns for one in found),
        histogram=_added(one.histogram for one in found),
        bounds=_bounds(found),
    )


def _bounds(found: Sequence[Corrected]) -> dict[str, int] | None:
    known = [one.bounds for one in found if one.bounds is not None]
    if len(known) < len(found):
        return None
    pings = [sum(one.histogram.values()) + one.censored for one in found]
    mean = sum(bounds["mean"] * n for bounds, n in zip(known, pings, strict=True))
    least = {name: min(bounds[name] for bounds in known) for name in known[0]}
    return least | {
        "mean": mean // max(1, sum(pings)),
        "max": max(bounds["max"] for bounds in known),
    }


def _listener(of: Sequence[Listener]) -> Listener:
    return Listener(_sum(of, "conns"), _sum(of, "messages"))


def _longest(times: Iterable[int | None]) -> int | None:
    """They pass at the same time; None where one is not known."""
    found = list(times)
    known = [one for one in found if one is not None]
    return max(known) if len(known) == len(found) else None


def _slice(of: Sequence[Slice]) -> Slice:
    return Slice(
        messages=_sum(of, "messages"),
        latency_sum_ns=_sum(of, "latency_sum_ns"),
        latency_max_ns=max(one.latency_max_ns for one in of),
    )
