"""Ratios with intervals, demands on them, and a baseline: what needs no measurement.

Rounds of turns are made up (tests/support/fakeheats.py).
"""

import json
import math
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pybench.errors import Inconclusive, PybenchError, UsageError
from pybench.gate import baseline as baselines
from pybench.gate import ratio as ratios
from pybench.gate import rounds
from tests.support import SUPPORT
from tests.support.fakeheats import FakeHeats

STEADY = (100.0, 101.0, 99.0, 100.0, 100.5)
HERE: Mapping[str, Any] = {"cpu_model": "Example", "cpus": 2, "system": "Linux x86_64"}


def ratio(speeds: tuple[float, ...], **changes: object) -> ratios.Ratio:
    """Against a row that makes STEADY."""
    values: dict[str, Any] = {
        "func": "mine", "against": "c_epoll", "conns": 100, "speeds": speeds,
        "against_speeds": STEADY[: len(speeds)], "options": {"msize": "1024"},
    }  # fmt: skip
    return ratios.Ratio(**values | changes)


def scaled(by: float) -> tuple[float, ...]:
    return tuple(by * speed for speed in reversed(STEADY))


def raced(heats: FakeHeats, **options: Any) -> ratios.Ratio:
    """Of selector to c_epoll, by the clock of the heats."""
    return ratios.ratio(
        "selector", "c_epoll", 100, measure_heat=heats, clock=heats.clock, **options
    )


# ---- demands ----


def test_a_demand_is_kept_or_broken_when_the_whole_interval_says_so() -> None:
    half = ratio(scaled(0.5))
    assert half.value == pytest.approx(0.5)
    assert half.low < 0.5 < half.high
    half.require(at_least=0.45, at_most=0.55)
    with pytest.raises(AssertionError, match=r"mine / c_epoll at 100: 0\.500 .* not at least 0\.6"):
        half.require(at_least=0.6)
    with pytest.raises(AssertionError, match=r"surely not at most 0\.4"):
        half.require(at_most=0.4)
    with pytest.raises(TypeError, match="nothing was demanded"):
        half.require()


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan, True, "0.9"])
def test_a_demand_that_cannot_be_broken_or_kept_is_none(value: Any) -> None:
    for demands in ({"at_least": value}, {"at_most": value}):
        with pytest.raises(UsageError, match="a ratio is a number above 0"):
            ratio(scaled(0.5)).require(**demands)
    with pytest.raises(UsageError, match="no ratio is both"):
        ratio(scaled(0.5)).require(at_least=2, at_most=1)


def test_what_noise_hides_is_inconclusive() -> None:
    noisy = ratio((20.0, 90.0, 40.0, 70.0, 30.0), func_stamps=("steal",))
    with pytest.raises(
        Inconclusive, match=r"\[steal\]; whether that is at least 0\.6 cannot be told: "
    ):
        noisy.require(at_least=0.6)
    noisy.require(at_least=0.01)


@pytest.mark.parametrize("code", ["corrupt", "lost", "littles_law", "unfair"])
@pytest.mark.parametrize("side", ["func_stamps", "against_stamps"])
def test_a_side_whose_figures_are_worth_nothing_breaks_every_demand(side: str, code: str) -> None:
    wrong = ratio(scaled(1.5), **{side: (code,)})
    row = "mine" if side == "func_stamps" else "c_epoll"
    with pytest.raises(AssertionError, match=f"{row} is stamped {code}"):
        wrong.require(at_least=1.0)


def test_a_figure_that_is_a_bound_opens_its_end() -> None:
    """What c_epoll can do is more than was seen: the true ratio is less."""
    bounded = ratio(scaled(0.5), against_stamps=("generator_bound",))
    assert (bounded.low, bounded.high) == (0.0, pytest.approx(ratio(scaled(0.5)).high))
    bounded.require(at_most=0.6)
    with pytest.raises(
        AssertionError, match=r"0\.500 \(0\.\d+ or less\), surely not at least 0\.6"
    ):
        bounded.require(at_least=0.6)
    with pytest.raises(Inconclusive, match=r"c_epoll is only a bound \(generator_bound\)"):
        bounded.require(at_least=0.4)
    both = ratio(scaled(0.5), func_stamps=("generator_bound",), against_stamps=("generator_bound",))
    both.require(at_least=0.4)


