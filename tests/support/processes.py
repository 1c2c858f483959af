"""Looks at processes from outside, through /proc: who started whom, and what they hold open."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def wait_for(what: str, probe: Callable[[], T], timeout_s: float = 20.0) -> T:
    """The first true value of probe(). For what another process does, and nobody announces."""
    deadline = time.monotonic() + timeout_s
    while not (value := probe()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_s} s: {what}")
        time.sleep(0.005)
    return value


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(pid: int) -> bool:
    """The opposite of alive."""
    return not alive(pid)


def children(pid: int) -> dict[int, str]:
    """Running processes that pid has started: process id -> command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, ValueError):
            continue
        if parent == pid and alive(int(entry.name)):
            found[int(entry.name)] = command
    return found


def child_called(pid: int, word: str) -> int | None:
    """The child of pid whose command line has that word."""
    return next((child for child, command in children(pid).items() if word in command), None)


def sockets(pid: int) -> set[str]:
    """Inodes of the sockets that pid has open."""
    found = set()
    try:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            target = str(link.readlink())
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:
        pass
    return found


def listening_ports(pid: int | None = None) -> set[int]:
    """TCP ports that are listened on, by anybody or by pid."""
    mine = None if pid is None else sockets(pid)
    ports = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and (mine is None or words[9] in mine):
                ports.add(int(words[1].rpartition(":")[2], 16))
    return ports
