"""`pybench cluster-check`: are the machines of a cluster fit to measure."""

import argparse
import sys
from typing import Final, get_args

from pybench.cli.common import FAILED, OK, Format, Parser
from pybench.errors import UsageError
from pybench.spec import OPTIONS, Campaign

_ROWS: Final = "asyncio_proto,uvloop_proto,c_epoll"
_CONNS: Final = "100,1k,10k"


def run(arguments: list[str]) -> int:
    """Ask every worker that offers to measure, say what was found."""
    parser = Parser(
        prog="pybench cluster-check",
        description="What preflight and calibrate say on each machine of a Dask cluster. Exit "
        "status 1 when one has no answer or cannot run what is asked for.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("scheduler", metavar="tcp://HOST:PORT", help="of the cluster")
    parser.add_argument(
        "--func", action="append", metavar="ROW,...", help=f"rows to run (default {_ROWS})"
    )
    parser.add_argument(
        "--conns", metavar="N,...", help=f"numbers of connections (default {_CONNS})"
    )
    parser.add_argument(
        "--calibrate",
        action="store_true",
        default=False,
        help="calibrate each machine, half a minute",
    )
    parser.add_argument("--format", choices=get_args(Format), default="table", help="on stdout")
    options = parser.parse_args(arguments)
    scheduler = OPTIONS["cluster"].value({"cluster": options.scheduler}, "cluster-check")
    asked = {"func": _ROWS, "conns": _CONNS}
    asked |= {name: value for name, value in vars(options).items() if name in asked}
    campaign = Campaign.from_options(asked, lambda name: f"--{name}")
    return _check(scheduler, campaign, options.format, calibrate=options.calibrate)


def _check(scheduler: str, campaign: Campaign, fmt: Format, *, calibrate: bool) -> int:
    from pybench.cluster.check import Finding
    from pybench.cluster.pool import DaskPool
    from pybench.cluster.survey import survey_machines
    from pybench.report.cluster import check_document
    from pybench.report.document import write_document

    with DaskPool(scheduler) as pool:
        answers = survey_machines(pool, campaign.to_record(), calibrate=calibrate)
    if not answers:
        raise UsageError(
            f"{scheduler} has no worker that measures: dask worker {scheduler} --nthreads 1"
            " --resources pybench=1"
        )
    write_document(check_document(answers), fmt, sys.stdout)
    fit = all(isinstance(answer, Finding) and answer.fit for answer in answers.values())
    return OK if fit else FAILED
