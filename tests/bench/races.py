"""What races are worth on this machine: how often they are wrong, how narrow they are, what they
find.

    python tests/bench/races.py [same] [rows] [slowed] [turns] [--races 20] [--budget 60s]

    same     rows against themselves: how often one is called different, and the interval's half
    rows     rows against c_epoll, beside continuous rounds of both in the same time: how narrow
             either is, and whether they agree; at each of --conns
    slowed   a row against itself slowed by 5% and by 2% on purpose: how often that is found
    turns    how much of a heat's time passes in windows, eight rows alive

Without a word all of them. It takes hours at the defaults: `--races 1 --budget 10s` is a look.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slowed import PLAIN, SLOWED, SLOWED_STEPS, steps_for

from pybench.analysis.race import log_ratio
from pybench.analysis.ratio import Estimate, estimate_of_logs, paired_ratio
from pybench.analysis.verdict import METRICS
from pybench.result.file import read_sections

SAME = ("c_epoll", "selector", "uvloop_proto", "asyncio", "asyncio_proto")
ROWS = ("selector", "uvloop_proto", "asyncio", "gevent", "thread")
EIGHT = (*SAME, "raw_selector", "uvloop", "gevent")
SLOWED_BY = ((5, "3%"), (2, "1%"))
"""In percent of a message's CPU time, and the margin: within a larger one it is rightly equal."""


def main() -> int:
    """Race, and print a table for each word."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", choices=[*TABLES, []], help="which tables")
    parser.add_argument("--races", type=int, default=20)
    parser.add_argument("--budget", default="60s")
    parser.add_argument("--conns", default="100")
    parser.add_argument(
        "--busy",
        type=float,
        default=0.0,
        help="another process takes that share of a CPU meanwhile",
    )
    parser.add_argument(
        "--only", help="these rows, or of `slowed` these percents, with commas between"
    )
    args = parser.parse_args()
    with neighbour(args.busy):
        for name in args.what or TABLES:
            TABLES[name](args)
    return 0


@contextmanager
def neighbour(share: float) -> Iterator[None]:
    """A process that is busy for so much of each tenth of a second, on whatever CPU it is given."""
    if not share:
        yield
        return
    loop = f"""if True:
        import time
        while True:
            end = time.monotonic() + {0.1 * share}
            while time.monotonic() < end:
                pass
            time.sleep({0.1 * (1 - share)})
    """
    with subprocess.Popen([sys.executable, "-c", loop]) as process:
        try:
            yield
        finally:
            process.terminate()


def asked_for(args: argparse.Namespace, usual: Sequence[str]) -> Sequence[str]:
    """The rows of a table."""
    return usual if args.only is None else args.only.split(",")


def race(
    args: argparse.Namespace,
    *rows: str,
    env: dict[str, str] | None = None,
    more: Sequence[str] = (),
) -> Any:
    """One race: the record of its number of connections, as `--format json` has it."""
    command = [sys.executable, "-m", "pybench", "race", *rows, "--conns", args.conns]
    done = subprocess.run(
        [*command, "--budget", args.budget, "--format", "json", *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(env or {})},
        check=False,
    )
    return json.loads(done.stdout)["counts"][0]


def pair(args: argparse.Namespace, base: str, new: str, **more: Any) -> dict[str, Any]:
    """One race of two: what it says of the second."""
    contenders = race(args, base, new, **more)["contenders"]
    found: dict[str, Any] = next(one for one in contenders if one["verdict"] is not None)
    return found


def half_width(one: dict[str, Any]) -> float:
    """Half of its interval in percent of the ratio; NaN where an end is open."""
    low, high = one["ci95_low"], one["ci95_high"]
    return 100 * (math.sqrt(high / low) - 1) if low and high else math.nan


def same(args: argparse.Namespace) -> None:
    print(f"{'row against itself':20} {'verdicts':44} half width %  rounds (medians)")
    wrong = 0
    tried = asked_for(args, SAME)
    for row in tried:
        found = [pair(args, row, row) for _ in range(args.races)]
        kinds = Counter(one["verdict"] for one in found)
        wrong += kinds["faster"] + kinds["slower"]
        said = " ".join(f"{kind} {count}" for kind, count in kinds.most_common())
        half = statistics.median(map(half_width, found))
        rounds = statistics.median(one["rounds"] for one in found)
        print(f"{row:20} {said:44} {half:12.1f}  {rounds:.0f}", flush=True)
    print(f"called different: {wrong} of {args.races * len(tried)}\n")


def rows(args: argparse.Namespace) -> None:
    head = f"{'race':40} {'continuous rounds in that time':40}"
    print(f"{'row / c_epoll':16} {'conns':>5}  {head} race / continuous")
    for conns in args.conns.split(","):
        for row in asked_for(args, ROWS):
            asked = argparse.Namespace(**{**vars(args), "conns": conns})
            begun = time.monotonic()
            raced = estimate_of_logs(raced_logs(asked, row))
            alone = continuous(asked, row, time.monotonic() - begun)
            between = raced.value / alone.value
            apart = math.hypot(*(math.log(one.high / one.low) / 2 for one in (raced, alone)))
            agree = "agree" if abs(math.log(between)) <= apart else "DIFFER"
            print(
                f"{row:16} {conns:>5}  {told(raced):40} {told(alone):40} {between:.3f} {agree}",
                flush=True,
            )
    print()


def told(one: Estimate) -> str:
    return (
        f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f}) +- {100 * one.half_width:.1f}%,"
        f" {one.rounds} rounds"
    )


def raced_logs(args: argparse.Namespace, row: str) -> list[float]:
    """ln(row / c_epoll) of each round of a race, whatever stamps make of the interval's ends."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "x.jsonl"
        race(args, "c_epoll", row, more=["--output", str(output)])
        (section,) = read_sections(output)
    new, base = (
        [r for r in section.results if r.func == func and r.ok] for func in (row, "c_epoll")
    )
    of_round = {r.round: r for r in base}
    logs = [log_ratio(r, of_round[r.round], METRICS["mps"]) for r in new if r.round in of_round]
    return [one for one in logs if one is not None]


