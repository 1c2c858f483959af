"""How much of each resource this machine has: files, ports, threads, memory mappings.

Reads limits, changes none. Whether they are enough for a campaign is asked in
`driver/preflight.py`.
"""

import os
import resource
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pybench.machine import cgroup
from pybench.machine.procfs import read_int, read_words

RESERVED_PIDS = 300  # the kernel gives none of the first ones out
SPARE_FILES = 64  # what interpreter, libraries and the event loop open besides the connections
MOST_SERVER_THREADS = 64  # what a request may ask for


@dataclass(frozen=True, slots=True)
class Limit:
    """A resource: how much of it there is, what it is called and who can raise it."""

    available: int
    what: str
    remedy: str

    def check(self, needed: int, each: str = "") -> str | None:
        """The message when there is too little, else None.

        each: how many one thing takes of it, for the message.
        """
        if needed <= self.available:
            return None
        return f"{needed} {self.what}{each} needed, {self.available} available: {self.remedy}"


def of_machine() -> dict[str, int]:
    """What this machine has of files, ports, threads and mappings, by name; what is not limited is
    left out. Ports are those of one source address."""
    found: dict[str, Iterable[Limit]] = {
        "open files": open_files(),
        "ports": local_ports(""),
        "threads": threads(),
        "mappings": mappings(),
    }
    known = {
        name: min((limit.available for limit in some), default=None) for name, some in found.items()
    }
    known["listen queue"] = listen_queue()
    return {name: value for name, value in known.items() if value is not None}


def listen_queue() -> int | None:
    """How many connections can wait to be accepted."""
    return read_int("/proc/sys/net/core/somaxconn")


def open_files() -> Iterator[Limit]:
    """Of one process; the soft limit is raised to the hard one by whoever needs it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        remedy = (
            "raise the hard limit of open files (ulimit -Hn, or nofile in limits.conf), or fewer"
            " connections, or a guest without that limit (docs/limits.md)"
        )
        yield Limit(hard, "open files", remedy)


def tables(conns: int) -> int:
    """How many threads it takes for connections when each has a table of descriptors of its own:
    what limits open files limits a table. As server/files.c and ext/shares.c have it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return 1
    room = hard - SPARE_FILES if hard > 2 * SPARE_FILES else max(1, hard // 2)
    return -(-conns // room)


def server_tables(threads: int | None) -> Iterator[Limit]:
    """Of the embedded load server: a ping thread has one. threads: asked for, None as needed."""
    remedy = "as many --server-threads" if threads else "raise the hard limit (ulimit -Hn)"
    yield Limit(threads or MOST_SERVER_THREADS, "tables of open files for the load server", remedy)


def local_ports(towards: str) -> Iterator[Limit]:
    """From one source address to one destination. towards: its address, for the message."""
    words = read_words("/proc/sys/net/ipv4/ip_local_port_range")
    if len(words) == 2:
        low, high = map(int, words)
        remedy = (
            "widen them (sysctl -w net.ipv4.ip_local_port_range='1024 65535'),"
            " or --bind 127.0.0.1, which has more addresses"
        )
        yield Limit(high - low + 1, f"local ports to connect to {towards} from", remedy)


def tracked_connections() -> Iterator[Limit]:
    """That the firewall can still take note of; when its table is full, packets are dropped.

    Nothing where it tracks none: its table may be there and empty.
    """
    maximum = read_int("/proc/sys/net/netfilter/nf_conntrack_max")
    used = read_int("/proc/sys/net/netfilter/nf_conntrack_count")
    if maximum and used:
        remedy = f"sysctl -w net.netfilter.nf_conntrack_max={max(262_144, 4 * maximum)}"
        yield Limit(max(0, maximum - used), "tracked connections of the firewall", remedy)


def threads() -> Iterator[Limit]:
    """How many more threads there can be, by everything that limits them."""
    running = _running_tasks()
    pid_max = read_int("/proc/sys/kernel/pid_max")
    if pid_max is not None:
        remedy = "sysctl -w kernel.pid_max=4194304"
        yield Limit(max(0, pid_max - RESERVED_PIDS - running), "thread ids", remedy)
    threads_max = read_int("/proc/sys/kernel/threads-max")
    if threads_max is not None:
        remedy = "sysctl -w kernel.threads-max=1000000"
        yield Limit(max(0, threads_max - running), "threads", remedy)
    _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    if hard != resource.RLIM_INFINITY and os.geteuid() != 0:  # root is exempt
        remedy = "raise the limit of processes (ulimit -Hu, or nproc in limits.conf)"
        yield Limit(max(0, hard - _own_tasks()), "processes and threads of this user", remedy)
    for folder in cgroup.folders("pids"):
        limit, used = read_int(str(folder / "pids.max")), read_int(str(folder / "pids.current"))
        if limit is not None:
            remedy = f"raise {folder}/pids.max (docker run --pids-limit, systemd TasksMax=)"
            yield Limit(max(0, limit - (used or 0)), "threads in this control group", remedy)


def memory() -> Iterator[Limit]:
    """Free without swapping, in KiB: of the machine, and of what confines this process."""
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemAvailable:"):
            yield Limit(int(line.split()[1]), "KiB of memory", "end what uses it")
    for folder in cgroup.folders("memory"):
        limit = read_int(str(folder / "memory.max"))
        used = read_int(str(folder / "memory.current"))
        if limit is not None:
            remedy = f"raise {folder}/memory.max (docker run --memory)"
            words = read_words(str(folder / "memory.stat"))
            cached = int(dict(zip(words[::2], words[1::2], strict=False)).get("inactive_file", 0))
            available = max(0, limit - (used or 0) + cached) // 1024  # the cache gives way
            yield Limit(available, "KiB of memory in this control group", remedy)


def mappings() -> Iterator[Limit]:
    """Of memory, in one process."""
    maximum = read_int("/proc/sys/vm/max_map_count")
    if maximum is not None:
        yield Limit(maximum, "memory mappings", "sysctl -w vm.max_map_count=1000000")


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _running_tasks() -> int:
    """Threads on this machine now."""
    try:
        return int(read_words("/proc/loadavg")[3].partition("/")[2])
    except (ValueError, IndexError):
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
