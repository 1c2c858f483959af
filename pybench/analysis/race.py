"""What a race says: ratios of contenders, each from the rounds in which both were alive.

Inside a round the ratio is the median over blocks, over rounds of fresh workers their geometric
mean (`ratio.py`), over machines of a cluster a mean with random effects (`machines.py`); what may
be said of it is decided in `verdict.py`. Two of different heats are set
against each other by way of a third that was in both. While a race runs and when its file is read
again it is the same function that judges: `judge`. Neither prints nor measures.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from typing import Final, Literal

from msgspec import structs

from pybench.analysis.machines import MachineRatio, MachineRatios, estimate_over_machines
from pybench.analysis.model import machine_label, memory_values
from pybench.analysis.ratio import Estimate, Share, add_up, estimate_of_logs, round_log_ratio
from pybench.analysis.stats import percentile_ns
from pybench.analysis.verdict import (
    LOOKS,
    MARGIN,
    METRICS,
    MPS,
    Metric,
    Verdict,
    decide,
    holm_confidences,
    look_confidence,
    side_stamps,
    tie_groups,
)
from pybench.result import Result, Turn
from pybench.result.campaign import CampaignRecord, RaceRecord
from pybench.units import printable

_QUANTILES: Final = {"p50": 0.50, "p99": 0.99}

OF_RACES: Final = (
    *("corrupt", "lost", "idle_lost", "null_engine", "generator_bound", "overloaded"),
    *("shared_core", "page_faults"),
)
"""The stamps that mean in turns what they mean in one window: what drifts, cancels, and fairness is
judged where nobody begins anew every moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """A race as a file holds it. id: of its campaign.  results: its lines, failed ones too."""

    id: str
    asked: RaceRecord
    results: tuple[Result, ...]

    @classmethod
    def of(cls, id: str, asked: RaceRecord, results: Iterable[Result]) -> "Contest":
        """The same with names that can be shown: a variable's value, a path may hold anything.

        Whoever has results is a contender, asked for or not.
        """
        found = tuple(map(_with_shown_texts, results))
        names = dict.fromkeys([*map(printable, asked.contenders), *(one.func for one in found)])
        return cls(id=id, asked=structs.replace(asked, contenders=tuple(names)), results=found)


def _with_shown_texts(result: Result) -> Result:
    func, error = printable(result.func), printable(result.error)
    if (func, error) == (result.func, result.error):
        return result
    return structs.replace(result, func=func, error=error)


def contests_of_section(
    results: Sequence[Result], campaign: CampaignRecord | None
) -> list[Contest]:
    """The races in one section of a file; rounds of one window are none of them.

    Lines that were cut out of their file have no header that says what was asked: they are judged
    as races are judged unless told.
    """
    apart: dict[str, list[Result]] = {}
    own = campaign.id if campaign is not None and isinstance(campaign.id, str) else ""
    for result in results:
        if result.turns is not None:
            apart.setdefault(result.campaign_id or own, []).append(result)
    asked = campaign.race if campaign is not None else None
    return [Contest.of(name, asked or _usual(found), found) for name, found in apart.items()]


def _usual(results: Iterable[Result]) -> RaceRecord:
    labels = tuple(dict.fromkeys(r.func for r in results))
    return RaceRecord(
        contenders=labels, metric=MPS.name, precision=MARGIN, margin=MARGIN, budget_s=0.0
    )


def joined(contests: Iterable[Contest]) -> list[Contest]:
    """Those of one race together, each line once."""
    apart: dict[str, Contest] = {}
    for one in contests:
        before = apart.get(one.id)
        apart[one.id] = one if before is None else replace(before, results=_both(before, one))
    return list(apart.values())


def _both(one: Contest, other: Contest) -> tuple[Result, ...]:
    found: dict[object, Result] = {}
    for r in (*one.results, *other.results):
        heat = r.turns.heat if r.turns is not None else 0
        found.setdefault((r.func, r.conns, r.msize, r.round, heat, r.started_at), r)
    return tuple(found.values())