def test_a_disturbance_of_one_side_widens_the_interval() -> None:
    """Each end by what it could have taken of one row."""
    clean, disturbed = ratio(scaled(0.5)).interval, ratio(scaled(0.5), disturbance=0.2).interval
    assert disturbed.value == clean.value
    assert disturbed.low == pytest.approx(0.8 * clean.low)
    assert disturbed.high == pytest.approx(clean.high / 0.8)


# ---- as a value ----


@pytest.mark.parametrize(
    ("compare", "remedy"),
    [
        (lambda r: r > 0.9, r"ratio > 0\.9 .*require\(at_least=0\.9\)"),
        (lambda r: r >= 1, r"ratio >= 1 .*require\(at_least=1\)"),
        (lambda r: r < 0.9, r"ratio < 0\.9 .*require\(at_most=0\.9\)"),
        (lambda r: r <= 0.9, r"ratio <= 0\.9 .*require\(at_most=0\.9\)"),
        (lambda r: min(r, 0.9), r"take no account of the interval"),
        (lambda r: r == 0.5, r"ratio == 0\.5 .*at_least=\.\.\., at_most"),
        (lambda r: r != 0.5, r"ratio == 0\.5 .*at_least=\.\.\., at_most"),
        (lambda r: sorted([r, ratio(STEADY)]), r"take no account of the interval"),
    ],
)
def test_a_comparison_with_a_number_shows_what_to_write(compare: Any, remedy: str) -> None:
    with pytest.raises(TypeError, match=remedy):
        compare(ratio(scaled(0.5)))


def test_a_ratio_is_a_number_and_a_sentence() -> None:
    half = ratio(scaled(0.5))
    assert float(half) == half.value
    assert repr(half).startswith("mine is slower than c_epoll at 100 connections: 0.50 (95% ")
    later = ratio(scaled(2.0), metric="p99")
    assert repr(later).startswith("mine has a longer p99 than c_epoll at 100 connections: 2.00 (")
    assert later.name == "mine / c_epoll at 100 in p99"
    assert half == half and half != ratio(scaled(0.5)) and half in {half}


# ---- rounds of turns ----


def test_no_round_is_added_for_an_end_that_stays_open() -> None:
    heats = FakeHeats({"selector": 40_000}, stamps={"c_epoll": ["generator_bound"]})
    found = raced(heats)
    with pytest.raises(Inconclusive, match=r'only a bound .*: engine="uring", .* or metric="cpu'):
        found.require(at_least=0.5)
    assert len(heats.asked) == 6
    same = FakeHeats({"selector": 40_000}, stamps={"c_epoll": ["generator_bound"]})
    raced(same, metric="cpu_us_per_msg").require(at_most=1.5)


def test_a_clear_demand_is_decided_at_the_first_look() -> None:
    heats = FakeHeats({"selector": 40_000})
    found = raced(heats)
    assert found.rounds == len(heats.asked) == 6
    found.require(at_least=0.5, at_most=0.95)
    with pytest.raises(AssertionError, match=r"surely not at least 0\.95"):
        found.require(at_least=0.95)
    assert len(heats.asked) == 6
    assert found.turns and (found.func, found.against) == ("selector", "c_epoll")
    assert all(speed > 0 for speed in (*found.speeds, *found.against_speeds))


def test_rounds_are_added_until_a_demand_is_decided() -> None:
    heats = FakeHeats({"selector": 45_000}, noise=0.05)
    found = raced(heats, budget="60s")
    before = found.interval
    found.require(at_least=0.85)
    assert 6 < found.rounds == len(heats.asked) < 60
    assert found.rounds in (8, 11, 15, 20, 27, 36, 48)
    assert found.high - found.low < before.high - before.low
    found.require(at_least=0.85)
    assert found.rounds == len(heats.asked)


def test_a_demand_that_is_undecided_at_the_end_of_the_budget_says_what_would_decide() -> None:
    heats = FakeHeats(noise=0.1)
    found = raced(heats, budget="17s")
    with pytest.raises(Inconclusive) as undecided:
        found.require(at_least=round(found.value, 4) * 0.99)
    assert len(heats.asked) == 17
    text = str(undecided.value)
    assert "after 17 rounds; whether that is at least" in text
    assert 'more rounds would decide: budget="' in text and "or a quieter machine" in text


