"""One round in a process of its own, on a machine of a cluster: a unit on standard input, its
result on standard output.

A fresh driver, as a campaign on one machine has it, and nothing of the Dask worker's process: not
its threads, nor the variables that Dask sets for its workers (`remote.py`). Whatever goes wrong
with the round is its result.
"""

import os
import sys
from datetime import datetime, timezone

from msgspec import structs

from pybench.cluster.unit import Unit
from pybench.driver import assemble, campaign
from pybench.driver.interrupts import InterruptError, Interrupts
from pybench.errors import PreflightError, PybenchError
from pybench.machine import environment
from pybench.machine.identity import measuring_alone, this_machine
from pybench.result import Result
from pybench.result.codec import decode
from pybench.worker.process import die_with_parent


def measure(unit: Unit, interrupts: Interrupts) -> Result:
    """The unit's round, measured here, when nobody else measures here.

    Raises InterruptError; UsageError and ResultFormatError for a unit that is not for this machine.
    """
    asked, cell = unit.unpacked()
    env = environment.collect()
    with measuring_alone(interrupts.check):
        try:
            result = campaign.run_alone(asked, cell, unit.round, interrupts)
        except PybenchError as exc:
            now = datetime.now(timezone.utc).astimezone().isoformat(timespec="milliseconds")
            blank = assemble.empty_result(cell, unit.round, now, env)
            impossible = isinstance(exc, PreflightError)
            result = assemble.failed(
                structs.replace(blank, campaign_id=asked.id),
                str(exc),
                status="unavailable" if impossible else "failed",
            )
    return structs.replace(result, machine=this_machine(env))


def main() -> None:
    """Measure what standard input says; exit status 1 with a line when there can be no result."""
    die_with_parent(os.getppid())
    try:
        with Interrupts() as interrupts:
            result = measure(decode(sys.stdin.buffer.read(), Unit), interrupts)
    except InterruptError as exc:
        sys.exit(f"interrupted ({exc.signal_name})")
    except (PybenchError, OSError) as exc:
        sys.exit(str(exc))
    sys.stdout.write(result.to_json())
