"""One session of the driver: what is asked for, what befalls it, and what must hold afterwards."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from pybench.result.file import read_contents
from tests.soak import faults
from tests.soak.faults import Phase, Spans, Targets, Undo, Victim
from tests.soak.place import SMALL_DISK_BYTES, Host, Place, place
from tests.support import SUPPORT, hostile, processes
from tests.support.wire import ServerProcess

LIMIT_S = 90.0  # what hangs is given up after 15 s; the rest is for a busy machine
SETTLE_S = 20.0
PHASES: tuple[Phase, ...] = (
    "start", "before connect", "connecting", "ready", "warm-up", "window", "drain", "writing",
)  # fmt: skip
PROGRAM = f"exec:{sys.executable} {SUPPORT / 'programs.py'} serves_both_families {{port}}"
ROWS = (
    "c_epoll", "c_poll", "c_th", "c_uring", "selector", "raw_selector", "asyncio_proto", "asyncio",
    "thread", f"program={PROGRAM}", "forks=badbackends:echoes_in_a_child",
)  # fmt: skip
FAULTS: dict[str, tuple[Victim, ...]] = {
    "nothing": ("driver",),
    "kill": ("driver", "worker", "program", "server"),
    "stop": ("driver", "worker", "program", "server"),
    "freeze": ("worker", "program", "server"),
    "SIGINT": ("driver",),
    "SIGTERM": ("driver",),
    "few files": ("driver", "worker", "program", "server"),
    "little memory": ("driver", "worker", "program", "server"),
    "failing calls": ("driver", "worker", "server"),
    "small disk": ("driver",),
    "no reader of stdout": ("driver",),
    "no reader of stderr": ("driver",),
    "full stdout": ("driver",),
    "link cut": ("driver",),
    "resets": ("driver",),
}
"""Each fault and who may meet it; the last two want two hosts. Whom one stops is continued soon,
whom one freezes so late that the driver gives it up while pings run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What follows from a seed. embedded: the driver has a load server of its own."""

    seed: str
    fault: str
    victim: Victim
    phase: Phase
    embedded: bool
    funcs: tuple[str, ...]
    conns: int
    rounds: int
    spans: Spans
    resumed: bool

    def __str__(self) -> str:
        what = f"{self.fault}, {self.victim}, {self.phase}"
        where = "embedded" if self.embedded else "remote"
        rows = ",".join(func.partition("=")[0] for func in self.funcs)
        return f"session {self.seed} ({what}; {where}; {rows} x {self.conns})"

    @property
    def spares_driver(self) -> bool:
        """Whether the driver itself can be expected to say what went wrong."""
        return self.victim != "driver" or self.fault not in ("little memory", "failing calls")


def make_session(seed: str, left_out: Sequence[str] = ()) -> Session:
    """The session of a seed. left_out: faults that this machine has not."""
    rng = random.Random(seed)
    fault = rng.choice([name for name in FAULTS if name not in left_out])
    victim = rng.choice(FAULTS[fault])
    embedded = rng.random() < 0.4 or (fault, victim) == ("kill", "server")
    funcs = rng.sample(ROWS[:-1] if fault == "nothing" else ROWS, 2)
    if victim == "program":
        funcs[0] = ROWS[-2]
    return Session(
        seed=seed,
        fault=fault,
        victim=victim,
        phase="start" if fault == "failing calls" else rng.choice(PHASES),
        embedded=embedded and fault not in ("link cut", "resets"),
        funcs=tuple(dict.fromkeys(funcs)),
        conns=rng.choice((1, 5, 40)),
        rounds=rng.choice((1, 2)),
        spans=Spans(rng.choice((0.05, 0.1)), rng.choice((0.1, 0.2))),
        resumed=rng.random() < 0.4,
    )


def play(session: Session, host: Host, server: ServerProcess, files: int, shim: Path) -> list[str]:
    """What was wrong: nothing, when all is well.

    host: where the driver runs.  server: the long-lived load server; files: its descriptors at its
    start.  shim: the library of failing calls.
    """
    rng = random.Random(f"{session.seed}/played")
    with place(host, session.seed, small_disk=session.fault == "small disk") as made:
        found = _played(session, made, server, shim, rng)
        found += [f"left: {what}" for what in made.leftovers()]
        if session.spares_driver:
            found += _check_file(made, _finished(made))
        if session.resumed and not made.small_disk:
            found += _resumed(session, made)
            found += [f"left after --resume: {what}" for what in made.leftovers()]
    with contextlib.suppress(AssertionError):
        processes.wait_for("", lambda: hostile.open_files(server) == files, SETTLE_S)
        return found
    return [*found, f"the load server has {hostile.open_files(server)} descriptors, not {files}"]


def _played(
    session: Session, made: Place, server: ServerProcess, shim: Path, rng: random.Random
) -> list[str]:
    with _driver(session, made, server, shim, rng) as (driver, streams):
        targets = Targets(made.host, driver, None if session.embedded else server.process.pid)
        undo = faults.nothing
        if faults.await_phase(targets, session.phase, session.conns, made.output, session.spans):
            undo = _inject(session, targets, streams, rng)
        try:
            driver.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            return [f"the driver runs after {LIMIT_S:.0f} s"]
        finally:
            undo()
    return _check_end(session, driver.returncode, _said(made))


@contextlib.contextmanager
def _driver(
    session: Session, made: Place, server: ServerProcess, shim: Path, rng: random.Random
) -> "Iterator[tuple[subprocess.Popen[str], dict[str, IO[bytes]]]]":
    """The running driver, and of the streams that will lose their reader the reader's end."""
    streams: dict[str, IO[bytes]] = {}
    with contextlib.ExitStack() as stack:
        outs = {}
        for name in ("stdout", "stderr"):
            path = Path("/dev/full") if session.fault == f"full {name}" else made.folder / name
            outs[name] = stack.enter_context(path.open("wb"))
            if session.fault == f"no reader of {name}":
                reader, writer = os.pipe()
                streams[name] = stack.enter_context(os.fdopen(reader, "rb"))
                outs[name] = stack.enter_context(os.fdopen(writer, "wb"))
        extra = {}
        if session.fault == "failing calls":
            rate = rng.choice((20, 200, 2000))
            extra["LD_PRELOAD"] = str(shim)
            extra["PYBENCH_SHIM"] = f"{faults.WORDS[session.victim]} {rate} {rng.getrandbits(32)}"
        driver = subprocess.Popen(
            [*made.host.prefix, *_command(session, made, server)],
            stdin=subprocess.DEVNULL,
            **outs,
            cwd=made.work,
            env=made.environment(**extra),
            start_new_session=True,
        )
        if session.fault == "small disk" and not made.small_disk:  # nor then any file
            faults.small_files(driver.pid, SMALL_DISK_BYTES)
        for name in streams:
            outs[name].close()
        try:
            yield driver, streams
        finally:
            if driver.poll() is None:
                driver.kill()
            driver.wait()


