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
from pybench.spec import Campaign
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

    worker_cpu: None when the worker is not pinned.  server_cpus: None when the embedded server is
    not pinned, or none is started.  server_threads: None leaves it to the server.
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
        return {
            "worker_cpu": self.worker_cpu,
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
    worker = allowed[0] if campaign.cpu is None else campaign.cpu
    _check("--cpu", [worker], allowed)
    if campaign.server is not None:
        return Placement(
            worker_cpu=worker,
            server_cpus=None,
            server_threads=campaign.server_threads,
            shared_cpus=(),
            busy_poll_us=_busy_poll(campaign, nobody_pays=False),
            threads_asked=campaign.server_threads is not None,
            busy_poll_asked=campaign.busy_poll_us is not None,
        )
    near = smt_siblings(worker)
    if campaign.server_cpus is not None:
        _check("--server-cpus", campaign.server_cpus, allowed)
        server = campaign.server_cpus
    else:
        others = tuple(cpu for cpu in allowed if cpu != worker)
        server = tuple(cpu for cpu in others if cpu not in near) or others or allowed
    shared = tuple(cpu for cpu in server if cpu in near)
    threads = campaign.server_threads or min(len(server), MAX_DEFAULT_THREADS)
    return Placement(
        worker_cpu=worker,
        server_cpus=server,
        server_threads=threads,
        shared_cpus=shared,
        busy_poll_us=_busy_poll(campaign, nobody_pays=not shared and threads <= len(server)),
        threads_asked=campaign.server_threads is not None,
        busy_poll_asked=campaign.busy_poll_us is not None,
    )


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
