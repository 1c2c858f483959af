"""A cell: one combination to measure, and what names it."""

from dataclasses import dataclass

from pybench.backends import Row
from pybench.backends.interpreters import Interpreter
from pybench.spec import axes
from pybench.spec.options import OPTIONS, RoundOptions
from pybench.spec.parse import EnvSet

(USUAL_MSIZE,) = OPTIONS["msize"].usual
"""The size of a message that goes without saying, in bytes."""
(USUAL_TRANSPORT,) = OPTIONS["transport"].usual
"""What connections are made of when nobody says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell(RoundOptions):
    """One combination to measure: a row at a number of connections, as all of its campaign.

    conns: connections that are pinged, >= 1, over all workers.  msize: bytes of a message, >= 1.
    transport: what they are made of, one of `backends.row.TRANSPORTS`.
    inflight: pings in flight on each of them, >= 1.  idle: connections that are open besides.
    workers: processes that serve it.  loops: threads of each that run the row.
    rate: pings per second over all connections, 0 for the closed loop.
    rate_auto: a sweep of rates up to the knee; each of its steps is a cell with a rate.
    env: set in the worker besides the rest.  python: to run the worker under, None for the
    driver's own.
    """

    row: Row
    conns: int
    msize: int = USUAL_MSIZE
    transport: str = USUAL_TRANSPORT
    inflight: int = 1
    idle: int = 0
    workers: int = 1
    loops: int = 1
    rate: int = 0
    rate_auto: bool = False
    env: EnvSet = ()
    python: Interpreter | None = None

    @property
    def func(self) -> str:
        """The text that finds the row."""
        return self.row.asked_for_as

    @property
    def label(self) -> str:
        """The row as tables name it, with what sets it apart."""
        return row_label(self.row.name, self.env, "" if self.python is None else self.python.name)

    @property
    def all_conns(self) -> int:
        """Connections that are opened, pinged or not."""
        return self.conns + self.idle

    @property
    def listeners(self) -> int:
        """How many there are: one for each loop of each worker."""
        return self.workers * self.loops

    def __str__(self) -> str:
        rate = f" at {self.rate}/s" if self.rate else ""
        size = "" if self.msize == USUAL_MSIZE else f" ({self.msize} bytes)"
        at = f" ({words})" if (words := axes.words(self)) else ""
        return f"{self.label}{size}{at} x {self.conns}{rate}"


def row_label(func: str, env: EnvSet, python: str = "") -> str:
    """`asyncio_proto[py3.12,NAME=VALUE]`; the row's name alone when nothing sets it apart."""
    parts = [python] if python else []
    parts += [f"{name}={value}" for name, value in env]
    return f"{func}[{','.join(parts)}]" if parts else func
