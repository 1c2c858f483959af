"""Which CPU the worker gets and which the load server: decided once for a campaign, then recorded.
So is whether the load server may keep its CPUs busy.

The worker has one CPU to itself; the server has the others, without that CPU's SMT sibling where
there are enough. The driver itself is never pinned.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pybench.errors import UsageError
from pybench.machine import limits
from pybench.spec import Campaign, Cell
from pybench.spec.axes import AXES
from pybench.units import parse_cpus

MAX_DEFAULT_THREADS = 3
BUSY_POLL_US = 200
"""How long an embedded load server with CPUs of its own looks for echoes before it sleeps.

Whoever sleeps is woken by the other side's send, which costs that side an interrupt of another CPU.
Longer than any row of ours takes for a message, so that none pays for it; more gains nothing.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Who runs where.

    worker_cpu: of the first worker; None when workers are not pinned.
    worker_cpus: of every loop of every worker of the largest cell, in order; a smaller cell has the
    first ones. Some come again where there are too few. Empty when workers are not pinned.
    server_cpus: None when the embedded server is not pinned, or none is started.
    server_threads: None leaves it to the server.
    shared_cpus: CPUs of the server that are the worker's own, or its SMT siblings.
    busy_poll_us: how long the server looks for echoes before it sleeps.
    threads_asked, busy_poll_asked: whether those two are what the user wants, whatever the cell.
    """

    worker_cpu: int | None
    server_cpus: tuple[int, ...] | None
    server_threads: int | None
    shared_cpus: tuple[int, ...]
    busy_poll_us: int = 0
    threads_asked: bool = False
    busy_poll_asked: bool = False
    worker_cpus: tuple[int, ...] = ()

    def for_cell(self, cell: Cell) -> "Placement":
        """The same for one of the campaign's cells: with the CPUs of its own workers."""
        cpus = self.worker_cpus[: cell.listeners]
        if not cpus:
            return self
        near = frozenset().union(*map(smt_siblings, cpus))
        shared = tuple(cpu for cpu in self.server_cpus or () if cpu in near)
        return replace(self, worker_cpus=cpus, shared_cpus=shared)

    def cpus_of(self, worker: int, loops: int) -> int | tuple[int, ...] | None:
        """Where a worker runs: on the CPUs of its loops. worker: its number, from 0."""
        cpus = tuple(sorted(set(self.worker_cpus[worker * loops : (worker + 1) * loops])))
        return cpus if len(cpus) > 1 else cpus[0] if cpus else self.worker_cpu

    @property
    def all_worker_cpus(self) -> tuple[int, ...]:
        """Where workers run; empty when they are not pinned."""
        one = () if self.worker_cpu is None else (self.worker_cpu,)
        return self.worker_cpus or one

    @property
    def doubled(self) -> bool:
        """Whether some of the workers, or of their loops, have one CPU together."""
        return len(set(self.worker_cpus)) < len(self.worker_cpus)

    def for_conns(self, conns: int) -> "Placement":
        """The same for a cell of so many connections: with as many threads as it takes to open
        them, when an embedded server has a limit of open files. They then share its CPUs."""
        needed = limits.tables(conns)
        if self.threads_asked or self.server_threads is None or needed <= self.server_threads:
            return self
        busy_poll_us = self.busy_poll_us if self.busy_poll_asked else 0
        return replace(self, server_threads=needed, busy_poll_us=busy_poll_us)

    def to_record(self) -> dict[str, Any]:
        """The placement as results record it."""
        several = {"worker_cpus": self.worker_cpus} if len(self.worker_cpus) > 1 else {}
        return {
            "worker_cpu": self.worker_cpu,
            **several,
            "server_cpus": self.server_cpus,
            "shared_cpus": self.shared_cpus,
        }


