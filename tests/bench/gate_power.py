"""How often the pytest gate is right on this machine, and how long it takes.

    python tests/bench/gate_power.py [example] [unchanged] [slowed] [corrupt] [--runs 10]

    example    the demand of docs/gate.md: how long until it is decided, with the budget of 15 s
    unchanged  a row against itself, which is to pass
    slowed     a row of which every message takes 15% and 5% more CPU time, which is to fail
    corrupt    rows that echo wrong bytes on one connection and on all, which are to fail

Without a word all of them. `unchanged` and `slowed` share a demand, --at-least (0.97), and a
budget, --budget (60s): whoever wants to see 5% needs an interval that is narrower than that. At the
defaults it takes up to half an hour; `--runs 1 --budget 10s` is a look.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from slowed import PLAIN, SLOWED, SLOWED_STEPS, steps_for

from pybench.errors import Inconclusive, PybenchError
from pybench.gate.ratio import ratio

BAD = Path(__file__).parents[1] / "support" / "badbackends.py"


def main() -> int:
    """Print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=[*EXPERIMENTS, []], help="which of them")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--at-least", type=float, default=0.97)
    parser.add_argument("--conns", type=int, default=100)
    parser.add_argument("--only", help="of `slowed` these percents, with commas between")
    args = parser.parse_args()
    print(f"{'':34}{'passed':>7}{'failed':>7}{'unclear':>8}  seconds  ratios", flush=True)
    for name in args.what or EXPERIMENTS:
        EXPERIMENTS[name](args)
    return 0


def example(args: argparse.Namespace) -> None:
    repeat(args, "uvloop_proto / asyncio_proto", "uvloop_proto", "asyncio_proto", 1.2)


def unchanged(args: argparse.Namespace) -> None:
    same = PLAIN.replace("plain=", "same=")
    repeat(args, "unchanged", same, PLAIN, args.at_least, budget=args.budget)


def slowed(args: argparse.Namespace) -> None:
    percents = [p for p in (15, 5) if args.only is None or str(p) in args.only.split(",")]
    for percent, steps in zip(percents, steps_for(percents, args.conns), strict=True):
        os.environ[SLOWED_STEPS] = str(steps)
        what = f"slowed by {percent}% ({steps} steps)"
        repeat(args, what, SLOWED, PLAIN, args.at_least, budget=args.budget)


def corrupt(args: argparse.Namespace) -> None:
    for how in ("corrupts_one", "corrupts_all"):
        row = f"{how}={BAD}:{how}"
        repeat(args, how.replace("_", " "), row, "selector", 0.01)


def repeat(
    args: argparse.Namespace, what: str, new: str, base: str, at_least: float, **options: Any
) -> None:
    """Demand it again and again; print how that came out."""
    outcomes: Counter[str] = Counter()
    took, values = [], []
    for _ in range(args.runs):
        begun = time.monotonic()
        outcome, value = once(new, base, args.conns, at_least, options)
        took.append(time.monotonic() - begun)
        outcomes[outcome] += 1
        values.append(value)
    counts = "".join(
        f"{outcomes[o]:{w}}" for o, w in (("passed", 7), ("failed", 7), ("unclear", 8))
    )
    print(f"{what:34}{counts}  {min(took):3.0f}-{max(took):<3.0f}  {' '.join(values)}", flush=True)


def once(
    new: str, base: str, conns: int, at_least: float, options: dict[str, Any]
) -> tuple[str, str]:
    """The outcome of one demand as a test has it, and the ratio."""
    try:
        found = ratio(new, base, conns, **options)
    except PybenchError as exc:  # a failed round fails the test
        return "failed", str(exc).partition("\n")[0].rpartition(": ")[2]
    try:
        found.require(at_least=at_least)
    except AssertionError:
        return "failed", f"{found.value:.3f}"
    except Inconclusive:
        return "unclear", f"{found.value:.3f}"
    return "passed", f"{found.value:.3f}"


EXPERIMENTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "example": example,
    "unchanged": unchanged,
    "slowed": slowed,
    "corrupt": corrupt,
}

if __name__ == "__main__":
    sys.exit(main())
