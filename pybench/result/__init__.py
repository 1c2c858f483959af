"""What was measured, as facts, and the files that keep them.

In: what `driver.assemble` made of a round, or the lines of a file. Out: frozen records.

    types.py, codec.py   what a field may be; JSON to records, and words for what is wrong
    record.py env.py campaign.py   a line of a results file: a round, where it ran, the header
    file.py              results files: appended line by line, read line by line
    calibration.py baseline.py explanation.py   the other files
    checkup.py           what the doctor says of a machine
    schema.py            all of them as JSON Schema and as the tables of docs/formats.md
"""

from pybench.result.record import (
    SCHEMA,
    ClientUsage,
    Disturbance,
    Latency,
    ListenerShare,
    Machine,
    PerConn,
    Resident,
    Result,
    Series,
    ServerPart,
    ServerUsage,
    Stamp,
    Status,
    Turn,
    Turns,
)

__all__ = [
    "SCHEMA",
    "ClientUsage",
    "Disturbance",
    "Latency",
    "ListenerShare",
    "Machine",
    "PerConn",
    "Resident",
    "Result",
    "Series",
    "ServerPart",
    "ServerUsage",
    "Stamp",
    "Status",
    "Turn",
    "Turns",
]
