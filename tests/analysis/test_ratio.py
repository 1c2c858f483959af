"""Ratios on logarithms: known values, what swapping and scaling must not change, empty turns."""

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybench.analysis.ratio import (
    Estimate,
    add_up,
    estimate_of_logs,
    paired_ratio,
    ratio_to_sessions,
    round_log_ratio,
    unpaired_ratio,
)

SPEED = st.floats(1.0, 1e6).map(lambda speed: round(speed, 3))  # apart, or the same
SPEEDS = st.lists(SPEED, min_size=2, max_size=12)
PAIRS = st.lists(st.tuples(SPEED, SPEED), min_size=2, max_size=12)
FACTORS = st.floats(1e-3, 1e3)
few = settings(max_examples=40, deadline=None)


def figures(found: Estimate) -> tuple[float, float, float]:
    return found.value, found.low, found.high


def test_known_values_of_pairs() -> None:
    """Logs 0.1, 0.2, 0.3: mean 0.2, error 0.1/sqrt(3), t(2) is 4.3027."""
    found = estimate_of_logs([0.1, 0.2, 0.3])
    half = 4.302653 * 0.1 / math.sqrt(3)
    assert figures(found) == pytest.approx(
        (math.exp(0.2), math.exp(0.2 - half), math.exp(0.2 + half))
    )
    assert (found.rounds, found.df, found.paired) == (3, 2, True)
    assert found.half_width == pytest.approx(math.exp(half) - 1)


def test_known_values_of_welch() -> None:
    """Variances 1 and 4 of 3 and 5 values: Welch's df is 5.93, rounded down."""
    new = [math.exp(v) for v in (4.0, 5.0, 6.0)]
    base = [math.exp(v) for v in (1.0, 1.0, 3.0, 5.0, 5.0)]
    found = unpaired_ratio(new, base)
    assert found.error == pytest.approx(math.sqrt(1 / 3 + 4 / 5))
    assert (found.df, found.rounds, found.paired) == (5, 3, False)
    half = 2.570582 * math.sqrt(1 / 3 + 4 / 5)
    assert found.high == pytest.approx(math.exp(2 + half))


def test_the_mean_is_geometric() -> None:
    """Half and double cancel."""
    assert paired_ratio([50.0, 200.0], [100.0, 100.0]).value == pytest.approx(1.0)


def test_pairs_share_their_drift() -> None:
    """A drift of the machine widens the unpaired interval and leaves the paired one alone."""
    base, new = [100.0, 150.0, 80.0, 120.0], [111.0, 164.0, 89.0, 131.0]
    paired, unpaired = paired_ratio(new, base), unpaired_ratio(new, base)
    assert 1.0 < paired.low < paired.high < 1.13
    assert unpaired.low < 1.0 < unpaired.high


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert figures(unpaired_ratio([10.0, 10.0], [5.0, 5.0])) == pytest.approx((2.0, 2.0, 2.0))


def test_a_single_round_has_no_interval() -> None:
    for found in (paired_ratio([2.0], [1.0]), unpaired_ratio([2.0], [1.0, 1.1])):
        assert (found.low, found.high, found.df) == (0.0, math.inf, 0)
        assert found.p_value() == 1.0 and found.half_width == math.inf


@pytest.mark.parametrize("ratio", [paired_ratio, unpaired_ratio])
@given(pairs=PAIRS)
@few
def test_swapping_inverts(ratio: Callable[..., Estimate], pairs: list[tuple[float, float]]) -> None:
    new, base = ([pair[side] for pair in pairs] for side in (0, 1))
    forth, back = ratio(new, base), ratio(base, new)
    assert figures(back) == pytest.approx(figures(forth.inverse()), rel=1e-6)
    assert back.p_value() == pytest.approx(forth.p_value(), abs=1e-6)


@pytest.mark.parametrize("ratio", [paired_ratio, unpaired_ratio])
@given(pairs=PAIRS, factor=FACTORS)
@few
def test_a_unit_does_not_matter_and_a_factor_goes_through(
    ratio: Callable[..., Estimate], pairs: list[tuple[float, float]], factor: float
) -> None:
    new, base = ([pair[side] for pair in pairs] for side in (0, 1))
    plain = figures(ratio(new, base))
    other_unit = figures(ratio([factor * v for v in new], [factor * v for v in base]))
    assert other_unit == pytest.approx(plain, rel=1e-6)
    scaled = figures(ratio([factor * v for v in new], base))
    assert scaled == pytest.approx([factor * v for v in plain], rel=1e-6)


@given(new=SPEEDS, base=SPEEDS)
@few
def test_more_confidence_is_a_wider_interval(new: list[float], base: list[float]) -> None:
    found = unpaired_ratio(new, base)
    wider = found.at(0.99)
    assert wider.low <= found.low <= found.value <= found.high <= wider.high
    assert figures(wider.at(0.95)) == pytest.approx(figures(found))


@given(new=SPEEDS, base=SPEEDS, ratio=FACTORS)
@few
def test_p_and_interval_say_the_same(new: list[float], base: list[float], ratio: float) -> None:
    found = unpaired_ratio(new, base)
    outside = not found.low <= ratio <= found.high
    if abs(found.p_value(ratio) - 0.05) > 1e-6:
        assert outside == (found.p_value(ratio) < 0.05)


