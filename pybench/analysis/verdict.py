"""What a ratio may claim: one of four verdicts, or whether a demand on it is kept.

    faster, slower   the whole interval is on that side of 1
    equal            the whole interval is within a factor of 1 + margin
    undecided        neither; with the reason, and about how many more rounds would decide

`faster` means better, whatever the metric: of latency and CPU time less is better. Everything that
says how two rows compare says it from here: race, compare, the gate, tables, sentences, benchmarks.

Stamps have a say, by their class (`stamps.py`): a side stamped `invalid` decides nothing, and a
demand on it is broken; a figure that is only a bound opens that end of the interval, unless the
other side is held back by the same.
Many comparisons at once are a family (Holm), and a demand that is tested again and again while
rounds are added pays for every look (Pocock). Neither prints nor reads clocks.
"""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from pybench.analysis import stamps
from pybench.analysis.ratio import CONFIDENCE, Estimate
from pybench.analysis.stats import student_t_quantile
from pybench.result.types import MetricName

Kind = Literal["faster", "slower", "equal", "undecided"]
Outcome = Literal["kept", "broken", "undecided"]
Bound = Literal["lower", "upper"]

MARGIN: Final = 0.03
MOST_ROUNDS: Final = 1000
"""Nobody is told to wait for more."""

LOOKS: Final = (6, 8, 11, 15, 20, 27, 36)
"""Round counts at which a race or a gate may stop; between them rounds are only added."""

_POCOCK: Final = (0.05, 0.0321, 0.0234, 0.0185, 0.0155, 0.0133, 0.0117)
"""Two-sided level of each of the first 1, 2, ... 7 looks at which all together are wrong in 5%.

The same level at each look, as S. Pocock, "Group Sequential Methods in the Design and Analysis of
Clinical Trials", 1977, has it, because most demands are met by far, and those should be free after
six rounds: O'Brien and Fleming's bounds hardly ever stop there. His constants (0.0130 for seven)
are of normal scores at equal steps. Ours are for Student's t at LOOKS, from a million simulated
series; `tests/bench/coverage.py` shows that they hold.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What is compared.

    name: as `--metric` takes it.  quantity: in `Round.values`.  better, worse: as words between
    NEW and BASE.  bounds: stamp -> which bound of the row's true figure the measured one is then.
    """

    name: MetricName
    quantity: str
    lower_is_better: bool
    better: str
    worse: str
    what: str
    bounds: Mapping[str, Bound] = field(default_factory=dict)


METRICS: Final[dict[str, Metric]] = {
    metric.name: metric
    for metric in (
        Metric(
            name="mps",
            quantity="mps",
            lower_is_better=False,
            better="is faster than",
            worse="is slower than",
            what="messages/s",
            bounds={"generator_bound": "lower", "client_idle": "lower", "overloaded": "lower"},
        ),
        Metric(
            name="cpu_us_per_msg",
            quantity="cpu_us_per_msg",
            lower_is_better=True,
            better="needs less CPU than",
            worse="needs more CPU than",
            what="CPU time per message",
        ),
        Metric(
            name="p50",
            quantity="lat50_ns",
            lower_is_better=True,
            better="answers sooner than",
            worse="answers later than",
            what="median latency",
            bounds={"generator_bound": "upper"},
        ),
        Metric(
            name="p99",
            quantity="lat99_ns",
            lower_is_better=True,
            better="has a shorter p99 than",
            worse="has a longer p99 than",
            what="99th percentile of latency",
            bounds={"generator_bound": "upper"},
        ),
        Metric(
            name="due99",
            quantity="due99_ns",
            lower_is_better=True,
            better="has a shorter due p99 than",
            worse="has a longer due p99 than",
            what="99th percentile of latency from the due time",
            bounds={"generator_bound": "upper", "overloaded": "lower"},
        ),
    )
}

