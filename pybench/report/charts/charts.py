"""All charts of one group, each computed when it is first asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from pybench.analysis.model import CellRounds, Group, fastest_first, kept_rate
from pybench.backends.names import by_family
from pybench.report.charts.cpu import CpuBar, cpu_bar
from pybench.report.charts.distribution import distribution
from pybench.report.charts.fairness import Span, connection_span
from pybench.report.charts.line import Line, lines_of
from pybench.report.charts.series import Course, courses
from pybench.report.metrics import METRICS

Key = tuple[str, int]
"""A cell: its row, and its column (connections, the rate in an open loop)."""


@dataclass(frozen=True)
class Charts:
    """The data of a group's charts."""

    group: Group

    @cached_property
    def lines(self) -> dict[str, list[Line]]:
        """Table name -> a line for each row that has its quantity, in the order of the rows."""
        names = ("mps", "mbps", "lat50", "lat95", "lat99", "due50", "due95", "due99")
        return {name: lines_of(self.group, METRICS[name]) for name in names}

    @cached_property
    def distributions(self) -> dict[Key, Line]:
        """The latency by percentile of each cell that has a histogram."""
        return {key: distribution(cell) for key, cell in self._cells() if cell.histogram}

    @cached_property
    def cpu(self) -> dict[Key, CpuBar]:
        """What a message cost in each cell that knows it."""
        return {key: bar for key, cell in self._cells() if (bar := cpu_bar(cell)) is not None}

    @cached_property
    def fairness(self) -> dict[Key, Span]:
        """How evenly the connections of each cell were served, where that is known."""
        return {key: s for key, cell in self._cells() if (s := connection_span(cell)) is not None}

    @cached_property
    def series(self) -> dict[Key, list[Course]]:
        """How the windows of each cell went, where that was kept."""
        return {key: found for key, cell in self._cells() if (found := courses(cell))}

    @cached_property
    def knees(self) -> dict[str, int | None]:
        """Row -> the highest rate that it kept, None when it kept none; empty in a closed loop."""
        group = self.group
        return {row: kept_rate(group, row) for row in group.rows} if group.open_loop else {}

    @cached_property
    def families(self) -> dict[str, list[str]]:
        """Family -> its rows, families and rows in the order of the tables."""
        return by_family(self.group.rows, self.group.families)

    @cached_property
    def reference(self) -> str | None:
        """The row that stands beside every family: the fastest in C; None without such a row."""
        fastest = fastest_first([self.group])
        return next((row for row in fastest if self.group.families[row] == "C"), None)

    def shared_counts(self, found: Mapping[Key, object]) -> list[int]:
        """The columns of a chart per column; in an open loop those where rows can be compared."""
        counts = [c for c in self.group.counts if any((r, c) in found for r in self.group.rows)]
        if not self.group.open_loop:
            return counts
        sharing = [sum((row, c) in found for row in self.group.rows) for c in counts]
        most = max(sharing, default=0)
        return [c for c, rows in zip(counts, sharing, strict=True) if rows == most or rows > 2]

    def rows_of(self, found: Mapping[Key, object]) -> list[str]:
        """The rows of such a chart, in order."""
        having = {row for row, _ in found}
        return [row for row in self.group.rows if row in having]

    def _cells(self) -> Sequence[tuple[Key, CellRounds]]:
        """All cells by column, in it by row."""
        group = self.group
        keys = ((row, count) for count in group.counts for row in group.rows)
        return [(key, group.cells[key]) for key in keys if key in group.cells]