def test_a_budget_is_15_s_unless_told_so_that_a_ratio_takes_less_than_20() -> None:
    heats = FakeHeats(noise=0.1, takes_s=1.2)
    with pytest.raises(Inconclusive):
        raced(heats).require(at_least=1.0)
    assert heats.clock() <= 15


def test_precision_is_measured_up_to() -> None:
    def rounds_for(**options: Any) -> int:
        return raced(FakeHeats({"selector": 20_000}, noise=0.05), budget="90s", **options).rounds

    assert rounds_for() == rounds_for(precision="20%") == 6 < rounds_for(precision=0.02)


def test_a_number_of_rounds_is_one_look() -> None:
    """Nobody who has said before how many rounds there are pays for looking more often."""
    heats = FakeHeats({"selector": 40_000}, noise=0.05, takes_s=5.0)
    found = raced(heats, rounds=9)
    assert found.rounds == len(heats.asked) == 9 and found.looks == 1
    with pytest.raises(Inconclusive, match=r"would decide: rounds=\d+, or a quieter"):
        found.require(at_least=0.8)
    assert len(heats.asked) == 9
    short = FakeHeats(takes_s=5.0)
    assert raced(short, rounds=9, budget="20s").rounds == 4


def test_whoever_may_look_again_pays_for_it() -> None:
    """At the same rounds an interval that just excludes the limit decides for one look only."""
    fixed = raced(FakeHeats(noise=0.05), rounds=6)
    limit = fixed.high * 1.0001
    with pytest.raises(AssertionError):
        fixed.require(at_least=limit)
    adding = raced(FakeHeats(noise=0.05), budget="6s")
    assert adding.rounds == 6 and adding.value == fixed.value
    with pytest.raises(Inconclusive, match=r"one look of several: the 98\.\d+% interval counts"):
        adding.require(at_least=limit)


def test_metrics_of_which_less_is_better() -> None:
    found = raced(FakeHeats({"selector": 25_000}), metric="cpu_us_per_msg")
    assert found.value == pytest.approx(2, rel=0.1)
    found.require(at_most=2.5)
    with pytest.raises(AssertionError, match=r"in cpu_us_per_msg: .* surely not at most 1\.5"):
        found.require(at_most=1.5)
    assert repr(found).startswith("selector needs more CPU than c_epoll")


@pytest.mark.parametrize("share", [0.15, 0.05])
def test_a_row_that_was_slowed_is_found_out(share: float) -> None:
    """Planted regressions, at the spread of fresh processes on a quiet machine."""
    heats = FakeHeats({"selector": 50_000 * (1 - share)}, noise=0.02)
    with pytest.raises(AssertionError, match="surely not at least"):
        raced(heats).require(at_least=0.99)


def test_wrong_bytes_break_a_demand_whatever_the_speed() -> None:
    heats = FakeHeats({"selector": 90_000}, stamps={"selector": ["corrupt"]})
    with pytest.raises(AssertionError, match="selector is stamped corrupt"):
        raced(heats).require(at_least=1.0)


def test_on_an_overloaded_machine_it_cannot_be_told() -> None:
    for speed in (40_000, 50_000, 60_000):
        with pytest.raises(Inconclusive):
            raced(FakeHeats({"selector": speed}, noise=1.0)).require(at_least=0.95)


def test_a_round_of_turns_that_fails_says_so() -> None:
    with pytest.raises(PybenchError, match="selector at 100: failed: worker killed by SIGKILL"):
        raced(FakeHeats(fails={"selector": 3}))


def test_ctrl_c_ends_the_test_session() -> None:
    with pytest.raises(KeyboardInterrupt):
        raced(FakeHeats(interrupted_in=2))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# ---- options ----


