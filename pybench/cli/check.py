"""`pybench check`: does a backend keep the contract, and if not, what is wrong."""

from pybench import testing
from pybench.cli.common import FAILED, OK, Parser
from pybench.errors import UsageError
from pybench.spec import MAX_CONNS, OPTIONS
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
    parser.add_argument(
        "--transport",
        metavar="NAME,...",
        help="tcp, unix, tls (default tcp, and over what else it says it can serve)",
    )
    options = parser.parse_args(arguments)
    conns = parse_count(options.conns)
    if not 1 <= conns <= MAX_CONNS:
        raise UsageError(f"--conns: {conns} is out of range: 1 to {MAX_CONNS}")
    timeout_s = parse_duration_ns(options.timeout) / NS_PER_S
    transports = None
    if options.transport is not None:
        transports = OPTIONS["transport"].value(vars(options), "--transport")
    found = testing.examine_over(options.spec, transports, conns=conns, timeout_s=timeout_s)
    for transport, report in found:
        called = testing.over(options.spec, transport)
        if report.findings:
            print(testing.describe(called, report))
            return FAILED
        print(f"{called} keeps the contract: {' '.join(report.checks)}", flush=True)
    return OK
