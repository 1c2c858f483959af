"""Where the rounds of a ratio come from: two rows that take turns, or rounds of one window each.

Turns are the usual way (`driver/race.py`): both workers are alive at once, the machine's drift
cancels inside a block, and rounds can be added while a demand is undecided. Nothing is left alive
between two calls of `more`: a test that ends leaves no worker and no load server.
Neither judges: see `ratio.py`.
"""

import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final, Protocol

from pybench.analysis.model import rounds_of_section
from pybench.analysis.race import Runner, log_ratio
from pybench.analysis.stamps import class_of
from pybench.analysis.verdict import LOOKS, METRICS, side_stamps
from pybench.driver import campaign
from pybench.driver import race as races
from pybench.driver.course import LEAST_ROUNDS, is_look
from pybench.driver.interrupts import InterruptError, Interrupts
from pybench.driver.plan import make_plan
from pybench.driver.progress import SilentReporter
from pybench.driver.race import MeasureHeat
from pybench.driver.raceplan import make_plan as make_race_plan
from pybench.driver.raceplan import unavailable
from pybench.errors import PybenchError, UsageError
from pybench.result import Result
from pybench.spec import OPTIONS, Campaign
from pybench.spec.race import FACTORS, RACE_OPTIONS, SHARED, Race
from pybench.units import NS_PER_S, format_duration

BUDGET: Final = "15s"
"""Of a ratio whose test does not say more: with starting and ending it takes less than 20 s."""
WINDOW_ROUNDS: Final = 5
WINDOW_DEFAULTS: Final = {"runtime": "1s", "warmup": "200ms"}
STEP_OF_BUDGETS_S: Final = 5

OF_TURNS: Final = frozenset({*SHARED, *FACTORS, *RACE_OPTIONS, "rounds", "turns"} - {"conns"})
OF_WINDOWS: Final = frozenset(
    (OPTIONS.keys() - {"func", "conns", "rate"}) | {"turns", "metric", "margin"}
)
OF_MEASURE: Final = frozenset(OPTIONS.keys() - {"func", "conns", "rate", "rounds"})
ALL: Final = OF_TURNS | OF_WINDOWS | OF_MEASURE

HOW_LONG: Final = frozenset({"rounds", "budget", "precision", "margin", "metric", "turns"})
"""What does not change what is measured, only how well it is known and what is made of it."""

NOTED: Final = ("steal", "busy_machine", "throttled")
"""Stamps of class caution that a reader of a ratio must know of."""


class UnavailableError(PybenchError):
    """A row of ours cannot run here, its library is missing; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What has been measured of two rows so far.

    func, against: their labels.  speeds, against_speeds: messages/s of each round.
    ratios: FUNC / AGAINST in the metric, of each round.
    disturbance: by what share, from 0 to 1, others took more of one row's CPU than of the other's.
    func_stamps, against_stamps: that count for either side.
    """

    func: str
    against: str
    speeds: tuple[float, ...]
    against_speeds: tuple[float, ...]
    ratios: tuple[float, ...]
    disturbance: float
    func_stamps: tuple[str, ...]
    against_stamps: tuple[str, ...]


class Source(Protocol):
    """Makes the rounds of one ratio.

    looks: at how many round counts it may be asked how the ratio stands.
    """

    looks: int

    def more(self) -> Figures | None:
        """Measure up to the next look, or as long as there is time; all rounds so far.

        None when no round can be added. Raises PybenchError when a round fails.
        """

    def remedy(self, more_rounds: int) -> str:
        """What to ask for to get so many rounds more: `budget="40s"`."""


