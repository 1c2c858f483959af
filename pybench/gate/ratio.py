"""Performance as a test: ratios of rows with an interval, and demands on them.

What pytest has to do with it is in `plugin.py`, where rounds come from in `rounds.py`, what an
earlier session found in `baseline.py`. Only ratios are gated: absolute figures are of a machine and
an hour.

A demand has three outcomes. It is kept when the whole interval is on its side, broken
(`AssertionError`) when the whole interval is on the other, and otherwise rounds are added, until it
is one of these or the budget ends: `Inconclusive`. The judge is `analysis/verdict.py`: who may look
again and again needs an interval that allows for it, a row that served wrong bytes or lost
connections breaks every demand, and a figure that is only a bound opens its end of the interval.
"""

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, NoReturn

from pybench.analysis.ratio import Estimate, estimate_of_logs
from pybench.analysis.verdict import (
    MARGIN,
    METRICS,
    MPS,
    Judgement,
    Metric,
    Verdict,
    bounded,
    decide,
    demand,
    interval_words,
    remedy_words,
    words,
)
from pybench.driver.race import MeasureHeat
from pybench.errors import Inconclusive, UsageError
from pybench.gate import rounds
from pybench.gate.rounds import Figures, Source, UnavailableError, measure
from pybench.result.types import MetricName
from pybench.spec.race import RACE_OPTIONS
from pybench.units import count_label

__all__ = ["Interval", "Ratio", "UnavailableError", "measure", "ratio", "settle"]

DIGITS = 3


@dataclass(frozen=True, slots=True)
class Interval:
    """A ratio and its 95% interval; 0 and inf where an end is open."""

    value: float
    low: float
    high: float
    text: str

    def __str__(self) -> str:
        return f"{self.value:.{DIGITS}f} ({self.text})"

    @classmethod
    def of(cls, found: Estimate) -> "Interval":
        """What a reader wants of it."""
        return cls(found.value, found.low, found.high, interval_words(found, DIGITS))