def test_a_session_is_held_against_the_scatter_of_others() -> None:
    """One value a session, and the interval of the next one: s * sqrt(1 + 1/k), k - 1 degrees."""
    sessions = [[1.0, 1.0], [1.1, 1.1], [1.0 / 1.1]]
    found = ratio_to_sessions([0.9, 0.9], sessions)
    half = 4.302653 * math.log(1.1) * math.sqrt(1 + 1 / 3)
    assert figures(found) == pytest.approx((0.9, 0.9 * math.exp(-half), 0.9 * math.exp(half)))
    assert (found.rounds, found.df, found.level) == (3, 2, "session")
    few = ratio_to_sessions([0.5, 0.9, 1.6], sessions)  # its own rounds tell less than sessions do
    assert few.error > found.error and few.df >= found.df


@pytest.mark.parametrize("sessions", [3, 6])
@pytest.mark.parametrize("drift", [0.0, 0.05])
def test_intervals_of_a_session_hold_what_they_promise(sessions: int, drift: float) -> None:
    """Where the last session alone would not: what moves whole sessions is in its scatter."""
    rng = random.Random(7)

    def session() -> list[float]:
        hour = rng.gauss(0, drift)
        return [math.exp(hour + rng.gauss(0, 0.065)) for _ in range(8)]

    tries, held, alone = 1000, 0, 0
    for _ in range(tries):
        new, *past = (session() for _ in range(1 + sessions))
        found, last = ratio_to_sessions(new, past), unpaired_ratio(new, past[-1])
        held += found.low <= 1 <= found.high
        alone += last.low <= 1 <= last.high
    assert 0.93 <= held / tries <= 0.99
    assert (alone / tries < 0.85) == (drift > 0)


def test_open_ends_stay_open() -> None:
    found = paired_ratio([1.0, 1.1, 1.2], [1.0, 1.0, 1.0])
    above = found.opened(high=True)
    assert (above.low, above.high) == (found.low, math.inf)
    assert above.at(0.99).high == math.inf and above.at(0.99).low < found.low
    assert above.inverse().low == 0.0
    assert above.widened(0.5).high == math.inf


def test_a_widened_interval_stays_so() -> None:
    found = paired_ratio([1.0, 1.1, 1.2], [1.0, 1.0, 1.0])
    wide = found.widened(0.2)
    assert (wide.low, wide.high) == pytest.approx((0.8 * found.low, found.high / 0.8))
    assert figures(wide.at(0.95)) == pytest.approx(figures(wide))
    assert wide.p_value() > found.p_value()


# Inside a round.


def test_a_disturbed_block_does_not_move_the_median() -> None:
    new = [(110.0, 1.0), (220.0, 2.0), (11.0, 1.0), (115.0, 1.0), (105.0, 1.0)]
    base = [(100.0, 1.0)] * 5
    assert round_log_ratio(new, base) == pytest.approx(math.log(1.1))


def test_empty_turns_are_added_up_before_the_logarithm() -> None:
    assert add_up([(0.0, 40.0), (8.0, 40.0)]) == (8.0, 80.0)
    assert round_log_ratio([add_up([(0.0, 40.0), (8.0, 40.0)])], [(8.0, 80.0)]) == 0.0


def test_empty_blocks_count_as_what_they_are() -> None:
    """A block without a message of NEW is one in which it was slower; of neither, none at all."""
    ones = [(1.0, 1.0)] * 3
    assert round_log_ratio([(0.0, 1.0), (2.0, 1.0), (4.0, 1.0)], ones) == pytest.approx(math.log(2))
    some = round_log_ratio([(0.0, 1.0), (2.0, 1.0)], [(0.0, 1.0), (1.0, 1.0)])
    assert some == pytest.approx(math.log(2))


def test_mostly_empty_blocks_are_added_up_and_nothing_is_no_ratio() -> None:
    starving = [(0.0, 1.0), (0.0, 1.0), (3.0, 1.0)]
    assert round_log_ratio(starving, [(1.0, 1.0)] * 3) == pytest.approx(0.0)
    assert round_log_ratio([(0.0, 1.0)], [(1.0, 1.0)]) is None
    assert round_log_ratio([], []) is None


def test_cpu_per_message_of_no_message_is_no_figure() -> None:
    """Amount and per are CPU ns and messages here: the division is by messages."""
    assert round_log_ratio([(5.0, 0.0), (20.0, 2.0)], [(5.0, 1.0), (5.0, 1.0)]) == pytest.approx(
        math.log(25 / 2 / 5)
    )


@given(
    blocks=st.lists(
        st.tuples(st.integers(0, 50), st.integers(1, 9), st.integers(0, 50), st.integers(1, 9)),
        min_size=1,
        max_size=9,
    )
)
@few
def test_a_round_swapped_is_its_opposite(blocks: list[tuple[int, int, int, int]]) -> None:
    new, base = [b[:2] for b in blocks], [b[2:] for b in blocks]
    forth, back = round_log_ratio(new, base), round_log_ratio(base, new)
    assert (forth is None) == (back is None)
    if forth is not None and back is not None:
        assert back == pytest.approx(-forth, abs=1e-9)


def test_an_interval_of_two_rounds_in_a_large_family_has_no_end() -> None:
    found = estimate_of_logs([-0.5, 0.7], confidence=1 - 0.05 / 190)
    assert found.low >= 0 and found.high == math.inf
