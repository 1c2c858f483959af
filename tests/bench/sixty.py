"""30,000 and 60,000 connections to every kind of row, where open files have no limit.

    python tests/bench/sixty.py FOLDER [--runtime 20s] [--warmup 15s] [--kernel linux.uml] [CELL...]

Each cell, `ROW:CONNS`, is a round of its own in a user-mode Linux guest (see guest.py): slow, but
it shows what a machine whose limits are in the way cannot. Prints a line for each, and ends with
status 1 unless every cell was ok and lost no connection. FOLDER keeps the results files.
"""

import argparse
import shutil
import sys
import time
from pathlib import Path

import guest

from pybench.result import Result
from pybench.result.file import read_sections

CELLS = [
    *(
        f"{row}:{conns}"
        for conns in ("30k", "60k")
        for row in ("asyncio_proto", "uvloop_proto", "selector", "gevent", "c_epoll", "c_poll")
    ),
    "c_th:30k",
]
WARMUP, RUNTIME = "15s", "20s"
LONGER = {"c_th:30k": ("120s", "60s")}  # so many threads take turns on one CPU
EVEN_THREADS = (6, 12)
"""From this Linux on a thread starts as fast in a guest as the first one: see guest.py."""
FEWER_THREADS = "c_th:10k"  # as many as an older one starts in time
CELL_S = 1800.0  # to boot, connect, ping and close on a machine that is busy
PATIENTLY = """
import functools, sys
from pybench.cli import main
from pybench.driver import campaign
from pybench.driver.round import RoundContext, Timeouts
campaign.RoundContext = functools.partial(RoundContext, timeouts=Timeouts(per_conn=0.04))
sys.exit(main())
"""  # the pybench command, which waits ten times as long: threads start slowly in a guest
HEAD = f"{'row':14} {'conns':>6}  {'status':8} {'connect':>8} {'messages':>9} {'lost':>5}"


def all_cells(kernel: str) -> list[str]:
    """Every cell that guests of this kernel can do; says what they cannot."""
    if guest.version(kernel) >= EVEN_THREADS:
        return CELLS
    print(
        f"sixty.py: {FEWER_THREADS} instead of c_th:30k: threads start ever more slowly in a guest"
        f" of Linux {'.'.join(map(str, guest.version(kernel)))}; --kernel PROGRAM is for one of"
        f" {'.'.join(map(str, EVEN_THREADS))} or later (Debian 13's user-mode-linux)",
        file=sys.stderr,
    )
    return [FEWER_THREADS if cell == "c_th:30k" else cell for cell in CELLS]


def pings(cell: str, args: argparse.Namespace) -> list[str]:
    """How long the cell is pinged, as pybench's options."""
    warmup, runtime = LONGER.get(cell, (WARMUP, RUNTIME))
    return ["--runtime", args.runtime or runtime, "--warmup", args.warmup or warmup]


def measure(folder: Path, cell: str, args: argparse.Namespace) -> tuple[Result | None, float]:
    """A round in a guest of its own, and the seconds that took; None when it gave no result."""
    row, conns = cell.split(":")
    own = folder / f"{row}-{conns}"
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    results = own / "results.jsonl"
    options = ["--func", row, "--conns", conns, *pings(cell, args), "--output", str(results)]
    start = time.monotonic()
    with (own / "printed").open("w") as printed:
        guest.run(
            own,
            [sys.executable, "-c", PATIENTLY, *options],
            memory=args.mem,
            timeout_s=CELL_S,
            kernel=args.kernel,
            output=printed,
        )
    took_s = time.monotonic() - start
    sections = read_sections(results) if results.exists() else []
    measured = [result for section in sections for result in section.results]
    return (measured[0] if measured else None), took_s


def line(cell: str, result: Result | None) -> str:
    """One row of the table."""
    row, conns = cell.split(":")
    if result is None or result.server is None or result.per_conn is None:
        error = "no result" if result is None else f"{result.status}: {result.error}"
        return f"{row:14} {conns:>6}  {error}"
    return (
        f"{row:14} {conns:>6}  {result.status:8} {result.server.connect_s:6.1f} s"
        f" {result.messages:9,} {result.per_conn.lost:5}"
    )


def is_whole(result: Result | None) -> bool:
    """Whether nothing was wrong and nothing was lost."""
    return (
        result is not None
        and result.ok
        and result.per_conn is not None
        and result.per_conn.lost == 0
    )


def main() -> int:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("cells", nargs="*", metavar="CELL")
    parser.add_argument("--runtime", help=f"{RUNTIME}, more where that is too short for a ping")
    parser.add_argument("--warmup", help=f"{WARMUP}, likewise")
    parser.add_argument("--mem", default="10G")
    parser.add_argument("--kernel", default=guest.KERNEL, metavar="PROGRAM", help="of the guests")
    args = parser.parse_intermixed_args()
    if (missing := guest.missing(args.kernel)) is not None:
        print(f"sixty.py: {missing}", file=sys.stderr)
        return guest.NO_GUEST
    guest.leave_on_sigterm()
    folder = args.folder.resolve()
    print(HEAD, flush=True)
    whole = True
    for cell in args.cells or all_cells(args.kernel):
        result, took_s = measure(folder, cell, args)
        print(f"{line(cell, result)}   (guest: {took_s:.0f} s)", flush=True)
        whole = whole and is_whole(result)
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
