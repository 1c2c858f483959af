"""`pybench check`: does a backend keep the contract, and if not, what is wrong."""

from pybench import testing
from pybench.cli.common import FAILED, OK, Parser
from pybench.errors import UsageError
from pybench.spec import MAX_CONNS
from pybench.units import NS_PER_S, parse_count, parse_duration_ns


def run(arguments: list[str]) -> int:
    """Check one backend and say what was found."""
    parser = Parser(
        prog="pybench check",
        description="Check that a backend keeps the contract (docs/plugins.md), in some seconds. "
        "Exit status 1 when it does not, with what was seen and what to do.",
        allow_abbrev=False,
    )
    parser.add_argument("spec", metavar="SPEC", help="one backend, as --func takes it")
    parser.add_argument("--conns", default=str(testing.MANY), metavar="N", help="(default 50)")
    parser.add_argument(
        "--timeout", default="10s", metavar="TIME", help="when it counts as hung (default 10s)"
    )
    options = parser.parse_args(arguments)
    conns = parse_count(options.conns)
    if not 1 <= conns <= MAX_CONNS:
        raise UsageError(f"--conns: {conns} is out of range: 1 to {MAX_CONNS}")
    timeout_s = parse_duration_ns(options.timeout) / NS_PER_S
    report = testing.examine(options.spec, conns=conns, timeout_s=timeout_s)
    if report.findings:
        print(testing.describe(options.spec, report))
        return FAILED
    print(f"{options.spec} keeps the contract: {' '.join(report.checks)}")
    return OK
