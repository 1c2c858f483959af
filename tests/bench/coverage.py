"""How often verdicts are right, in simulation: the project's own functions on made-up rounds.

Not a test: `python tests/bench/coverage.py` prints the tables of docs/numbers.md, in half a minute.

What varies is a model of what was measured: two rows on one machine whose speed drifts from round
to round by 20% (both together), rounds of a row by 6.5% (processes differ), and, with two modes,
each worker draws one of two speeds when it starts, one 1.3 times the other in a fifth of cases.
"""

import argparse
import math
import random
from collections.abc import Callable

from pybench.analysis.ratio import (
    Estimate,
    estimate_of_logs,
    paired_ratio,
    ratio_to_sessions,
    unpaired_ratio,
)
from pybench.analysis.stats import summarize
from pybench.analysis.verdict import LOOKS, decide, decide_family, demand

DRIFT = 0.20
SCATTER = 0.065
MODES = (1.3, 0.2)
"""The faster speed in parts of the slower one, and how often it is drawn."""

ROUNDS = (5, 6, 8, 11, 15, 20)


def one_mode(rng: random.Random) -> float:
    """The logarithm of a worker's speed."""
    return rng.gauss(0, SCATTER)


def two_modes(rng: random.Random) -> float:
    factor, share = MODES
    return rng.gauss(0, SCATTER) + (math.log(factor) if rng.random() < share else 0.0)


Draw = Callable[[random.Random], float]


def pairs(
    rng: random.Random, draw: Draw, rounds: int, draw_base: Draw | None = None
) -> tuple[list[float], list[float]]:
    """NEW and BASE, equal rows unless told: each round has its drift and two fresh workers."""
    drifts = [rng.gauss(0, DRIFT) for _ in range(rounds)]
    new, base = ([math.exp(d + one(rng)) for d in drifts] for one in (draw, draw_base or draw))
    return new, base


def holds(found: Estimate, truth: float = 1.0) -> bool:
    """Whether the interval has the true ratio in it."""
    return found.low <= truth <= found.high


def print_coverage(rng: random.Random, tries: int) -> None:
    """Of the interval of a ratio, and of the mean of one row, beside the 95% that they promise."""
    print(f"share of 95% intervals that hold the truth, {tries} tries each")
    print("| rounds | ratio, one mode | both rows of two modes | one of them | mean of two modes |")
    print("|---|---|---|---|---|")
    factor, share = MODES
    truth = factor**share  # the geometric mean of a row of two modes in parts of the slower one
    for rounds in ROUNDS:
        ratios = [
            sum(holds(paired_ratio(*pairs(rng, new, rounds, base)), t) for _ in range(tries))
            / tries
            for new, base, t in (
                (one_mode, one_mode, 1.0),
                (two_modes, two_modes, 1.0),
                (two_modes, one_mode, truth),
            )
        ]
        alone = sum(_mean_covered(rng, rounds) for _ in range(tries)) / tries
        print(f"| {rounds} | {' | '.join(f'{share:.3f}' for share in (*ratios, alone))} |")


def _mean_covered(rng: random.Random, rounds: int) -> bool:
    factor, share = MODES
    truth = math.exp(SCATTER**2 / 2) * (1 + share * (factor - 1))
    found = summarize([math.exp(two_modes(rng)) for _ in range(rounds)]).ci95
    return found is not None and found[0] <= truth <= found[1]


def print_stopping(rng: random.Random, tries: int, precision: float = 0.03) -> None:
    """A race that stops at the first look at which its half width is small enough."""
    print(f"\nstopped at the first look with a half width of {100 * precision:g}%, {tries} tries")
    print(
        "| scatter | stopped early | truth in the interval | called different | if looks are paid |"
    )
    print("|---|---|---|---|---|")
    for scatter in (0.02, 0.04, 0.065):
        early = held = different = paid = 0
        for _ in range(tries):
            logs = [rng.gauss(0, scatter) for _ in range(LOOKS[-1])]
            looks = (estimate_of_logs(logs[:n]) for n in LOOKS)
            found = next((e for e in looks if e.half_width <= precision), estimate_of_logs(logs))
            early += found.rounds < LOOKS[-1]
            held += holds(found)
            different += decide(found).differs
            paid += decide(found, looks=len(LOOKS)).differs
        shares = [n / tries for n in (early, held, different, paid)]
        print(f"| {scatter:g} | {' | '.join(f'{100 * share:.1f}%' for share in shares)} |")


def print_families(rng: random.Random, tries: int, cells: int = 90) -> None:
    """False verdicts of a campaign of equal rows, with and without Holm."""
    print(f"\ncampaigns of {cells} comparisons of equal rows, 6 rounds, {tries} tries")
    print("| judged | false verdicts a campaign | campaigns with any |")
    print("|---|---|---|")
    alone, together = [], []
    for _ in range(tries):
        members = [paired_ratio(*pairs(rng, one_mode, 6)) for _ in range(cells)]
        alone.append(sum(decide(m).differs for m in members))
        together.append(sum(v.differs for v in decide_family([(m, (), ()) for m in members])))
    for name, found in (("each by itself", alone), ("as one family", together)):
        some = sum(n > 0 for n in found) / tries
        print(f"| {name} | {sum(found) / tries:.2f} | {100 * some:.0f}% |")


