"""The processes below this one: who they are, what they have used, and their end."""

import os
import re
import resource
import signal
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TERM_S = 1.0  # how long a program may take to end by itself

# Of /proc/PID/stat: ticks of 10 ms, but of the precise sum: one rounding a figure, not one a tick.
TICKS_PER_S = os.sysconf("SC_CLK_TCK")

_SWITCHES = re.compile(r"^(?:non)?voluntary_ctxt_switches:\s*(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class TreeUsage:
    """What the processes of a tree have used. max_rss_kb: the sum of their peaks.

    Switches are of the threads that still run, and of processes that have ended.
    """

    user_s: float
    sys_s: float
    max_rss_kb: int
    minor_faults: int
    voluntary_switches: int
    involuntary_switches: int


def has_children() -> bool:
    """Whether this process has any, ended ones included: the kernel tells at once."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def descendants(of: int | None = None) -> Iterator[int]:
    """All processes below one, parents before their children. of: its id; None: of this one."""
    root = os.getpid() if of is None else of
    yield from descendants_of([root])[root]


def descendants_of(roots: Iterable[int]) -> dict[int, list[int]]:
    """The same of several by one look at all processes, which is what takes the time."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    return {root: _below(root, children) for root in roots}


def _below(root: int, children: Mapping[int, Sequence[int]]) -> list[int]:
    found = list(children.get(root, []))
    for pid in found:  # grows while it is walked
        found += children.get(pid, [])
    return found


def tree_usage() -> TreeUsage:
    """CPU time so far of all processes below this one, those that have ended included."""
    ours = resource.getrusage(resource.RUSAGE_CHILDREN)
    user_s, sys_s, peak_kb = ours.ru_utime, ours.ru_stime, 0
    faults, gave_up, lost = ours.ru_minflt, ours.ru_nvcsw, ours.ru_nivcsw
    for pid in descendants() if has_children() else ():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        faults += int(fields[7]) + int(fields[8])
        switches = _switches(pid)
        gave_up, lost = gave_up + switches[0], lost + switches[1]
        user, system, ended_user, ended_system = map(int, fields[11:15])
        user_s += (user + ended_user) / TICKS_PER_S
        sys_s += (system + ended_system) / TICKS_PER_S
        peak = status.partition("VmHWM:")[2].split(maxsplit=1)
        peak_kb += int(peak[0]) if peak else 0
    return TreeUsage(user_s, sys_s, peak_kb, faults, gave_up, lost)


def _switches(pid: int) -> tuple[int, int]:
    """Of a process' threads: how often they gave up their CPU, and how often they lost it."""
    gave_up = lost = 0
    for path in Path(f"/proc/{pid}/task").glob("[0-9]*/status"):
        try:
            found = _SWITCHES.findall(path.read_text())
        except OSError:  # it has ended meanwhile
            continue
        gave_up, lost = gave_up + int(found[0]), lost + int(found[1])
    return gave_up, lost


def end_tree() -> None:
    """End all processes below this one: asked first, then killed. None is left on return."""
    if not has_children():
        return
    deadline = time.monotonic() + TERM_S
    number = signal.SIGTERM
    signal_all(number)
    while _reap():
        if time.monotonic() > deadline:
            number = signal.SIGKILL
            signal_all(number)  # again each time: what it forks in between must go as well
        time.sleep(0.005)


def signal_all(number: signal.Signals) -> None:
    """Send a signal to all processes below this one."""
    for pid in list(descendants()):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _reap() -> bool:
    """Take in what has ended; returns whether a child is left."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
