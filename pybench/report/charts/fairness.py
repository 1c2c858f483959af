"""How evenly a row served its connections."""

from dataclasses import dataclass

from pybench.analysis.model import CellRounds

POOR_JAIN = 0.9  # below it the index is shown as bad


@dataclass(frozen=True, slots=True)
class Span:
    """Messages per connection as multiples of the median connection's, means of the rounds.

    jain: Jain's index, None where it is not known.  starved: connections without an echo, at most.
    """

    low: float
    p5: float
    p95: float
    high: float
    jain: float | None
    starved: int
    stamped: bool

    @property
    def poor(self) -> bool:
        """Whether some connections were badly off."""
        return self.starved > 0 or (self.jain is not None and self.jain < POOR_JAIN)


def connection_span(cell: CellRounds) -> Span | None:
    """The cell's span; None when it is not known.

    The files of 2016 have only 5% and 95%: their middle stands for the median, they for the
    extremes.
    """
    means = {
        name: summary.mean
        for name in ("min", "p5", "p50", "p95", "max")
        if (summary := cell.summary(f"conn_{name}")) is not None
    }
    if "p5" not in means or "p95" not in means:
        return None
    low, high = means["p5"], means["p95"]
    median = means.get("p50", (low + high) / 2)
    if median <= 0:
        return None
    jain = cell.summary("jain")
    return Span(
        low=means.get("min", low) / median,
        p5=low / median,
        p95=high / median,
        high=means.get("max", high) / median,
        jain=None if jain is None else jain.mean,
        starved=round(max(cell.values("starved"), default=0)),
        stamped=bool(cell.codes),
    )
