"""Turns into standings: ratios inside blocks, by way of a third, of each metric; who is tied."""

import math
import random
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import structs

from pybench.analysis.race import Contest, contests_of_section, joined, judge
from pybench.analysis.verdict import LOOKS
from pybench.result import Machine, Result, Stamp, Turn, Turns
from pybench.result.campaign import CampaignRecord, RaceRecord
from tests.support.synthetic import make_failure, make_result

WINDOW_NS = 40_000_000


def turn(block: int, messages: int, cpu_ns: int | None = None, **changes: Any) -> Turn:
    """One turn; a message costs the worker 10 us unless told."""
    fields: dict[str, Any] = {
        "block": block,
        "place": 1,
        "messages": messages,
        "window_ns": WINDOW_NS,
        "latency_sum_ns": 0,
        "total": messages + 100,
        "cpu_ns": 10_000 * (messages + 100) if cpu_ns is None else cpu_ns,
    }
    return Turn(**fields | changes)


def line(func: str, number: int, messages: Sequence[int], heat: int = 1, **changes: Any) -> Result:
    """A contender's round: the messages of its turn in each block."""
    each = tuple(turn(block, count) for block, count in enumerate(messages, 1))
    turns = changes.pop("turns", Turns(heat=heat, window_us=40_000, each=each))
    made = make_result(func, 100, number, mps=1000.0 * sum(messages) or 1000.0, samples=20)
    return structs.replace(made, turns=turns, **changes)


def asked(*contenders: str, **changes: Any) -> RaceRecord:
    fields = {"metric": "mps", "precision": 0.03, "margin": 0.03, "budget_s": 60.0}
    return RaceRecord(contenders=contenders, **fields | changes)


def test_what_all_blocks_share_cancels() -> None:
    drift = [1.0, 0.3, 2.0, 0.5]
    results = [
        line(func, number, [round(speed * part) for part in drift])
        for number in range(1, 7)
        for func, speed in (("a", 1000 + number), ("b", 800 + number))
    ]
    (standings,) = judge(asked("a", "b"), results)
    assert (standings.base, standings.rounds, standings.conns) == ("a", 6, 100)
    (pair,) = standings.pairs
    assert pair.estimate is not None and pair.estimate.value == pytest.approx(0.8, abs=0.01)
    assert pair.estimate.half_width < 0.01
    assert pair.verdict is not None and pair.verdict.kind == "slower"
    assert standings.settled and [s.groups for s in standings.each] == [(0,), (1,)]


def test_a_disturbed_block_counts_for_one() -> None:
    results = [
        line(func, number, [speed, speed, speed, third])
        for number in range(1, 4)
        for func, speed, third in (("a", 1000, 1000), ("b", 1000, 10))
    ]
    (standings,) = judge(asked("a", "b"), results)
    estimate = standings.of("b").estimate
    assert estimate is not None and estimate.value == pytest.approx(1.0)


def test_rounds_in_which_one_is_missing_count_for_the_others() -> None:
    results = [line(f, n, [1000 + n]) for n in range(1, 7) for f in ("a", "b", "c")]
    results = [r for r in results if (r.func, r.round) not in {("b", 2), ("b", 3)}]
    dead = structs.replace(make_failure("b", 100, 2), turns=Turns(heat=1))
    (standings,) = judge(asked("a", "b", "c"), [*results, dead])
    found = {s.runner.label: s.estimate for s in standings.pairs}
    assert found["b"] is not None and found["c"] is not None
    assert (found["b"].rounds, found["c"].rounds) == (4, 6)
    assert standings.of("b").runner.failed == 1
    assert standings.of("b").runner.errors == ("accept: Too many open files",)


