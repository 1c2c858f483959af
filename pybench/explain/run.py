"""From cells to an explanation in a folder: read `explain` first, the table of contents."""

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pybench.driver.interrupts import InterruptError, Interrupts
from pybench.driver.loadserver import ServerKeeper
from pybench.driver.plan import Plan
from pybench.driver.round import RoundContext
from pybench.errors import PybenchError, UsageError
from pybench.explain import stacks, syscalls
from pybench.explain.explanation import Cpu, Explained, Explanation, save
from pybench.explain.flame import flame_graph
from pybench.machine import environment
from pybench.spec import Cell

Notify = Callable[[str], None]


def explain(
    plan: Plan, folder: Path, command: Sequence[str], notify: Notify
) -> tuple[Explanation, bool]:
    """Observe every cell that can run, write `explain.json` and the pictures into the folder.

    command: as it is recorded.  notify: is told of progress and of what is missing, line by line.
    Returns the explanation and whether Ctrl-C cut it short; what was found before that is written.
    Raises UsageError when the folder cannot be made or nothing can be observed here at all.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise UsageError(f"--explain {folder}: {exc.strerror}") from exc
    env = environment.collect() | {"placement": plan.placement.to_record()}
    found: list[Explained] = []
    interrupted = False
    try:
        for cell in _explained(plan, folder, env, notify):
            found.append(cell)
    except InterruptError:
        interrupted = True
    explanation = Explanation(cells=tuple(found), command=tuple(command), env=env)
    for path in [save(explanation, folder), *_draw_bars(explanation, folder, notify)]:
        notify(f"wrote {path}")
    return explanation, interrupted


def _explained(
    plan: Plan, folder: Path, env: dict[str, Any], notify: Notify
) -> Iterator[Explained]:
    """Cell by cell what was found out. Raises InterruptError on Ctrl-C."""
    cells, placement = plan.cells, plan.placement
    with ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        keeper = ServerKeeper(plan.campaign.server, bind=plan.bind, cpus=placement.server_cpus)
        server = stack.enter_context(keeper)
        means = _Means(notify)
        for number, cell in enumerate(cells, 1):
            interrupts.check()
            context = RoundContext(
                server=server.address(),
                bind=plan.bind,
                placement=placement,
                interrupts=interrupts,
                env=env,
                more_servers=plan.campaign.more_servers,
                slices=False,  # what is observed is no measurement
            )
            found = means.explain_cell(cell, context, folder)
            new = [error for error in found.errors if error not in means.missing]
            notify("; ".join([f"explained [{number}/{len(cells)}] {cell}", *new]))
            yield found


class _Means:
    """What can be observed on this machine: found out once, said once. missing: what cannot."""

    def __init__(self, notify: Notify) -> None:
        self.missing: list[str] = []
        self._names: set[str] = set()
        self._counter: syscalls.Counter | None = None
        self._can_sample = False
        try:
            self._counter = syscalls.find_counter(notify)
        except PybenchError as exc:
            self.missing.append(str(exc))
        try:
            stacks.find_sampler()
            self._can_sample = True
        except PybenchError as exc:
            self.missing.append(f"no CPU time sampled: {exc}")
        if self._counter is None and not self._can_sample:
            raise UsageError(f"--explain: {'; '.join(self.missing)}")
        for line in self.missing:
            notify(line)

    def explain_cell(self, cell: Cell, context: RoundContext, folder: Path) -> Explained:
        """All that can be found out about a cell; a part that fails is a line in `errors`."""
        errors = list(self.missing)
        counted = cpu = None
        if self._counter is not None:
            try:
                counted = syscalls.count_syscalls(cell, context, self._counter)
            except PybenchError as exc:
                errors.append(f"system calls: {exc}")
        if self._can_sample:
            try:
                cpu = _sample(cell, context, folder, free_slug(str(cell), self._names))
            except PybenchError as exc:
                errors.append(f"CPU time: {exc}")
        return Explained(
            cell=str(cell),
            func=cell.func,
            conns=cell.conns,
            msize=cell.msize,
            syscalls=counted,
            cpu=cpu,
            errors=tuple(errors),
        )


def _sample(cell: Cell, context: RoundContext, folder: Path, name: str) -> Cpu:
    profile = stacks.sample(cell, context)
    layers = profile.layers()
    kernel, tcp = stacks.kernel_share(layers), stacks.tcp_share(layers)
    path = folder / f"{name}.svg"
    subtitle = (
        f"{profile.samples} samples of the worker's CPU time, {profile.messages} pings; "
        f"kernel {kernel:.0%}, TCP/IP {tcp:.0%}"
    )
    title = f"{cell} connections"
    path.write_text(
        flame_graph(profile.stacks, title, subtitle), encoding="utf-8", errors="backslashreplace"
    )
    return Cpu(
        samples=profile.samples,
        messages=profile.messages,
        cpu_us_per_ping=profile.cpu_s / max(1, profile.messages) * 1e6,
        kernel=kernel,
        tcp=tcp,
        layers=layers,
        flame=path.name,
    )


def free_slug(text: str, taken: set[str]) -> str:
    """A slug that no other text has, `A=/x` beside `A=x`. taken: those that are; gets this one."""
    name = slug(text)
    if name in taken:
        name = _cut(name, text)
    taken.add(name)
    return name


def slug(text: str) -> str:
    """A file name from a cell's name; long ones are cut and kept apart by a checksum."""
    plain = re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-")
    return plain if len(plain) <= 80 else _cut(plain, text)


def _cut(plain: str, text: str) -> str:
    return f"{plain[:71]}-{zlib.crc32(text.encode(errors='surrogatepass')):08x}"


def _draw_bars(explanation: Explanation, folder: Path, notify: Notify) -> list[Path]:
    sampled = [cell for cell in explanation.cells if cell.cpu is not None]
    if not sampled:
        return []
    if find_spec("matplotlib") is None:
        notify("no bars drawn: matplotlib is not installed (pip install matplotlib)")
        return []
    try:
        from pybench.explain.bars import Bar, write_bars
    except Exception as exc:
        notify(f"no bars drawn: matplotlib is installed and does not start: {exc}")
        return []
    bars = [
        Bar(cell.cell, cell.cpu.layers, cell.cpu.cpu_us_per_ping)
        for cell in sampled
        if cell.cpu is not None
    ]
    return write_bars(bars, folder)