@dataclass(frozen=True)
class Runner:
    """One contender at one number of connections.

    results: its lines; several a round where it was in several heats.
    Figures of machines of several kinds are not mixed: there it has ratios and no figures.
    """

    label: str
    results: tuple[Result, ...]

    @cached_property
    def good(self) -> tuple[Result, ...]:
        """The lines that measured something."""
        return tuple(r for r in self.results if r.ok and r.turns is not None)

    @cached_property
    def rounds(self) -> int:
        """How many rounds it was measured in."""
        return len({r.round for r in self.good})

    @cached_property
    def kinds(self) -> frozenset[str]:
        """Of the machines of a cluster that measured it; none where it was the driver's own."""
        return frozenset(r.machine.kind for r in self.good if r.machine is not None)

    def _median(self, values: Iterable[float]) -> float | None:
        return None if len(self.kinds) > 1 else _median(values)

    @cached_property
    def turns(self) -> tuple[Turn, ...]:
        """All its turns."""
        return tuple(t for r in self.good if r.turns is not None for t in r.turns.each)

    @property
    def mps(self) -> float | None:
        """Messages per second inside the windows, the median of its rounds."""
        return self._median(r.mps for r in self.good)

    @property
    def cpu_us_per_msg(self) -> float | None:
        """CPU time that a message cost its worker, the median of its rounds, in us."""
        return self._median(cpu / per / 1000 for r in self.good for cpu, per in [_cpu(r)] if per)

    def kib_per_conn(self, when: Literal["idle", "busy"]) -> float | None:
        """Memory that a connection cost its worker, the median of its rounds, in KiB."""
        quantity = f"{when}_kib_per_conn"
        return self._median(
            values[quantity]
            for r in self.good
            if r.client is not None
            and quantity in (values := memory_values(r.client.rss_kb, r.conns, r.idle))
        )

    def figure(self, metric: Metric) -> float | None:
        """The metric itself, the median of its rounds; its unit is the metric's."""
        if metric.name == "mps":
            return self.mps
        if metric.name == "cpu_us_per_msg":
            return self.cpu_us_per_msg
        return self._median(v for r in self.good if (v := _percentile(r, metric)) is not None)

    @property
    def empty(self) -> int:
        """Turns without a single echo in their window."""
        return sum(t.messages == 0 for t in self.turns)

    @property
    def starved(self) -> int:
        """Turns at whose end some connections were still without an echo."""
        return sum(t.unanswered > 0 for t in self.turns)

    @property
    def errors(self) -> tuple[str, ...]:
        """What went wrong in the rounds that failed, each once."""
        return tuple(dict.fromkeys(r.error for r in self.results if not r.ok))

    @property
    def failed(self) -> int:
        """How many lines measured nothing."""
        return sum(not r.ok for r in self.results)

    @cached_property
    def stamps(self) -> tuple[str, ...]:
        """Those that count for it as a side of a ratio."""
        return side_stamps([w.code for w in r.warnings] for r in self.good)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A contender against the first one. estimate: as measured; the verdict's may have open ends.

    Both are None for one that was in no round with the first, and for the first itself.
    machines: of several machines of a cluster, each one's own ratio by its name.
    """

    runner: Runner
    estimate: Estimate | None
    verdict: Verdict | None
    groups: tuple[int, ...]
    machines: Mapping[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Standings:
    """How a race stands at one number of connections, with messages of one size in bytes.

    sized: whether the race has several sizes, so that each is to be named.
    each: the best first; who was not measured comes last.  base: the contender that the others are
    set against.  bound: stamps that all sides of a ratio share, which moves it towards 1.
    """

    conns: int
    msize: int
    sized: bool
    metric: Metric
    precision: float
    base: str
    each: tuple[Standing, ...]
    bound: tuple[str, ...]

    @property
    def pairs(self) -> tuple[Standing, ...]:
        """Everybody but the base."""
        return tuple(s for s in self.each if s.runner.label != self.base)

    @property
    def rounds(self) -> int:
        """How many rounds there have been."""
        return len({r.round for s in self.each for r in s.runner.results})

    @property
    def by_machine(self) -> MachineRatios | None:
        """Every ratio on each machine of a cluster; None where they are of one machine."""
        ratios = tuple(
            MachineRatio(s.runner.label, self.conns, s.machines, s.verdict)
            for s in self.pairs
            if s.verdict is not None and s.machines
        )
        return (
            MachineRatios("connections", False, self.base, self.metric, ratios) if ratios else None
        )

    @property
    def kinds(self) -> frozenset[str]:
        """Of the machines of a cluster that took part."""
        return frozenset(kind for s in self.each for kind in s.runner.kinds)

    @property
    def decided(self) -> bool:
        """Whether every pair has a verdict."""
        return all(s.verdict is not None and s.verdict.decided for s in self.pairs)

    @property
    def settled(self) -> bool:
        """Whether more rounds would tell nothing that was asked for."""
        return self.decided and all(
            s.estimate is not None and s.estimate.half_width <= self.precision for s in self.pairs
        )

    def of(self, label: str) -> Standing:
        """That contender's."""
        return next(s for s in self.each if s.runner.label == label)


