"""`pybench calibrate`: learn what this machine can do, or show what is known of it."""

import argparse
import sys

from pybench.cli.common import OK, Parser, warn
from pybench.driver import calibrate
from pybench.errors import UsageError
from pybench.machine import calibration
from pybench.report.calibration import write_calibration


def run(arguments: list[str]) -> int:
    """Measure and keep, or show what is kept."""
    parser = Parser(
        prog="pybench calibrate",
        description=calibrate.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--show", action="store_true", help="print what is known, measure nothing")
    options = parser.parse_args(arguments)
    if options.show:
        found = calibration.load()
        if found is None:
            raise UsageError(f"nothing is known of this machine yet ({calibration.path()})")
    else:
        found = calibrate.calibrate(warn)
    write_calibration(found, sys.stdout)
    if not options.show:
        sys.stdout.flush()  # whether it can be kept or not
        warn(f"kept in {calibration.save(found)}")
    return OK
