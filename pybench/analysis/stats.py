"""Numbers from numbers: percentiles, spreads, intervals. Neither prints nor reads clocks."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from pybench.errors import EmptyHistogram

MANY_DF = 100
SUB_BUCKET_BITS = 6  # 64 buckets per octave: a bucket is at most 1/64 of its lower edge wide


def bucket_width_ns(lower_ns: int) -> int:
    """Width in ns of the histogram bucket that begins at lower_ns (>= 0).

    Source: the bucket rule in server/histogram.h.
    """
    return max(1, 1 << max(0, lower_ns.bit_length() - 1 - SUB_BUCKET_BITS))


def percentile_ns(histogram: Mapping[int, int], q: float) -> int:
    """Upper edge of the bucket that holds the q-th sample, in ns.

    histogram: lower edge of a bucket in ns -> samples in it.  q: fraction in [0, 1].
    At most one bucket width too high. Raises EmptyHistogram when the counts sum to 0.
    Source: the bucket rule in server/histogram.h.
    """
    return percentiles_ns(histogram, [q])[0]


def percentiles_ns(histogram: Mapping[int, int], levels: Sequence[float]) -> list[int]:
    """What `percentile_ns` says of each of the rising levels, in one walk over the histogram."""
    total = sum(histogram.values())
    if total <= 0:
        raise EmptyHistogram("no samples: a percentile of nothing was asked for")
    edges = iter(sorted(histogram))
    found, seen, lower = [], 0, 0
    for q in levels:
        rank = max(1, -int(-q * total // 1))  # ceil: the smallest sample with at least q up to it
        rank = min(rank, total)  # a float is off by hundreds where there are 10^18
        while seen < rank:
            lower = next(edges)
            seen += histogram[lower]
        found.append(lower + bucket_width_ns(lower) - 1)
    return found


def histogram_mean_ns(histogram: Mapping[int, int]) -> float:
    """Mean of the samples, each taken at the middle of its bucket, in ns.

    histogram: as for `percentile_ns`. At most half a bucket width (1/128) off.
    Raises EmptyHistogram when the counts sum to 0.
    """
    total = sum(histogram.values())
    if total <= 0:
        raise EmptyHistogram("no samples: the mean of nothing was asked for")
    middle = ((lower + (bucket_width_ns(lower) - 1) / 2, n) for lower, n in histogram.items())
    return sum(value * n for value, n in middle) / total


def merge_histograms(histograms: Iterable[Mapping[int, int]]) -> dict[int, int]:
    """The samples of all histograms in one, sorted by lower edge."""
    merged: dict[int, int] = {}
    for histogram in histograms:
        for lower, count in histogram.items():
            merged[lower] = merged.get(lower, 0) + count
    return dict(sorted(merged.items()))


@dataclass(frozen=True, slots=True)
class Summary:
    """What several rounds say about one quantity.

    stddev: the sample standard deviation, divisor n - 1.  dev_pct: 2.5 stddev / |mean| in percent,
    the `~ N%` of the tables.  ci95: Student-t interval of the mean.
    The last three are None with one round; dev_pct also when the mean is 0.
    """

    n: int
    mean: float
    median: float
    stddev: float | None
    dev_pct: float | None
    ci95: tuple[float, float] | None

    def relative_to(self, unit: float) -> "Summary":
        """The summary of the same rounds with every value divided by unit > 0."""
        return Summary(
            self.n,
            self.mean / unit,
            self.median / unit,
            None if self.stddev is None else self.stddev / unit,
            self.dev_pct,
            None if self.ci95 is None else (self.ci95[0] / unit, self.ci95[1] / unit),
        )


def summarize(values: Sequence[float]) -> Summary:
    """Mean, median, spread and interval of the rounds' values, at least one.

    Source of dev_pct: the 2016 experiment printed 2.5 standard deviations over the mean.
    """
    mean = statistics.fmean(values)
    median = statistics.median(values)
    n = len(values)
    if n < 2:
        return Summary(n, mean, median, None, None, None)
    stddev = statistics.stdev(values)
    half = student_t_quantile(0.975, n - 1) * stddev / math.sqrt(n)
    dev_pct = 250.0 * stddev / abs(mean) if mean else None
    return Summary(n, mean, median, stddev, dev_pct, (mean - half, mean + half))


def student_t_cdf(t: float, df: int) -> float:
    """P(T <= t) of Student's t with df >= 1 degrees of freedom.

    Source: the finite sums of Abramowitz and Stegun, 26.7.3 and 26.7.4; exact for whole df.
    """
    theta = math.atan2(t, math.sqrt(df))
    cos2 = df / (df + t * t)
    if df % 2:
        term, total = math.cos(theta), 0.0
        for k in range(1, (df + 1) // 2):
            total += term
            term *= cos2 * (2 * k) / (2 * k + 1)
        inside = 2 / math.pi * (theta + math.sin(theta) * total)
    else:
        term, total = 1.0, 0.0
        for k in range(1, df // 2 + 1):
            total += term
            term *= cos2 * (2 * k - 1) / (2 * k)
        inside = math.sin(theta) * total
    return 0.5 + inside / 2


@cache
def student_t_quantile(p: float, df: int) -> float:
    """The t with P(T <= t) = p, for p in (0, 1) and df >= 1.

    By bisection of `student_t_cdf`, whose sums grow with df; from MANY_DF on by the expansion
    around the normal quantile, which is right to seven digits there.
    Source: Abramowitz and Stegun, 26.7.5.
    """
    if df >= MANY_DF:
        return _expanded_t_quantile(statistics.NormalDist().inv_cdf(p), df)
    low, high = -1.0, 1.0
    while student_t_cdf(low, df) > p:
        low *= 2
    while student_t_cdf(high, df) < p:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        if student_t_cdf(middle, df) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _expanded_t_quantile(z: float, df: int) -> float:
    g1 = (z**3 + z) / 4
    g2 = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    g3 = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    g4 = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + g1 / df + g2 / df**2 + g3 / df**3 + g4 / df**4
