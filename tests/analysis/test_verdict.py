"""Four verdicts from one function, demands, families, looks, ties, and their words."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybench.analysis import stamps
from pybench.analysis.ratio import Estimate, estimate_of_logs, paired_ratio
from pybench.analysis.verdict import (
    LOOKS,
    METRICS,
    decide,
    decide_family,
    demand,
    estimate_words,
    holm_confidences,
    look_confidence,
    next_look,
    side_stamps,
    tie_groups,
    words,
)

LOGS = st.lists(st.floats(-2, 2), min_size=1, max_size=10)
MARGINS = st.floats(0.001, 0.5)
few = settings(max_examples=60, deadline=None)


def around(ratio: float, spread: float, rounds: int = 6) -> Estimate:
    """An estimate of this value, the logs of its rounds alternately that far above and below."""
    return estimate_of_logs([math.log(ratio) + spread * (-1) ** i for i in range(rounds)])


# Verdicts.


@pytest.mark.parametrize(
    ("ratio", "spread", "kind"),
    [
        (1.20, 0.02, "faster"),
        (0.80, 0.02, "slower"),
        (1.00, 0.01, "equal"),
        (1.01, 0.01, "equal"),
        (1.02, 0.005, "equal"),  # surely above 1, and no matter
        (1.00, 0.20, "undecided"),
        (1.05, 0.08, "undecided"),
        (1.00, 0.00, "equal"),
        (2.00, 0.00, "faster"),
    ],
)
def test_four_verdicts(ratio: float, spread: float, kind: str) -> None:
    assert decide(around(ratio, spread)).kind == kind


def test_a_wide_interval_around_one_is_not_called_equal() -> None:
    found = decide(estimate_of_logs([math.log(0.53), math.log(1.0), math.log(1.36)]))
    assert found.kind == "undecided" and found.more_rounds is not None


def test_less_cpu_and_latency_are_better() -> None:
    assert decide(around(0.8, 0.02), metric=METRICS["cpu_us_per_msg"]).kind == "faster"
    assert decide(around(1.2, 0.02), metric=METRICS["p99"]).kind == "slower"
    assert {m for m in METRICS if METRICS[m].lower_is_better} == METRICS.keys() - {"mps"}


@given(logs=LOGS, margin=MARGINS)
@few
def test_swapping_the_sides_swaps_the_verdict(logs: list[float], margin: float) -> None:
    found = estimate_of_logs(logs)
    forth = decide(found, margin=margin).kind
    back = decide(found.inverse(), margin=margin).kind
    opposite = {"faster": "slower", "slower": "faster"}
    assert back == opposite.get(forth, forth)


@given(logs=LOGS, up=st.floats(0, 3), margin=MARGINS)
@few
def test_a_faster_row_never_looks_slower(logs: list[float], up: float, margin: float) -> None:
    """The same rounds with NEW faster by a factor: the verdict moves up or stays."""
    order = ["slower", "undecided", "equal", "faster"]
    before = decide(estimate_of_logs(logs), margin=margin).kind
    after = decide(estimate_of_logs([v + up for v in logs]), margin=margin).kind
    if before == "faster":
        assert after == "faster"
    if after == "slower":
        assert before == "slower"
    assert after in order


@given(logs=LOGS, margin=MARGINS)
@few
def test_a_larger_margin_only_adds_equals(logs: list[float], margin: float) -> None:
    found = estimate_of_logs(logs)
    narrow, wide = decide(found, margin=margin).kind, decide(found, margin=2 * margin).kind
    assert wide in (narrow, "equal")
    assert not (narrow == "equal" and wide != "equal")


def test_what_more_rounds_would_decide() -> None:
    """So many more with the same scatter, and it is decided; with three fewer it is not."""
    found = decide(around(1.05, 0.08))
    more = found.more_rounds
    assert more is not None and more > 2
    assert decide(around(1.05, 0.08, 6 + more + more % 2)).differs
    assert not decide(around(1.05, 0.08, 6 + (more - 3) // 2 * 2)).decided


def test_a_single_round_decides_nothing() -> None:
    found = decide(estimate_of_logs([0.7]))
    assert (found.kind, found.more_rounds) == ("undecided", None)
    assert "single round" in found.reason


# Stamps.


def test_every_stamp_has_a_class() -> None:
    assert {check.__name__ for check in stamps.CHECKS} <= stamps.CLASSES.keys()
    assert stamps.class_of("of a newer version") == "caution"
    by_class = {
        kind: {code for code, its in stamps.CLASSES.items() if its == kind}
        for kind in ("invalid", "bound", "machine")
    }
    invalid = {"corrupt", "lost", "idle_lost", "littles_law", "unfair", "null_engine"}
    assert by_class["invalid"] == invalid
    assert by_class["bound"] == {"generator_bound", "client_idle", "overloaded"}
    assert by_class["machine"] == {"frequency"}
    bounds = {code for metric in METRICS.values() for code in metric.bounds}
    assert bounds == by_class["bound"]


def test_an_invalid_side_decides_nothing_and_breaks_a_demand() -> None:
    found = decide(around(1.5, 0.01), new_stamps=["corrupt", "unfair"])
    assert (found.kind, found.reason) == ("undecided", "NEW is stamped corrupt, unfair")
    judged = demand(around(1.5, 0.01), at_least=1.0, base_stamps=["littles_law"])
    assert (judged.outcome, judged.reason) == ("broken", "BASE is stamped littles_law")


def test_a_bound_opens_its_end() -> None:
    """NEW can do at least that: it is surely faster, and never surely slower or equal."""
    bound = ["generator_bound"]
    assert decide(around(1.2, 0.02), new_stamps=bound).kind == "faster"
    slower = decide(around(0.8, 0.02), new_stamps=bound)
    assert (slower.kind, slower.more_rounds) == ("undecided", None)
    assert slower.reason == "NEW is only a bound (generator_bound)"
    assert decide(around(1.0, 0.001), new_stamps=bound).kind == "undecided"
    assert decide(around(0.8, 0.02), base_stamps=bound).kind == "slower"
    assert decide(around(1.2, 0.02), base_stamps=bound).kind == "undecided"


def test_what_holds_both_back_opens_no_end() -> None:
    bound = ["generator_bound"]
    sides = {"new_stamps": bound, "base_stamps": bound}
    assert decide(around(1.2, 0.02), **sides).kind == "faster"
    assert decide(around(1.0, 0.005), **sides).kind == "equal"
    assert demand(around(0.8, 0.02), at_least=1.0, **sides).outcome == "broken"
    apart = decide(around(1.2, 0.02), new_stamps=bound, base_stamps=["client_idle"])
    assert apart.reason == "both are only bounds (client_idle, generator_bound)"


def test_a_latency_under_a_slow_generator_is_at_most_that() -> None:
    bound = ["generator_bound"]
    shorter = decide(around(0.8, 0.02), metric=METRICS["p99"], new_stamps=bound)
    assert shorter.kind == "faster" and shorter.estimate.low == 0.0
    cpu = decide(around(1.2, 0.02), metric=METRICS["cpu_us_per_msg"], new_stamps=bound)
    assert cpu.kind == "slower", "CPU per message is no bound"


def test_which_stamps_count_for_a_side() -> None:
    rounds = [["steal", "corrupt"], ["steal"], ["unfair"], []]
    assert side_stamps(rounds) == ("corrupt", "steal")
    assert side_stamps([]) == ()


# Demands.


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        (around(1.2, 0.02), "kept"),
        (around(0.8, 0.02), "broken"),
        (around(1.0, 0.05), "undecided"),
    ],
)
def test_demands(found: Estimate, outcome: str) -> None:
    assert demand(found, at_least=1.0).outcome == outcome
    mirrored = demand(found.inverse(), at_most=1.0)
    assert mirrored.outcome == outcome and mirrored.demand == "at most 1"


def test_a_demand_on_a_bound() -> None:
    """NEW is at least that fast, so a demand can be kept, and cannot be broken."""
    bound = ["client_idle"]
    assert demand(around(1.2, 0.02), at_least=1.0, new_stamps=bound).outcome == "kept"
    broken = demand(around(0.8, 0.02), at_least=1.0, new_stamps=bound)
    assert (broken.outcome, broken.more_rounds) == ("undecided", None)
    assert "only a bound (client_idle)" in broken.reason


def test_two_demands_at_once_and_none() -> None:
    found = around(1.0, 0.01)
    assert demand(found, at_least=0.9, at_most=1.1).outcome == "kept"
    assert demand(found, at_least=1.2, at_most=1.5).outcome == "broken"
    assert demand(around(1.1, 0.05), at_least=0.9, at_most=1.1).outcome == "undecided"
    with pytest.raises(TypeError, match="nothing was demanded"):
        demand(found)


def test_more_looks_ask_for_more() -> None:
    found = around(1.0, 0.05)
    just = found.low * 0.999
    assert demand(found, at_least=just).outcome == "kept"
    judged = demand(found, at_least=just, looks=7)
    assert judged.outcome == "undecided" and judged.more_rounds is not None


def test_a_verdict_pays_for_looks_too() -> None:
    found = around(1.05, 0.04)
    assert decide(found).kind == "faster"
    assert decide(found, looks=7).kind == "undecided"
    assert decide(around(1.0, 0.01), looks=7).kind == "equal"


def test_looks() -> None:
    assert [next_look(n) for n in (0, 6, 7, 35, 36)] == [6, 8, 8, 36, None]
    levels = [look_confidence(n) for n in range(1, 9)]
    assert levels[0] == 0.95 and levels == sorted(levels) and levels[-1] == levels[-2] == 0.9883


def test_seven_looks_together_are_wrong_in_at_most_five_of_a_hundred() -> None:
    """A demand of exactly the truth, tested while rounds are added: 200 times."""
    rng = random.Random("looks")
    wrong = 0
    for _ in range(200):
        logs = [rng.gauss(0, 0.1) for _ in range(LOOKS[-1])]
        wrong += any(
            demand(estimate_of_logs(logs[:n]), at_least=1.0, looks=len(LOOKS)).outcome
            != "undecided"
            for n in LOOKS
        )
    assert wrong <= 0.08 * 200


# Families.


def test_holm_steps() -> None:
    """n = 4, alpha 5%: 1.25%, 1.67%, 2.5%; the third is too large and stops it."""
    levels = holm_confidences([0.03, 0.001, 0.04, 0.016])
    assert [1 - level for level in levels] == pytest.approx([0.025, 0.0125, 0.025, 0.05 / 3])


def test_a_family_of_equals_is_rarely_called_different() -> None:
    """20 A/A cells of five rounds, 40 times: any false verdict in at most 1 of 10 families."""
    rng = random.Random("family")
    wrong = plain = 0
    for _ in range(40):
        cells = [
            paired_ratio(*([math.exp(rng.gauss(0, 0.05)) for _ in range(5)] for _ in range(2)))
            for _ in range(20)
        ]
        wrong += any(v.differs for v in decide_family([(c, (), ()) for c in cells]))
        plain += any(decide(c).differs for c in cells)
    assert wrong <= 4 < plain


def test_a_family_says_why_a_member_is_undecided() -> None:
    clear = around(1.05, 0.04, 6)
    assert decide(clear).kind == "faster"
    members = [(clear, (), ()), *[(around(1.0, 0.05), (), ())] * 9]
    found = decide_family(members)[0]
    assert found.kind == "undecided" and "99.5% interval counts" in found.reason


# Ties.


def test_tie_groups_share_what_is_not_surely_different() -> None:
    apart = {("a", "c"), ("a", "d"), ("b", "d")}
    found = tie_groups("abcd", lambda one, other: (one, other) in apart)
    assert found == {"a": (0,), "b": (0, 1), "c": (1, 2), "d": (2,)}
    assert tie_groups("abc", lambda *_: False) == {"a": (0,), "b": (0,), "c": (0,)}
    assert tie_groups("abc", lambda *_: True) == {"a": (0,), "b": (1,), "c": (2,)}
    assert tie_groups([], lambda *_: True) == {}


@given(
    n=st.integers(1, 7),
    pairs=st.sets(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=15),
)
@few
def test_rows_share_a_group_if_and_only_if_they_do_not_differ(
    n: int, pairs: set[tuple[int, int]]
) -> None:
    names = [str(i) for i in range(n)]
    apart = {frozenset((str(a), str(b))) for a, b in pairs if a != b}
    found = tie_groups(names, lambda one, other: frozenset((one, other)) in apart)
    for one in names:
        for other in names:
            if one != other:
                shared = bool(set(found[one]) & set(found[other]))
                assert shared == (frozenset((one, other)) not in apart)


# Words.


def test_words() -> None:
    faster, equal = decide(around(1.2, 0.01)), decide(around(1.0, 0.005))
    assert words(faster, "uvloop", "asyncio", where="at 100 connections") == (
        "uvloop is faster than asyncio at 100 connections: "
        "1.20 (95% interval 1.19 to 1.21) of its messages/s."
    )
    assert "are equal within 3% in messages/s: 1.00" in words(equal, "a", "b")
    cpu = decide(around(0.5, 0.01), metric=METRICS["cpu_us_per_msg"])
    assert words(cpu, "a", "b", metric=METRICS["cpu_us_per_msg"]).startswith(
        "a needs less CPU than b: 0.50 "
    )
    open_end = decide(around(0.8, 0.02), new_stamps=["generator_bound"])
    assert words(open_end, "a", "b") == (
        "Whether a is faster than b is undecided: 0.80 (95% interval 0.78 or more) of its "
        "messages/s; a is only a bound (generator_bound)."
    )
    noisy = decide(around(1.05, 0.08))
    assert words(noisy, "a", "b").endswith(f"; about {noisy.more_rounds} more rounds would decide.")
    assert estimate_words(estimate_of_logs([0.0])) == "1.00 (one round: no interval)"


def test_why_a_demand_is_undecided_where_no_bound_is_in_the_way() -> None:
    found = paired_ratio([1.0, 1.01, 0.99, 1.0, 1.005, 0.995], [1.0] * 6)
    assert demand(found, at_least=found.value).reason == "it is on the limit"
    held_up = demand(found.widened(0.3), at_least=0.9)
    assert held_up.reason == "others disturbed one side by more than is to be decided"
    just = found.low * 0.9999
    assert demand(found, at_least=just).outcome == "kept"
    assert demand(found, at_least=just, looks=7).reason.startswith("one look of several: the 98.")
