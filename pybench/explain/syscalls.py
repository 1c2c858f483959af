"""System calls per ping of the worker, all its threads together.

Two rounds are counted, each from before its first ping to the worker's end: a long one and one of
hardly more than a ping per connection. The difference of their calls, divided by the difference of
their messages, is free of everything that happens once per round or per connection (closing,
unregistering, the end of the interpreter), so that counts and messages need not be cut at the same
instant: both are whole. Counted so, `recvfrom` of a row that receives once per ping is 1 to within
0.2%; what remains is the row's own change between the rounds (how many are ready per wait).
"""

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pybench.driver.round import RoundContext
from pybench.explain.observe import observe
from pybench.explain.tools import PERF_REMEDY, PerfObserver, StraceObserver, ToolError, try_out
from pybench.result.explanation import Syscalls
from pybench.spec import Cell
from pybench.units import NS_PER_MS, NS_PER_S

LONG_NS: Final = 2 * NS_PER_S
SHORT_NS: Final = NS_PER_MS
UNNAMED_SHARE: Final = 0.01  # of all calls, from which on every tracepoint is counted

TRACEPOINTS: Final = (
    Path("/sys/kernel/tracing/events/syscalls"),
    Path("/sys/kernel/debug/tracing/events/syscalls"),
)
TOTAL: Final = "raw_syscalls:sys_enter"

# Counted by name at once. perf needs some 30 ms to let go of each tracepoint, and there are 360:
# all of them are only counted for a row that makes many calls besides these.
USUAL: Final = (
    *("recvfrom", "recvmsg", "read", "readv", "sendto", "sendmsg", "write", "writev"),
    *("epoll_wait", "epoll_pwait", "epoll_ctl", "poll", "ppoll", "io_uring_enter", "futex"),
    *("mmap", "munmap", "mremap", "brk", "madvise", "getsockopt", "ioctl", "close"),
)
EVERY: Final = "*"


@dataclass(frozen=True, slots=True)
class Count:
    """The calls of one round. calls: by name.  total: with those that have no name here."""

    calls: Mapping[str, int]
    total: int


class PerfCounter:
    """Counts by tracepoints, and all calls together. names: `*` for all takes 10 s to end."""

    tool = "perf stat"

    def __init__(self, names: Sequence[str] = USUAL) -> None:
        chosen = names if EVERY in names else _existing(names)
        events = [TOTAL, *(f"syscalls:sys_enter_{name}" for name in chosen)]
        self.observer = PerfObserver("stat", "-x", ",", "-e", ",".join(events))

    def read(self) -> Count:
        """The count of a round that is over."""
        return parse_perf_stat(self.observer.output.read_text())


class StraceCounter:
    """Counts by stopping the worker at each call, whatever its name: exact, and slow."""

    tool = "strace"

    def __init__(self, names: Sequence[str] = ()) -> None:
        self.observer = StraceObserver()

    def read(self) -> Count:
        """The count of a round that is over."""
        return parse_strace(self.observer.output.read_text())


Counter = type[PerfCounter] | type[StraceCounter]


def _existing(names: Sequence[str]) -> list[str]:
    """Those that this kernel has; all where that cannot be seen, and perf will say why."""
    for folder in TRACEPOINTS:
        try:
            found = {entry.name for entry in folder.iterdir()}
        except OSError:
            continue
        return [name for name in names if f"sys_enter_{name}" in found]
    return list(names)


# Tracepoints that are called otherwise than the call.
_CALLED: Final = {"newstat": "stat", "newlstat": "lstat", "newfstat": "fstat", "newuname": "uname"}
_PERF_LINE: Final = re.compile(
    r"^(?P<count>\d+|<[^>]*>),[^,]*,(?P<event>[a-z_]+:sys_enter(_(?P<name>\w+))?),", re.MULTILINE
)


