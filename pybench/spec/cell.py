"""A cell: one combination to measure, and what names it."""

from dataclasses import dataclass

from pybench import backends
from pybench.backends.interpreters import Interpreter

EnvSet = tuple[tuple[str, str], ...]
"""Variables of an environment with their values, in the order given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One combination to measure.

    func: finds the row.  conns: connections, >= 1.  msize: bytes of a message, >= 1.
    runtime_ns, warmup_ns: whole milliseconds.  think_us: [min, max] wait before the next ping.
    rate_per_s: pings per second over all connections, 0 for the closed loop.  rate_auto: a sweep
    of rates up to the knee; each of its steps is a cell with a rate.  engine: of the load server,
    None for its default.  timestamps: `kernel` or None.  env: set in the worker besides the rest.
    python: to run the worker under, None for the driver's own.
    """

    func: str
    conns: int
    msize: int
    runtime_ns: int
    warmup_ns: int
    think_us: tuple[int, int] = (0, 0)
    rate_per_s: int = 0
    rate_auto: bool = False
    engine: str | None = None
    timestamps: str | None = None
    env: EnvSet = ()
    python: Interpreter | None = None

    @property
    def row(self) -> backends.Row:
        """What is measured."""
        return backends.find(self.func)

    @property
    def label(self) -> str:
        """The row as tables name it, with what sets it apart."""
        return row_label(self.row.name, self.env, "" if self.python is None else self.python.name)

    def __str__(self) -> str:
        rate = f" at {self.rate_per_s}/s" if self.rate_per_s else ""
        return f"{self.label} x {self.conns}{rate}"


def row_label(func: str, env: EnvSet, python: str = "") -> str:
    """`asyncio_proto[py3.12,NAME=VALUE]`; the row's name alone when nothing sets it apart."""
    parts = [python] if python else []
    parts += [f"{name}={value}" for name, value in env]
    return f"{func}[{','.join(parts)}]" if parts else func
