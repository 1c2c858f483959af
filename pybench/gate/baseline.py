"""Ratios that an earlier session has kept, and what must be left of them."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pybench
from pybench.analysis.ratio import Estimate, unpaired_ratio
from pybench.errors import ResultFormatError, UsageError
from pybench.gate.ratio import Interval, Ratio, judge
from pybench.machine import environment
from pybench.result import Result
from pybench.result.baseline import BaselineRecord, MeasuredRecord, RatioRecord
from pybench.result.codec import read_document, write_document

Key = tuple[str, str, str, int, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Taken:
    """A ratio with the test that took it. test: its node id."""

    test: str
    ratio: Ratio

    @property
    def key(self) -> Key:
        """What it has in common with itself in another session; rounds may differ."""
        r = self.ratio
        return (self.test, r.func, r.against, r.conns, tuple(sorted(r.options.items())))


class Baseline:
    """Ratios of an earlier session, and how much of them must be left.

    fail_below: a ratio surely below that share of its earlier self is a regression.
    """

    def __init__(self, ratios: Mapping[Key, Ratio], fail_below: float) -> None:
        self._ratios = ratios
        self.fail_below = fail_below

    def find(self, taken: Taken) -> Ratio | None:
        """The same ratio, earlier; None when there was none."""
        return self._ratios.get(taken.key)

    def change(self, taken: Taken) -> Interval | None:
        """The ratio now, divided by the ratio then; None when there was none."""
        found = self._change(taken)
        return None if found is None else Interval.of(found)

    def _change(self, taken: Taken) -> Estimate | None:
        then, now = self.find(taken), taken.ratio
        if then is None:
            return None
        found = unpaired_ratio(_per_round(now), _per_round(then))
        return found.widened(max(then.disturbance, now.disturbance))

    def check(self, taken: Taken) -> None:
        """Raises AssertionError for a regression, Inconclusive when it cannot be told."""
        found = self._change(taken)
        if found is None:
            return
        then = self._ratios[taken.key]
        name = (
            f"{taken.ratio.name}: {taken.ratio.interval}, in the baseline {then.interval}; change"
        )
        judge(name, found, taken.ratio.stamps, at_least=self.fail_below)


def _per_round(ratio: Ratio) -> list[float]:
    return [a / b for a, b in zip(ratio.speeds, ratio.against_speeds, strict=True)]


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
    """Value and interval are for readers; `load` takes the speeds of the rounds."""
    found = dataclasses.asdict(taken.ratio.interval)
    return RatioRecord(test=taken.test, **dataclasses.asdict(taken.ratio), **found)


def load(path: Path, fail_below: float) -> Baseline:
    """Read what `save` wrote.

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
    return Baseline({taken.key: taken.ratio for taken in kept}, fail_below)


def _ratio(record: RatioRecord) -> Ratio:
    return Ratio(**{f.name: getattr(record, f.name) for f in dataclasses.fields(Ratio)})
