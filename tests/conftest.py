"""Fixtures that run pybench as a user does, and watch what it leaves behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from pybench.driver.loadserver import LoadServer
from tests.support import ALONE_MARK, SUPPORT, processes
from tests.support.browser import browser
from tests.support.fakeheats import race
from tests.support.fakerounds import invoke
from tests.support.preload import preload
from tests.support.rounds import measure

__all__ = ["browser", "invoke", "measure", "preload", "race"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # as for all that a shell starts with `&` or nohup: nothing would hear the Ctrl-C of a test
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHORT = ("--runtime", "150ms", "--warmup", "30ms")
"""Options of a round that only has to work."""


def environment(**extra: str) -> dict[str, str]:
    """The environment of a pybench under test: backends of the tests importable, no colours."""
    path = os.pathsep.join(filter(None, [str(SUPPORT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "NO_COLOR": "1", **extra}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What may run beside others is all that is not marked `alone`.

    Raises UsageError for a test whose name has an address of memory in it: it would have another
    name in each process, and no two of them could share the tests. And for one that is marked in
    other words than `files_alone` looks for: it would be in no part of the suite.
    """
    for item in items:
        if " at 0x" in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid}: give its parameters an id that stays the same")
        if item.get_closest_marker("alone") is None:
            item.add_marker("parallel")
        elif ALONE_MARK not in item.path.read_text():
            raise pytest.UsageError(f"{item.nodeid}: mark it in its file: pytest.{ALONE_MARK}")


class Running:
    """A pybench that was started and is watched from outside."""

    def __init__(self, *arguments: str, conns: int, cwd: Path) -> None:
        self.conns = conns
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pybench", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env=environment(),
            start_new_session=True,
        )
        self.worker = self.server = 0
        self.ports: set[int] = set()

    def await_pings(self) -> None:
        """Return when a round is in full swing: all connections are with the worker."""

        def in_swing() -> bool:
            pid = self.process.pid
            self.worker = processes.child_called(pid, "pybench.worker") or 0
            self.server = processes.child_called(pid, "--listen") or 0
            return len(processes.sockets(self.worker)) > self.conns

        processes.wait_for("all connections with the worker", in_swing)
        self.ports = {
            port
            for pid in (self.worker, self.server)
            if pid
            for port in processes.listening_ports(pid)
        }

    def stop_worker(self) -> None:
        """Freeze a worker in full swing; the next one, when a round is over just then."""

        def stopped() -> bool:
            self.await_pings()
            try:
                os.kill(self.worker, signal.SIGSTOP)
            except ProcessLookupError:
                return False
            return True

        processes.wait_for("a stopped worker", stopped)

    def finish(self, timeout_s: float = 30.0) -> tuple[int, str, str]:
        """Exit status, standard output and error, once it has ended."""
        out, err = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, out, err

    def assert_nothing_left(self) -> None:
        """No process and no listening socket of it is there any more."""
        for pid in (self.process.pid, self.worker, self.server):
            if pid:
                processes.wait_for(f"end of {pid}", partial(processes.gone, pid), 2.0)
        assert not self.ports & processes.listening_ports()

    def close(self) -> None:
        """End what a failed test has left running."""
        for pid in (self.process.pid, self.worker, self.server):
            if pid and processes.alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.process.communicate()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts pybench in an empty folder; whatever a test leaves is ended with it."""
    running: list[Running] = []

    def starter(*arguments: str, conns: int) -> Running:
        running.append(Running(*arguments, conns=conns, cwd=tmp_path))
        return running[-1]

    yield starter
    for one in running:
        one.close()


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs pybench to its end in an empty folder."""

    def runner(
        *arguments: str, before: Callable[[], None] | None = None, **extra_env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pybench", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment(**extra_env),
            preexec_fn=before,
            timeout=60,
            check=False,
        )

    return runner


@pytest.fixture(scope="session")
def load_server() -> Iterator[LoadServer]:
    """A real load server for tests that call the driver directly."""
    with LoadServer() as server:
        yield server
