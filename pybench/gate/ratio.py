"""Performance as a test: ratios of rows with an interval, and demands on them.

What pytest has to do with it is in `plugin.py`, what an earlier session found in `baseline.py`.
Ratios carry over between machines, absolute figures do not: only ratios are gated.

A demand has three outcomes. It is kept when the whole interval is on its side, broken
(`AssertionError`) when the whole interval is on the other, and otherwise `Inconclusive`: the noise
of the machine is larger than what was asked. The judge is `analysis/verdict.py`: a 95% interval,
paired by round, widened by as much as others disturbed one row more than the other. A row that
served wrong bytes, lost or starved connections breaks every demand.
"""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pybench.analysis.ratio import Estimate, paired_ratio
from pybench.analysis.stamps import class_of
from pybench.analysis.verdict import demand, remedy_words
from pybench.driver import campaign
from pybench.driver.plan import make_plan
from pybench.driver.progress import SilentReporter
from pybench.errors import Inconclusive, PybenchError, UsageError
from pybench.result import Result
from pybench.spec import OPTIONS, Campaign
from pybench.units import count_label

DEFAULT_ROUNDS = 5
DEFAULTS = {"runtime": "1s", "warmup": "200ms"}
NOTED = (
    *("corrupt", "lost", "littles_law", "unfair"),
    *("steal", "busy_machine", "throttled", "generator_bound", "client_idle"),
)
"""The stamps that a reader of a ratio must know of."""


class UnavailableError(PybenchError):
    """A row of ours cannot run here, its library is missing; the message says why."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A ratio and its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    @classmethod
    def of(cls, found: Estimate) -> "Interval":
        """What a reader wants of it."""
        return cls(found.value, found.low, found.high)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """How many times the messages/s of row `against` row `func` reaches.

    func, against: labels of the rows.  conns: connections.  options: as the rounds were asked for.
    speeds, against_speeds: messages/s of each round, those of one index measured in one round.
    disturbance: by what share, from 0 to 1, others took more of one row's CPU than of the other's.
    stamps: the warnings that half of the rounds of either row have.
    """

    func: str
    against: str
    conns: int
    speeds: tuple[float, ...]
    against_speeds: tuple[float, ...]
    disturbance: float = 0.0
    stamps: tuple[str, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def estimate(self) -> Estimate:
        """The ratio, paired by round, with room for what disturbed one side alone."""
        return paired_ratio(self.speeds, self.against_speeds).widened(self.disturbance)

    @property
    def interval(self) -> Interval:
        """The ratio with its interval."""
        return Interval.of(self.estimate)

    @property
    def value(self) -> float:
        """The geometric mean of the rounds' ratios; to be judged by `require`, not by itself."""
        return self.estimate.value

    @property
    def rounds(self) -> int:
        """How many rounds each row was measured in."""
        return len(self.speeds)

    @property
    def name(self) -> str:
        """`selector / c_epoll at 100`."""
        return f"{self.func} / {self.against} at {count_label(self.conns)}"

    def require(self, *, at_least: float | None = None, at_most: float | None = None) -> None:
        """Demand that the ratio is in a range.

        Raises AssertionError when it surely is not, Inconclusive when this cannot be told.
        """
        __tracebackhide__ = True  # pytest then shows where it was demanded
        if at_least is None and at_most is None:
            raise TypeError("require(at_least=...) or require(at_most=...): nothing was demanded")
        judge(self.name, self.estimate, self.stamps, at_least=at_least, at_most=at_most)


def judge(
    name: str,
    found: Estimate,
    stamps: Sequence[str],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> None:
    """Raise AssertionError when the demand is broken, Inconclusive when it is neither."""
    __tracebackhide__ = True
    invalid = [code for code in stamps if class_of(code) == "invalid"]
    judged = demand(found, at_least=at_least, at_most=at_most, new_stamps=invalid)
    interval = Interval.of(found)
    if judged.outcome == "broken":
        why = f"stamped {', '.join(invalid)}" if invalid else f"surely not {judged.demand}"
        raise AssertionError(f"{name}: {interval}, {why}")
    if judged.outcome == "undecided":
        noted = f" [{', '.join(stamps)}]" if stamps else ""
        remedy = remedy_words(judged) or "more rounds, or a quieter machine"
        raise Inconclusive(
            f"{name}: {interval}{noted}; whether that is {judged.demand} cannot be told: {remedy}"
        )


def measure(func: str, conns: int, **options: Any) -> Result:
    """One round of a row.

    func: a row as `--func` takes it.  options: as on the command line, `runtime="1s"`.
    Raises UnavailableError, UsageError, and PybenchError when the round failed.
    """
    [result] = _results([func], conns, {"rounds": 1, **options})
    return result


def ratio(func: str, against: str, conns: int, **options: Any) -> Ratio:
    """The speed of one row against another's, rounds interleaved.

    func, against: rows as `--func` takes them.  options: as on the command line, `rounds=9`.
    Raises as `measure`.
    """
    asked = {"rounds": DEFAULT_ROUNDS, **options}
    results = _results([func, against], conns, asked)
    middle = len(results) // 2
    new, base = results[:middle], results[middle:]
    if middle < 2:
        raise UsageError("pybench.ratio: a single round has no spread: rounds=5 or more")
    return Ratio(
        func=new[0].func,
        against=base[0].func,
        conns=conns,
        speeds=tuple(r.mps for r in new),
        against_speeds=tuple(r.mps for r in base),
        disturbance=abs(_taken(new) - _taken(base)),
        stamps=tuple(code for code in NOTED if any(_half_has(code, side) for side in (new, base))),
        options={key: str(value) for key, value in asked.items() if key != "rounds"},
    )


def _taken(results: Sequence[Result]) -> float:
    """The share of their CPUs that others took, the median over the rounds."""
    found = [max(d.taken, d.server_taken) for r in results if (d := r.disturbance) is not None]
    return statistics.median(found) if found else 0.0


def _half_has(code: str, results: Sequence[Result]) -> bool:
    stamped = sum(any(w.code == code for w in r.warnings) for r in results)
    return 2 * stamped >= len(results)


def _results(funcs: Sequence[str], conns: int, options: Mapping[str, Any]) -> list[Result]:
    """Every round, all of them ok, of the rows in their order."""
    known = OPTIONS.keys() - {"func", "conns", "rate"}
    if unknown := sorted(set(options) - known):
        raise UsageError(f"pybench: no option {unknown[0]!r}; there are {' '.join(sorted(known))}")
    asked = Campaign.from_options(
        {**DEFAULTS, **options, "func": list(funcs), "conns": conns}, lambda key: f"pybench: {key}"
    )
    if len(asked.cells) != len(funcs):
        raise UsageError(
            f"pybench: {len(funcs)} different rows were to be measured, these options make "
            f"{len(asked.cells)} of them: {', '.join(cell.label for cell in asked.cells)}"
        )
    plan = make_plan(asked)
    for cell, reason in plan.unavailable.items():
        # One's own row that is not found is a mistake; a library that is not installed is none.
        kind = UsageError if cell.row.spec or cell.row.source else UnavailableError
        raise kind(f"{cell.label}: {reason}")
    outcome = campaign.run(plan, SilentReporter(), None)
    if outcome.interrupted is not None:
        raise KeyboardInterrupt
    for result in outcome.results:
        if not result.ok:
            details = f"\n{result.details}" if result.details else ""
            what = f"{result.func} at {conns}: {result.status}"
            raise PybenchError(f"{what}: {result.error}{details}")
    order = [cell.label for cell in asked.cells]
    return sorted(outcome.results, key=lambda r: (order.index(r.func), r.round))
