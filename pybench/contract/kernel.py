"""Looks at a backend through the kernel's eyes: what it has run, whether it sleeps, and where the
bytes are that it was sent.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pybench.contract.sockdiag import queues_of_both


@dataclass(frozen=True, slots=True)
class Cpu:
    """What the threads of a process have run, and waited for a CPU to run on, in seconds."""

    ran_s: float
    waited_s: float

    def since(self, before: "Cpu") -> "Cpu":
        """What came after `before`."""
        return Cpu(self.ran_s - before.ran_s, self.waited_s - before.waited_s)


def cpu(pid: int) -> Cpu:
    """Source: /proc/PID/task/TID/schedstat, sched-stats in the kernel's documentation.

    A kernel without it gives the times of proc_pid_stat(5), which know of no waiting.
    """
    ran_ns = waited_ns = 0
    for text in _of_threads(pid, "schedstat"):
        ran, waited, _ = map(int, text.split())
        ran_ns, waited_ns = ran_ns + ran, waited_ns + waited
    if ran_ns:
        return Cpu(ran_ns / 1e9, waited_ns / 1e9)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return Cpu(0.0, 0.0)
    return Cpu((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), 0.0)


def is_asleep(pid: int) -> bool:
    """Whether no thread of it runs or wants to."""
    return all(text.rpartition(")")[2].split()[0] == "S" for text in _of_threads(pid, "stat"))


def _of_threads(pid: int, name: str) -> Iterator[str]:
    """A file of each thread; those that have ended meanwhile are left out."""
    for path in Path(f"/proc/{pid}/task").glob(f"*/{name}"):
        with suppress(OSError):
            yield path.read_text()


@dataclass(frozen=True, slots=True)
class Held:
    """Bytes that a peer has sent and that are not on their way back.

    arriving: in the peer's own queue.  unread: by the backend.  by_backend: in no queue.
    """

    arriving: int
    unread: int
    by_backend: int

    @property
    def is_nothing(self) -> bool:
        """The backend has sent back all."""
        return self.arriving == self.unread == 0 and self.by_backend <= 0

    @property
    def is_at_backend(self) -> bool:
        """The backend has something that it has not sent back."""
        return self.unread > 0 or self.by_backend > 0


def held(sock: socket.socket, sent: int) -> Held:
    """Where the bytes are that a peer has sent, so many, of which it has read none back."""
    ours, theirs = queues_of_both(sock)
    on_the_way_back = theirs.to_send + ours.to_read
    by_backend = sent - ours.to_send - theirs.to_read - on_the_way_back
    return Held(ours.to_send, theirs.to_read, by_backend)
