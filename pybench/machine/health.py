"""What the kernel says of this machine's fitness to measure: read, judged elsewhere.

`analysis/fitness.py` judges; what has to be tried out is in `driver/doctor.py`.
"""

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pybench.machine import cgroup, environment, limits
from pybench.machine.limits import Limit
from pybench.machine.network import loopback_down
from pybench.machine.placement import Placement, smt_siblings


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Of one machine, as this process sees it.

    env: as results record it.  debug_build: whether this Python checks itself all the time.
    placement: of a campaign that asks for none.  siblings: hardware threads of the worker's core,
    its own CPU among them.  quota_cpus: how many CPUs' time the control groups allow, None
    without a limit.  limits: name -> the tightest one, None where nothing limits it.
    listen_queue: connections that can wait to be accepted, None where unknown.
    loopback_down: why 127.0.0.1 cannot be reached, or None.
    """

    env: Mapping[str, Any]
    debug_build: bool
    placement: Placement
    siblings: frozenset[int]
    quota_cpus: float | None
    limits: Mapping[str, Limit | None]
    listen_queue: int | None
    loopback_down: str | None


def read_health(placement: Placement) -> Health:
    """Look at everything once; what cannot be read is as if it were unlimited."""
    worker = placement.worker_cpu
    found: dict[str, Iterable[Limit]] = {
        "open files": limits.open_files(),
        "threads": limits.threads(),
        "ports": limits.local_ports("one address"),
        "mappings": limits.mappings(),
        "firewall": limits.tracked_connections(),
        "memory": limits.memory(),
    }
    return Health(
        env=environment.collect(),
        debug_build=hasattr(sys, "gettotalrefcount"),
        placement=placement,
        siblings=frozenset() if worker is None else smt_siblings(worker),
        quota_cpus=cgroup.quota_cpus(),
        limits={
            name: min(some, key=lambda one: one.available, default=None)
            for name, some in found.items()
        },
        listen_queue=limits.listen_queue(),
        loopback_down=loopback_down("127.0.0.1"),
    )
