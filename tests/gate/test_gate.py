"""Ratios with intervals, demands on them, and a baseline: what needs no measurement."""

import json
from pathlib import Path

import pytest

from pybench.errors import Inconclusive, PybenchError, UsageError
from tests.support import SUPPORT

baselines = pytest.importorskip("pybench.gate.baseline")
ratios = pytest.importorskip("pybench.gate.ratio")

STEADY = (100.0, 101.0, 99.0, 100.0, 100.5)


def ratio(speeds: tuple[float, ...], **changes: object) -> "ratios.Ratio":
    """Against a row that makes STEADY."""
    values = {
        "func": "mine", "against": "c_epoll", "conns": 100, "speeds": speeds,
        "against_speeds": STEADY[: len(speeds)], "options": {"runtime": "1s"},
    }  # fmt: skip
    return ratios.Ratio(**values | changes)


def scaled(by: float) -> tuple[float, ...]:
    return tuple(by * speed for speed in reversed(STEADY))


def test_a_demand_is_kept_or_broken_when_the_whole_interval_says_so() -> None:
    half = ratio(scaled(0.5))
    assert half.value == pytest.approx(0.5)
    assert half.interval.low < 0.5 < half.interval.high
    half.require(at_least=0.45, at_most=0.55)
    with pytest.raises(AssertionError, match=r"mine / c_epoll at 100: 0\.500 .* not at least 0\.6"):
        half.require(at_least=0.6)
    with pytest.raises(AssertionError, match=r"surely not at most 0\.4"):
        half.require(at_most=0.4)
    with pytest.raises(TypeError, match="nothing was demanded"):
        half.require()


def test_what_noise_hides_is_inconclusive() -> None:
    noisy = ratio((20.0, 90.0, 40.0, 70.0, 30.0), stamps=("steal",))
    with pytest.raises(Inconclusive, match=r"\[steal\]; whether that is at least 0\.6 cannot be"):
        noisy.require(at_least=0.6)
    noisy.require(at_least=0.01)


def test_a_disturbance_of_one_side_widens_the_interval() -> None:
    """Each end by what it could have taken of one row."""
    clean, disturbed = ratio(scaled(0.5)).interval, ratio(scaled(0.5), disturbance=0.2).interval
    assert disturbed.value == clean.value
    assert disturbed.low == pytest.approx(0.8 * clean.low)
    assert disturbed.high == pytest.approx(clean.high / 0.8)


def saved(path: Path, **kept: "ratios.Ratio") -> Path:
    baselines.save(path, [baselines.Taken(test, one) for test, one in kept.items()], [])
    return path


def test_a_baseline_survives_its_file(tmp_path: Path) -> None:
    one = ratio(scaled(0.5), disturbance=0.01, stamps=("steal",))
    baseline = baselines.load(saved(tmp_path / "b.json", test=one), 0.9)
    assert baseline.find(baselines.Taken("test", one)) == one
    fewer = ratio(scaled(0.5)[:3])
    assert baseline.find(baselines.Taken("test", fewer)) == one  # rounds may differ
    for other in (ratio(STEADY, conns=10), ratio(STEADY, options={"runtime": "2s"})):
        assert baseline.find(baselines.Taken("test", other)) is None
        baseline.check(baselines.Taken("test", other))
    assert baseline.find(baselines.Taken("another", one)) is None


def test_a_regression_is_told_from_noise(tmp_path: Path) -> None:
    baseline = baselines.load(saved(tmp_path / "b.json", test=ratio(scaled(0.5))), 0.9)
    for now in (scaled(0.5), scaled(0.48), scaled(0.8)):
        baseline.check(baselines.Taken("test", ratio(now)))
    with pytest.raises(AssertionError, match=r"in the baseline 0\.500 .*; change: 0\.700"):
        baseline.check(baselines.Taken("test", ratio(scaled(0.35))))
    with pytest.raises(Inconclusive):
        baseline.check(baselines.Taken("test", ratio(scaled(0.45))))
    with pytest.raises(Inconclusive):
        baseline.check(baselines.Taken("test", ratio(scaled(0.35), disturbance=0.4)))


def test_files_that_are_no_baseline(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    with pytest.raises(UsageError, match=r"b\.json: No such file"):
        baselines.load(path, 0.9)
    for text in ("", "[]", '{"schema": 1}', '{"schema": 1, "ratios": [{"test": "t"}]}'):
        path.write_text(text)
        with pytest.raises(UsageError, match=r"b\.json: not what --pybench-save writes"):
            baselines.load(path, 0.9)
    path.write_text('{"schema": 7}')
    with pytest.raises(UsageError, match="schema 7 is not 1"):
        baselines.load(path, 0.9)
    with pytest.raises(UsageError, match="Is a directory"):
        baselines.save(tmp_path, [], [])


def test_a_baseline_can_be_read_by_people(tmp_path: Path) -> None:
    path = saved(tmp_path / "b.json", test=ratio(scaled(0.5)))
    [one] = json.loads(path.read_text())["ratios"]
    assert one["test"] == "test" and one["value"] == pytest.approx(0.5)
    assert one["low"] < 0.5 < one["high"]


def test_options_are_checked_before_anything_runs() -> None:
    for options, message in (
        ({"round": 3}, "no option 'round'; there are .*rounds"),
        ({"rate": "1k"}, "no option 'rate'"),
        ({"env": "A=1"}, r"make 4 of them: selector, selector\[A=1\], thread"),
        ({"rounds": 1}, None),
        ({"runtime": "1 parsec"}, "pybench: runtime: .*parsec"),
    ):
        if message is not None:
            with pytest.raises(UsageError, match=message):
                ratios.ratio("selector", "thread", 1, **options)
    with pytest.raises(UsageError, match="make 1 of them"):
        ratios.ratio("selector", "selector", 1)


def test_a_round_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SUPPORT)
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    with pytest.raises(PybenchError, match=r"(?s)at 2: failed: RuntimeError: .*Traceback"):
        ratios.measure("badbackends:raises", 2, runtime="100ms", warmup="0")