def continuous(args: argparse.Namespace, row: str, time_s: float) -> Estimate:
    """The same ratio from rounds of 0.8 s, as many as there is time for at 1.3 s each."""
    rounds = max(2, round(time_s / 2.6))
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "x.jsonl"
        command = [sys.executable, "-m", "pybench", "--func", f"c_epoll,{row}"]
        command += ["--conns", args.conns, "--rounds", str(rounds), "--runtime", "800ms"]
        command += ["--warmup", "100ms", "--output", str(output)]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command, check=False, **quiet)
        (section,) = read_sections(output)
    speeds = {(r.func, r.round): r.mps for r in section.results if r.ok}
    both = [n for n in range(1, rounds + 1) if {("c_epoll", n), (row, n)} <= speeds.keys()]
    return paired_ratio([speeds[row, n] for n in both], [speeds["c_epoll", n] for n in both])


def slowed(args: argparse.Namespace) -> None:
    asked = (
        [str(percent) for percent, _ in SLOWED_BY] if args.only is None else args.only.split(",")
    )
    planted = [(percent, margin) for percent, margin in SLOWED_BY if str(percent) in asked]
    steps = steps_for([percent for percent, _ in planted], args.conns)
    print("selector with an idle loop in its callback, CPU time of a message grown by ...")
    for (percent, margin), count in zip(planted, steps, strict=True):
        more = ["--margin", margin, "--precision", margin]
        env = {SLOWED_STEPS: str(count)}
        found = [pair(args, PLAIN, SLOWED, env=env, more=more) for _ in range(args.races)]
        kinds = Counter(one["verdict"] for one in found)
        ratio = statistics.median(one["ratio"] for one in found)
        half = statistics.median(map(half_width, found))
        print(
            f"{percent}% ({count} steps), margin {margin}: called slower in {kinds['slower']} of"
            f" {args.races}; ratio {ratio:.3f} +- {half:.1f}% {dict(kinds)}",
            flush=True,
        )
    print()


def turns(args: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "x.jsonl"
        command = [sys.executable, "-m", "pybench", "race", *EIGHT, "--conns", args.conns]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        command += ["--budget", args.budget, "--output", str(output)]
        subprocess.run(command, check=False, **quiet)
        (section,) = read_sections(output)
    heats: dict[int, tuple[float, float]] = {}
    windows: Counter[int] = Counter()
    for result in section.results:
        if result.turns is not None:
            heats[result.round] = (result.turns.start_s, result.turns.turns_s)
            windows[result.round] += sum(turn.window_ns for turn in result.turns.each)
    window_s = sum(windows.values()) / 1e9
    start_s, turns_s = (sum(times) for times in zip(*heats.values(), strict=True))
    print(
        f"{len(EIGHT)} rows: {100 * window_s / turns_s:.0f}% of the time of turns passed in"
        f" windows, {100 * window_s / (start_s + turns_s):.0f}% with the starts of"
        f" {len(heats)} rounds\n"
    )


TABLES: dict[str, Callable[[argparse.Namespace], None]] = {
    "same": same,
    "rows": rows,
    "slowed": slowed,
    "turns": turns,
}

if __name__ == "__main__":
    sys.exit(main())