def judge(asked: RaceRecord, results: Iterable[Result]) -> list[Standings]:
    """How the race stands, for each number of connections and size of a message, rising.

    That any of the differences called out is none has a chance of about 5%, for all together and
    over all looks.
    """
    by_field: dict[tuple[int, int], dict[str, list[Result]]] = {}
    for result in results:
        at = result.conns, result.msize
        of = by_field.setdefault(at, {label: [] for label in asked.contenders})
        of.setdefault(result.func, []).append(result)
    sized = len({msize for _, msize in by_field}) > 1
    found = [_Field(asked, *at, of, sized=sized) for at, of in sorted(by_field.items())]
    levels = iter(_levels([e for field in found for e in field.to_base.values()]))
    return [
        field.standings(
            {
                label: field.verdict(estimate, label, field.base, next(levels))
                for label, estimate in field.to_base.items()
            }
        )
        for field in found
    ]


def _levels(estimates: Sequence[Estimate]) -> list[float]:
    """The confidence at which each of a family is to be called different.

    They are looked at again and again while rounds are added, and a race ends at the first look
    that decides: every look pays for all (Pocock). Without that a row that races against itself is
    called faster or slower than itself in 12% of races (rounds of standard deviation 0.05), with it
    in 4%.
    """
    return holm_confidences([e.p_value() for e in estimates], look_confidence(len(LOOKS)))


