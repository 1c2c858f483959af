"""What was measured, as facts: a round's record (`record`) and the files that keep it (`file`).

In: what `driver.assemble` made of a round, or the lines of a file. Out: frozen results.
"""

from pybench.result.record import (
    SCHEMA,
    ClientUsage,
    Disturbance,
    Latency,
    PerConn,
    Result,
    ServerUsage,
    Status,
    Warning,
)

__all__ = [
    "SCHEMA",
    "ClientUsage",
    "Disturbance",
    "Latency",
    "PerConn",
    "Result",
    "ServerUsage",
    "Status",
    "Warning",
]
