"""`pybench check`: does a backend keep the contract, and if not, what is wrong."""

from typing import Final

from pybench import testing
from pybench.cli.common import FAILED, OK, Parser
from pybench.spec import MAX_CONNS, OPTIONS, Option, parse
from pybench.units import NS_PER_MS, NS_PER_S

_CONNS: Final = Option(
    name="conns", parse=parse.count(1, MAX_CONNS), metavar="N", help="(default 50)"
)
_TIMEOUT: Final = Option(
    name="timeout",
    parse=parse.time(100 * NS_PER_MS, 3600 * NS_PER_S),
    metavar="TIME",
    help="when it counts as hung (default 10s)",
)


def run(arguments: list[str]) -> int:
    """Check one backend and say what was found."""
    parser = Parser(
        prog="pybench check",
        description="Check that a backend keeps the contract (docs/plugins.md), in some seconds. "
        "Exit status 1 when it does not, with what was seen and what to do.",
        allow_abbrev=False,
    )
    parser.add_argument("spec", metavar="SPEC", help="one backend, as --func takes it")
    for option, default in ((_CONNS, str(testing.MANY)), (_TIMEOUT, "10s")):
        parser.add_argument(
            f"--{option.name}", default=default, metavar=option.metavar, help=option.help
        )
    parser.add_argument(
        "--transport",
        metavar="NAME,...",
        help="tcp, unix, tls (default tcp, and over what else it says it can serve)",
    )
    options = parser.parse_args(arguments)
    conns = _CONNS.value(vars(options), "--conns")
    timeout_s = _TIMEOUT.value(vars(options), "--timeout") / NS_PER_S
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