def print_drifts(rng: random.Random, tries: int) -> None:
    """Separate campaigns of equal rows: what an interval of their rounds would have said."""
    print(f"\ntwo or six separate campaigns of equal rows, 8 rounds each, {tries} tries")
    print("| drift between campaigns | called different by rounds | below 0.95 by rounds"
          " | called different by 3 campaigns a side |")  # fmt: skip
    print("|---|---|---|---|")
    for drift in (0.05, 0.10, 0.20):
        different = below = sessions = 0
        for _ in range(tries):
            new, base = (_campaign(rng, drift) for _ in range(2))
            found = unpaired_ratio(new, base)
            different += not holds(found)
            below += demand(found, at_least=0.95).outcome == "broken"
            sides = [[_middle(_campaign(rng, drift)) for _ in range(3)] for _ in range(2)]
            sessions += decide(unpaired_ratio(*sides)).differs
        shares = [f"{100 * n / tries:.0f}%" for n in (different, below, sessions)]
        print(f"| {100 * drift:.0f}% | {' | '.join(shares)} |")


def _campaign(rng: random.Random, drift: float) -> list[float]:
    """Eight rounds of a quiet hour, which lies beside others by the drift."""
    hour = rng.gauss(0, drift)
    return [math.exp(hour + rng.gauss(0, SCATTER)) for _ in range(8)]


def _middle(speeds: list[float]) -> float:
    return math.exp(sum(map(math.log, speeds)) / len(speeds))


def print_looks(rng: random.Random, tries: int) -> None:
    """A demand of exactly the truth, asked again at every look while rounds are added."""
    print(f"\na demand that is just met, asked at {len(LOOKS)} looks, {tries} tries")
    print("| interval of each look | answered wrongly at any look |")
    print("|---|---|")
    for name, looks in (("95%", 1), (f"Pocock's for {len(LOOKS)}", len(LOOKS))):
        wrong = 0
        for _ in range(tries):
            new, base = pairs(rng, one_mode, LOOKS[-1])
            wrong += any(
                demand(paired_ratio(new[:n], base[:n]), at_least=1.0, looks=looks).outcome
                != "undecided"
                for n in LOOKS
            )
        print(f"| {name} | {100 * wrong / tries:.1f}% |")


def print_power(rng: random.Random, tries: int) -> None:
    """How often a row that is slower by 5% is called slower, by scatter of pairs and rounds."""
    print(f"\na row that is slower by 5%, scatter of ln(ratio) between pairs, {tries} tries")
    rounds = (6, 11, 20, 36)
    print(f"| scatter | {' | '.join(f'{n} rounds' for n in rounds)} |")
    print(f"|---|{'---|' * len(rounds)}")
    for scatter in (0.02, 0.04, 0.065):
        shares = []
        for n in rounds:
            found = [decide(estimate_of_logs(_slower(rng, scatter, n))).kind for _ in range(tries)]
            shares.append(f"{100 * found.count('slower') / tries:.0f}%")
        print(f"| {scatter:g} | {' | '.join(shares)} |")


def _slower(rng: random.Random, scatter: float, rounds: int) -> list[float]:
    return [rng.gauss(math.log(0.95), scatter) for _ in range(rounds)]


def print_sessions(rng: random.Random, tries: int) -> None:
    """An unchanged ratio against baselines: the last session alone, and several of them."""
    print(f"\nan unchanged ratio against a baseline, 8 rounds a session, {tries} tries: share of"
          " intervals that hold the truth, and called below 0.95")  # fmt: skip
    counts = (3, 5, 8)
    ways = ["the last session", *(f"{n} sessions" for n in counts)]
    print(f"| ratios move between sessions by | {' | '.join(ways)} |")
    print(f"|---|{'---|' * len(ways)}")
    for drift in (0.0, 0.02, 0.05):
        held = [0] * len(ways)
        below = [0] * len(ways)
        for _ in range(tries):
            new, *past = (_campaign(rng, drift) for _ in range(1 + counts[-1]))
            found = [
                unpaired_ratio(new, past[0]),
                *(ratio_to_sessions(new, past[:n]) for n in counts),
            ]
            for way, one in enumerate(found):
                held[way] += holds(one)
                below[way] += demand(one, at_least=0.95).outcome == "broken"
        shares = [
            f"{h / tries:.3f}, {100 * b / tries:.1f}%" for h, b in zip(held, below, strict=True)
        ]
        print(f"| {100 * drift:.0f}% | {' | '.join(shares)} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description="coverage of intervals and rates of false verdicts"
    )
    parser.add_argument("--tries", type=int, default=4000)
    parser.add_argument("--seed", default="coverage")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    print_coverage(rng, options.tries)
    print_stopping(rng, options.tries)
    print_families(rng, max(1, options.tries // 20))
    print_drifts(rng, options.tries)
    print_looks(rng, options.tries)
    print_power(rng, max(1, options.tries // 4))
    print_sessions(rng, options.tries)


if __name__ == "__main__":
    main()