def test_options_are_checked_before_anything_runs() -> None:
    for options, message in (
        ({"round": 3}, "no option 'round'; there are .*rounds"),
        ({"env": "A=1"}, r"make 4 of them: selector, selector\[A=1\], thread"),
        ({"rounds": 1}, "a single round has no spread"),
        ({"runtime": "1s"}, r'runtime is of rounds of one window: turns=False; .*budget="15s"'),
        ({"budget": "1 parsec"}, "pybench: budget: .*parsec"),
        ({"metric": "speed"}, "pybench: metric: .*mps"),
        ({"metric": "due99"}, "give pybench: rate"),
        ({"turns": False, "round": 3}, "no option 'round'"),
        ({"turns": False, "budget": "5s"}, "budget is of turns: not with turns=False"),
        ({"turns": False, "runtime": "1 parsec"}, "pybench: runtime: .*parsec"),
        ({"turns": False, "metric": "due99"}, "needs a rate, and so turns"),
        ({"turns": False, "env": "A=1"}, r"make 4 of them"),
    ):
        with pytest.raises(UsageError, match=message):
            ratios.ratio("selector", "thread", 1, measure_heat=FakeHeats(), **options)
    for several in ({"conns": "4,8"}, {"conns": 4, "msize": [64, 1000]}):
        with pytest.raises(UsageError, match="a ratio is of one place"):
            ratios.ratio("selector", "thread", measure_heat=FakeHeats(), **several)
    with pytest.raises(UsageError, match="5 is no row"):
        ratios.ratio("selector", 5, 4)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="make 1 of them"):
        ratios.ratio("selector", "selector", 1, turns=False)
    with pytest.raises(UsageError, match="budget is of turns"):
        ratios.measure("selector", 1, budget="1s")


def test_a_row_may_take_turns_with_itself() -> None:
    heats = FakeHeats(noise=0.005)
    found = ratios.ratio("selector", "selector", 10, measure_heat=heats, clock=heats.clock)
    assert (found.func, found.against) == ("selector", "selector#2")
    assert found.verdict.kind == "equal"


def test_what_a_marker_says_is_used_where_it_applies() -> None:
    marker = {"runtime": "1s", "rounds": 9, "msize": 10}
    assert rounds.usual(marker, {}, {}) == {"rounds": 9, "msize": 10}
    assert rounds.usual_of_measure(marker, {}, {}) == {"runtime": "1s", "msize": 10}
    window = rounds.usual(marker, {"turns": False}, {"budget": "5s"})
    assert window == {"turns": False, **marker}
    assert rounds.usual({}, {"rounds": 9}, {"budget": "5s"}) == {"budget": "5s"}
    assert rounds.usual({}, {"budget": "5s"}, {"rounds": 3}) == {"rounds": 3}
    with pytest.raises(UsageError, match="no option 'rouns'"):
        rounds.usual({"rouns": 9}, {}, {})


def test_a_round_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SUPPORT)
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    with pytest.raises(PybenchError, match=r"(?s)at 2: failed: RuntimeError: .*Traceback"):
        ratios.measure("badbackends:raises", 2, runtime="100ms", warmup="0")


# ---- baselines ----


def saved(path: Path, **kept: ratios.Ratio) -> Path:
    baselines.save(path, [baselines.Taken(test, one) for test, one in kept.items()], [])
    return path


def taken(one: ratios.Ratio, test: str = "test") -> baselines.Taken:
    return baselines.Taken(test, one)


def test_a_baseline_survives_its_file(tmp_path: Path) -> None:
    one = ratio(
        scaled(0.5), disturbance=0.01, func_stamps=("steal",), ratios=scaled(0.005), turns=True
    )
    baseline = baselines.load([saved(tmp_path / "b.json", test=one)], 0.9)
    found = baseline.find(taken(one))
    assert found is not None and [vars(then) for then in found.then] == [vars(one)]
    assert baseline.find(taken(ratio(scaled(0.5)[:3]))) is not None  # rounds may differ
    for other in (
        ratio(STEADY, conns=10), ratio(STEADY, options={"msize": "1"}), ratio(STEADY, metric="p99")
    ):  # fmt: skip
        assert baseline.find(taken(other)) is None
        baseline.check(taken(other))
    assert baseline.find(taken(one, "another")) is None


def test_how_long_was_measured_sets_no_ratio_apart() -> None:
    def key(**options: Any) -> object:
        return taken(raced(FakeHeats(), **options)).key

    assert key() == key(budget="8s", precision="9%") == key(rounds=4, margin="1%")
    assert key() != key(msize=1000) and key() != key(metric="p50")


