"""Statistics against values computed by hand, taken from printed tables, or true by definition."""

import math
import random
import statistics

import pytest

from pybench.analysis.stats import (
    bucket_width_ns,
    histogram_mean_ns,
    merge_histograms,
    percentile_ns,
    student_t_cdf,
    student_t_quantile,
    summarize,
)
from pybench.errors import EmptyHistogram
from tests.support import synthetic


def test_summary_of_four_rounds() -> None:
    """Mean 25; deviations -15, -5, 5, 15: variance 500 / 3."""
    s = summarize([10.0, 20.0, 30.0, 40.0])
    assert (s.n, s.mean, s.median) == (4, 25.0, 25.0)
    assert s.stddev == pytest.approx(math.sqrt(500 / 3))
    assert s.dev_pct == pytest.approx(100 * 2.5 * 12.90994449 / 25)
    half = 3.182446305 * 12.90994449 / 2  # t of 3 degrees of freedom, over sqrt(4)
    assert s.ci95 == pytest.approx((25 - half, 25 + half))


def test_one_round_has_no_spread() -> None:
    s = summarize([42.0])
    assert (s.mean, s.median) == (42.0, 42.0)
    assert s.stddev is None and s.dev_pct is None and s.ci95 is None


def test_mean_of_zero_has_no_relative_spread() -> None:
    s = summarize([0.0, 0.0])
    assert s.stddev == 0.0 and s.dev_pct is None


def test_dividing_a_summary_is_summarizing_divided_values() -> None:
    values = [3.0, 5.0, 4.5, 8.0]
    scaled, direct = summarize(values).relative_to(3), summarize([v / 3 for v in values])
    assert scaled.mean == pytest.approx(direct.mean)
    assert scaled.median == pytest.approx(direct.median)
    assert scaled.stddev == pytest.approx(direct.stddev)
    assert scaled.dev_pct == pytest.approx(direct.dev_pct)
    assert scaled.ci95 == pytest.approx(direct.ci95)


@pytest.mark.parametrize(
    ("p", "df", "t"),
    [  # a printed table of Student's t
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.975, 4, 2.776),
        (0.975, 9, 2.262),
        (0.95, 5, 2.015),
        (0.995, 10, 3.169),
        (0.975, 30, 2.042),
        (0.5, 7, 0.0),
        (0.025, 4, -2.776),
        (0.975, 100, 1.984),
        (0.975, 200, 1.972),
        (0.995, 1000, 2.581),
    ],
)
def test_student_t_quantiles(p: float, df: int, t: float) -> None:
    assert student_t_quantile(p, df) == pytest.approx(t, abs=5e-4)


@pytest.mark.parametrize("df", [1, 2, 3, 8, 25])
def test_student_t_is_a_symmetric_distribution(df: int) -> None:
    assert student_t_cdf(0.0, df) == pytest.approx(0.5)
    points = [student_t_cdf(t / 4, df) for t in range(-40, 41)]
    assert points == sorted(points)
    for t in (0.3, 1.0, 4.0):
        assert student_t_cdf(t, df) + student_t_cdf(-t, df) == pytest.approx(1.0)


def test_merging_adds_counts_and_sorts() -> None:
    merged = merge_histograms([{200: 1, 100: 2}, {}, {200: 3, 50: 1}])
    assert merged == {50: 1, 100: 2, 200: 4}
    assert list(merged) == [50, 100, 200]


def test_percentiles_of_a_small_histogram() -> None:
    """Buckets of width 1: the upper edge is the value itself."""
    histogram = {10: 1, 20: 2, 30: 1}
    found = [percentile_ns(histogram, q) for q in (0.0, 0.25, 0.26, 0.5, 0.75, 0.76, 1.0)]
    assert found == [10, 10, 20, 20, 20, 30, 30]


def test_percentiles_of_more_samples_than_a_float_can_tell_apart() -> None:
    histogram = {10: 10**18, 20: 100}  # together they are rounded up, by 28
    found = [percentile_ns(histogram, q) for q in (0.5, 0.99, 1.0)]
    assert found == [10, 10, 20]


def test_histogram_mean_takes_the_middle_of_a_bucket() -> None:
    assert histogram_mean_ns({10: 3, 20: 1}) == 12.5
    assert bucket_width_ns(128) == 2
    assert histogram_mean_ns({128: 1}) == 128.5


def test_nothing_has_no_percentile_and_no_mean() -> None:
    with pytest.raises(EmptyHistogram):
        percentile_ns({}, 0.5)
    with pytest.raises(EmptyHistogram):
        histogram_mean_ns({})


@pytest.mark.parametrize("seed", range(5))
def test_histogram_of_samples_keeps_their_percentiles_and_mean(seed: int) -> None:
    """Whatever the samples: percentiles at most a 64th too high, never too low."""
    rng = random.Random(seed)
    samples = sorted(int(10 ** rng.uniform(0, 11)) for _ in range(rng.randint(1, 800)))
    counts: dict[int, int] = {}
    for value in samples:
        edge = synthetic.lower_edge(value)
        assert edge <= value < edge + bucket_width_ns(edge)
        counts[edge] = counts.get(edge, 0) + 1
    for q in (0.0, 0.01, 0.5, 0.9, 0.99, 1.0):
        exact = samples[max(1, math.ceil(q * len(samples))) - 1]
        assert exact <= percentile_ns(counts, q) <= exact * (1 + 1 / 64)
    assert histogram_mean_ns(counts) == pytest.approx(statistics.fmean(samples), rel=1 / 64)
