"""What a Dask worker runs: it starts a process, hands it what came, and returns what it says.

Imported on the machines. Light: the process has the rest.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from pybench.backends.start import python_command

OF_DASK: Final = (
    *("MALLOC_TRIM_THRESHOLD_", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
)
"""What Dask sets for its workers (`distributed.nanny.pre-spawn-environ`). The first changes how
glibc gives memory back, and with that how fast some rows are."""


UNFIT: Final = 3
"""The exit status of a process that says why this machine cannot measure what it is asked for."""


class MachineError(Exception):
    """There is no result, and that is the machine's fault and not the round's."""


class UnfitError(MachineError):
    """The machine cannot measure this at all, and says why."""


def run_unit(unit: bytes) -> bytes:
    """Measure a unit here. Returns its result; raises MachineError when there is none."""
    return _run("pybench.cluster.measure", unit)


def run_heat(unit: bytes) -> bytes:
    """Race a round here. Returns its results; raises MachineError when there are none, UnfitError
    where the race cannot run."""
    return _run("pybench.cluster.heat", unit)


def run_check(question: bytes) -> bytes:
    """Look at this machine: `check.py`. Raises MachineError."""
    return _run("pybench.cluster.check", question)


def clean(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what Dask has put into it."""
    return {name: value for name, value in environ.items() if name not in OF_DASK}


def _run(module: str, data: bytes) -> bytes:
    done = subprocess.run(
        python_command(sys.executable, module, ours=True),
        input=data,
        capture_output=True,
        env=clean(os.environ),
        check=False,
    )
    if done.returncode == 0:
        return done.stdout
    said = done.stderr.decode(errors="replace").strip().splitlines()
    last = said[-1] if said else "it said nothing"
    if done.returncode == UNFIT:
        raise UnfitError(last)
    how = f"exit status {done.returncode}" if done.returncode > 0 else f"signal {-done.returncode}"
    raise MachineError(last if done.returncode == 1 else f"{last} ({how})")
