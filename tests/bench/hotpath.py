"""What a change costs the load server's hot path: two builds of it, interleaved.

    python tests/bench/hotpath.py REVISION [--rows c_epoll,c_uring] [--conns 100,1k,8k]
                                  [--engines epoll,uring] [--rounds 10] [--runtime 1]

The server of REVISION (built here from git, or a program's path) against the one that is built into
the package, both driven by the driver of this tree. Each round runs both, one after the other, in
turns the other way round. The figure is the generator's CPU time for a message, new over old: what
others do to the machine hardly touches it; messages/s stand beside. Exit status 1 when one cell is
surely dearer than the margin.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from limits import Bench, Pair

from pybench.analysis.ratio import paired_ratio
from pybench.analysis.verdict import demand, estimate_words
from pybench.driver.loadserver import EXECUTABLE_VARIABLE, LoadServer
from pybench.spec.parse import counts

ROOT = Path(__file__).parent.parent.parent
MARGIN = 1.05


def build(revision: str, folder: Path) -> Path:
    """The load server of a revision of this repository, built in a folder."""
    archive = subprocess.run(
        ["git", "archive", revision], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    subprocess.run(["make", "-s", "server"], cwd=folder, stdout=subprocess.DEVNULL, check=True)
    return folder / "build" / "pybench-server"


@contextmanager
def load_server(program: Path | None, cpu: int) -> Iterator[LoadServer]:
    """One that runs this program, or the package's own."""
    before = os.environ.get(EXECUTABLE_VARIABLE)
    if program is not None:
        os.environ[EXECUTABLE_VARIABLE] = str(program)
    try:
        server = LoadServer(cpus=[cpu])
    finally:
        os.environ.pop(EXECUTABLE_VARIABLE, None)
        if before is not None:
            os.environ[EXECUTABLE_VARIABLE] = before
    with server:
        yield server


def compare(benches: tuple[Bench, Bench], pair: Pair, conns: int, rounds: int) -> bool:
    """Print one cell; False where the new server is surely dearer."""
    rates: tuple[list[float], list[float]] = ([], [])
    costs: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            rate, cpu_ns = benches[side].run(pair, conns)
            rates[side].append(rate)
            costs[side].append(cpu_ns)
    cost = paired_ratio(costs[1], costs[0])
    speed = paired_ratio(rates[1], rates[0])
    print(
        f"{pair!s:22} {conns:>6}  CPU a message {estimate_words(cost)}"
        f"  messages/s {estimate_words(speed)}",
        flush=True,
    )
    return demand(cost, at_most=MARGIN).outcome != "broken"


def main() -> int:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("revision", help="git revision, or the path of a pybench-server")
    parser.add_argument("--rows", default="c_epoll,c_uring")
    parser.add_argument("--conns", default="100,1k,8k")
    parser.add_argument("--engines", default="epoll,uring")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--runtime", type=float, default=1.0, help="seconds of each run")
    args = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    cpu = max(os.sched_getaffinity(0))
    kept = True
    with tempfile.TemporaryDirectory() as folder:
        given = Path(args.revision)
        old = given.resolve() if given.is_file() else build(args.revision, Path(folder))
        with load_server(old, cpu) as before, load_server(None, cpu) as after:
            benches = (
                Bench(before, Path(folder), args.runtime),
                Bench(after, Path(folder), args.runtime),
            )
            for engine in args.engines.split(","):
                for row in args.rows.split(","):
                    for conns in counts(1, 60_000)(args.conns):
                        kept &= compare(benches, Pair(engine, row), conns, args.rounds)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
