"""What a race found: verdicts on ratios, which tabulate and plot themselves."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from pybench.analysis.race import Contest, Standing, Standings, judge
from pybench.api.shown import Shown, frame_of, with_notes, written
from pybench.report.document import Document
from pybench.report.optional import require
from pybench.report.ranking import ranking_document
from pybench.result import Result

if TYPE_CHECKING:
    import pandas

    from pybench.api.picture import Picture


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceVerdict:
    """What may be said of one contender against the first one.

    conns, msize: where.  ratio: contender / against in the race's metric; low, high: its 95%
    interval, 0 and infinity where a stamp opens an end; None where they were in no round together.
    verdict: None with them.  reason: why it is undecided, if something but noise is.
    more_rounds: how many would decide, where that is known; of several machines of a cluster, how
    many of those.  rounds: measured so far.
    """

    contender: str
    against: str
    conns: int
    msize: int
    ratio: float | None
    low: float | None
    high: float | None
    verdict: Literal["faster", "slower", "equal", "undecided"] | None
    reason: str
    more_rounds: int | None
    rounds: int

    @property
    def decided(self) -> bool:
        """Whether it is faster, slower or equal."""
        return self.verdict not in (None, "undecided")

    def __str__(self) -> str:
        ratio = "not measured" if self.ratio is None else f"{self.ratio:.3f}"
        if self.low is not None and self.high is not None and math.isfinite(self.high):
            ratio += f" ({self.low:.3f} to {self.high:.3f})"
        where = f"at {self.conns} connections"
        return f"{self.contender} / {self.against} {where}: {ratio} {self.verdict or ''}".rstrip()


class RaceResult(Shown):
    """A race, just run or from a file.

    notes: what to keep in mind, a line each; how the load server ended it early is among them.
    """

    def __init__(self, contest: Contest, notes: Sequence[str] = ()) -> None:
        self._contest = contest
        self.notes: tuple[str, ...] = tuple(notes)

    @property
    def metric(self) -> str:
        """What was compared: `mps`, `cpu_us_per_msg`, `p50`, `p99` or `due99`."""
        return self._contest.asked.metric

    @property
    def contenders(self) -> tuple[str, ...]:
        """Their names, in the order asked for; the first is what the others are set against."""
        return self._contest.asked.contenders

    @property
    def records(self) -> tuple[Result, ...]:
        """Every round of every contender, failed ones too, as a file would hold it."""
        return self._contest.results

    @cached_property
    def standings(self) -> tuple[Standings, ...]:
        """How it stands at each number of connections and size of a message, the best first."""
        return tuple(judge(self._contest.asked, self._contest.results))

    @cached_property
    def verdicts(self) -> tuple[RaceVerdict, ...]:
        """One for each contender but the first, at each number of connections and size."""
        return tuple(_verdict(s, one) for s in self.standings for one in s.pairs)

    @property
    def decided(self) -> bool:
        """Whether something was measured and every verdict is faster, slower or equal."""
        return bool(self.verdicts) and all(one.decided for one in self.verdicts)

    def table(self, *, format: str = "table") -> str:
        """What `pybench race` prints, as text.

        format: table, markdown, csv, json or html.  Raises UsageError for another.
        """
        return written(ranking_document([self._contest]), format)

    def to_frame(self) -> "pandas.DataFrame":
        """A line a contender, number of connections and size, the columns of the format `csv`.

        `ratio` is to the first contender, `mps` messages/s, `cpu_us_per_msg` us, memory KiB.
        Raises UsageError where pandas is not installed.
        """
        document = ranking_document([self._contest])
        return frame_of(document.columns, document.lines)

    def plot(self) -> "Picture":
        """The ratios with their intervals.

        Raises UsageError: no ratio to show, or matplotlib is not installed.
        """
        require("plot", "matplotlib")
        from pybench.api.picture import Picture
        from pybench.report.plots.single import draw_race

        return Picture(draw_race(self._contest))

    def __repr__(self) -> str:
        return f"<RaceResult: {'; '.join(map(str, self.verdicts)) or 'nothing measured'}>"

    def __iter__(self) -> Iterator[RaceVerdict]:
        return iter(self.verdicts)

    def _document(self) -> Document:
        return with_notes(ranking_document([self._contest]), self.notes)


def _verdict(standings: Standings, one: Standing) -> RaceVerdict:
    verdict = one.verdict
    found = None if verdict is None else verdict.estimate
    return RaceVerdict(
        contender=one.runner.label,
        against=standings.base,
        conns=standings.conns,
        msize=standings.msize,
        ratio=None if one.estimate is None else one.estimate.value,
        low=None if found is None else found.low,
        high=None if found is None else found.high,
        verdict=None if verdict is None else verdict.kind,
        reason="" if verdict is None else verdict.reason,
        more_rounds=None if verdict is None else verdict.more_rounds,
        rounds=one.runner.rounds,
    )
