"""One round of a race in a process of its own, on a machine of a cluster: a unit on standard input,
its results on standard output. As `measure.py` is for a round of a campaign.
"""

import os
import sys

from msgspec import structs

from pybench.cluster.heatunit import HeatUnit, results_to_bytes
from pybench.cluster.remote import UNFIT
from pybench.driver import campaign
from pybench.driver import race as races
from pybench.driver.interrupts import InterruptError, Interrupts
from pybench.driver.raceplan import make_plan
from pybench.errors import PybenchError, ResultFormatError, UsageError
from pybench.machine import environment
from pybench.machine.identity import measuring_alone, this_machine
from pybench.result import Result
from pybench.worker.process import die_with_parent


def measure(unit: HeatUnit, interrupts: Interrupts) -> list[Result]:
    """The unit's round, measured here, when nobody else measures here. A contender that fails has a
    result that says so.

    Raises InterruptError; UsageError, PreflightError among them, and ResultFormatError where this
    machine cannot run the race; ServerError when there is no load server.
    """
    race = unit.unpacked()
    with measuring_alone(interrupts.check):
        plan = make_plan(race)
        env = campaign.environment_of(plan.placement)
        env |= {"load_average": environment.load_average()}
        with races.measuring(plan, interrupts) as measure_heat:
            found = [
                result
                for number, heat in enumerate(plan.heats[unit.field], 1)
                for result in measure_heat(heat, unit.round, number, env)
            ]
    machine = this_machine(env)
    return [structs.replace(result, machine=machine) for result in found]


def main() -> None:
    """Measure what standard input says; with a line on standard error exit status 1 when there can
    be no result, UNFIT when there can be none on this machine."""
    die_with_parent(os.getppid())
    try:
        with Interrupts() as interrupts:
            results = measure(HeatUnit.from_bytes(sys.stdin.buffer.read()), interrupts)
    except InterruptError as exc:
        sys.exit(f"interrupted ({exc.signal_name})")
    except (UsageError, ResultFormatError) as exc:
        print(exc, file=sys.stderr)
        sys.exit(UNFIT)
    except (PybenchError, OSError) as exc:
        sys.exit(str(exc))
    sys.stdout.buffer.write(results_to_bytes(results))