def test_a_regression_is_told_from_noise(tmp_path: Path) -> None:
    baseline = baselines.load([saved(tmp_path / "b.json", test=ratio(scaled(0.5)))], 0.9)
    for now in (scaled(0.5), scaled(0.48), scaled(0.8)):
        baseline.check(taken(ratio(now)))
    with pytest.raises(AssertionError, match=r"in the baseline 0\.500 .*; change: 0\.700"):
        baseline.check(taken(ratio(scaled(0.35))))
    with pytest.raises(Inconclusive, match="more rounds in both sessions"):
        baseline.check(taken(ratio(scaled(0.45))))
    with pytest.raises(Inconclusive):
        baseline.check(taken(ratio(scaled(0.35), disturbance=0.4)))


def test_rounds_are_added_until_a_change_is_decided(tmp_path: Path) -> None:
    before = raced(FakeHeats(noise=0.005), rounds=20)
    baseline = baselines.load([saved(tmp_path / "b.json", test=before)], 0.9)
    now = raced(FakeHeats({"selector": 47_000}, noise=0.06), budget="90s")
    baseline.check(taken(now))
    assert now.rounds > 6
    with pytest.raises(AssertionError, match=r"surely not at least 0\.9"):
        baseline.check(taken(raced(FakeHeats({"selector": 41_000}, noise=0.02))))


def sessions(folder: Path, *shares: float) -> Path:
    """A folder of what as many sessions have kept."""
    folder.mkdir()
    for number, share in enumerate(shares):
        saved(folder / f"{number}.json", test=ratio(scaled(share)))
    return folder


def test_several_sessions_show_how_far_they_differ(tmp_path: Path) -> None:
    """What one session would call a regression may be how sessions differ here, and a share that
    one session cannot tell from noise may be a regression."""
    apart = baselines.load([sessions(tmp_path / "apart", 0.42, 0.50, 0.58)], 0.9)
    with pytest.raises(Inconclusive, match="more sessions in the baseline"):
        apart.check(taken(ratio(scaled(0.42))))
    for last in (0.50, 0.58):
        one = baselines.load([saved(tmp_path / "one.json", test=ratio(scaled(last)))], 0.9)
        with pytest.raises(AssertionError):
            one.check(taken(ratio(scaled(0.42))))
    close = baselines.load([sessions(tmp_path / "close", 0.498, 0.500, 0.503, 0.501)], 0.97)
    close.check(taken(ratio(scaled(0.5))))
    with pytest.raises(AssertionError, match=r"baseline 0\.500 \(.*, 4 sessions\); change: 0\.949"):
        close.check(taken(ratio(scaled(0.475))))


def test_sessions_are_enough_or_the_last_one_counts(tmp_path: Path) -> None:
    folder = sessions(tmp_path / "two", 0.2, 0.5)
    baseline = baselines.load([folder], 0.9)
    baseline.check(taken(ratio(scaled(0.5))))
    with pytest.raises(AssertionError, match=r"in the baseline 0\.500 .*; change: 0\.800"):
        baseline.check(taken(ratio(scaled(0.4))))
    third = saved(tmp_path / "third.json", test=ratio(scaled(0.5), func_stamps=("corrupt",)))
    with pytest.raises(Inconclusive, match="stamped corrupt there"):  # the last one, and no third
        baselines.load([folder, third], 0.9).check(taken(ratio(scaled(0.4))))
    saved(third, test=ratio(scaled(0.3)))
    found = baselines.load([folder, third], 0.9).find(taken(ratio(scaled(0.4))))
    assert found is not None and len(found.then) == 3


def test_no_round_is_added_that_would_tell_nothing(tmp_path: Path) -> None:
    """Where sessions differ by more than today's rounds do, more of those do not help."""
    folder = tmp_path / "apart"
    folder.mkdir()
    for number, speed in enumerate((40_000, 50_000, 60_000)):
        before = raced(FakeHeats({"selector": speed}, noise=0.01))
        saved(folder / f"{number}.json", test=before)
    now = raced(FakeHeats({"selector": 45_000}, noise=0.01))
    with pytest.raises(Inconclusive, match="more sessions in the baseline"):
        baselines.load([folder], 0.9).check(taken(now))
    assert now.rounds == 6
    noisy = raced(FakeHeats({"selector": 45_000}, noise=0.9))
    with pytest.raises(Inconclusive):
        baselines.load([folder], 0.9).check(taken(noisy))
    assert noisy.rounds > 6