MPS: Final = METRICS["mps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What may be said of NEW / BASE.

    estimate: with the ends open that a bound opens.  margin: what counts as equal.
    reason: why it is undecided, where rounds are not to blame.  more_rounds: about how many of them
    would decide; None where none would, or more than anybody waits for.
    """

    kind: Kind
    estimate: Estimate
    margin: float = MARGIN
    reason: str = ""
    more_rounds: int | None = None

    @property
    def decided(self) -> bool:
        """Whether it is one of the other three."""
        return self.kind != "undecided"

    @property
    def differs(self) -> bool:
        """Whether the two are surely not the same."""
        return self.kind in ("faster", "slower")


def decide(
    estimate: Estimate,
    *,
    metric: Metric = MPS,
    margin: float = MARGIN,
    new_stamps: Collection[str] = (),
    base_stamps: Collection[str] = (),
    looks: int = 1,
    confidence: float | None = None,
) -> Verdict:
    """The verdict on one ratio.

    margin: share, 0.03 is 3%.  new_stamps, base_stamps: codes on the sides (`side_stamps`).
    looks: how many times this is asked at most while rounds are added: whoever stops when a verdict
    falls, or when the interval is narrow enough, pays for having looked.  confidence: of the
    interval that `faster` and `slower` need, where that is settled already.
    """
    found = bounded(estimate, metric, new_stamps, base_stamps)
    if reason := _invalid(new_stamps, base_stamps):
        return Verdict(kind="undecided", estimate=found, margin=margin, reason=reason)
    if confidence is None and looks > 1:
        confidence = look_confidence(looks)
    strict = found if confidence is None else found.at(confidence)
    if 1 / (1 + margin) <= found.low and found.high <= 1 + margin:
        return Verdict(kind="equal", estimate=found, margin=margin)
    if strict.low > 1 or strict.high < 1:
        better = (strict.low > 1) != metric.lower_is_better
        return Verdict(kind="faster" if better else "slower", estimate=found, margin=margin)
    half = _needed(found, margin)
    reason = _why_undecided(found, half is not None, metric, new_stamps, base_stamps)
    if not reason and (found.low > 1 or found.high < 1):
        reason = f"one answer of several: the {100 * strict.confidence:.4g}% interval counts"
    return Verdict(
        kind="undecided",
        estimate=found,
        margin=margin,
        reason=reason,
        more_rounds=_more_rounds(strict, half),
    )


def bounded(
    estimate: Estimate, metric: Metric, new_stamps: Collection[str], base_stamps: Collection[str]
) -> Estimate:
    """The estimate with the ends open at which one side's figure is only a bound.

    What holds both sides back takes no side, and opens none: the ratio is then nearer to 1 than
    the truth, which is to be said beside it.
    """
    new, base = (
        {metric.bounds[code] for code in codes}
        for codes in _own_bounds(metric, new_stamps, base_stamps)
    )
    return estimate.opened(
        low="upper" in new or "lower" in base, high="lower" in new or "upper" in base
    )


def _own_bounds(
    metric: Metric, new_stamps: Collection[str], base_stamps: Collection[str]
) -> tuple[list[str], list[str]]:
    """The stamps that make a bound of one side alone, sorted: NEW's, BASE's."""
    new, base = ({c for c in codes if c in metric.bounds} for codes in (new_stamps, base_stamps))
    return sorted(new - base), sorted(base - new)


def side_stamps(rounds: Iterable[Collection[str]]) -> tuple[str, ...]:
    """The stamps that count for a side, sorted, from those on each of its rounds.

    Those on half of the rounds or more; wrong bytes in a single one are enough.
    """
    each = list(rounds)
    codes = {code for one in each for code in one}
    return tuple(
        sorted(c for c in codes if c == "corrupt" or 2 * sum(c in one for one in each) >= len(each))
    )


def _invalid(new_stamps: Collection[str], base_stamps: Collection[str]) -> str:
    """Why a side has no figure that could be judged; empty when both have."""
    parts = [
        f"{side} is stamped {', '.join(codes)}"
        for side, all_codes in (("NEW", new_stamps), ("BASE", base_stamps))
        if (codes := sorted(c for c in all_codes if stamps.class_of(c) == "invalid"))
    ]
    return " and ".join(parts)


def _why_undecided(
    found: Estimate,
    reachable: bool,
    metric: Metric,
    new_stamps: Collection[str],
    base_stamps: Collection[str],
) -> str:
    """What more rounds would not mend: too few for any interval, or an end that stays open."""
    if found.df < 1:
        return "a single round has no spread"
    if reachable:
        return ""
    new, base = _own_bounds(metric, new_stamps, base_stamps)
    if new and base:
        return f"both are only bounds ({', '.join(sorted({*new, *base}))})"
    if not new and not base:
        disturbed = "others disturbed one side by more than is to be decided"
        return disturbed if found.slack else "it is on the limit"
    return f"{'NEW' if new else 'BASE'} is only a bound ({', '.join(new or base)})"


def _needed(found: Estimate, margin: float) -> float | None:
    """The half of an interval, on the log scale, that would decide; None when none would."""
    distance, limit = found.log, math.log1p(margin)
    ways = []
    if found.low > 0 and distance > 0:
        ways.append(distance)
    if math.isfinite(found.high) and distance < 0:
        ways.append(-distance)
    if found.low > 0 and math.isfinite(found.high):
        ways.append(limit - abs(distance))
    widest = max(ways, default=0.0) - found.slack
    return widest if widest > 0 else None


def _more_rounds(found: Estimate, half: float | None) -> int | None:
    """About how many rounds more make the half of the interval as small as that."""
    if half is None or found.df < 1:
        return None
    deviation = found.error * math.sqrt(found.rounds)
    tail = 1 - (1 - found.confidence) / 2
    per_round = found.df / found.rounds  # unpaired sides have up to two degrees a round

    def enough(rounds: int) -> bool:
        df = max(1, math.floor(rounds * per_round))
        return student_t_quantile(tail, df) * deviation / math.sqrt(rounds) <= half

    low, high = found.rounds, found.rounds + MOST_ROUNDS
    if not enough(high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high - found.rounds


def decide_family(
    members: Sequence[tuple[Estimate, Collection[str], Collection[str]]],
    *,
    metric: Metric = MPS,
    margin: float = MARGIN,
) -> list[Verdict]:
    """Verdicts on all comparisons of one invocation, in their order.

    members: estimate, stamps of NEW, stamps of BASE.
    That any of the differences called out is none has a chance of at most 5%, for all together.
    Source: S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979. Equality needs
    no such allowance: who claims it of more pairs risks it of each by itself.
    """
    levels = holm_confidences([estimate.p_value() for estimate, _, _ in members])
    return [
        decide(
            estimate,
            metric=metric,
            margin=margin,
            new_stamps=new,
            base_stamps=base,
            confidence=level,
        )
        for (estimate, new, base), level in zip(members, levels, strict=True)
    ]


def holm_confidences(p_values: Sequence[float], confidence: float = CONFIDENCE) -> list[float]:
    """The confidence at which each is to be judged, by Holm's steps; in the order given.

    The smallest p is held against alpha / n, the next against alpha / (n - 1), up to the first that
    is too large: from there on all are held against that step's.
    """
    alpha, n = 1 - confidence, len(p_values)
    found, level, stopped = [0.0] * n, alpha, False
    for place, index in enumerate(sorted(range(n), key=lambda i: p_values[i])):
        if not stopped:
            level = alpha / (n - place)
            stopped = p_values[index] > level
        found[index] = 1 - level
    return found


def surely_different(
    members: Sequence[tuple[Estimate, Collection[str], Collection[str]]], *, metric: Metric = MPS
) -> list[bool]:
    """Whether `decide_family` would say faster or slower of each, and no more: it is far quicker.

    For the hundreds of pairs in a column of a table.
    """
    p_values = [estimate.p_value() for estimate, _, _ in members]
    levels = holm_confidences(p_values)
    found = []
    for (estimate, new, base), p, level in zip(members, p_values, levels, strict=True):
        known = bounded(estimate, metric, new, base)
        closed = known.low > 0 if known.value > 1 else math.isfinite(known.high)
        found.append(p < 1 - level and closed and not _invalid(new, base))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Whether a demand is kept. reason: why it is broken or undecided, as the end of a sentence."""

    outcome: Outcome
    estimate: Estimate
    demand: str
    reason: str = ""
    more_rounds: int | None = None


def demand(
    estimate: Estimate,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    metric: Metric = MPS,
    new_stamps: Collection[str] = (),
    base_stamps: Collection[str] = (),
    looks: int = 1,
    confidence: float | None = None,
) -> Judgement:
    """Whether the true ratio is as demanded: one of at_least and at_most, or both.

    kept: the whole interval is.  broken: the whole interval is not, or a side is stamped invalid.
    looks: how many times this is asked at most while rounds are added; the interval is as much
    wider as keeps the chance of a wrong answer, of all looks together, at 5%.
    confidence: of the interval, where that is settled already.
    Raises TypeError when nothing is demanded.
    """
    text = " and ".join(
        f"at {word} {limit:g}"
        for word, limit in (("least", at_least), ("most", at_most))
        if limit is not None
    )
    if not text:
        raise TypeError("demand(at_least=...) or demand(at_most=...): nothing was demanded")
    found = bounded(estimate, metric, new_stamps, base_stamps)
    if reason := _invalid(new_stamps, base_stamps):
        return Judgement(outcome="broken", estimate=found, demand=text, reason=reason)
    if confidence is None and looks > 1:
        confidence = look_confidence(looks)
    strict = found if confidence is None else found.at(confidence)
    least = 0.0 if at_least is None else at_least
    most = math.inf if at_most is None else at_most
    if strict.high < least or strict.low > most:
        return Judgement(outcome="broken", estimate=found, demand=text)
    if least <= strict.low and strict.high <= most:
        return Judgement(outcome="kept", estimate=found, demand=text)
    half = _needed_for_demand(found, least, most)
    reason = _why_undecided(found, half is not None, metric, new_stamps, base_stamps)
    by_itself = (least <= found.low and found.high <= most) or found.high < least
    if not reason and (by_itself or found.low > most):
        reason = f"one look of several: the {100 * strict.confidence:.4g}% interval counts"
    return Judgement(
        outcome="undecided",
        estimate=found,
        demand=text,
        reason=reason,
        more_rounds=_more_rounds(strict, half),
    )


def _needed_for_demand(found: Estimate, least: float, most: float) -> float | None:
    """As `_needed`: the distance to the nearest limit, where no open end is in the way."""
    closed_low, closed_high = found.low > 0, math.isfinite(found.high)
    if found.value < least:
        possible = closed_high
    elif found.value > most:
        possible = closed_low
    else:
        possible = (closed_low or not least) and (closed_high or math.isinf(most))
    limits = [limit for limit in (least, most) if 0 < limit < math.inf]
    half = min(abs(found.log - math.log(limit)) for limit in limits) - found.slack
    return half if possible and half > 0 else None


def demand_family(
    members: Sequence[tuple[Estimate, Collection[str], Collection[str]]],
    *,
    at_least: float,
    metric: Metric = MPS,
) -> list[Judgement]:
    """The same demand on all comparisons of one invocation; members as of `decide_family`.

    That any of those called broken is kept in truth has a chance of at most 5%, for all together.
    """
    levels = holm_confidences([estimate.p_value(at_least) for estimate, _, _ in members])
    return [
        demand(
            estimate,
            at_least=at_least,
            metric=metric,
            new_stamps=new,
            base_stamps=base,
            confidence=level,
        )
        for (estimate, new, base), level in zip(members, levels, strict=True)
    ]


def look_confidence(looks: int) -> float:
    """The confidence of each of so many looks, 1 or more, at which all together have 95%."""
    return 1 - _POCOCK[min(looks, len(_POCOCK)) - 1]


def next_look(rounds: int) -> int | None:
    """The round count at which to look after so many rounds; None after the last."""
    return next((look for look in LOOKS if look > rounds), None)


def tie_groups(
    names: Sequence[str], differ: Callable[[str, str], bool]
) -> dict[str, tuple[int, ...]]:
    """name -> the groups it is in, from 0: two that share one are not surely different.

    names: fastest first.  differ: whether two are surely different; asked once of each pair.
    Group 0 holds the fastest and all that are not surely different from it and from each other.
    Source: H.-P. Piepho, "An Algorithm for a Letter-Based Representation of All-Pairwise
    Comparisons", 2004: each difference splits the groups that hold both, and what another group
    covers is absorbed.
    """
    groups: list[frozenset[str]] = [frozenset(names)]
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            if not differ(one, other):
                continue
            split = [
                part
                for group in groups
                for part in (
                    (group - {one}, group - {other})
                    if one in group and other in group
                    else (group,)
                )
            ]
            groups = _absorbed(split)
    place = {name: i for i, name in enumerate(names)}
    groups.sort(key=lambda group: sorted(place[name] for name in group))
    return {name: tuple(i for i, g in enumerate(groups) if name in g) for name in names}


def _absorbed(groups: Iterable[frozenset[str]]) -> list[frozenset[str]]:
    """Each group that no other holds wholly, once."""
    once = list(dict.fromkeys(groups))
    return [g for g in once if not any(g < other for other in once)]


# Words.


def share_words(share: float) -> str:
    """`3%`, `0.5%`."""
    return f"{100 * share:.2g}%"


def interval_words(found: Estimate, digits: int = 2) -> str:
    """`1.18 to 1.29`, `1.18 or more` where an end is open, `unknown` where both are."""
    if found.low <= 0:
        return "unknown" if math.isinf(found.high) else f"{found.high:.{digits}f} or less"
    if math.isinf(found.high):
        return f"{found.low:.{digits}f} or more"
    return f"{found.low:.{digits}f} to {found.high:.{digits}f}"


def estimate_words(found: Estimate, digits: int = 2) -> str:
    """`1.23 (95% interval 1.18 to 1.29)`."""
    if found.df < 1:
        return f"{found.value:.{digits}f} (one round: no interval)"
    confidence = f"{100 * found.confidence:g}%"
    return f"{found.value:.{digits}f} ({confidence} interval {interval_words(found, digits)})"


def words(verdict: Verdict, new: str, base: str, *, metric: Metric = MPS, where: str = "") -> str:
    """The verdict as a sentence.

    where: `at 100 connections`, or empty.
    """
    place = f" {where}" if where else ""
    figures = estimate_words(verdict.estimate)
    if verdict.kind == "equal":
        return (
            f"{new} and {base} are equal within {share_words(verdict.margin)} "
            f"in {metric.what}{place}: {figures}."
        )
    if verdict.differs:
        relation = metric.better if verdict.kind == "faster" else metric.worse
        return f"{new} {relation} {base}{place}: {figures} of its {metric.what}."
    return (
        f"Whether {new} {metric.better} {base}{place} is undecided: "
        f"{figures} of its {metric.what}{_because(verdict, new, base)}."
    )


def remedy_words(verdict: Verdict | Judgement, what: str = "") -> str:
    """What would decide, as `about 12 more rounds would decide`; empty where nothing is known."""
    if verdict.more_rounds is None:
        return ""
    what = what or verdict.estimate.level
    plural = "" if verdict.more_rounds == 1 else "s"
    return f"about {verdict.more_rounds} more {what}{plural} would decide"


def _because(verdict: Verdict, new: str, base: str) -> str:
    reason = verdict.reason.replace("NEW", new).replace("BASE", base)
    parts = [part for part in (reason, remedy_words(verdict)) if part]
    return f"; {'; '.join(parts)}" if parts else ""