def parse_perf_stat(text: str) -> Count:
    """The counts in the output of `perf stat -x ,`: lines `count,unit,event,...`.

    Raises ToolError when the total is not among them, or could not be counted.
    """
    calls: dict[str, int] = {}
    total = None
    for match in _PERF_LINE.finditer(text):
        count = int(match["count"]) if match["count"].isdigit() else None
        if match["event"] == TOTAL:
            total = count
        elif count:
            name = match["name"]
            calls[_CALLED.get(name, name)] = count
    if total is None:
        # Without the right to see the kernel perf counts another event, which is always zero.
        raise ToolError(f"perf stat counted nothing: tracepoints need more rights ({PERF_REMEDY})")
    return Count(calls, total)


# `% time  seconds  usecs/call  calls  [errors]  syscall`
_STRACE_LINE: Final = re.compile(
    r"^ *[\d.]+ +[\d.]+ +\d+ +(?P<calls>\d+) +(?:\d+ +)?(?P<name>[a-z_]\w*)$", re.MULTILINE
)


def parse_strace(text: str) -> Count:
    """The counts in the table of `strace -c`. An empty table is a round without calls."""
    calls = {
        match["name"]: int(match["calls"])
        for match in _STRACE_LINE.finditer(text)
        if match["name"] != "total"
    }
    if not calls and text.strip():
        raise ToolError("strace -c wrote a table that is not understood")
    return Count(calls, sum(calls.values()))


def per_ping(tool: str, long: tuple[Count, int], short: tuple[Count, int]) -> Syscalls:
    """Calls per ping from two rounds, each as (count, messages).

    Raises ToolError when the long round was no longer than the short one.
    """
    messages = long[1] - short[1]
    if messages <= 0:
        raise ToolError(f"{long[1]} messages in the long round, {short[1]} in the short one")
    rates = {
        name: (calls - short[0].calls.get(name, 0)) / messages
        for name, calls in long[0].calls.items()
    }
    made = {name: rate for name, rate in rates.items() if rate > 0}
    total = (long[0].total - short[0].total) / messages
    unnamed = max(0.0, total - sum(rates.values()))
    falling = dict(sorted(made.items(), key=lambda item: -item[1]))
    return Syscalls(tool=tool, messages=messages, per_ping=falling, unnamed=unnamed)


def find_counter(notify: Callable[[str], None]) -> Counter:
    """The best way of counting that works here, tried out.

    notify: is told why a better way does not work.  Raises ToolError when none does.
    """
    try:
        _try_out(PerfCounter(names=()))
    except ToolError as exc:
        try:
            _try_out(StraceCounter())
        except ToolError as second:
            raise ToolError(f"no system calls counted: {exc}; {second}") from second
        notify(f"system calls are counted by strace, which is slow: {exc}")
        return StraceCounter
    return PerfCounter


def _try_out(counter: PerfCounter | StraceCounter) -> None:
    try:
        try_out(counter.observer)
        if counter.read().total == 0:
            raise ToolError(f"{counter.tool} counted nothing")
    finally:
        counter.observer.discard()


def count_syscalls(cell: Cell, context: RoundContext, counter: Counter) -> Syscalls:
    """Count the calls of a cell, with every tracepoint when the usual ones miss many.

    Raises PybenchError and InterruptError as `observe` does.
    """
    found = _difference(cell, context, counter, USUAL)
    if found.unnamed > UNNAMED_SHARE * (found.unnamed + sum(found.per_ping.values())):
        found = _difference(cell, context, counter, [EVERY])
    return found


def _difference(
    cell: Cell, context: RoundContext, counter: Counter, names: Sequence[str]
) -> Syscalls:
    long = dataclasses.replace(cell, runtime_ns=min(LONG_NS, cell.runtime_ns), warmup_ns=0)
    short = dataclasses.replace(cell, runtime_ns=SHORT_NS, warmup_ns=0)
    rounds = [_count_round(one, context, counter(names)) for one in (long, short)]
    return per_ping(counter.tool, rounds[0], rounds[1])


def _count_round(
    cell: Cell, context: RoundContext, counter: PerfCounter | StraceCounter
) -> tuple[Count, int]:
    try:
        observed = observe(cell, context, counter.observer)
        return counter.read(), observed.messages
    finally:
        counter.observer.discard()
