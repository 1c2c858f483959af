"""How many times as much: ratios of positive figures, each with its interval.

The estimand is the geometric mean of ratios: half and double cancel, and the ratio of A to B is the
inverse of that of B to A. Everything is computed on logarithms:
  - inside a round of turns: the median over blocks of log(NEW / BASE), so that a block which others
    disturbed counts for one and no more;
  - over rounds, of fresh processes each: the mean of those, with Student's t. Rounds are the level
    that is replicated, because two processes of one row differ more than their turns do.
    Source: T. Kalibera and R. Jones, "Rigorous Benchmarking in Reasonable Time", ISMM 2013.
Rounds that share their hour are pairs. Without pairs it is Welch's t, which sees what varied inside
each side, and nothing of what lay between them; several earlier sessions show that too
(`ratio_to_sessions`). Neither prints nor reads clocks.
"""

import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pybench.analysis.stats import student_t_cdf, student_t_quantile

CONFIDENCE: Final = 0.95

_FAR: Final = 700.0
"""No exponential is taken of more: of two rounds, in a large family, an interval has no end."""

Share = tuple[float, float]
"""Amount and what it is per: messages and ns; CPU ns and messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """NEW / BASE, and how well it is known.

    low, high: interval of that confidence; 0 and inf where that end is open.  rounds: of the side
    that has fewer.  paired: by round.  error: standard error of log(value).  df: of Student's t; 0
    for a single round, which has no interval.  slack: what the interval was widened by at both
    ends, on the log scale, for what the rounds cannot see.  level: what there are so many of, and
    would be more of: `round`, `machine` or `session`.
    """

    value: float
    low: float
    high: float
    rounds: int
    paired: bool
    error: float
    df: int
    confidence: float = CONFIDENCE
    slack: float = 0.0
    level: str = "round"

    @property
    def log(self) -> float:
        """The logarithm of the value."""
        return math.log(self.value)

    @property
    def half_width(self) -> float:
        """Half of the interval as a share of the value: 0.03 is `within 3%`; inf when open.

        The larger half is meant: exp() of the half on the log scale, less 1.
        """
        if self.low <= 0 or math.isinf(self.high):
            return math.inf
        return math.sqrt(self.high / self.low) - 1

    def at(self, confidence: float) -> "Estimate":
        """The same figures with an interval of another confidence; open ends stay open."""
        low, high = _interval(self.log, self.error, self.df, confidence, self.slack)
        return dataclasses.replace(
            self,
            low=0.0 if self.low <= 0 else low,
            high=math.inf if math.isinf(self.high) else high,
            confidence=confidence,
        )

    def opened(self, *, low: bool = False, high: bool = False) -> "Estimate":
        """With these ends open: a side's figure is only a bound of what the row can do."""
        return dataclasses.replace(
            self, low=0.0 if low else self.low, high=math.inf if high else self.high
        )

    def widened(self, share: float) -> "Estimate":
        """With room for what moved one side by up to that share, in [0, 1), and not the rounds."""
        slack = -math.log(1 - min(share, 0.99))
        return dataclasses.replace(
            self,
            low=self.low * math.exp(-slack),
            high=self.high * math.exp(slack),
            slack=self.slack + slack,
        )

    def scaled(self, factor: float) -> "Estimate":
        """With value and interval times a factor > 0 that is known exactly."""
        return dataclasses.replace(
            self, value=self.value * factor, low=self.low * factor, high=self.high * factor
        )

    def inverse(self) -> "Estimate":
        """BASE / NEW."""
        return dataclasses.replace(
            self,
            value=1 / self.value,
            low=0.0 if math.isinf(self.high) else 1 / self.high,
            high=math.inf if self.low <= 0 else 1 / self.low,
        )

    def p_value(self, ratio: float = 1.0) -> float:
        """Two-sided p of the hypothesis that the true ratio is this one; 1 for a single round."""
        distance = max(0.0, abs(self.log - math.log(ratio)) - self.slack)
        if self.df < 1:
            return 1.0
        if self.error == 0:
            return 0.0 if distance > 0 else 1.0
        return 2 * (1 - student_t_cdf(distance / self.error, self.df))


def estimate_of_logs(
    logs: Sequence[float], confidence: float = CONFIDENCE, *, paired: bool = True
) -> Estimate:
    """From one log(NEW / BASE) a round, at least one."""
    rounds = len(logs)
    error = statistics.stdev(logs) / math.sqrt(rounds) if rounds > 1 else 0.0
    return estimate_from(statistics.fmean(logs), error, rounds - 1, rounds, paired, confidence)


