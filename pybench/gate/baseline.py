"""Ratios that an earlier session has kept, and what must be left of them.

Two sessions are two campaigns, which alone decide nothing about speeds: the machine has drifted
between them. What is held against each other here are ratios, each of two rows that took turns
inside its own session, where the drift has cancelled. What remains is whatever hits one row more
than the other for a whole session, and nothing in either file knows it: the share that may be lost
(`fail_below`) is there for that, and only a change whose whole interval is below it fails. On
another machine ratios differ for good: those are not compared.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pybench
from pybench.analysis.ratio import Estimate, unpaired_ratio
from pybench.analysis.stamps import class_of
from pybench.analysis.verdict import Judgement, bounded, demand
from pybench.errors import Inconclusive, ResultFormatError, UsageError
from pybench.gate.ratio import Interval, Ratio, settle
from pybench.machine import environment
from pybench.result import Result
from pybench.result.baseline import BaselineRecord, MeasuredRecord, RatioRecord
from pybench.result.codec import read_document, write_document

Key = tuple[str, str, str, int, str, tuple[tuple[str, str], ...]]

MACHINE: Final = {
    "cpu_model": "processor",
    "cpus": "CPUs",
    "system": "system",
    "virtual_machine": "virtual machine",
}
"""What makes a machine another one, of an environment record. Interpreter and kernel do not: what
they do to a ratio is what a gate is there to see."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A ratio with the test that took it. test: its node id."""

    test: str
    ratio: Ratio

    @property
    def key(self) -> Key:
        """What it has in common with itself in another session; rounds may differ."""
        r = self.ratio
        return (self.test, r.func, r.against, r.conns, r.metric, tuple(sorted(r.options.items())))


class Baseline:
    """Ratios of an earlier session, and how much of them must be left.

    fail_below: a ratio surely below that share of its earlier self is a regression; of a metric of
    which less is better, one surely above the inverse.
    elsewhere: why nothing here can be compared, empty when it can.
    """

    def __init__(self, ratios: Mapping[Key, Ratio], fail_below: float, elsewhere: str = "") -> None:
        self._ratios = ratios
        self.fail_below = fail_below
        self.elsewhere = elsewhere

    def find(self, taken: Taken) -> Ratio | None:
        """The same ratio, earlier; None when there was none."""
        return self._ratios.get(taken.key)

    def obstacle(self, taken: Taken) -> str:
        """Why it cannot be held against its earlier self; empty when it can, or there is none."""
        then = self.find(taken)
        if then is None:
            return ""
        if self.elsewhere:
            return self.elsewhere
        if then.turns != taken.ratio.turns:
            ways = {True: "turns", False: "rounds of one window"}
            return f"it is of {ways[then.turns]} there and of {ways[taken.ratio.turns]} here"
        invalid = [code for code in then.stamps if class_of(code) == "invalid"]
        return f"it is stamped {', '.join(invalid)} there" if invalid else ""

    def change(self, taken: Taken) -> Interval | None:
        """The ratio now, divided by the ratio then; None when there is none to be compared."""
        then = self.find(taken)
        if then is None or self.obstacle(taken):
            return None
        return Interval.of(
            bounded(_change(taken.ratio, then), taken.ratio.kind, *_sides(taken, then))
        )

    def check(self, taken: Taken) -> None:
        """Adds rounds while it is undecided. Raises AssertionError for a regression, Inconclusive
        when it cannot be told."""
        then = self.find(taken)
        if then is None:
            return
        now = taken.ratio
        if obstacle := self.obstacle(taken):
            raise Inconclusive(f"{now.name}: not compared with the baseline: {obstacle}")
        judged = now.settled(lambda: self._judge(taken, then))
        change = Interval.of(judged.estimate)
        what = f"{now.name}: {now.interval}, in the baseline {then.interval}; change: {change}"
        settle(what, judged, now, "more rounds in both sessions, or a quieter machine")

    def _judge(self, taken: Taken, then: Ratio) -> Judgement:
        now = taken.ratio
        new, base = _sides(taken, then)
        less = now.kind.lower_is_better
        return demand(
            _change(now, then),
            at_least=None if less else self.fail_below,
            at_most=1 / self.fail_below if less else None,
            metric=now.kind,
            new_stamps=new,
            base_stamps=base,
            looks=now.looks,
        )


