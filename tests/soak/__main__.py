"""Sessions one after the other, in four lanes, until the time is over.

    python -m tests.soak [--seconds 30] [--seed N] [--only NUMBER]

Three lanes run pybench itself, each between two hosts of its own where root may make them, with a
load server that lives through all of it; something befalls every session (`sessions.py`). The last
talks to load servers over wires on which everybody misbehaves (`tests/support/hostile.py`), one of
them with calls that fail at random. Whatever happens, nothing may be left: no process, no listening
socket, no file, no descriptor or memory of the servers; and a results file has every round.

The seed is printed. --only NUMBER plays that session of the driver again, with the same --seconds.
"""

import argparse
import contextlib
import itertools
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tests.soak import faults, sessions
from tests.soak.place import Host
from tests.support import ROOT, hostile, netns
from tests.support.wire import ServerProcess, load_server

LANES = 3
GROWTH_KB = 8 * 1024  # what the allocator may keep for later
FREEZING_S = 100  # who soaks for less has no time for sessions that end by their timeouts
PATIENT = 0.05  # share of the hostile sessions that may take seconds


@dataclass
class Tally:
    """What has been done and found, by all lanes.

    seed: of all seeds.  numbers: of the sessions.  seconds: how long it takes all in all.  until:
    when no further one begins.
    """

    seed: int
    numbers: Iterator[int]
    seconds: float
    until: float
    done: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)
    memory: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next_seed(self) -> str | None:
        """Of the next session; None when the time is over."""
        with self._lock:
            number = next(self.numbers, None)
            if number is None or time.monotonic() > self.until:
                return None
            return f"{self.seed}/{number}"

    def add(self, kind: str, what: object, found: list[str]) -> None:
        """One session is over."""
        with self._lock:
            self.done[kind] += 1
            for line in found:
                self.found.append(f"{what}: {line}")
                print(f"FOUND {what}: {line}", flush=True)


def rss_kb(server: ServerProcess) -> int:
    """Resident memory of the server now."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0])


@contextlib.contextmanager
def watched(tally: Tally, name: str, server: ServerProcess) -> Iterator[int]:
    """The server's descriptors at its start; at the end its memory is looked at."""
    before = rss_kb(server)
    yield hostile.open_files(server)
    after = rss_kb(server)
    tally.memory.append(f"{name} {before} to {after} KiB")
    if after > before + GROWTH_KB:
        tally.add("memory", name, [f"the load server grew from {before} to {after} KiB"])


@contextlib.contextmanager
def hosts() -> Iterator[tuple[Host, Host]]:
    """Two, with a cable between them; this machine twice where they cannot be made."""
    with contextlib.ExitStack() as stack:
        try:
            pair = stack.enter_context(netns.namespaces(2))
        except pytest.skip.Exception as exc:
            print(f"without link cuts: {exc}", flush=True)
            yield Host(), Host()
            return
        here, there = (Host(one.name, one.address, one.prefix) for one in pair)
        yield here, there


def drive(tally: Tally, lane: int, shim: Path) -> None:
    """A lane of sessions of the driver."""
    with contextlib.ExitStack() as stack:
        here, there = stack.enter_context(hosts())
        listen = f"{there.address}:0"
        server = stack.enter_context(load_server("--quiet", listen=listen, prefix=there.prefix))
        files = stack.enter_context(watched(tally, f"lane {lane}", server))
        left_out = [] if here.name else ["link cut"]
        left_out += [] if here.name and faults.can_reset(here) else ["resets"]
        left_out += [] if tally.seconds >= FREEZING_S else ["freeze"]
        while (seed := tally.next_seed()) is not None:
            session = sessions.make_session(seed, left_out)
            try:
                found = sessions.play(session, here, server, files, shim)
            except Exception as exc:  # a finding of its own, and the next one may tell more
                found = [f"{type(exc).__name__}: {exc}"]
            tally.add(session.fault, session, found)


def misbehave(tally: Tally, shim: Path) -> None:
    """The lane of hostile sessions: both engines, and a server whose calls fail."""
    broken = {"LD_PRELOAD": str(shim), "PYBENCH_SHIM": f"--listen 100 {tally.seed % 2**32}"}
    with contextlib.ExitStack() as stack:
        servers = []
        for name, options, env in (
            ("epoll", ["--engine", "epoll"], {}),
            ("uring", ["--engine", "uring"], {}),
            ("failing calls", [], broken),
        ):
            server = stack.enter_context(load_server("--quiet", *options, env=env))
            servers.append((name, server, stack.enter_context(watched(tally, name, server))))
        while (seed := tally.next_seed()) is not None:
            rng = random.Random(seed)
            name, server, files = rng.choice(servers)
            plan = hostile.make_plan(seed, patient=rng.random() < PATIENT)
            found = []
            try:
                hostile.play(plan, server, files, strict=name != "failing calls")
            except (AssertionError, OSError, ValueError) as exc:
                found = [f"{type(exc).__name__}: {exc}"]
            tally.add(f"hostile wire, {name}", f"{name}: {plan}", found)


def build_shim() -> Path:
    """The library whose calls fail, compiled."""
    library = ROOT / "build" / "soak" / "shim.so"
    library.parent.mkdir(parents=True, exist_ok=True)
    source = Path(__file__).parent / "shim.c"
    flags = ["-std=gnu11", "-O1", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror"]
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, *flags, str(source), "-o", str(library), "-ldl"], check=True)
    return library


def main() -> int:
    """Soak, and say what came of it; 1 when something was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, metavar="S")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--only", type=int, metavar="NUMBER", help="one session of the driver")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    began = time.monotonic()
    numbers = itertools.count(1) if options.only is None else iter([options.only])
    tally = Tally(options.seed, numbers, options.seconds, began + options.seconds)
    shim = build_shim()
    if options.only is not None:
        drive(tally, 0, shim)
    else:
        with ThreadPoolExecutor() as pool:
            lanes = [pool.submit(partial(drive, tally, lane, shim)) for lane in range(LANES)]
            lanes.append(pool.submit(misbehave, tally, shim))
        for lane in lanes:
            lane.result()
    for kind, count in sorted(tally.done.items()):
        print(f"{count:6} {kind}")
    print("memory of the load servers:", "; ".join(tally.memory))
    print(
        f"{sum(tally.done.values())} sessions in {time.monotonic() - began:.0f} s,"
        f" seed {options.seed}: {len(tally.found) or 'nothing'} found"
    )
    return int(bool(tally.found))


if __name__ == "__main__":
    sys.exit(main())