def test_heats_connect_by_way_of_the_one_that_is_in_both() -> None:
    """The machine is twice as fast in the second heat, which must not show."""
    results = []
    for n in range(1, 7):
        results += [line("p", n, [1000 + n] * 2), line("a", n, [500] * 2)]
        results += [line("p", n, [2000 + 2 * n] * 2, heat=2), line("b", n, [500] * 2, heat=2)]
    (standings,) = judge(asked("p", "a", "b"), results)
    assert [s.runner.label for s in standings.each] == ["p", "a", "b"]
    a, b = (standings.of(label).estimate for label in "ab")
    assert a is not None and b is not None
    assert (a.value, b.value) == (pytest.approx(0.5, rel=0.01), pytest.approx(0.25, rel=0.01))
    assert standings.of("p").runner.rounds == 6
    assert [s.groups for s in standings.each] == [(0,), (1,), (2,)]


def test_of_cpu_time_less_is_better() -> None:
    results = [
        line(func, n, [], turns=Turns(heat=1, each=(turn(1, 900, cpu_ns=cpu + n),)))
        for n in range(1, 7)
        for func, cpu in (("a", 9_000_000), ("b", 4_500_000))
    ]
    (standings,) = judge(asked("a", "b", metric="cpu_us_per_msg"), results)
    best = standings.each[0]
    assert best.runner.label == "b" and best.verdict is not None and best.verdict.kind == "faster"
    assert best.runner.cpu_us_per_msg == pytest.approx(4.5, rel=0.01)


@pytest.mark.parametrize("metric", ["p50", "p99"])
def test_percentiles_are_of_the_rounds_histograms(metric: str) -> None:
    results = [
        line(func, n, [100], histogram={edge * (64 + n): 100})
        for n in range(1, 7)
        for func, edge in (("a", 1000), ("b", 2000))
    ]
    (standings,) = judge(asked("a", "b", metric=metric), results)
    (pair,) = standings.pairs
    assert pair.estimate is not None and pair.estimate.value == pytest.approx(2, rel=0.03)
    assert pair.verdict is not None and pair.verdict.kind == "slower"


def test_an_empty_turn_adds_up_with_its_block_and_is_counted() -> None:
    each = (turn(1, 0), turn(1, 2000), turn(2, 1000), turn(2, 1000))
    results = [
        line("b", n, [], turns=Turns(heat=1, each=each)) for n in range(1, 4)
    ] + [line("a", n, [1000, 1000]) for n in range(1, 4)]  # fmt: skip
    (standings,) = judge(asked("a", "b"), results)
    of_b = standings.of("b")
    assert of_b.estimate is not None and of_b.estimate.value == pytest.approx(1.0)
    assert (of_b.runner.empty, len(of_b.runner.turns)) == (3, 12)


def bounded(*who: str) -> list[Result]:
    stamp = Stamp(code="generator_bound", text="so it is")
    return [
        line(func, n, [1000 + n, 1000 - n], warnings=(stamp,) if func in who else ())
        for n in range(1, 7)
        for func in ("a", "b")
    ]


def test_a_bound_opens_an_end_unless_it_holds_both_back() -> None:
    (one,) = judge(asked("a", "b"), bounded("b"))
    verdict = one.of("b").verdict
    assert verdict is not None and math.isinf(verdict.estimate.high)
    assert verdict.kind == "undecided" and one.bound == ()
    (both,) = judge(asked("a", "b"), bounded("a", "b"))
    verdict = both.of("b").verdict
    assert verdict is not None and verdict.kind == "equal" and both.bound == ("generator_bound",)


def test_who_was_never_measured_comes_last_and_is_no_base() -> None:
    results = [line(f, n, [1000 + n]) for n in range(1, 7) for f in ("b", "c")]
    results.append(structs.replace(make_failure("a", 100, 1), turns=Turns(heat=1)))
    (standings,) = judge(asked("a", "b", "c"), results)
    assert standings.base == "b" and standings.each[-1].runner.label == "a"
    assert standings.of("a").verdict is None and not standings.decided


def test_differences_are_a_family() -> None:
    """A pair that is called out alone is not among nineteen others."""
    noise = [0.97, 1.03, 0.98, 1.05, 0.99, 1.04, 1.02]
    few = [line("a", n, [10_000]) for n in range(1, 8)]
    few += [line("b", n, [round(9_800 * part)]) for n, part in enumerate(noise, 1)]
    shifted = [*noise[3:], *noise[:3]]
    many = [
        line(f"x{i}", n, [round(10_000 * part)])
        for i in range(19)
        for n, part in enumerate(shifted, 1)
    ]
    (alone,) = judge(asked("a", "b"), few)
    (among,) = judge(asked("a", "b"), [*few, *many])
    of_alone, of_among = alone.of("b"), among.of("b")
    assert of_alone.estimate == of_among.estimate and of_among.verdict is not None
    assert of_among.verdict.kind in ("undecided", "equal")


