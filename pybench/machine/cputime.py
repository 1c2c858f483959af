"""What another process has used so far, as the kernel accounts it: asked from outside, without it
noticing. All threads count, those that have ended too."""

import contextlib
import errno
import os
import time
from dataclasses import dataclass
from pathlib import Path

from pybench.units import NS_PER_S

TICKS_PER_S = os.sysconf("SC_CLK_TCK")

_USER, _SYSTEM = 11, 12  # fields of /proc/PID/stat behind the name, from 0: proc_pid_stat(5)
_MINOR_FAULTS = 7


@dataclass(frozen=True, slots=True)
class CpuTime:
    """Of some processes, with their children that have ended and were waited for.

    cpu_ns: precise, but for those children: theirs counts in ticks.  user_ticks, system_ticks: how
    it divides.  minor_faults: pages that had to be mapped, and not to be read from anywhere.
    """

    cpu_ns: int
    user_ticks: int
    system_ticks: int
    minor_faults: int


def cpu_clock(pid: int) -> int:
    """The number of a process' CPU clock, for `time.clock_gettime_ns`.

    Source: MAKE_PROCESS_CPUCLOCK in glibc's posix-timers.h, as clock_getcpuclockid(3) makes it.
    """
    return ~pid << 3 | 2


def cpu_time(root: int, *below: int) -> CpuTime:
    """The sum over a process and some below it.

    Raises OSError when the first is gone, and when this process cannot look, for want of files or
    memory. One of the others that is gone has been waited for, and counts with its parent.
    """
    clocks = {root: time.clock_gettime_ns(cpu_clock(root))}  # first: it is in a hurry
    for pid in below:
        with contextlib.suppress(OSError):
            clocks[pid] = time.clock_gettime_ns(cpu_clock(pid))
    stats = [_stat(pid) for pid in clocks]
    user, system, faults = (
        sum(fields[at] + fields[at + behind] for fields in stats if fields)
        for at, behind in ((_USER, 2), (_SYSTEM, 2), (_MINOR_FAULTS, 1))
    )
    ended = sum(fields[_USER + 2] + fields[_SYSTEM + 2] for fields in stats if fields)
    cpu_ns = sum(clocks.values()) + ended * NS_PER_S // TICKS_PER_S
    return CpuTime(cpu_ns, user, system, faults)


def _stat(pid: int) -> list[int]:
    """The numbers behind the name in /proc/PID/stat, the state as 0; none when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError as exc:
        if exc.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise  # it is there; without it the sum would be less than before
        return []
    return [0, *map(int, text.rpartition(")")[2].split()[1:])]