def usual(
    defaults: Mapping[str, Any], given: Mapping[str, Any], overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """The options of a ratio.

    defaults: of a marker, which may be meant for `measure` too.  given: in the call.  overrides:
    of pytest's command line. A default or an override that does not apply is left out.
    """
    known = OF_TURNS if (dict(defaults) | dict(given)).get("turns", True) else OF_WINDOWS
    forced = _applying(known, overrides)
    found = _applying(known, defaults) | dict(given)
    if forced.keys() & {"rounds", "budget"}:  # one of them, whatever tests say
        found = {name: value for name, value in found.items() if name not in ("rounds", "budget")}
    return found | forced


def usual_of_measure(
    defaults: Mapping[str, Any], given: Mapping[str, Any], overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """As `usual`, for a single round."""
    return _applying(OF_MEASURE, defaults) | dict(given) | _applying(OF_MEASURE, overrides)


def _applying(known: frozenset[str], options: Mapping[str, Any]) -> dict[str, Any]:
    _check_names(options, ALL)
    return {name: value for name, value in options.items() if name in known}


def _check_names(options: Mapping[str, Any], known: frozenset[str]) -> None:
    unknown = sorted(options.keys() - known)
    if not unknown:
        return
    name = unknown[0]
    if name in OF_WINDOWS:
        raise UsageError(
            f"pybench.ratio: {name} is of rounds of one window: turns=False; turns choose theirs,"
            f' and go on for a budget="{BUDGET}"'
        )
    if name in OF_TURNS:
        raise UsageError(f"pybench: {name} is of turns: not with turns=False, nor of measure")
    raise UsageError(f"pybench: no option {name!r}; there are {' '.join(sorted(known))}")


def source(
    func: str,
    against: str,
    conns: int,
    options: Mapping[str, Any],
    measure_heat: MeasureHeat | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Source:
    """What makes the rounds that were asked for.

    options: as of `ratio.ratio`.  measure_heat: makes each round of turns; for real unless told.
    clock: seconds.  Raises UsageError, and UnavailableError.
    """
    for row in (func, against):
        if not isinstance(row, str):
            raise UsageError(f"pybench.ratio: {row!r} is no row: a text, as --func takes it")
    if options.get("turns", True):
        return _Turns(func, against, conns, options, measure_heat, clock)
    return _Windows(func, against, conns, options)


def _rounds_asked(options: Mapping[str, Any]) -> int | None:
    """How many rounds a test wants; None when it wants as many as it takes."""
    if "rounds" not in options:
        return None
    rounds = OPTIONS["rounds"].value(options, "pybench: rounds")
    if rounds < LEAST_ROUNDS:
        raise UsageError("pybench.ratio: a single round has no spread: rounds=5 or more")
    return int(rounds)


class _Turns:
    """Rounds of turns. With a number of rounds that was asked for there is one look, at its end."""

    def __init__(
        self,
        func: str,
        against: str,
        conns: int,
        options: Mapping[str, Any],
        measure_heat: MeasureHeat | None,
        clock: Callable[[], float],
    ) -> None:
        _check_names(options, OF_TURNS)
        self._most = _rounds_asked(options)
        self.looks = len(LOOKS) if self._most is None else 1
        race = _race(func, against, conns, options)
        for contender in race.contenders:
            if (reason := unavailable(contender)) is not None:
                raise _unavailable(contender.row, f"{contender.label}: {reason}")
        self._metric = METRICS[race.metric]
        self._func, self._against = (one.label for one in race.contenders)
        self._plan = make_race_plan(race)
        if len(self._plan.heats) > 1:
            raise UsageError(
                "pybench.ratio: one number of conns and one msize: a ratio is of one place"
            )
        ((self._heat,),) = self._plan.heats.values()  # two are in one, or make_plan has refused
        self._env = campaign.environment_of(self._plan.placement)
        self._measure_heat, self._clock = measure_heat, clock
        timed = self._most is None or "budget" in options
        self._budget_s = race.budget_ns / NS_PER_S if timed else math.inf
        self._spent_s = self._last_s = 0.0
        self._results: list[Result] = []
        self._rounds = 0

    def more(self) -> Figures | None:
        before = self._rounds
        if self._has_time():
            with ExitStack() as stack:
                interrupts = stack.enter_context(Interrupts())
                measure = self._measure_heat or stack.enter_context(
                    races.measuring(self._plan, interrupts)
                )
                try:
                    self._add_rounds(measure, interrupts)
                except InterruptError:
                    raise KeyboardInterrupt from None
        return None if self._rounds == before else self._figures()

    def remedy(self, more_rounds: int) -> str:
        if self._most is not None:
            return f"rounds={self._most + more_rounds}"
        needed_s = self._spent_s * (1 + more_rounds / self._rounds)
        rounded_s = STEP_OF_BUDGETS_S * math.ceil(needed_s / STEP_OF_BUDGETS_S)
        return f'budget="{format_duration(rounded_s * NS_PER_S)}"'

    def _has_time(self) -> bool:
        if self._most is not None and self._rounds >= self._most:
            return False
        return self._rounds < LEAST_ROUNDS or self._budget_s - self._spent_s >= self._last_s

    def _add_rounds(self, measure: MeasureHeat, interrupts: Interrupts) -> None:
        """Up to the next look, or until the time is over."""
        while self._has_time():
            interrupts.check()
            begun = self._clock()
            found = measure(self._heat, self._rounds + 1, 1, self._env)
            _check_ok(found)
            self._results += found
            self._rounds += 1
            self._last_s = self._clock() - begun
            self._spent_s += self._last_s
            if self._most is None and is_look(self._rounds):
                return

    def _figures(self) -> Figures:
        new, base = (
            Runner(label, tuple(r for r in self._results if r.func == label))
            for label in (self._func, self._against)
        )
        rounds = [
            (n.mps, b.mps, math.exp(log))
            for n, b in zip(new.results, base.results, strict=True)
            if (log := log_ratio(n, b, self._metric)) is not None
        ]
        speeds, against_speeds, ratios = zip(*_enough(rounds, self._rounds), strict=True)
        return Figures(
            func=self._func,
            against=self._against,
            speeds=speeds,
            against_speeds=against_speeds,
            ratios=ratios,
            disturbance=0.0,  # what disturbs, disturbs both: they take turns
            func_stamps=_noted(new.results),
            against_stamps=_noted(base.results),
        )


def _enough(
    rounds: Sequence[tuple[float, float, float]], measured: int
) -> Sequence[tuple[float, float, float]]:
    """The rounds that tell a ratio. Raises PybenchError when they are too few for an interval."""
    if len(rounds) < LEAST_ROUNDS:
        text = (
            f"pybench.ratio: {len(rounds)} of {measured} rounds told a ratio: one row was starved"
        )
        raise PybenchError(f"{text} of CPU time, or its turns were")
    return rounds


def _race(func: str, against: str, conns: int, options: Mapping[str, Any]) -> Race:
    given = {name: value for name, value in options.items() if name not in ("rounds", "turns")}
    texts = {
        name: str(value) if name in (*FACTORS, *RACE_OPTIONS) else value
        for name, value in given.items()
    }
    race = Race.from_options(
        [func, against],
        {"budget": BUDGET, **texts, "conns": conns},
        lambda name: f"pybench: {name}",
    )
    _check_rows([one.label for one in race.contenders], 2)
    return race


def _check_rows(labels: Sequence[str], wanted: int) -> None:
    if len(labels) != wanted:
        raise UsageError(
            f"pybench: {wanted} different rows were to be measured, these options make "
            f"{len(labels)} of them: {', '.join(labels)}"
        )


def _unavailable(row: Any, text: str) -> PybenchError:
    """One's own row that is not found is a mistake; a library that is not installed is none."""
    return (UsageError if row.spec or row.source else UnavailableError)(text)


def _check_ok(results: Sequence[Result]) -> None:
    """Raise PybenchError when a round has failed."""
    for result in results:
        if not result.ok:
            details = f"\n{result.details}" if result.details else ""
            what = f"{result.func} at {result.conns}: {result.status}"
            raise PybenchError(f"{what}: {result.error}{details}")


def _noted(results: Sequence[Result]) -> tuple[str, ...]:
    """The stamps that count for a side, of those that a reader of a ratio must know of."""
    codes = side_stamps([w.code for w in r.warnings] for r in results)
    return tuple(c for c in codes if class_of(c) in ("invalid", "bound") or c in NOTED)


class _Windows:
    """Rounds of one window each, interleaved: all that were asked for, and one look."""

    looks = 1

    def __init__(self, func: str, against: str, conns: int, options: Mapping[str, Any]) -> None:
        _check_names(options, OF_WINDOWS)
        self._rounds = _rounds_asked(options) or WINDOW_ROUNDS
        self._metric = METRICS[RACE_OPTIONS["metric"].value(options, "pybench: metric")]
        if self._metric.name == "due99":
            raise UsageError(f"pybench: metric {self._metric.name} needs a rate, and so turns")
        given = {name: value for name, value in options.items() if name not in HOW_LONG}
        self._asked = {**given, "rounds": self._rounds}
        self._rows, self._conns, self._done = (func, against), conns, False

    def more(self) -> Figures | None:
        if self._done:
            return None
        self._done = True
        results = windows(self._rows, self._conns, self._asked)
        new, base = results[: self._rounds], results[self._rounds :]
        values = [self._values(side) for side in (new, base)]
        return Figures(
            func=new[0].func,
            against=base[0].func,
            speeds=tuple(r.mps for r in new),
            against_speeds=tuple(r.mps for r in base),
            ratios=tuple(n / b for n, b in zip(*values, strict=True)),
            disturbance=abs(_taken(new) - _taken(base)),
            func_stamps=_noted(new),
            against_stamps=_noted(base),
        )

    def remedy(self, more_rounds: int) -> str:
        return f"rounds={self._rounds + more_rounds}"

    def _values(self, results: Sequence[Result]) -> Iterator[float]:
        for one in rounds_of_section(results):
            value = one.values.get(self._metric.quantity)
            if not value:
                raise PybenchError(f"{one.func}: round {one.number} has no {self._metric.name}")
            yield value


def _taken(results: Sequence[Result]) -> float:
    """The share of their CPUs that others took, the median over the rounds."""
    found = [max(d.taken, d.server_taken) for r in results if (d := r.disturbance) is not None]
    return statistics.median(found) if found else 0.0


def measure(func: str, conns: int, **options: Any) -> Result:
    """One round of a row.

    func: a row as `--func` takes it.  options: as on the command line, `runtime="1s"`.
    Raises UnavailableError, UsageError, and PybenchError when the round failed.
    """
    _check_names(options, OF_MEASURE)
    [result] = windows([func], conns, {"rounds": 1, **options})
    return result


def windows(funcs: Sequence[str], conns: int, options: Mapping[str, Any]) -> list[Result]:
    """Every round of one window, all of them ok, of the rows in their order."""
    asked = Campaign.from_options(
        {**WINDOW_DEFAULTS, **options, "func": list(funcs), "conns": conns},
        lambda key: f"pybench: {key}",
    )
    _check_rows([cell.label for cell in asked.cells], len(funcs))
    plan = make_plan(asked)
    for cell, reason in plan.unavailable.items():
        raise _unavailable(cell.row, f"{cell.label}: {reason}")
    outcome = campaign.run(plan, SilentReporter(), None)
    if outcome.interrupted is not None:
        raise KeyboardInterrupt
    _check_ok(outcome.results)
    order = [cell.label for cell in asked.cells]
    return sorted(outcome.results, key=lambda r: (order.index(r.func), r.round))
