"""`pybench doctor`: is this machine fit to measure, and what would make it so."""

import sys
from typing import Final, get_args

from pybench.cli.common import FAILED, OK, Format, Parser, warn
from pybench.driver.doctor import examine
from pybench.report.doctor import doctor_document
from pybench.report.document import write_document

_DOCTOR: Final = (
    "Whether this machine is fit to measure: a line for each thing that measuring needs, with its "
    "verdict (good, caution, bad), and what to do. Takes some ten seconds, changes and keeps "
    "nothing. Exit status 0 when nothing is bad, else 1."
)


def run(arguments: list[str]) -> int:
    """Examine and say what was found."""
    parser = Parser(prog="pybench doctor", description=_DOCTOR, allow_abbrev=False)
    parser.add_argument(
        "--format", choices=get_args(Format), default="table", help="of standard output"
    )
    options = parser.parse_args(arguments)
    found = examine(warn)
    write_document(doctor_document(found), options.format, sys.stdout)
    return OK if found.fit else FAILED
