"""How long connecting takes, and whether it grows with the number of connections alone.

    python tests/bench/connect.py [--conns 10k,15k,19900,60k] [--rounds 5] [--engine epoll,uring]

A short run of `c_uring` (or --row) for each count in each round: the median of the connect times,
and whether all connections were there to the end. Ends with status 1 when a target is missed:
60,000 in at most 6.5 times the time of 10,000, 15,000 in less than 1.7 times. Counts beyond the
limit of open files take a row that has tables of descriptors of its own, and the load server as
many threads as it takes. For 30,000 threads (`--row c_th --conns 30k`) kernel.pid_max is raised
while this runs, where it may be.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from pybench.spec.parse import counts

TARGETS = {(15_000, 10_000): 1.7, (60_000, 10_000): 6.5}
PID_MAX_FILE, PID_MAX = Path("/proc/sys/kernel/pid_max"), 4_194_304
ROUND_S = 300.0


@contextlib.contextmanager
def many_ids() -> Iterator[None]:
    """As many thread ids as Linux can have, where root runs this; preflight says it elsewhere."""
    before = PID_MAX_FILE.read_text()
    with contextlib.suppress(OSError):
        PID_MAX_FILE.write_text(str(PID_MAX))
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            PID_MAX_FILE.write_text(before)


def connect_s(row: str, conns: int, engine: str) -> tuple[float, int, int]:
    """Seconds to connect, ping threads and lost connections of one round."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, "results.jsonl")
        command = [sys.executable, "-m", "pybench", "--func", row, "--conns", str(conns)]
        command += ["--engine", engine, "--runtime", "3s", "--warmup", "0"]
        done = subprocess.run(
            [*command, "--output", str(results)], capture_output=True, text=True, timeout=ROUND_S
        )
        if not results.exists():
            sys.exit(done.stderr)
        result = json.loads(results.read_text().splitlines()[-1])
    if result["status"] != "ok":
        sys.exit(f"{row} x {conns}: {result['status']}: {result['error']}")
    return result["server"]["connect_s"], result["server"]["threads"], result["per_conn"]["lost"]


def describe(engine: str, row: str, conns: int, taken: list[tuple[float, int, int]]) -> str:
    """A line of the table: of all rounds of one count."""
    median = statistics.median(seconds for seconds, _, _ in taken)
    return (
        f"{engine:6} {row:8} {conns:6} connections up in {median:6.3f} s"
        f" ({min(taken)[0]:.3f} to {max(taken)[0]:.3f}), {median / conns * 1e6:4.0f} us each,"
        f" {taken[0][1]} ping threads, {sum(lost for _, _, lost in taken)} lost"
    )


def compare(engine: str, row: str, asked: Sequence[int], rounds: int) -> bool:
    """Prints the engine's lines. Whether every target is met, by the median of the rounds' ratios:
    a slow minute of the machine hits all counts of a round."""
    taken: dict[int, list[tuple[float, int, int]]] = {conns: [] for conns in asked}
    for _ in range(rounds):
        for conns in asked:
            taken[conns].append(connect_s(row, conns, engine))
    for conns in asked:
        print(describe(engine, row, conns, taken[conns]), flush=True)
    met = True
    for (many, few), most in TARGETS.items():
        if many in taken and few in taken:
            pairs = zip(taken[many], taken[few], strict=True)
            ratio = statistics.median(long[0] / short[0] for long, short in pairs)
            met = met and ratio <= most
            print(f"{engine:6} {many} : {few}  {ratio:.2f}x, target at most {most}", flush=True)
    return met


def main() -> int:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conns", default="10k,15k,19900,60k")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engine", default="epoll,uring")
    parser.add_argument("--row", default="c_uring")
    args = parser.parse_args()
    asked = counts(1, 1_000_000)(args.conns)
    with many_ids():
        met = [compare(one, args.row, asked, args.rounds) for one in args.engine.split(",")]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
