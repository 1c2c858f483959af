"""Do the cheap estimate and the kernel's receive times agree on which side is the bottleneck?

    python tests/bench/queue_agreement.py [--rows asyncio,selector,c_epoll] [--conns 10,100,1000]
        [--rounds 10] [--runtime 1s] [--rate 4k,20k]

Every round asks for the kernel's times, so that both figures are of the very same pings: the share
of the mean latency that echoes spent in the load server's own queue, measured and estimated from
ready events per wait and CPU time (pybench/analysis/queue_share.py). Above 20% the row is stamped
`generator_bound`. --rate asks the same of an open loop. Exit status 1 when they agree in fewer than
9 of 10 rounds. Where the true share is about 20%, either side is right half of the time.
"""

import argparse
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence

from pybench.analysis.queue_share import estimated_queue_share
from pybench.analysis.stamps import QUEUE_SHARE
from pybench.driver import campaign
from pybench.driver.plan import make_plan
from pybench.driver.progress import make_reporter
from pybench.errors import PybenchError
from pybench.result import Result
from pybench.spec import Campaign

ENOUGH = 0.9


def main() -> int:
    """Measure, print the table, say whether it is good enough."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", default="asyncio,selector,c_epoll")
    parser.add_argument("--conns", default="10,100,1000")
    parser.add_argument("--rounds", default="10")
    parser.add_argument("--runtime", default="1s")
    parser.add_argument("--rate", help="open loop: pings/s over all connections")
    args = parser.parse_args()
    options = {"func": args.rows, "conns": args.conns, "rounds": args.rounds}
    options |= {"runtime": args.runtime, "warmup": "300ms", "timestamps": "kernel"}
    if args.rate is not None:
        options["rate"] = args.rate
    try:
        results = _measure(options | {"engine": "epoll"})
    except PybenchError as exc:
        print(f"queue_agreement: {exc}", file=sys.stderr)
        return 2
    return 0 if _print_table(results) else 1


def _measure(options: dict[str, str]) -> Sequence[Result]:
    plan = make_plan(Campaign.from_options(options, lambda key: f"--{key}"))
    cells = [task.cell for task in plan.tasks]
    reporter = make_reporter(cells, plan.campaign.rounds, sys.stderr)
    return campaign.run(plan, reporter, None).results


def _print_table(results: Sequence[Result]) -> bool:
    """Print a line per row and count, and whether they agree often enough over all."""
    cells: dict[tuple[str, int, int], list[tuple[float, float]]] = defaultdict(list)
    for result in results:
        estimate = estimated_queue_share(result)
        if result.ok and result.server_queue is not None and estimate is not None:
            cells[result.func, result.conns, result.rate].append((result.server_queue, estimate))
    heads = f"{'row':13} {'conns':>6} {'rate':>7} {'kernel':>22} {'estimate':>22}"
    print(f"{heads}  agree on the side")
    agreed = total = 0
    for (func, conns, rate), pairs in sorted(cells.items(), key=lambda item: item[0]):
        agree = sum((a > QUEUE_SHARE) == (b > QUEUE_SHARE) for a, b in pairs)
        agreed, total = agreed + agree, total + len(pairs)
        measured, estimated = zip(*pairs, strict=True)
        print(
            f"{func:13} {conns:6} {rate or '':>7} {_span(measured):>22} {_span(estimated):>22}"
            f"  {agree} of {len(pairs)}"
        )
    print(f"they agree in {agreed} of {total} rounds")
    return total > 0 and agreed >= ENOUGH * total


def _span(shares: Sequence[float]) -> str:
    """`21% (14% to 30%)`: median, smallest and largest."""
    middle = statistics.median(shares)
    return f"{middle:.0%} ({min(shares):.0%} to {max(shares):.0%})"


if __name__ == "__main__":
    sys.exit(main())