class _Field:
    """All contenders at one number of connections and size of a message, and every ratio among
    them."""

    def __init__(
        self,
        asked: RaceRecord,
        conns: int,
        msize: int,
        results: Mapping[str, Sequence[Result]],
        *,
        sized: bool,
    ) -> None:
        self._asked = asked
        self._conns, self._msize, self._sized = conns, msize, sized
        self._metric = METRICS[asked.metric]
        self._runners = {label: Runner(label, tuple(of)) for label, of in results.items()}
        measured = [label for label, runner in self._runners.items() if runner.good]
        self.base = next(iter([*measured, *self._runners]))
        self._heats = _by_heat(r for label in measured for r in self._runners[label].good)
        self._machines = {machine for machine, _, _ in self._heats}
        self._logs = {
            (a, b): logs for a, b in combinations(measured, 2) if (logs := self._rounds_of(a, b))
        }
        self._new_logs = {
            label: {machine: [-d for d in of] for machine, of in found.items()}
            for label in measured
            if (found := self._logs.get((self.base, label)))
        }
        self.to_base = {
            label: estimate_over_machines(logs) for label, logs in self._new_logs.items()
        }

    def verdict(self, estimate: Estimate, new: str, base: str, confidence: float) -> Verdict:
        """What may be said of new / base. Bounds that both have open no end: what holds both back
        takes no side."""
        both = self._bounds(new) & self._bounds(base)
        sides = (self._runners[label].stamps for label in (new, base))
        of_new, of_base = ([c for c in codes if c not in both] for codes in sides)
        return decide(
            estimate,
            metric=self._metric,
            margin=self._asked.margin,
            new_stamps=of_new,
            base_stamps=of_base,
            confidence=confidence,
        )

    def standings(self, verdicts: Mapping[str, Verdict]) -> Standings:
        """Everybody, the best first. verdicts: against the base."""
        order = sorted(self._runners, key=self._place)
        groups = self._tie_groups([label for label in order if self._runners[label].good])
        shared = [self._bounds(label) for label in self._runners if self._runners[label].good]
        return Standings(
            conns=self._conns,
            msize=self._msize,
            sized=self._sized,
            metric=self._metric,
            precision=self._asked.precision,
            base=self.base,
            each=tuple(
                Standing(
                    runner=self._runners[label],
                    estimate=self.to_base.get(label),
                    verdict=verdicts.get(label),
                    groups=groups.get(label, ()),
                    machines=self._by_machine(label),
                )
                for label in order
            ),
            bound=tuple(sorted(frozenset.intersection(*shared))) if shared else (),
        )

    def _by_machine(self, label: str) -> dict[str, Estimate]:
        logs = self._new_logs.get(label, {})
        if len(self._machines) < 2:
            return {}
        return {machine: estimate_of_logs(of) for machine, of in sorted(logs.items())}

    def _bounds(self, label: str) -> frozenset[str]:
        return frozenset(c for c in self._runners[label].stamps if c in self._metric.bounds)

    def _place(self, label: str) -> tuple[bool, float]:
        """Sort key: who is better by the ratio to the base comes first."""
        if label == self.base:
            return (not self._runners[label].good, 0.0)
        if label not in self.to_base:
            return (True, 0.0)
        log = self.to_base[label].log
        return (False, log if self._metric.lower_is_better else -log)

    def _tie_groups(self, order: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """From all pairs, which are a family too. Who is not known to differ is in one group."""
        estimates = {pair: estimate_over_machines(logs) for pair, logs in self._logs.items()}
        levels = _levels(list(estimates.values()))
        differ = {
            frozenset(pair): self.verdict(estimate, *pair, level).differs
            for (pair, estimate), level in zip(estimates.items(), levels, strict=True)
        }
        return tie_groups(order, lambda a, b: differ.get(frozenset((a, b)), False))

    def _rounds_of(self, a: str, b: str) -> dict[str, list[float]]:
        """Machine -> log(a / b) of each of its rounds that tells it."""
        found: dict[str, list[float]] = {}
        for machine, number in sorted({(machine, number) for machine, number, _ in self._heats}):
            heats = [of for key, of in self._heats.items() if key[:2] == (machine, number)]
            log = self._direct(heats, a, b)
            if log is None:
                log = self._by_way_of_another(heats, a, b)
            if log is not None:
                found.setdefault(machine, []).append(log)
        return found

    def _direct(self, heats: Sequence[Mapping[str, Result]], a: str, b: str) -> float | None:
        """The mean over the heats that both were in; None without one."""
        logs = [
            log
            for of in heats
            if a in of and b in of and (log := log_ratio(of[a], of[b], self._metric)) is not None
        ]
        return statistics.fmean(logs) if logs else None

    def _by_way_of_another(
        self, heats: Sequence[Mapping[str, Result]], a: str, b: str
    ) -> float | None:
        """a / pivot less b / pivot, of the first one that was in a heat with each of them."""
        for pivot in self._runners:
            to_a, to_b = self._direct(heats, a, pivot), self._direct(heats, b, pivot)
            if pivot not in (a, b) and to_a is not None and to_b is not None:
                return to_a - to_b
        return None


def _by_heat(results: Iterable[Result]) -> dict[tuple[str, int, int], dict[str, Result]]:
    """(machine, round, heat) -> label -> its line; a line that stands there twice counts once."""
    found: dict[tuple[str, int, int], dict[str, Result]] = {}
    for result in results:
        if result.turns is not None:
            machine = "" if result.machine is None else machine_label(result.machine)
            key = machine, result.round, result.turns.heat
            found.setdefault(key, {}).setdefault(result.func, result)
    return found


def log_ratio(new: Result, base: Result, metric: Metric) -> float | None:
    """log(NEW / BASE) of one round of one heat; None where it cannot be told."""
    if metric.name not in ("mps", "cpu_us_per_msg"):
        values = _percentile(new, metric), _percentile(base, metric)
        return math.log(values[0] / values[1]) if values[0] and values[1] else None
    of_new, of_base = _shares(new, metric), _shares(base, metric)
    blocks = sorted(of_new.keys() & of_base.keys())
    return round_log_ratio([of_new[b] for b in blocks], [of_base[b] for b in blocks])


def _shares(result: Result, metric: Metric) -> dict[int, Share]:
    """Block -> what was done in it, and what that is per; a contender's turns of it added up."""
    assert result.turns is not None
    blocks: dict[int, list[Share]] = {}
    for turn in result.turns.each:
        if metric.name == "mps":
            blocks.setdefault(turn.block, []).append((turn.messages, turn.window_ns))
        elif turn.cpu_ns is not None:
            blocks.setdefault(turn.block, []).append((turn.cpu_ns, turn.total))
    return {block: add_up(shares) for block, shares in blocks.items()}


def _cpu(result: Result) -> Share:
    return add_up(_shares(result, METRICS["cpu_us_per_msg"]).values())


def _percentile(result: Result, metric: Metric) -> float | None:
    """A percentile of the round's latencies in ns, over the windows of all its turns."""
    if metric.name == "due99":
        found = result.bounded_ns or result.corrected_ns
        return None if found is None else float(found.p99)
    if not result.histogram:
        return None
    return float(percentile_ns(result.histogram, _QUANTILES[metric.name]))


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return statistics.median(found) if found else None