def test_of_latencies_more_is_a_regression(tmp_path: Path) -> None:
    file = saved(tmp_path / "b.json", test=ratio(scaled(0.5), metric="p99"))
    baseline = baselines.load([file], 0.9)
    baseline.check(taken(ratio(scaled(0.3), metric="p99")))
    with pytest.raises(AssertionError, match=r"surely not at most 1\.11"):
        baseline.check(taken(ratio(scaled(0.7), metric="p99")))


@pytest.mark.parametrize(
    ("there", "says"),
    [
        ({**HERE, "cpus": 8}, "CPUs 8 there and 2 here"),
        ({}, "processor not recorded there and Example here"),
    ],
)
def test_ratios_of_another_machine_are_not_compared(
    tmp_path: Path, there: Mapping[str, Any], says: str
) -> None:
    """Neither passed nor failed: it is undecided, whatever the figures say."""
    record = json.loads(saved(tmp_path / "b.json", test=ratio(scaled(0.5))).read_text())
    (tmp_path / "b.json").write_text(json.dumps(record | {"env": there}))
    baseline = baselines.load([tmp_path / "b.json"], 0.9, HERE)
    for speeds in (scaled(0.1), scaled(0.5)):
        with pytest.raises(Inconclusive, match=r"not compared with the baseline: .*b\.json is "):
            baseline.check(taken(ratio(speeds)))
    assert says in baseline.elsewhere and baseline.change(taken(ratio(STEADY))) is None
    baseline.check(taken(ratio(scaled(0.5), conns=10)))  # nothing was kept of it


def test_a_newer_interpreter_or_kernel_makes_no_other_machine(tmp_path: Path) -> None:
    record = json.loads(saved(tmp_path / "b.json", test=ratio(scaled(0.5))).read_text())
    env = {**HERE, "python": "3.9.0", "kernel": "4.4", "load_average": 3}
    (tmp_path / "b.json").write_text(json.dumps(record | {"env": env}))
    baseline = baselines.load([tmp_path / "b.json"], 0.9, HERE)
    assert not baseline.elsewhere
    with pytest.raises(AssertionError):
        baseline.check(taken(ratio(scaled(0.3))))


def test_what_cannot_be_compared_is_undecided(tmp_path: Path) -> None:
    file = saved(
        tmp_path / "b.json",
        turned=ratio(scaled(0.5), turns=True),
        wrong=ratio(scaled(0.5), func_stamps=("corrupt",)),
    )
    baseline = baselines.load([file], 0.9)
    with pytest.raises(Inconclusive, match="of turns there and of rounds of one window here"):
        baseline.check(taken(ratio(scaled(0.5)), "turned"))
    with pytest.raises(Inconclusive, match="stamped corrupt there"):
        baseline.check(taken(ratio(scaled(0.5)), "wrong"))


def test_an_open_end_is_written_as_json(tmp_path: Path) -> None:
    one = ratio(scaled(0.5), func_stamps=("generator_bound",))
    found = baselines.load([saved(tmp_path / "b.json", test=one)], 0.9).find(taken(one))
    assert found is not None and found.interval == one.interval
    assert one.interval.text.endswith("or more")


def test_files_that_are_no_baseline(tmp_path: Path) -> None:
    path = tmp_path / "b.json"
    with pytest.raises(UsageError, match=r"b\.json: No such file"):
        baselines.load([path], 0.9)
    for text in ("", "[]", '{"schema": 1}', '{"schema": 1, "ratios": [{"test": "t"}]}'):
        path.write_text(text)
        with pytest.raises(UsageError, match=r"b\.json: not what --pybench-save writes"):
            baselines.load([path], 0.9)
    path.write_text('{"schema": 7}')
    with pytest.raises(UsageError, match="schema 7 is not 1"):
        baselines.load([path], 0.9)
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match=r"no \*\.json in this folder"):
        baselines.load([tmp_path / "none"], 0.9)
    with pytest.raises(UsageError, match="Is a directory"):
        baselines.save(tmp_path, [], [])


def test_a_baseline_can_be_read_by_people(tmp_path: Path) -> None:
    path = saved(tmp_path / "b.json", test=ratio(scaled(0.5)))
    [one] = json.loads(path.read_text())["ratios"]
    assert one["test"] == "test" and one["value"] == pytest.approx(0.5)
    assert one["low"] < 0.5 < one["high"]
