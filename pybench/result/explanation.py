"""`explain.json`: what `--explain` found out about each cell."""

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Struct, field

from pybench.result.types import SCHEMA, Count, Env, Number, Positive, Share, key


class Syscalls(Struct, frozen=True, kw_only=True):
    """What one ping costs in system calls."""

    tool: Annotated[str, key("what counted them: `perf stat` or `strace`")]
    messages: Annotated[Count, key("how many pings were counted", unit="messages")]
    per_ping: Annotated[
        Mapping[str, Number], key("name -> calls, those that were made", unit="calls/ping")
    ]
    unnamed: Annotated[Number, key("calls that are not in per_ping", unit="calls/ping")] = 0.0


class Cpu(Struct, frozen=True, kw_only=True):
    """Where a cell's CPU time went. Shares are of the worker's CPU time."""

    samples: Annotated[Count, key("how many were taken of it")]
    messages: Annotated[Count, key("pings meanwhile", unit="messages")]
    cpu_us_per_ping: Annotated[Number, key("CPU time", unit="us")]
    kernel: Annotated[Share, key("of the kernel", unit="share")]
    tcp: Annotated[Share, key("of the kernel's network stack", unit="share")]
    layers: Annotated[Mapping[str, Number], key("of each layer, 1 in all", unit="share")]
    flame: Annotated[str, key("file name of the flame graph beside this file")]


class Explained(Struct, frozen=True, kw_only=True):
    """What is known of one cell."""

    cell: Annotated[str, key("its name, `selector x 100`")]
    func: Annotated[str, key("what finds the row")]
    conns: Annotated[Positive, key("connections")]
    msize: Annotated[Positive, key("size of a message", unit="bytes")]
    syscalls: Annotated[Syscalls | None, key("null: could not be counted")]
    cpu: Annotated[Cpu | None, key("null: could not be sampled")]
    errors: Annotated[tuple[str, ...], key("a line for each missing part")] = ()


class Explanation(Struct, frozen=True, kw_only=True):
    """All cells of one invocation, and where and how they were observed."""

    schema: Annotated[Literal[1], key("of this format")] = SCHEMA
    command: Annotated[tuple[str, ...], key("the command line, `pybench` first")] = ()
    env: Annotated[Env, key("where they were observed")] = field(default_factory=dict)
    cells: Annotated[tuple[Explained, ...], key("in the order asked for")]
