"""Lines of a quantity by column: values, error bars, stamps, and what is said of each point."""

from collections.abc import Sequence
from dataclasses import dataclass

from pybench.analysis.model import CellRounds, Group
from pybench.analysis.stats import Summary
from pybench.report.metrics import Metric


@dataclass(frozen=True, slots=True)
class Line:
    """One row in a line chart, in columns of one length; those that do not apply are empty.

    x: connections, a rate, or 1 / (1 - q) of a distribution, rising.  error: half of an error bar,
    in the unit of y.  codes: the stamps of each point's cell.  texts: y as the tables write it.
    intervals: what is known of its chance.
    """

    row: str
    x: Sequence[float]
    y: Sequence[float]
    error: Sequence[float] = ()
    codes: Sequence[Sequence[str]] = ()
    texts: Sequence[str] = ()
    intervals: Sequence[str] = ()

    @property
    def stamped(self) -> list[bool]:
        """Whether each point is not to be taken at face value."""
        return [bool(codes) for codes in self.codes]


def lines_of(group: Group, metric: Metric) -> list[Line]:
    """The metric by column, for each row that has it. Bars are as long as the tables' `~ N%`."""
    lines = []
    for row in group.rows:
        cells = [cell for c in group.counts if (cell := group.cells.get((row, c))) is not None]
        found = [(cell, s) for cell in cells if (s := cell.summary(metric.quantity)) is not None]
        if found:
            lines.append(
                Line(
                    row,
                    x=[cell.column for cell, _ in found],
                    y=[metric.value(s) for _, s in found],
                    error=[2.5 * (s.stddev or 0.0) for _, s in found] if metric.spread else (),
                    codes=[cell.codes for cell, _ in found],
                    texts=[_text(metric, cell, s) for cell, s in found],
                    intervals=[_interval(metric, s) for _, s in found],
                )
            )
    return lines


def _text(metric: Metric, cell: CellRounds, summary: Summary) -> str:
    text = metric.cell(summary, at_least=cell.at_least(metric.quantity))
    return " ".join(text.split())


def _interval(metric: Metric, summary: Summary) -> str:
    if summary.ci95 is None:
        return "one round"
    low, high = (metric.write(max(edge, 0.0)) for edge in summary.ci95)
    return f"95% CI {low} to {high}, {summary.n} rounds"
