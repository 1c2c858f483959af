"""Tables as CSV: one line per table, row and column of it, numbers unrounded.

rate: what was asked for in an open loop, 0 in a closed one.
"""

import csv
from collections.abc import Sequence
from typing import TextIO

from pybench.report.tables import GroupTables

COLUMNS = (
    "server",
    "msize",
    "runtime_s",
    "table",
    "unit",
    "test",
    "conns",
    "rate",
    "n",
    "mean",
    "median",
    "stddev",
    "dev_pct",
    "ci95_low",
    "ci95_high",
    "at_least",
    "warnings",
)


def write_csv(groups: Sequence[GroupTables], file: TextIO) -> None:
    """Write all groups under one head. What was not measured has no line; warnings are codes."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for group in groups:
        setting = group.group.setting
        for table in group.tables:
            for (row, count), entry in sorted(
                table.entries.items(), key=lambda item: (table.rows.index(item[0][0]), item[0][1])
            ):
                s = entry.summary
                low, high = s.ci95 or (None, None)
                conns, rate = (setting.conns, count) if setting.open_loop else (count, 0)
                cells = (
                    *(setting.server, setting.msize, f"{setting.runtime_s:g}"),
                    *(table.metric.key, table.metric.unit, row, conns, rate, s.n),
                    *(s.mean, s.median, s.stddev, s.dev_pct, low, high, int(entry.at_least)),
                )
                writer.writerow([*cells, " ".join(group.group.cells[row, count].codes)])