def _command(session: Session, made: Place, server: ServerProcess) -> list[str]:
    words = [sys.executable, "-mpybench", "--conns", str(session.conns)]
    words += ["--rounds", str(session.rounds), "--output", str(made.output), "--seed", "1"]
    words += ["--warmup", f"{session.spans.warmup}s", "--runtime", f"{session.spans.window}s"]
    for func in session.funcs:
        words += ["--func", func]
    if not session.embedded:
        words += ["--server", "{}:{}".format(*server.address)]
    return words


def _inject(
    session: Session, targets: Targets, streams: dict[str, IO[bytes]], rng: random.Random
) -> Undo:
    fault = session.fault
    for stream in streams.values():
        stream.close()
    if fault == "link cut":
        return faults.cut_link(targets.host, rng)
    if fault == "resets":
        return faults.reset_connections(targets.host, rng)
    acts = {
        "kill": faults.signalled(signal.SIGKILL),
        "stop": faults.stop,
        "freeze": faults.freeze,
        "SIGINT": faults.signalled(signal.SIGINT),
        "SIGTERM": faults.signalled(signal.SIGTERM),
        "few files": faults.few_files,
        "little memory": faults.little_memory,
    }
    pid = targets.pid(session.victim)
    return acts[fault](pid, rng) if fault in acts and pid is not None else faults.nothing


