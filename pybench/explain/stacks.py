"""Samples of the worker's CPU time with their stacks: `perf record` on cpu-clock, `perf script`.

cpu-clock is a timer, so it works in virtual machines without hardware counters. Stacks of user
space come from DWARF unwinding: interpreters and libraries are rarely built with frame pointers.
"""

import dataclasses
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pybench.driver.round import RoundContext
from pybench.explain.layers import KERNEL_DSO, KERNEL_LAYERS, TCP, Frame, Stack, layer_of
from pybench.explain.observe import observe
from pybench.explain.tools import PerfObserver, ToolError, try_out
from pybench.spec import Cell
from pybench.units import NS_PER_S

SAMPLED_NS: Final = 4 * NS_PER_S
HERTZ: Final = 997  # a prime: not in step with anything that happens every so often
STACK_BYTES: Final = 24576  # libuv alone keeps 12 KiB of events on it
SCRIPT_TIMEOUT_S: Final = 120.0
CAP_SYS_ADMIN, CAP_PERFMON = 21, 38
PARANOID: Final = Path("/proc/sys/kernel/perf_event_paranoid")


@dataclass(frozen=True, slots=True)
class Profile:
    """Where the CPU time of a round went. stacks: how many samples each has.

    messages, cpu_s: pings, and CPU seconds used, of the observed round.
    """

    stacks: Counter[Stack]
    messages: int
    cpu_s: float

    @property
    def samples(self) -> int:
        """How many there are."""
        return self.stacks.total()

    def layers(self) -> dict[str, float]:
        """Share of the samples by layer; they sum to 1."""
        counts: Counter[str] = Counter()
        for stack, count in self.stacks.items():
            counts[layer_of(stack)] += count
        return {layer: count / self.samples for layer, count in counts.most_common()}


def kernel_share(layers: dict[str, float]) -> float:
    """Share of the time spent in the kernel."""
    return sum(share for layer, share in layers.items() if layer in KERNEL_LAYERS)


def tcp_share(layers: dict[str, float]) -> float:
    """Share of the time spent in the kernel's network stack."""
    return layers.get(TCP, 0.0)


def _recorder(cpu: int | None = None) -> PerfObserver:
    how = ["-e", "cpu-clock", "-F", str(HERTZ), "--call-graph", f"dwarf,{STACK_BYTES}"]
    return PerfObserver("record", *how, cpu=cpu)


def find_sampler() -> None:
    """Try out whether this machine allows sampling, the kernel included. Raises ToolError."""
    observer = _recorder()
    try:
        try_out(observer)
    finally:
        observer.discard()
    paranoid = _paranoid()
    if paranoid > 1 and not _privileged():
        # perf would silently leave the kernel out, and every share would be wrong.
        raise ToolError(
            f"perf sees no kernel time: kernel.perf_event_paranoid is {paranoid}"
            " (run as root, or `sysctl -w kernel.perf_event_paranoid=1`)"
        )


def _paranoid() -> int:
    """How much perf is kept from processes without privileges: see perf_event_open(2)."""
    return int(PARANOID.read_text()) if PARANOID.exists() else -1


def _privileged() -> bool:
    """Whether this process may observe the kernel whatever the context: see capabilities(7)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
            return any(effective >> number & 1 for number in (CAP_SYS_ADMIN, CAP_PERFMON))
    return os.geteuid() == 0


def sample(cell: Cell, context: RoundContext) -> Profile:
    """Sample a round of the cell.

    Raises PybenchError and InterruptError as `observe` does, ToolError when nothing was sampled.
    """
    short = dataclasses.replace(cell, runtime_ns=min(SAMPLED_NS, cell.runtime_ns), warmup_ns=0)
    cpu = context.placement.worker_cpu
    if cell.row.command is not None or not (_privileged() or _paranoid() < 1):
        cpu = None  # a program may be several processes; a CPU may not be everybody's to observe
    observer = _recorder(cpu)
    try:
        with _named_python_functions():
            observed = observe(short, context, observer)
        stacks = read_stacks(observer.output, observer.pid if cpu is not None else None)
    finally:
        observer.discard()
        if observer.pid is not None:  # where the interpreter listed its functions for perf script
            Path(f"/tmp/perf-{observer.pid}.map").unlink(missing_ok=True)
    if not stacks:
        raise ToolError("perf record took no samples: the worker used no CPU time")
    return Profile(stacks, observed.messages, observed.cpu_s)


@contextmanager
def _named_python_functions() -> Iterator[None]:
    """Workers started here tell perf the names of their Python functions, where they can (3.12)."""
    name = "PYTHONPERFSUPPORT"
    if sys.version_info < (3, 12) or name in os.environ:
        yield
        return
    os.environ[name] = "1"
    try:
        yield
    finally:
        del os.environ[name]


def read_stacks(data: Path, pid: int | None = None) -> Counter[Stack]:
    """How many samples each stack has in what `perf record` wrote. Raises ToolError.

    pid: of the only process that counts; None for all that are there.
    """
    return Counter(parse_perf_script(_script(data, pid)))


def _script(data: Path, pid: int | None) -> list[str]:
    """The lines of `perf script`. Without inlined functions: looking those up takes minutes."""
    command = ["perf", "script", "-i", str(data), "--no-inline", "-F", "tid,ip,sym,dso"]
    command += [] if pid is None else [f"--pid={pid}"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SCRIPT_TIMEOUT_S,
        env={**os.environ, "LC_ALL": "C"},
        check=False,
    )
    if done.returncode != 0:
        raise ToolError(f"perf script failed: {' '.join(done.stderr.split())[:200]}")
    return done.stdout.splitlines()


_FRAME: Final = re.compile(r"^\s+[0-9a-f]+ (?P<symbol>.+) \((?P<dso>[^()]*(?:\(deleted\))?)\)$")


def parse_perf_script(lines: Iterable[str]) -> Iterator[Stack]:
    """The stacks in the output of `perf script -F tid,ip,sym,dso`, the outermost frame first.

    A sample is a line that is not indented, its frames from the innermost on, an empty line.
    """
    frames: list[Frame] = []
    for line in lines:
        match = _FRAME.match(line)
        if match is not None:
            frames.append(_frame(match["symbol"], match["dso"]))
        elif not line.strip() and frames:
            yield _cleaned(frames)
            frames = []
    if frames:
        yield _cleaned(frames)


def _frame(symbol: str, dso: str) -> Frame:
    if dso.startswith(("[kernel", "[guest.kernel")) or dso.endswith((".ko", ".ko.xz", ".ko.zst")):
        return Frame(symbol, KERNEL_DSO)
    return Frame(symbol, dso)


def _cleaned(frames: list[Frame]) -> Stack:
    """Outermost first, without unknown callers: where unwinding lost its way nothing is known."""
    while len(frames) > 1 and frames[-1].symbol == "[unknown]":
        frames.pop()
    return tuple(reversed(frames))