# ---- files ----


def test_races_are_taken_out_of_a_section_with_what_was_asked() -> None:
    campaign = CampaignRecord(id="x", race=asked("a", "b", metric="p99"))
    results = [line("a", 1, [1]), line("b", 1, [2]), make_result("a", 100)]
    (contest,) = contests_of_section(results, campaign)
    assert (contest.id, contest.asked.metric, len(contest.results)) == ("x", "p99", 2)


def test_lines_without_a_header_are_judged_as_usual() -> None:
    (contest,) = contests_of_section([line("a", 1, [1]), line("b", 1, [2])], None)
    assert contest.asked == asked("a", "b", budget_s=0.0)


def test_a_line_that_stands_there_twice_counts_once() -> None:
    one = Contest(id="x", asked=asked("a"), results=(line("a", 1, [1]),))
    more = Contest(id="x", asked=asked("a"), results=(line("a", 1, [1]), line("a", 2, [1])))
    (both,) = joined([one, more])
    assert [r.round for r in both.results] == [1, 2]


def test_a_row_against_itself_is_seldom_called_different() -> None:
    """Races that end at the first look that decides, each by the verdict of that look."""
    rng, called = random.Random(5), 0
    for _ in range(60):
        results: list[Result] = []
        for number in range(1, 28):
            speed = round(20_000 * math.exp(rng.gauss(0, 0.05)))
            results += [line("a", number, [20_000]), line("b", number, [speed])]
            if number in LOOKS:
                (standings,) = judge(asked("a", "b"), results)
                if standings.settled:
                    break
        verdict = standings.of("b").verdict
        called += verdict is not None and verdict.differs
    assert called <= 4


# ---- on the machines of a cluster ----


def on(name: str, kind: str = "K") -> Machine:
    return Machine(id=f"{name}-id", name=name, kind=kind)


def test_a_ratio_is_of_a_machine_and_machines_are_what_is_replicated() -> None:
    """One that is twice as fast as another says nothing of who is faster on either."""
    results = [
        line(func, number, [round(speed * share) + number % 3], machine=on(name))
        for number, (name, speed, b) in enumerate(3 * [("one", 1000, 0.5), ("two", 9000, 0.4)], 1)
        for func, share in (("a", 1), ("b", b))
    ]
    (standings,) = judge(asked("a", "b"), results)
    (pair,) = standings.pairs
    assert pair.estimate is not None and pair.verdict is not None
    assert (pair.estimate.level, pair.estimate.rounds, pair.estimate.df) == ("machine", 2, 1)
    assert pair.estimate.value == pytest.approx(math.sqrt(0.5 * 0.4), rel=0.01)
    assert {name: round(e.value, 1) for name, e in pair.machines.items()} == {
        "one (one-)": 0.5, "two (two-)": 0.4,
    }  # fmt: skip
    assert pair.verdict.kind == "undecided", "two machines say little of others"
    alone = [r for r in results if r.machine == on("one")]
    (pair,) = judge(asked("a", "b"), alone)[0].pairs
    assert pair.verdict is not None and pair.verdict.kind == "slower" and pair.machines == {}


def test_figures_of_machines_of_several_kinds_are_not_mixed() -> None:
    results = [
        line(func, number, [1000], machine=on(name, kind))
        for number, (name, kind) in enumerate([("one", "Old"), ("two", "New")], 1)
        for func in ("a", "b")
    ]
    (standings,) = judge(asked("a", "b"), results)
    assert [s.runner.mps for s in standings.each] == [None, None]
    assert standings.kinds == {"Old", "New"}
    (standings,) = judge(asked("a", "b"), results[:2])
    assert all(s.runner.mps for s in standings.each)
