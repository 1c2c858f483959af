"""What can be done to a session, and to whom in it.

Each fault is a function of what runs; what it undoes afterwards it returns.
"""

import contextlib
import os
import random
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.soak.place import Host
from tests.support import processes

Phase = Literal[
    "start", "before connect", "connecting", "ready", "warm-up", "window", "drain", "writing"
]  # fmt: skip
Victim = Literal["driver", "worker", "program", "server"]
Undo = Callable[[], None]
FREEZE_S = 20.0

SHIMMED = ("driver", "worker", "server")
WORDS = {"driver": "-mpybench", "worker": "pybench.worker", "server": "--listen"}
"""What the command line of each holds, and no other's: for the shim, and to find them."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Whom a fault may meet. server: the embedded one's process, or the long-lived one's."""

    host: Host
    driver: "subprocess.Popen[str]"
    server: int | None = None

    def pid(self, victim: Victim) -> int | None:
        """Its process, if it runs."""
        if victim == "driver":
            return self.driver.pid
        if victim == "server":
            return self.server or processes.child_called(self.driver.pid, WORDS["server"])
        worker = processes.child_called(self.driver.pid, WORDS["worker"])
        if victim == "worker" or worker is None:
            return worker
        return next(iter(processes.children(worker)), None)


def nothing() -> None:
    """There is nothing to undo."""


def send(pid: int, number: int) -> None:
    """A signal to what may have ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def signalled(number: signal.Signals) -> Callable[[int, random.Random], Undo]:
    """A fault: that signal, once."""

    def fault(pid: int, rng: random.Random) -> Undo:
        send(pid, number)
        return nothing

    return fault


def stop(pid: int, rng: random.Random) -> Undo:
    """It stands still for a while."""
    send(pid, signal.SIGSTOP)
    _later(rng.uniform(0.05, 1.5), lambda: send(pid, signal.SIGCONT))
    return lambda: send(pid, signal.SIGCONT)


def freeze(pid: int, rng: random.Random) -> Undo:
    """It stands still for longer than the driver waits for a word while pings run."""
    send(pid, signal.SIGSTOP)
    _later(FREEZE_S, lambda: send(pid, signal.SIGCONT))
    return lambda: send(pid, signal.SIGCONT)


def few_files(pid: int, rng: random.Random) -> Undo:
    """It can open few or no descriptors more."""
    with contextlib.suppress(OSError):
        used = len(list(Path(f"/proc/{pid}/fd").iterdir()))
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + rng.choice((0, 1, 3, 8)), before[1]))
        return lambda: _limit(pid, resource.RLIMIT_NOFILE, before)
    return nothing


def small_files(pid: int, size: int) -> None:
    """No file that it writes may grow beyond the size, in bytes."""
    with contextlib.suppress(OSError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, size))


def little_memory(pid: int, rng: random.Random) -> Undo:
    """It can map little or no memory more."""
    with contextlib.suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        used = pages * resource.getpagesize()
        before = resource.prlimit(pid, resource.RLIMIT_AS)
        resource.prlimit(pid, resource.RLIMIT_AS, (used + rng.choice((0, 1 << 16, 1 << 22)), -1))
        return lambda: _limit(pid, resource.RLIMIT_AS, before)
    return nothing


def _limit(pid: int, what: int, before: tuple[int, int]) -> None:
    with contextlib.suppress(OSError):
        resource.prlimit(pid, what, before)


def cut_link(host: Host, rng: random.Random) -> Undo:
    """The cable between the two hosts is pulled, and put back after a while."""

    def set_link(state: str) -> None:
        subprocess.run(["ip", "-n", host.name, "link", "set", "veth0", state], check=False)

    set_link("down")
    _later(rng.uniform(0.05, 2.5), lambda: set_link("up"))
    return lambda: set_link("up")


def reset_connections(host: Host, rng: random.Random) -> Undo:
    """All TCP connections of the host are reset, where the kernel can do that."""
    subprocess.run([*host.prefix, "ss", "-K", "-t", "state", "established"], capture_output=True)
    return nothing


def can_reset(host: Host) -> bool:
    """Whether the kernel closes other processes' sockets (CONFIG_INET_DIAG_DESTROY)."""
    import socket

    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as ours,
    ):
        port = ours.getsockname()[1]
        with contextlib.suppress(OSError):
            subprocess.run(["ss", "-K", "-t", "sport", "=", f":{port}"], capture_output=True)
        try:
            ours.send(b"x")
        except OSError:
            return True
    return False


def _later(after_s: float, do: Callable[[], None]) -> None:
    timer = threading.Timer(after_s, do)
    timer.daemon = True
    timer.start()


def await_phase(targets: Targets, phase: Phase, conns: int, output: Path, spans_s: "Spans") -> bool:
    """Return when a session has come that far; False when it has ended before."""
    if phase == "start":
        return True

    def until(happened: Callable[[], object]) -> bool:
        while not happened():
            if targets.driver.poll() is not None:
                return False
            time.sleep(0.003)
        return True

    if phase == "writing":
        return until(lambda: output.exists() and output.read_bytes().count(b"\n") > 1)
    if not until(lambda: targets.pid("worker")) or phase == "before connect":
        return targets.driver.poll() is None
    if not until(lambda: processes.sockets(targets.pid("worker") or 0)) or phase == "connecting":
        return targets.driver.poll() is None
    if not until(lambda: len(processes.sockets(_measured(targets))) > conns):
        return False
    time.sleep(spans_s.into(phase))
    return targets.driver.poll() is None


def _measured(targets: Targets) -> int:
    return targets.pid("program") or targets.pid("worker") or 0


@dataclass(frozen=True, slots=True)
class Spans:
    """How long a round pings, in seconds."""

    warmup: float
    window: float

    def into(self, phase: Phase) -> float:
        """From when all connections are there to the middle of the phase."""
        return {
            "warm-up": self.warmup / 2,
            "window": self.warmup + self.window / 2,
            "drain": self.warmup + self.window,
        }.get(phase, 0.0)
