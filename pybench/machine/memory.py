"""How much memory other processes hold, asked from outside."""

import contextlib
import re
from collections.abc import Iterable
from pathlib import Path

_RESIDENT = re.compile(r"^(?:Rss|VmRSS):\s*(\d+) kB", re.MULTILINE)


def resident_kib(pids: Iterable[int]) -> int | None:
    """The resident sets of processes added up, in KiB; None when the first is gone.

    A page that several of them share counts in each. What the kernel keeps for them, socket buffers
    above all, is in none. Another than the first that is gone counts for nothing.
    """
    first, *others = pids
    total = _resident_kib(first)
    if total is None:
        return None
    for pid in others:
        total += _resident_kib(pid) or 0
    return total


def _resident_kib(pid: int) -> int | None:
    """From smaps_rollup, which adds up pages and takes a millisecond; status may be off by some
    hundreds of KiB: kernels since 6.2 count for each CPU apart, and add that up now and then."""
    for name in ("smaps_rollup", "status"):
        with contextlib.suppress(OSError):  # gone, or not ours to look into
            found = _RESIDENT.search(Path(f"/proc/{pid}/{name}").read_text())
            if found is not None:
                return int(found[1])
    return None


def is_asleep(pid: int, threads: int = 1) -> bool:
    """Whether the oldest threads of a process all wait for something; of one that is gone, too.

    threads: so many of them, the main thread first.
    """
    if threads == 1:
        return _is_asleep(Path(f"/proc/{pid}"))
    try:
        oldest = sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda task: int(task.name))
    except OSError:
        return True
    return all(map(_is_asleep, oldest[:threads]))


def _is_asleep(task: Path) -> bool:
    try:
        state = (task / "stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return True
    return state not in "RD"