def paired_ratio(
    new: Sequence[float], base: Sequence[float], confidence: float = CONFIDENCE
) -> Estimate:
    """From positive values of which those at one index were measured in one round."""
    logs = [math.log(n) - math.log(b) for n, b in zip(new, base, strict=True)]
    return estimate_of_logs(logs, confidence)


def unpaired_ratio(
    new: Sequence[float], base: Sequence[float], confidence: float = CONFIDENCE
) -> Estimate:
    """From positive values that have nothing in common: Welch's t, df rounded down to be wide."""
    logs_new, logs_base = [math.log(v) for v in new], [math.log(v) for v in base]
    centre = statistics.fmean(logs_new) - statistics.fmean(logs_base)
    rounds = min(len(new), len(base))
    if rounds < 2:
        return estimate_from(centre, 0.0, 0, rounds, False, confidence)
    part_new = statistics.variance(logs_new) / len(new)
    part_base = statistics.variance(logs_base) / len(base)
    df = _welch_df(part_new, len(new), part_base, len(base))
    return estimate_from(centre, math.sqrt(part_new + part_base), df, rounds, False, confidence)


def ratio_to_sessions(
    new: Sequence[float], sessions: Sequence[Sequence[float]], confidence: float = CONFIDENCE
) -> Estimate:
    """One session's positive values against those of several earlier ones, two or more.

    Each session is one value, the mean of its logarithms: sessions differ by what none of their
    rounds shows. The new one is as far from their mean as any of them might be, which is the
    interval of a prediction. Where its own few rounds scatter by more, they count instead.
    """
    means = [statistics.fmean(map(math.log, values)) for values in sessions]
    logs = [math.log(value) for value in new]
    count, between = len(means), statistics.variance(means)
    own = statistics.variance(logs) / len(logs) if len(logs) > 1 else 0.0
    df = count - 1
    if own > between:
        df = _welch_df(own, len(logs), between / count, count)
    centre = statistics.fmean(logs) - statistics.fmean(means)
    error = math.sqrt(between / count + max(between, own))
    found = estimate_from(centre, error, df, count, False, confidence)
    return dataclasses.replace(found, level="session")


def estimate_from(
    centre: float, error: float, df: int, rounds: int, paired: bool, confidence: float
) -> Estimate:
    """From the logarithm of the ratio, its standard error, and the degrees of freedom of that."""
    low, high = _interval(centre, error, df, confidence)
    return Estimate(
        value=math.exp(centre),
        low=low,
        high=high,
        rounds=rounds,
        paired=paired,
        error=error,
        df=df,
        confidence=confidence,
    )


def _interval(
    centre: float, error: float, df: int, confidence: float, slack: float = 0.0
) -> tuple[float, float]:
    if df < 1:
        return 0.0, math.inf
    half = student_t_quantile(1 - (1 - confidence) / 2, df) * error + slack
    return math.exp(centre - half), math.exp(centre + half) if centre + half < _FAR else math.inf


def _welch_df(part_a: float, n_a: int, part_b: float, n_b: int) -> int:
    """Welch-Satterthwaite degrees of freedom, rounded down; part: variance / n of each side."""
    denominator = part_a**2 / (n_a - 1) + part_b**2 / (n_b - 1)
    if denominator == 0:
        return min(n_a, n_b) - 1
    df = (part_a + part_b) ** 2 / denominator
    return max(1, math.floor(df + 1e-9))  # 3.9999999 of rounding is 4


def add_up(turns: Iterable[Share]) -> Share:
    """One side's turns of a block together: a turn without a message has no logarithm."""
    amounts, pers = 0.0, 0.0
    for amount, per in turns:
        amounts += amount
        pers += per
    return amounts, pers


def round_log_ratio(new: Sequence[Share], base: Sequence[Share]) -> float | None:
    """log(NEW / BASE) of a round: the median over its blocks.

    new, base: what each side did in each block, its turns added up; equally many.
    A block in which one side did nothing stands at the end of the order, as it should in a median;
    one in which neither did says nothing. Where half of the blocks are like that the whole round is
    added up. None when that has no ratio either.
    """
    found = [d for n, b in zip(new, base, strict=True) if (d := _log_of_block(n, b)) is not None]
    middle = statistics.median(found) if found else math.nan
    if math.isfinite(middle):
        return middle
    whole = _log_of_block(add_up(new), add_up(base))
    return whole if whole is not None and math.isfinite(whole) else None


def _log_of_block(new: Share, base: Share) -> float | None:
    above, below = new[0] * base[1], new[1] * base[0]
    if above <= 0 and below <= 0:
        return None
    if above <= 0:
        return -math.inf
    return math.inf if below <= 0 else math.log(above / below)
