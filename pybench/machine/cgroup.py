"""The control groups that this process is in: where their limits and counters are."""

from collections.abc import Iterator
from pathlib import Path

from pybench.machine.procfs import read_words

MEMBERSHIP = Path("/proc/self/cgroup")
ROOT = Path("/sys/fs/cgroup")


def folders(controller: str) -> Iterator[Path]:
    """Those that may limit what the controller is for, innermost first, of version 1 and 2.

    controller: `cpu`, `pids`, ... In a container the top one is its own.  Source: cgroups(7).
    """
    try:
        lines = MEMBERSHIP.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = ROOT / controllers
        here = top / path.lstrip("/")
        for folder in (here, *here.parents):
            if folder == top.parent:
                break
            yield folder


def quota_cpus() -> float | None:
    """How many CPUs' time this process's groups may use, by the tightest; None without a limit.

    A group that has used up its part of a period waits for the next one, with all its threads.
    """
    found = [one for folder in folders("cpu") if (one := _quota(folder)) is not None]
    return min(found, default=None)


def _quota(folder: Path) -> float | None:
    """Of one group: cpu.max of version 2, cpu.cfs_quota_us and cpu.cfs_period_us of version 1."""
    words = read_words(str(folder / "cpu.max"))
    if not words:
        words = read_words(str(folder / "cpu.cfs_quota_us"))
        words += read_words(str(folder / "cpu.cfs_period_us"))
    try:
        quota, period = map(int, words)
    except ValueError:  # `max`, or no such files
        return None
    return quota / period if quota > 0 and period > 0 else None  # -1 is no limit


def throttled() -> tuple[int, float] | None:
    """How often this process's groups had used up their CPU time, and the seconds they then waited.

    Of the group that waited longest, since it was made. The seconds are those of all CPUs. None
    where no group says.
    """
    found = [one for folder in folders("cpu") if (one := _throttled(folder)) is not None]
    return max(found, key=lambda one: one[1], default=None)


def _throttled(folder: Path) -> tuple[int, float] | None:
    try:
        words = (folder / "cpu.stat").read_text().split()
        counters = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    except (OSError, ValueError):
        return None
    if "throttled_usec" in counters:  # version 2; version 1 has nanoseconds
        return counters.get("nr_throttled", 0), counters["throttled_usec"] / 1e6
    if "throttled_time" in counters:
        return counters.get("nr_throttled", 0), counters["throttled_time"] / 1e9
    return None
