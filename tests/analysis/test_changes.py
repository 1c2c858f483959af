"""Where a series of ratios changed, and that one which only scatters did not."""

import math
import random

import pytest

from pybench.analysis.changes import POINTS, find_changes


def series(*levels: tuple[float, int], noise: float = 0.01, seed: int = 1) -> list[float]:
    """Ratios that scatter around levels, so many points each."""
    rng = random.Random(seed)
    return [level * math.exp(rng.gauss(0, noise)) for level, n in levels for _ in range(n)]


def test_a_step_is_found_with_its_place_and_its_size() -> None:
    (change,) = find_changes(series((0.9, 9), (0.8, 8)))
    assert (change.at, change.first, change.last) == (9, 9, 9)
    assert change.ratio.low < 0.8 / 0.9 < change.ratio.high


def test_two_steps_are_told_from_their_neighbours() -> None:
    """Each against the level before it, not against all that was."""
    back, gone = find_changes(series((0.9, 8), (0.8, 6), (0.9, 7)))
    assert (back.at, gone.at) == (8, 14)
    assert back.ratio.value == pytest.approx(0.8 / 0.9, rel=0.02)
    assert gone.ratio.value == pytest.approx(0.9 / 0.8, rel=0.02)


def test_a_step_near_the_noise_has_a_place_with_room() -> None:
    """Bai's interval: the smaller the change in parts of the noise, the wider."""
    (small,) = find_changes(series((1.0, 20), (0.975, 20), noise=0.01, seed=4))
    assert small.first < small.at < small.last and small.last - small.first < 20


@pytest.mark.parametrize(
    "ratios",
    [
        series((0.9, 30), seed=3),
        [*series((0.9, POINTS - 1)), 0.5],  # one apart is an outlier
        [0.9] * 12,
        series((0.9, 3), (0.8, POINTS - 4)),  # too few to say
    ],
    ids=["scatters", "outlier", "constant", "few"],
)
def test_what_does_not_change_has_no_change(ratios: list[float]) -> None:
    assert find_changes(ratios) == []


def test_points_that_are_uncertain_themselves_do_not_change() -> None:
    ratios = [0.90] * 6 + [0.88] * 6
    assert len(find_changes(ratios)) == 1
    assert find_changes(ratios, [0.05] * 12) == []


def test_few_series_without_a_change_have_one() -> None:
    """7% and less is what PENALTY promises (20 points: 1%)."""
    found = [find_changes(series((1.0, 20), noise=0.05, seed=seed)) for seed in range(60)]
    assert sum(map(bool, found)) <= 4
