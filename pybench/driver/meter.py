"""What the worker uses inside the window, read from outside at the load server's marks.

A backend's own account, from ready to its end, has the first cold pings in it and the closing of
all connections: at thousands of them most of a short round. The load server says when the window
begins, when each slice of it ends and when it ends itself; at each mark the worker's CPU clock is
read. The worker notices nothing.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pybench.machine.cputime import TICKS_PER_S, CpuTime, cpu_time
from pybench.units import NS_PER_S
from pybench.worker.protocol import Usage

SPLIT_TICKS = TICKS_PER_S // 2
"""So much CPU time divides into user and system well enough, at one tick more or less of each."""


@dataclass(frozen=True, slots=True)
class Reading:
    """At a mark. t_ns: of the mark, since the window's beginning.  at_ns: when it was read, by our
    own clock."""

    t_ns: int
    at_ns: int
    used: CpuTime


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowUsage:
    """What the window took of the worker. slices_ns: CPU time of each slice."""

    cpu_ns: int
    user_s: float
    sys_s: float
    minor_faults: int
    slices_ns: tuple[int, ...]


class Meter:
    """Reads at each mark. pids: the process that is measured and those below it.

    One that is started after the pings have begun counts when it has ended.
    """

    def __init__(self, pids: Callable[[], Iterable[int]]) -> None:
        self._ask = pids
        self._pids: tuple[int, ...] = ()
        self._readings: list[Reading] = []

    @property
    def pids(self) -> tuple[int, ...]:
        """Of whom it reads, once it has begun."""
        return self._pids

    def begin(self) -> None:
        """The pings begin. To look for a worker's children takes time, so it is done before."""
        self._pids = tuple(self._ask())

    def mark(self, t_ns: int) -> None:
        """A mark has come. A worker that has gone already leaves no reading."""
        at_ns = time.monotonic_ns()
        try:
            self._readings.append(Reading(t_ns, at_ns, cpu_time(*self._pids)))
        except OSError:
            return

    def usage(self, window_ns: int, slice_ns: int, whole: Usage) -> WindowUsage | None:
        """Of a window of that length; None where its ends were not both seen.

        whole: from ready to end, which tells better how little CPU time divides.
        """
        return usage_of(self._readings, window_ns, slice_ns, whole)


class Meters:
    """A meter for each worker of a round, all of them read at each mark.

    pids: of each, as for `Meter`.
    """

    def __init__(self, pids: Iterable[Callable[[], Iterable[int]]]) -> None:
        self._each = [Meter(one) for one in pids]

    @property
    def pids(self) -> list[tuple[int, ...]]:
        """Of whom each reads, once they have begun."""
        return [meter.pids for meter in self._each]

    def begin(self) -> None:
        """The pings begin."""
        for meter in self._each:
            meter.begin()

    def mark(self, t_ns: int) -> None:
        """A mark has come."""
        for meter in self._each:
            meter.mark(t_ns)

    def usages(
        self, window_ns: int, slice_ns: int, wholes: Sequence[Usage]
    ) -> list[WindowUsage] | None:
        """Of each, as `Meter.usage`; None where one of them is not known."""
        found = [
            meter.usage(window_ns, slice_ns, whole)
            for meter, whole in zip(self._each, wholes, strict=True)
        ]
        known = [one for one in found if one is not None]
        return known if len(known) == len(found) else None


def sum_of(usages: Sequence[WindowUsage]) -> WindowUsage:
    """What several workers took of one window."""
    slices = zip(*(one.slices_ns for one in usages), strict=True)
    return WindowUsage(
        cpu_ns=sum(one.cpu_ns for one in usages),
        user_s=sum(one.user_s for one in usages),
        sys_s=sum(one.sys_s for one in usages),
        minor_faults=sum(one.minor_faults for one in usages),
        slices_ns=tuple(map(sum, slices)),
    )


def usage_of(
    readings: Sequence[Reading], window_ns: int, slice_ns: int, whole: Usage
) -> WindowUsage | None:
    """See `Meter.usage`."""
    if len(readings) < 2 or readings[0].t_ns or readings[-1].t_ns != window_ns:
        return None
    first, last = readings[0].used, readings[-1].used
    ends_ns = [*range(slice_ns, window_ns, slice_ns), window_ns]
    cpu_ns = [_cpu_at(readings, t_ns) for t_ns in (0, *ends_ns)]
    total_ns = cpu_ns[-1] - cpu_ns[0]
    user = last.user_ticks - first.user_ticks
    system = last.system_ticks - first.system_ticks
    share = user / (user + system) if user + system >= SPLIT_TICKS else _user_share(whole)
    return WindowUsage(
        cpu_ns=total_ns,
        user_s=share * total_ns / NS_PER_S,
        sys_s=(1 - share) * total_ns / NS_PER_S,
        minor_faults=last.minor_faults - first.minor_faults,
        slices_ns=tuple(after - before for before, after in itertools.pairwise(cpu_ns)),
    )


def _cpu_at(readings: Sequence[Reading], t_ns: int) -> int:
    """The CPU time at a moment of the window, between the two readings around it.

    A mark comes late, by what the load server and we took to wake up: the one that came fastest
    tells how the two clocks stand to each other, so that the others' delays are known and taken
    off. The window's beginning lies before the first reading, by the first's delay.
    """
    at_ns = t_ns + min(one.at_ns - one.t_ns for one in readings)
    after = next((i for i, one in enumerate(readings) if one.at_ns >= at_ns), len(readings) - 1)
    left, right = readings[max(0, after - 1)], readings[max(1, after)]
    span_ns = right.at_ns - left.at_ns
    if span_ns <= 0:
        return right.used.cpu_ns
    rate = (right.used.cpu_ns - left.used.cpu_ns) / span_ns
    return round(left.used.cpu_ns + rate * (at_ns - left.at_ns))


def _user_share(whole: Usage) -> float:
    used_s = whole.user_s + whole.sys_s
    return whole.user_s / used_s if used_s > 0 else 1.0