def _change(now: Ratio, then: Ratio) -> Estimate:
    """Sessions share no round: Welch's t on the ratios of their rounds."""
    found = unpaired_ratio(now.per_round, then.per_round)
    return found.widened(max(then.disturbance, now.disturbance))


def _sides(taken: Taken, then: Ratio) -> tuple[list[str], list[str]]:
    """The stamps of both rows of today. A bound that was there then as well moves both sessions."""
    now = taken.ratio
    new, base = (
        [code for code in codes if code not in now.kind.bounds or code not in before]
        for codes, before in (
            (now.func_stamps, then.func_stamps),
            (now.against_stamps, then.against_stamps),
        )
    )
    return new, base


def save(path: Path, ratios: Sequence[Taken], measured: Sequence[tuple[str, Result]]) -> None:
    """Write what a session has found. Raises UsageError when the file cannot be written.

    measured: rounds of `measure` with the test that took them; kept to be read, never gated.
    """
    record = BaselineRecord(
        pybench=pybench.__version__,
        env=environment.collect(),
        ratios=tuple(_ratio_record(taken) for taken in ratios),
        measured=tuple(MeasuredRecord(test=test, result=result) for test, result in measured),
    )
    try:
        write_document(path, record)
    except OSError as exc:
        raise UsageError(f"--pybench-save {path}: {exc.strerror}") from exc


def _ratio_record(taken: Taken) -> RatioRecord:
    """Value and interval are for readers; `load` takes the ratios of the rounds."""
    ratio = taken.ratio
    return RatioRecord(
        test=taken.test,
        func=ratio.func,
        against=ratio.against,
        conns=ratio.conns,
        metric=ratio.metric,
        turns=ratio.turns,
        speeds=ratio.speeds,
        against_speeds=ratio.against_speeds,
        ratios=ratio.per_round,
        disturbance=ratio.disturbance,
        stamps=ratio.stamps,
        func_stamps=ratio.func_stamps,
        against_stamps=ratio.against_stamps,
        options=dict(ratio.options),
        value=ratio.value,
        low=ratio.low,
        high=min(ratio.high, sys.float_info.max),  # JSON has no infinity
    )


def load(path: Path, fail_below: float, env: Mapping[str, Any] | None = None) -> Baseline:
    """Read what `save` wrote.

    env: of this machine, as recorded; None when it does not matter where the file is from.
    Raises UsageError, with the key, when the file is not that, and when no ratio is in it: against
    nothing everything would pass.
    """
    try:
        record = read_document(path, BaselineRecord)
    except OSError as exc:
        raise UsageError(f"--pybench-compare {path}: {exc.strerror}") from exc
    except ResultFormatError as exc:
        text = f"--pybench-compare {path}: not what --pybench-save writes: {exc}"
        raise UsageError(text) from None
    if not record.ratios:
        raise UsageError(
            f"--pybench-compare {path}: no ratio is kept in it: save one with --pybench-save"
        )
    kept = [Taken(one.test, _ratio(one)) for one in record.ratios]
    found = {taken.key: taken.ratio for taken in kept}
    return Baseline(found, fail_below, "" if env is None else _elsewhere(path, record.env, env))


def _elsewhere(path: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """What says that the file is from another machine; empty when nothing does."""
    differ = [
        f"{what} {there.get(key, 'not recorded')} there and {here.get(key, 'not known')} here"
        for key, what in MACHINE.items()
        if there.get(key) != here.get(key)
    ]
    if not differ:
        return ""
    return (
        f"{path} is from another machine ({', '.join(differ)}), where ratios differ for good:"
        " save one here with --pybench-save"
    )


def _ratio(record: RatioRecord) -> Ratio:
    """Version 0.1 kept stamps of either row, and not of which: they are taken to be of both."""
    per_side = bool(record.func_stamps or record.against_stamps)
    return Ratio(
        func=record.func,
        against=record.against,
        conns=record.conns,
        speeds=record.speeds,
        against_speeds=record.against_speeds,
        ratios=record.ratios,
        disturbance=record.disturbance,
        func_stamps=record.func_stamps if per_side else record.stamps,
        against_stamps=record.against_stamps if per_side else record.stamps,
        options=record.options,
        metric=record.metric,
        turns=record.turns,
    )
