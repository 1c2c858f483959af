"""Ratios that earlier sessions have kept, and what must be left of them.

Two sessions are two campaigns, which alone decide nothing about speeds: the machine has drifted
between them. What is held against each other here are ratios, each of two rows that took turns
inside its own session, where the drift has cancelled. What remains is whatever hits one row more
than the other for a whole session, and nothing in two files knows it: the share that may be lost
(`fail_below`) is there for that, and only a change whose whole interval is below it fails. Several
earlier sessions show how far sessions differ: then the new one is held against their scatter. On
another machine ratios differ for good: those are not compared.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pybench
from pybench.analysis.verdict import Judgement, bounded, demand
from pybench.errors import Inconclusive, ResultFormatError, UsageError
from pybench.gate.past import Past
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
    """Ratios of earlier sessions, and how much of them must be left.

    sessions: the ratios of each, in the order of their files.
    fail_below: a ratio surely below that share of its earlier self is a regression; of a metric of
    which less is better, one surely above the inverse.
    elsewhere: why nothing here can be compared, empty when it can.
    """

    def __init__(
        self, sessions: Sequence[Mapping[Key, Ratio]], fail_below: float, elsewhere: str = ""
    ) -> None:
        self._sessions = sessions
        self.fail_below = fail_below
        self.elsewhere = elsewhere

    def find(self, taken: Taken) -> Past | None:
        """The same ratio, earlier; None when there was none."""
        found = [one[taken.key] for one in self._sessions if taken.key in one]
        return Past(taken.ratio, found) if found else None

    def obstacle(self, taken: Taken) -> str:
        """Why it cannot be held against its earlier self; empty when it can, or there is none."""
        past = self.find(taken)
        return "" if past is None else self.elsewhere or past.obstacle

    def change(self, taken: Taken) -> Interval | None:
        """The ratio now, divided by the ratio then; None when there is none to be compared."""
        past = self.find(taken)
        if past is None or self.obstacle(taken):
            return None
        return Interval.of(bounded(past.change(), taken.ratio.kind, *past.sides()))

    def check(self, taken: Taken) -> None:
        """Adds rounds while it is undecided. Raises AssertionError for a regression, Inconclusive
        when it cannot be told."""
        past, now = self.find(taken), taken.ratio
        if past is None:
            return
        if obstacle := self.obstacle(taken):
            raise Inconclusive(f"{now.name}: not compared with the baseline: {obstacle}")
        judged = now.settled(lambda: self._judge(past), past.gains_by_rounds)
        change = Interval.of(judged.estimate)
        what = f"{now.name}: {now.interval}, in the baseline {past.interval}; change: {change}"
        settle(what, judged, now, past.remedy)

    def _judge(self, past: Past) -> Judgement:
        new, base = past.sides()
        less = past.now.kind.lower_is_better
        return demand(
            past.change(),
            at_least=None if less else self.fail_below,
            at_most=1 / self.fail_below if less else None,
            metric=past.now.kind,
            new_stamps=new,
            base_stamps=base,
            looks=past.now.looks,
        )


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


def load(
    given: Sequence[Path], fail_below: float, env: Mapping[str, Any] | None = None
) -> Baseline:
    """Read what `save` wrote.

    given: files, and folders of such files, whose order is that of their names.
    env: of this machine, as recorded; None when it does not matter where a file is from.
    Raises UsageError, with the key, when a file is not that, and when no ratio is in it: against
    nothing everything would pass.
    """
    sessions, elsewhere = [], ""
    for path in [file for one in given for file in _files(one)]:
        record = _read(path)
        kept = [Taken(one.test, _ratio(one)) for one in record.ratios]
        sessions.append({taken.key: taken.ratio for taken in kept})
        if env is not None:
            elsewhere = elsewhere or _elsewhere(path, record.env, env)
    return Baseline(sessions, fail_below, elsewhere)


def _files(given: Path) -> list[Path]:
    """The file, or those of the folder. Raises UsageError for an empty one."""
    if not given.is_dir():
        return [given]
    if not (found := sorted(given.glob("*.json"))):
        raise UsageError(f"--pybench-compare {given}: no *.json in this folder")
    return found


def _read(path: Path) -> BaselineRecord:
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
    return record


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
