"""What `on_progress` hears: the events of a campaign and of a race, as values.

The reporters of the driver, which show the same to people, are `driver/progress.py` and
`driver/raceprogress.py`. Whoever listens is called in the thread that measures, between two rounds
or about once a second: what it raises ends the measurement and comes out of the call.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pybench.analysis.race import Standings
from pybench.driver.control import Progress
from pybench.driver.plan import Plan
from pybench.driver.progress import Estimate, SilentReporter
from pybench.driver.raceplan import RacePlan
from pybench.driver.raceprogress import SilentRaceReporter
from pybench.errors import UsageError
from pybench.result import Result
from pybench.spec import Cell
from pybench.spec.race import Race

__all__ = [
    "Event",
    "LeftOut",
    "Looked",
    "Note",
    "OnProgress",
    "Progress",
    "RaceRoundFinished",
    "RaceRoundStarted",
    "RoundFinished",
    "RoundStarted",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundStarted:
    """A round begins.

    func: the row, with what sets it apart.  conns, msize, rate: of its cell, as in a result.
    number: of the round, from 1.  done, total: how many rounds are over, of how many; a sweep of
    rates only guesses its total.  left_s: seconds until the end, about.
    """

    func: str
    conns: int
    msize: int
    rate: int
    number: int
    done: int
    total: int
    left_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundFinished:
    """A round has ended, and is in the file where there is one. done, total, left_s: as before."""

    result: Result
    done: int
    total: int
    left_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceRoundStarted:
    """A round of a race begins. where: in words, `100 connections`.  number: from 1."""

    where: str
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RaceRoundFinished:
    """A round of a race has ended.

    results: one a contender and heat.  standings: how the race stands, as far as can be said
    before a look.  left_s: of the budget.
    """

    results: tuple[Result, ...]
    standings: tuple[Standings, ...]
    left_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """It was judged at one number of connections and size of a message: verdicts fall here."""

    standings: Standings
    left_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A contender takes part no more: it has failed again and again. where: in words."""

    contender: str
    where: str


@dataclass(frozen=True, slots=True)
class Note:
    """What the command line would say on standard error: a warning, or a step of `explain`."""

    text: str


Event = (
    RoundStarted
    | Progress
    | RoundFinished
    | RaceRoundStarted
    | RaceRoundFinished
    | Looked
    | LeftOut
    | Note
)
"""`Progress` is the load server's own line while pings run: t_ms, messages, alive."""

OnProgress = Callable[[Event], object]


def heard_by(listener: OnProgress | None) -> OnProgress:
    """The listener; where there is none, one that hears nothing. Raises UsageError."""
    if listener is None:
        return lambda event: None
    if not callable(listener):
        raise UsageError(f"on_progress: {listener!r} is no function that takes an event")
    return listener


_WARNING: Final = "warning: "


class EventListener:
    """Makes events of what `running` says. notes: what is to be kept in mind."""

    def __init__(self, tell: OnProgress) -> None:
        self.tell = tell
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """It is heard, and kept."""
        self.notes.append(text)
        self.tell(Note(text))

    def say(self, text: str) -> None:
        """It is heard; a warning is kept."""
        if text.startswith(_WARNING):
            self.note(text.removeprefix(_WARNING))
        else:
            self.tell(Note(text))

    def campaign_planned(self, plan: Plan, machines: int) -> None:
        for warning in plan.warnings:
            self.note(warning)

    def campaign_reporter(self, plan: Plan) -> "EventReporter":
        return EventReporter(self.tell, plan.expected)

    def race_planned(self, plan: RacePlan, machines: int) -> None:
        for warning in plan.warnings:
            self.note(warning)

    def race_reporter(self, race: Race) -> "RaceEventReporter":
        return RaceEventReporter(self.tell)


class EventReporter(SilentReporter):
    """Tells a listener what a campaign tells its reporter."""

    def __init__(self, listener: OnProgress, expected: Sequence[Cell]) -> None:
        self._tell = listener
        self._done, self._total = 0, len(expected)
        self._estimate = Estimate(expected)

    def __enter__(self) -> "EventReporter":
        return self

    def round_started(self, cell: Cell, number: int) -> None:
        self._estimate.start()
        self._tell(
            RoundStarted(
                func=cell.label,
                conns=cell.conns,
                msize=cell.msize,
                rate=cell.rate,
                number=number,
                done=self._done,
                total=self._total,
                left_s=self._estimate.left_s,
            )
        )

    def live(self, progress: Progress) -> None:
        self._tell(progress)

    def round_finished(self, result: Result) -> None:
        self._estimate.finish()
        self._done += 1
        left_s = self._estimate.left_s
        self._tell(RoundFinished(result=result, done=self._done, total=self._total, left_s=left_s))

    def expect(self, cells: Sequence[Cell]) -> None:
        self._total = self._done + len(cells)
        self._estimate.expect(cells)


class RaceEventReporter(SilentRaceReporter):
    """Tells a listener what a race tells its reporter."""

    def __init__(self, listener: OnProgress) -> None:
        self._tell = listener

    def __enter__(self) -> "RaceEventReporter":
        return self

    def round_started(self, where: str, number: int) -> None:
        self._tell(RaceRoundStarted(where=where, number=number))

    def round_finished(
        self, results: Sequence[Result], standings: Callable[[], list[Standings]], left_s: float
    ) -> None:
        self._tell(
            RaceRoundFinished(results=tuple(results), standings=tuple(standings()), left_s=left_s)
        )

    def looked(self, standings: Standings, left_s: float) -> None:
        self._tell(Looked(standings=standings, left_s=left_s))

    def left_out(self, label: str, where: str) -> None:
        self._tell(LeftOut(contender=label, where=where))
