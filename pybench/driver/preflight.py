"""Can this machine run what is asked for? Said before anything starts, with numbers and remedies.

Reads limits, changes none. An `Obstacle` is one limit in the way of one cell.
"""

import os
import resource
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pybench.spec import Campaign, Cell

SPARE_FILES = 64  # what interpreter, libraries and the event loop open besides the connections
SPARE_TASKS = 64
SPARE_MAPPINGS = 1000
RESERVED_PIDS = 300  # the kernel gives none of the first ones out
SLOW_BACKLOG = 128

THREADED_ROWS = frozenset({"thread", "socketserver", "c_th"})
MAPPED_STACK_ROWS = frozenset({"thread", "socketserver"})
# A stack and its guard page; from 3.11 on the interpreter maps memory for its frames besides.
MAPPINGS_PER_THREAD = 3 if sys.version_info >= (3, 11) else 2


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One limit that a cell breaks.

    of_row: only rows of this kind meet it.  text: number needed, number available, remedy.
    """

    cell: Cell
    text: str
    of_row: bool

    def __str__(self) -> str:
        return f"{self.cell}: {self.text}"


@dataclass(frozen=True, slots=True)
class Limit:
    """A resource: how much of it there is, what it is called and who can raise it."""

    available: int
    what: str
    remedy: str

    def check(self, needed: int) -> str | None:
        """The message when there is too little, else None."""
        if needed <= self.available:
            return None
        return f"{needed} {self.what} needed, {self.available} available: {self.remedy}"


def obstacles(campaign: Campaign, bind: str) -> list[Obstacle]:
    """Everything in the way of the campaign's cells, the first limit of each cell only.

    bind: the worker's address; loopback has source ports enough.
    """
    common = list(_common_limits(campaign, bind))
    tasks = list(_task_limits())
    mappings = list(_mapping_limits())
    found: list[Obstacle] = []
    for cell in campaign.cells:
        texts = [(limit.check(cell.conns + spare), False) for limit, spare in common]
        if cell.func in THREADED_ROWS:
            texts += [(limit.check(cell.conns + SPARE_TASKS), True) for limit in tasks]
        if cell.func in MAPPED_STACK_ROWS:
            needed = MAPPINGS_PER_THREAD * cell.conns + SPARE_MAPPINGS
            texts += [(limit.check(needed), True) for limit in mappings]
        found += [Obstacle(cell, text, of_row) for text, of_row in texts if text][:1]
    return found


def notes(campaign: Campaign) -> list[str]:
    """What is no obstacle but worth knowing before it starts."""
    backlog = _read_int("/proc/sys/net/core/somaxconn")
    if backlog is not None and backlog < min(SLOW_BACKLOG, max(campaign.conns)):
        return [
            f"only {backlog} connections can wait to be accepted, so connecting is slow: "
            "sysctl -w net.core.somaxconn=4096"
        ]
    return []


def machine_limits() -> dict[str, int]:
    """What this machine has of files, ports, threads and mappings, by name; what is not limited is
    left out. Ports are those of one source address."""
    _, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    found: dict[str, int | None] = {
        "open files": None if files == resource.RLIM_INFINITY else files,
        "ports": _ports(),
        "threads": min((limit.available for limit in _task_limits()), default=None),
        "mappings": min((limit.available for limit in _mapping_limits()), default=None),
        "listen queue": _read_int("/proc/sys/net/core/somaxconn"),
    }
    return {name: value for name, value in found.items() if value is not None}


def _common_limits(campaign: Campaign, bind: str) -> Iterator[tuple[Limit, int]]:
    """Limits of every row, and how much of each is needed besides one per connection."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        remedy = "raise the hard limit of open files (ulimit -Hn, or nofile in limits.conf)"
        yield Limit(hard, "open files", remedy), SPARE_FILES
    if campaign.server is None and not bind.startswith("127."):
        ports = _ports()
        if ports is not None:
            remedy = (
                "widen them (sysctl -w net.ipv4.ip_local_port_range='1024 65535'),"
                " or --bind 127.0.0.1, which has more addresses"
            )
            yield Limit(ports, f"local ports to connect to {bind} from", remedy), 0


def _ports() -> int | None:
    try:
        low, high = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
        return int(high) - int(low) + 1
    except (OSError, ValueError):
        return None


def _task_limits() -> Iterator[Limit]:
    """How many more threads there can be, by everything that limits them."""
    running = _running_tasks()
    pid_max = _read_int("/proc/sys/kernel/pid_max")
    if pid_max is not None:
        remedy = "sysctl -w kernel.pid_max=4194304"
        yield Limit(max(0, pid_max - RESERVED_PIDS - running), "thread ids", remedy)
    threads_max = _read_int("/proc/sys/kernel/threads-max")
    if threads_max is not None:
        remedy = "sysctl -w kernel.threads-max=1000000"
        yield Limit(max(0, threads_max - running), "threads", remedy)
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    if hard != resource.RLIM_INFINITY and os.geteuid() != 0:  # root is exempt
        remedy = "raise the limit of processes (ulimit -Hu, or nproc in limits.conf)"
        yield Limit(max(0, hard - _own_tasks()), "processes and threads of this user", remedy)
    for folder in _pid_cgroups():
        limit, used = _read_int(str(folder / "pids.max")), _read_int(str(folder / "pids.current"))
        if limit is not None:
            remedy = f"raise {folder}/pids.max (docker run --pids-limit, systemd TasksMax=)"
            yield Limit(max(0, limit - (used or 0)), "threads in this control group", remedy)


def _mapping_limits() -> Iterator[Limit]:
    maximum = _read_int("/proc/sys/vm/max_map_count")
    if maximum is not None:
        remedy = "sysctl -w vm.max_map_count=1000000"
        yield Limit(maximum, f"memory mappings, {MAPPINGS_PER_THREAD} per thread,", remedy)


def _read_int(path: str) -> int | None:
    """The number in a file of the kernel; None when there is none, or it is `max`."""
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return None


def _running_tasks() -> int:
    """Threads on this machine now."""
    try:
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    except (OSError, ValueError, IndexError):
        return 0


def _own_tasks() -> int:
    """Threads of this user now."""
    uid = os.getuid()
    count = 0
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and entry.stat().st_uid == uid:
                count += sum(1 for _ in (entry / "task").iterdir())
        except OSError:  # it ended meanwhile
            continue
    return count


def _pid_cgroups() -> Iterable[Path]:
    """The folders of this process's control groups that may limit threads, innermost first."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "pids"):
            continue
        top = Path("/sys/fs/cgroup") / controllers
        here = top / path.lstrip("/")
        for folder in (here, *here.parents):
            if folder == top.parent:
                break
            yield folder