@dataclass(kw_only=True, eq=False, repr=False)
class Ratio:
    """How many times the messages/s, or another metric, of row `against` row `func` reaches.

    It is judged by `require`, which adds rounds as long as it needs some; whoever compares it with
    a number is told so. `float(ratio)` is the geometric mean over its rounds, `low` and `high` are
    the ends of its 95% interval.

    func, against: labels of the rows.  conns: connections.  options: as the rounds were asked for.
    speeds, against_speeds: messages/s of each round, those of one index measured in one round.
    ratios: of each round, in the metric; the quotients of these speeds unless told.
    disturbance: by what share, from 0 to 1, others took more of one row's CPU than of the other's.
    func_stamps, against_stamps: the warnings that count for either row.
    metric: as `pybench race --metric`.  margin: what counts as equal.  turns: whether the rows took
    turns.  source: makes further rounds, where there may be some.
    """

    func: str
    against: str
    conns: int
    speeds: tuple[float, ...]
    against_speeds: tuple[float, ...]
    ratios: tuple[float, ...] = ()
    disturbance: float = 0.0
    func_stamps: tuple[str, ...] = ()
    against_stamps: tuple[str, ...] = ()
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metric: MetricName = MPS.name
    margin: float = MARGIN
    turns: bool = False
    source: Source | None = None

    @property
    def per_round(self) -> tuple[float, ...]:
        """The ratio of each round."""
        return self.ratios or tuple(
            n / b for n, b in zip(self.speeds, self.against_speeds, strict=True)
        )

    @property
    def estimate(self) -> Estimate:
        """The ratio, paired by round, with room for what disturbed one side alone; an end that a
        stamp makes a bound is open."""
        found = estimate_of_logs([math.log(r) for r in self.per_round])
        return bounded(
            found.widened(self.disturbance), self.kind, self.func_stamps, self.against_stamps
        )

    @property
    def interval(self) -> Interval:
        """The ratio with its interval."""
        return Interval.of(self.estimate)

    @property
    def value(self) -> float:
        """The geometric mean of the rounds' ratios; to be judged by `require`, not by itself."""
        return self.estimate.value

    @property
    def low(self) -> float:
        """Lower end of the 95% interval; 0 where it is open."""
        return self.estimate.low

    @property
    def high(self) -> float:
        """Upper end of the 95% interval; inf where it is open."""
        return self.estimate.high

    @property
    def verdict(self) -> Verdict:
        """Faster, slower, equal within the margin, or undecided, after the rounds so far."""
        return decide(
            self.estimate,
            metric=self.kind,
            margin=self.margin,
            new_stamps=self.func_stamps,
            base_stamps=self.against_stamps,
            looks=self.looks,
        )

    @property
    def rounds(self) -> int:
        """How many rounds tell it."""
        return len(self.per_round)

    @property
    def looks(self) -> int:
        """At how many round counts it may be judged: each pays for all."""
        return 1 if self.source is None else self.source.looks

    @property
    def kind(self) -> Metric:
        """The metric with all that is known of it."""
        return METRICS[self.metric]

    @property
    def stamps(self) -> tuple[str, ...]:
        """The warnings that count for either row."""
        return tuple(dict.fromkeys((*self.func_stamps, *self.against_stamps)))

    @property
    def name(self) -> str:
        """`selector / c_epoll at 100`, with the metric where it is not messages/s."""
        metric = "" if self.metric == MPS.name else f" in {self.metric}"
        return f"{self.func} / {self.against} at {count_label(self.conns)}{metric}"

    def require(self, *, at_least: float | None = None, at_most: float | None = None) -> None:
        """Demand that the ratio is in a range; adds rounds while that is undecided.

        Raises AssertionError when it surely is not, Inconclusive when this cannot be told within
        the budget.
        """
        __tracebackhide__ = True  # pytest then shows where it was demanded
        if at_least is None and at_most is None:
            raise TypeError("require(at_least=...) or require(at_most=...): nothing was demanded")
        _check_demand(at_least, at_most)

        def judge() -> Judgement:
            return demand(
                self.estimate,
                at_least=at_least,
                at_most=at_most,
                metric=self.kind,
                new_stamps=self.func_stamps,
                base_stamps=self.against_stamps,
                looks=self.looks,
            )

        judged = self.settled(judge)
        settle(f"{self.name}: {self.interval}", judged, self, self.remedy(judged))

    def settled(
        self, judge: Callable[[], Judgement], gains: Callable[[], bool] = lambda: True
    ) -> Judgement:
        """What it comes to: rounds are added while it is undecided, and there may be more.

        None are where an end that a bound opens is in the way: they would not close it. gains:
        whether they would bring anything.
        """
        judged = judge()
        while judged.outcome == "undecided" and not _held_open(judged) and gains():
            if not self.go_on():
                break
            judged = judge()
        return judged

    def go_on(self) -> bool:
        """Measure up to the next look; False when there is nothing more to be had."""
        found = None if self.source is None else self.source.more()
        if found is None:
            return False
        for field in dataclasses.fields(found):
            setattr(self, field.name, getattr(found, field.name))
        return True

    def remedy(self, judged: Judgement) -> str:
        """What would decide, as a test would write it."""
        if _held_open(judged):
            faster = 'engine="uring", more CPUs, or ' if "generator_bound" in self.stamps else ""
            return f'{faster}metric="cpu_us_per_msg", which is no bound'
        more = remedy_words(judged)
        if not more or judged.more_rounds is None:
            return "a quieter machine"
        if self.source is None:
            return f"{more}, or a quieter machine"
        return f"{more}: {self.source.remedy(judged.more_rounds)}, or a quieter machine"

    def __float__(self) -> float:
        return self.value

    def __repr__(self) -> str:
        where = f"at {count_label(self.conns)} connections"
        return words(self.verdict, self.func, self.against, metric=self.kind, where=where)

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Real):
            self._refuse("==", other, "at_least=..., at_most=...")
        return self is other

    def __gt__(self, other: object) -> bool:
        self._refuse(">", other, f"at_least={_number(other)}")

    def __ge__(self, other: object) -> bool:
        self._refuse(">=", other, f"at_least={_number(other)}")

    def __lt__(self, other: object) -> bool:
        self._refuse("<", other, f"at_most={_number(other)}")

    def __le__(self, other: object) -> bool:
        self._refuse("<=", other, f"at_most={_number(other)}")

    def _refuse(self, operator: str, other: object, instead: str) -> NoReturn:
        """A number alone says nothing: the interval must be on one side of it."""
        __tracebackhide__ = True
        raise TypeError(
            f"ratio {operator} {_number(other)} would take no account of the interval"
            f" ({self.interval}): write ratio.require({instead})"
        )