# ---- what must hold -------------------------------------------------------------------------


def _said(made: Place) -> str:
    return (made.folder / "stderr").read_text(errors="replace")


def _finished(made: Place) -> int:
    """Rounds that the driver has said are over and kept: all but the one which found the disk full,
    of which it says that too."""
    said = _said(made)
    over = len(re.findall(r"(?m)^\[\d+/\d+\] ", said))
    full = len(re.findall(r"(?m)^pybench: error: .*No space left on device", said))
    return max(0, over - full)


def _check_end(session: Session, status: int, said: str) -> list[str]:
    """The driver ends as it says that it does, in words of its own."""
    if (session.fault, session.victim) == ("kill", "driver"):
        allowed = {-signal.SIGKILL, 0, 1}
    elif session.fault in ("SIGINT", "SIGTERM"):
        allowed = {130, 0, 1}
    else:
        allowed = {0} if session.fault == "nothing" else {0, 1, 2}
    early = session.phase == "start" and session.fault in ("SIGINT", "SIGTERM")
    if early:  # the interpreter's own words, before there were ours
        allowed |= {-signal.SIGINT, -signal.SIGTERM}
    found = []
    if status not in allowed and session.spares_driver:
        found.append(f"exit status {status}: {said[-600:]!r}")
    if status == -signal.SIGSEGV:
        found.append("the driver crashed")
    # of its own: what a row has raised is shown below its round, and indented
    if re.search("(?m)^Traceback", said) and session.spares_driver and not early:
        found.append(f"a traceback: {said[-2000:]!r}")
    return found


def _check_file(made: Place, finished: int) -> list[str]:
    """The results file is whole, and has every round that was told of."""
    if not made.output.exists():
        return [f"{finished} rounds were finished, and there is no file"] if finished else []
    contents = read_contents(made.output)
    held = sum(len(section.results) for section in contents.sections)
    found = [f"the results file: {error}" for error in contents.errors]
    if held < finished:
        found.append(f"{finished} rounds were finished, and the file holds {held}")
    return found


def _resumed(session: Session, made: Place) -> list[str]:
    """What a file still lacks can be measured later: then each round is there, once."""
    text = made.output.read_bytes() if made.output.exists() else b""
    if b"\n" not in text:  # it had not begun
        return []
    command = [sys.executable, "-mpybench", "--resume", str(made.output), "--format", "json"]
    for _ in range(3):  # a round that fails on a busy machine is tried again
        began = time.monotonic()
        try:
            done = subprocess.run(
                [*made.host.prefix, *command],
                capture_output=True,
                text=True,
                cwd=made.work,
                env=made.environment(),
                timeout=LIMIT_S,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            return [f"--resume runs after {time.monotonic() - began:.0f} s"]
        if done.returncode == 0:
            break
    else:
        return [f"--resume: exit status {done.returncode}: {done.stderr[-600:]!r}"]
    contents = read_contents(made.output)
    rounds = Counter(
        (result.func, result.round)
        for section in contents.sections
        for result in section.results
        if result.ok
    )
    wanted = len(session.funcs) * session.rounds
    found = [f"after --resume the results file: {error}" for error in contents.errors]
    if len(rounds) != wanted or set(rounds.values()) != {1}:
        found.append(f"after --resume not each of {wanted} rounds once: {dict(rounds)}")
    return found
