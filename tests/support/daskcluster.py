"""A Dask cluster of the tests' own: a scheduler and workers, each a process, each on a host."""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import environment
from tests.support import processes

_QUIET = ("--no-dashboard",)


class Cluster:
    """scheduler: its address.  workers: name -> the process of a Dask worker, without a nanny."""

    def __init__(self, scheduler: str, folder: Path) -> None:
        self.scheduler = scheduler
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self._folder = folder

    def add(self, name: str, prefix: Sequence[str] = ()) -> None:
        """Start a worker that calls its machine so. prefix: what runs it on its host."""
        log = (self._folder / f"{name}.log").open("wb")
        command = [*prefix, sys.executable, "-m", "distributed.cli.dask_worker", self.scheduler]
        command += ["--nthreads", "1", "--resources", "pybench=1", "--no-nanny", *_QUIET]
        command += ["--local-directory", str(self._folder / name), "--name", name]
        self.workers[name] = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment(PYBENCH_MACHINE=name)
        )
        log.close()

    def kill(self, name: str) -> None:
        """As a machine that is taken away."""
        self.workers[name].kill()
        self.workers[name].wait()


@contextmanager
def cluster(folder: Path, host: str = "127.0.0.1", prefix: Sequence[str] = ()) -> Iterator[Cluster]:
    """A scheduler on the host; it and whatever has been added end with it."""
    told = folder / "scheduler.log"
    command = [*prefix, sys.executable, "-m", "distributed.cli.dask_scheduler"]
    command += ["--host", host, "--port", "0", "--no-show", *_QUIET]
    with told.open("wb") as log:
        scheduler = subprocess.Popen(command, stdout=log, stderr=log, env=environment())
    running = [scheduler]
    try:
        processes.wait_for("the scheduler's address", lambda: _address(told) != "", 60)
        made = Cluster(_address(told), folder)
        try:
            yield made
        finally:
            running += made.workers.values()
    finally:
        for process in running:
            process.kill()
        for process in running:
            process.wait()


def _address(told: Path) -> str:
    """Where it says that it listens; empty until then."""
    found = re.search(r"Scheduler at: +(tcp://\S+)\n", told.read_text(errors="replace"))
    return found[1] if found else ""