def _held_open(judged: Judgement) -> bool:
    """Whether it is undecided for good: the end in question is open."""
    is_open = judged.estimate.low <= 0 or math.isinf(judged.estimate.high)
    return is_open and judged.estimate.df > 0 and judged.more_rounds is None


def _check_demand(at_least: float | None, at_most: float | None) -> None:
    """Raise UsageError for what every ratio keeps, or none: such a test could not fail, or pass."""
    for name, value in (("at_least", at_least), ("at_most", at_most)):
        if value is None:
            continue
        number = float(value) if isinstance(value, Real) and not isinstance(value, bool) else 0.0
        if not 0 < number < math.inf:
            raise UsageError(f"require({name}={value!r}): a ratio is a number above 0, as 0.9")
    if at_least is not None and at_most is not None and at_least > at_most:
        raise UsageError(f"require(at_least={at_least}, at_most={at_most}): no ratio is both")


def _number(other: object) -> str:
    return f"{float(other):g}" if isinstance(other, Real) else "..."


def settle(what: str, judged: Judgement, ratio: Ratio, remedy: str) -> None:
    """Raise AssertionError when the demand is broken, Inconclusive when it is undecided.

    what: the ratio and its interval, as a sentence begins.  remedy: what would decide.
    """
    __tracebackhide__ = True
    reason = judged.reason.replace("NEW", ratio.func).replace("BASE", ratio.against)
    if judged.outcome == "broken":
        raise AssertionError(f"{what}, {reason or f'surely not {judged.demand}'}")
    if judged.outcome == "undecided":
        noted = f" [{', '.join(ratio.stamps)}]" if ratio.stamps else ""
        because = f" ({reason})" if reason else ""
        raise Inconclusive(
            f"{what} after {ratio.rounds} rounds{noted}; whether that is {judged.demand} cannot be"
            f" told{because}: {remedy}"
        )


def ratio(
    func: str,
    against: str,
    conns: int,
    *,
    measure_heat: MeasureHeat | None = None,
    clock: Callable[[], float] = time.monotonic,
    **options: Any,
) -> Ratio:
    """One row against another, measured up to the first look, or to the precision asked for.

    func, against: rows as `pybench race` takes them.  options: as there, `budget="30s"`,
    `metric="p99"`; `rounds=9` for so many and one look; `turns=False` for rounds of one window.
    measure_heat, clock: as of `driver.race.run`; for real unless told.
    Raises UnavailableError, UsageError, and PybenchError when a round failed.
    """
    source = rounds.source(func, against, conns, options, measure_heat, clock)
    found = source.more()
    assert found is not None, "a source has two rounds at least"
    metric, margin, precision = (
        RACE_OPTIONS[name].value({k: str(v) for k, v in options.items()}, f"pybench: {name}")
        for name in ("metric", "margin", "precision")
    )
    made = Ratio(
        **_fields(found),
        conns=conns,
        options={k: str(v) for k, v in options.items() if k not in rounds.HOW_LONG},
        metric=metric,
        margin=margin,
        turns=bool(options.get("turns", True)),
        source=source,
    )
    if "precision" in options:
        while made.estimate.half_width > precision and made.go_on():
            pass
    return made


def _fields(found: Figures) -> dict[str, Any]:
    return {field.name: getattr(found, field.name) for field in dataclasses.fields(found)}