def place(campaign: Campaign) -> Placement:
    """The placement of a campaign on the CPUs that this process may use.

    Raises UsageError when a CPU was asked for that is not among them.
    """
    allowed = tuple(sorted(os.sched_getaffinity(0)))
    if not campaign.pin:
        return _unpinned(campaign, allowed)
    workers = _worker_cpus(campaign, allowed)
    if campaign.server is not None:
        return Placement(
            worker_cpu=workers[0],
            worker_cpus=workers,
            server_cpus=None,
            server_threads=campaign.server_threads,
            shared_cpus=(),
            busy_poll_us=_busy_poll(campaign, nobody_pays=False),
            threads_asked=campaign.server_threads is not None,
            busy_poll_asked=campaign.busy_poll_us is not None,
        )
    near = frozenset().union(*map(smt_siblings, workers))
    if campaign.server_cpus is not None:
        _check("--server-cpus", campaign.server_cpus, allowed)
        server = campaign.server_cpus
    else:
        others = tuple(cpu for cpu in allowed if cpu not in workers)
        but_first = tuple(cpu for cpu in allowed if cpu != workers[0])
        server = tuple(cpu for cpu in others if cpu not in near) or others or but_first or allowed
    shared = tuple(cpu for cpu in server if cpu in near)
    threads = campaign.server_threads or min(len(server), MAX_DEFAULT_THREADS)
    return Placement(
        worker_cpu=workers[0],
        worker_cpus=workers,
        server_cpus=server,
        server_threads=threads,
        shared_cpus=shared,
        busy_poll_us=_busy_poll(campaign, nobody_pays=not shared and threads <= len(server)),
        threads_asked=campaign.server_threads is not None,
        busy_poll_asked=campaign.busy_poll_us is not None,
    )


def _worker_cpus(campaign: Campaign, allowed: tuple[int, ...]) -> tuple[int, ...]:
    """One for each loop of each worker of the largest cell: cores first, then their siblings.

    Those that were asked for, or all, over and over where they are too few.
    """
    needed = max(campaign.workers) * max(campaign.loops)
    if campaign.cpu is not None:
        _check("--cpu", campaign.cpu, allowed)
        cpus = campaign.cpu
    else:
        cores = [cpu for cpu in allowed if cpu == min(smt_siblings(cpu) & set(allowed))]
        cpus = (*cores, *(cpu for cpu in allowed if cpu not in cores))
    return tuple(cpus[i % len(cpus)] for i in range(needed))


def too_few(placement: Placement, cell: Cell) -> str | None:
    """What the workers of a cell have to share where CPUs are too few; None where they need not, or
    there is but one."""
    placed = placement.for_cell(cell)
    if len(placed.worker_cpus) < 2 or not (placed.doubled or placed.shared_cpus):
        return None
    cpus = ",".join(map(str, sorted(set(placed.worker_cpus))))
    who = [*(["each other"] if placed.doubled else [])]
    who += ["the load server"] if placed.shared_cpus else []
    counted = {name: getattr(cell, name) for name in ("workers", "loops")}
    several = " of ".join(AXES[name].short(n) for name, n in counted.items() if n > 1)
    return f"{several} on CPU {cpus} share it with {' and '.join(who)}"


def _busy_poll(campaign: Campaign, *, nobody_pays: bool) -> int:
    """As asked for; unasked only where it takes no CPU time from the worker or another thread."""
    if campaign.busy_poll_us is not None:
        return campaign.busy_poll_us
    return BUSY_POLL_US if nobody_pays else 0


def _unpinned(campaign: Campaign, allowed: tuple[int, ...]) -> Placement:
    threads = campaign.server_threads
    if threads is None and campaign.server is None:
        threads = min(len(allowed), MAX_DEFAULT_THREADS)
    alone = len(allowed) == 1 and campaign.server is None
    return Placement(
        worker_cpu=None,
        server_cpus=None,
        server_threads=threads,
        shared_cpus=allowed if alone else (),
        busy_poll_us=_busy_poll(campaign, nobody_pays=False),
        threads_asked=campaign.server_threads is not None,
        busy_poll_asked=campaign.busy_poll_us is not None,
    )


def _check(option: str, cpus: Collection[int], allowed: Collection[int]) -> None:
    for cpu in cpus:
        if cpu not in allowed:
            usable = ",".join(map(str, allowed))
            raise UsageError(f"{option}: CPU {cpu} is not one this process may use ({usable})")


def smt_siblings(cpu: int) -> frozenset[int]:
    """The hardware threads of the core that cpu belongs to, itself included."""
    path = Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    try:
        return frozenset(parse_cpus(path.read_text().strip())) | {cpu}
    except (OSError, UsageError):
        return frozenset({cpu})
