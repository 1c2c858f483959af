"""The closed list of warnings: what a reader must know before believing a result.

A check is a function from a result to a warning with its number and its remedy, or None; `CHECKS`
lists them all. A check neither prints nor measures.
"""

from collections.abc import Callable

from pybench.result import Result, Warning

LITTLE_TOLERANCE = 0.05
SHORT_RUN_S = 1.0
FAIR_JAIN = 0.9


def littles_law(result: Result) -> Warning | None:
    """In a closed loop, connections = messages/s * (mean latency + mean think time), within 5%.

    Besides, each end of the window cuts through one ping of every connection, which is worth up to
    a latency in the window's length: the 99th percentile is allowed for, so that a short run is not
    blamed for that. Not asked of a result with lost connections: their number is not one then.
    """
    if result.latency_ns is None or result.per_conn is None or result.per_conn.lost:
        return None
    cycle_s = result.latency_ns.mean / 1e9 + sum(result.think_us) / 2 / 1e6
    found = result.mps * cycle_s
    tolerance = LITTLE_TOLERANCE + result.latency_ns.p99 / 1e9 / result.window_s
    if abs(found / result.conns - 1) <= tolerance:
        return None
    return Warning(
        code="littles_law",
        text=f"messages/s x latency gives {found:.4g} connections, not {result.conns}:"
        " rate and latency do not belong together",
        remedy="a longer --runtime; if it stays, the load server could not follow",
    )


def lost(result: Result) -> Warning | None:
    """Connections that ended before the test did."""
    if result.per_conn is None or result.per_conn.lost == 0:
        return None
    causes = ", ".join(f"{n} {cause}" for cause, n in result.per_conn.lost_by.items() if n)
    return Warning(
        code="lost",
        text=f"{result.per_conn.lost} of {result.conns} connections were lost ({causes})",
        remedy="look for errors of the backend, and for limits of files, memory or the network",
    )


def corrupt(result: Result) -> Warning | None:
    """Connections whose echo had wrong or too many bytes."""
    count = result.per_conn.lost_by.get("corrupt", 0) if result.per_conn else 0
    if count == 0:
        return None
    return Warning(
        code="corrupt",
        text=f"{count} of {result.conns} connections echoed wrong bytes",
        remedy="the backend is at fault: no figure of this row can be used",
    )


def unfair(result: Result) -> Warning | None:
    """Connections served far less than others: the mean hides that some stood still."""
    spread = result.per_conn
    if spread is None or (spread.jain >= FAIR_JAIN and spread.starved == 0):
        return None
    return Warning(
        code="unfair",
        text=f"Jain's index {spread.jain:.3f}, {spread.starved} of {result.conns} connections"
        " got no echo",
        remedy="a longer --runtime; if it stays, the backend starves connections",
    )


def shared_core(result: Result) -> Warning | None:
    """Worker and embedded load server on the same CPU, or on SMT siblings."""
    shared = result.env.get("placement", {}).get("shared_cpus", ())
    if not shared:
        return None
    cpus = ",".join(map(str, shared))
    return Warning(
        code="shared_core",
        text=f"the load server takes time from the worker on CPU {cpus}",
        remedy="more CPUs, --server-cpus, or a load server on another machine (--server)",
    )


def short_run(result: Result) -> Warning | None:
    """A window too short for steady figures."""
    if result.window_s >= SHORT_RUN_S:
        return None
    return Warning(
        code="short_run",
        text=f"measured for {result.window_s:.3g} s only",
        remedy=f"--runtime of {SHORT_RUN_S:g}s or more",
    )


Check = Callable[[Result], Warning | None]

CHECKS: tuple[Check, ...] = (corrupt, lost, littles_law, shared_core, unfair, short_run)
"""In the order in which a reader should hear of them."""


def run(result: Result) -> tuple[Warning, ...]:
    """All warnings of a measured result."""
    return tuple(warning for check in CHECKS if (warning := check(result)) is not None)
