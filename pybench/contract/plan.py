"""What is checked, and in which process: a worker of its own, or what stands in for it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from pybench.backends import Row
from pybench.driver.watch import Watched
from pybench.driver.workerprocess import WorkerProcess
from pybench.spec import Cell, EnvSet
from pybench.worker.protocol import Usage

START_S = 60.0  # how long the import may take at least, on a machine that does other things
QUIET_S = 0.3  # how long nothing may happen for it to count as nothing


class Worker(Watched, Protocol):
    """What a session knows of the process that serves; `WorkerProcess` is one."""

    port: int | None
    addr: str
    takes_tls: bool
    ready: bool
    usage: Usage | None

    @property
    def pid(self) -> int: ...
    @property
    def ended(self) -> bool: ...
    def finish(self) -> None: ...
    def printed(self, size: int) -> str: ...


Start = Callable[["Plan", int, int], AbstractContextManager[Worker]]
"""Starts a worker for a plan, so many connections and messages of so many bytes."""


def start_worker(plan: "Plan", conns: int, msize: int) -> WorkerProcess:
    """A process of its own, as a campaign starts it."""
    cell = Cell(
        row=plan.row, conns=conns, msize=msize, transport=plan.transport,
        runtime_ns=0, warmup_ns=0, env=plan.env,
    )  # fmt: skip
    return WorkerProcess(cell, bind="127.0.0.1", cpu=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is checked. conns: of the scenario with many.  env: the worker's variables.
    transport: what the connections are made of.

    timeout_s: how long any one thing may take before it counts as hung.  start_s: the same for the
    import, if that is more.  quiet_s: how long nothing may happen for it to count as nothing.
    """

    row: Row
    conns: int
    timeout_s: float
    transport: str = "tcp"
    env: EnvSet = ()
    start_s: float = START_S
    quiet_s: float = QUIET_S
    start: Start = start_worker
