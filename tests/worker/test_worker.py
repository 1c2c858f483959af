"""Sudden deaths in mid-run, of worker, load server and driver: the others notice and leave."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pybench.backends import ROWS
from pybench.driver.interrupts import Interrupts
from pybench.driver.loadserver import LoadServer
from pybench.driver.watch import Watch
from pybench.driver.workerprocess import WorkerProcess
from pybench.errors import WorkerError
from pybench.result.file import read_sections
from pybench.spec import Cell
from tests.conftest import SHORT, Running
from tests.support import processes
from tests.support.processes import wait_for

LONG = ("--runtime", "60s", "--warmup", "0", "--think", "5ms")
NOTICED_S = 2.0


@pytest.mark.parametrize("func", ["asyncio_proto", "thread"])
def test_worker_killed(func: str, start: Callable[..., Running], tmp_path: Path) -> None:
    driver = start("--func", func, "--conns", "20", *LONG, "--output", "r.jsonl", conns=20)
    driver.await_pings()
    killed = time.monotonic()
    os.kill(driver.worker, signal.SIGKILL)
    status, _, err = driver.finish()
    assert time.monotonic() - killed < NOTICED_S + 1  # printing the table included
    assert status == 1
    assert "worker killed by signal 9 (SIGKILL)" in err
    assert "Traceback" not in err
    driver.assert_nothing_left()
    (result,) = read_sections(tmp_path / "r.jsonl")[0].results
    assert (result.status, result.error) == ("failed", "worker killed by signal 9 (SIGKILL)")


def test_load_server_killed_and_the_campaign_goes_on(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    """One round is lost; a new server is started for the next."""
    driver = start(
        "--func", "selector", "--conns", "20", "--runtime", "2s", "--warmup", "0", "--think", "5ms",
        "--rounds", "3", "--output", "r.jsonl", conns=20,
    )  # fmt: skip
    driver.await_pings()
    os.kill(driver.server, signal.SIGKILL)
    status, _, err = driver.finish()
    assert status == 1
    assert "load server killed by signal 9 (SIGKILL)" in err
    statuses = [result.status for result in read_sections(tmp_path / "r.jsonl")[0].results]
    assert sorted(statuses) == ["failed", "ok", "ok"]
    assert statuses[-1] == "ok"
    driver.assert_nothing_left()


def test_driver_killed(start: Callable[..., Running], tmp_path: Path) -> None:
    driver = start(
        "--func", "selector", "--conns", "20", "--runtime", "1s", "--warmup", "0", "--think", "5ms",
        "--rounds", "50", "--output", "r.jsonl", conns=20,
    )  # fmt: skip
    path = tmp_path / "r.jsonl"
    processes.wait_for("a first round", lambda: path.exists() and path.read_text().count("\n") > 1)
    driver.stop_worker()  # so that it cannot end by itself
    os.kill(driver.process.pid, signal.SIGKILL)
    driver.finish()
    driver.assert_nothing_left()
    (section,) = read_sections(path)
    assert len(section.results) >= 1


def test_driver_of_a_running_server_killed(
    start: Callable[..., Running],
    load_server: LoadServer,
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    """The worker goes, and the server is free for the next."""
    address = str(load_server.address)
    driver = start("--func", "selector", "--conns", "20", *LONG, "--server", address, conns=20)
    driver.await_pings()
    os.kill(driver.process.pid, signal.SIGKILL)
    driver.finish()
    driver.assert_nothing_left()
    free = run("--func", "selector", "--conns", "1", *SHORT, "--server", address)
    assert free.returncode == 0, free.stderr


def test_running_server_killed(start: Callable[..., Running]) -> None:
    with LoadServer() as server:
        address = str(server.address)
        driver = start("--func", "selector", "--conns", "20", *LONG, "--server", address, conns=20)
        driver.await_pings()
        os.kill(server.pid, signal.SIGKILL)
        status, _, err = driver.finish(NOTICED_S + 3)
        assert status == 1
        assert f"lost the load server at {address}" in err
        driver.assert_nothing_left()


def test_frozen_worker_is_ended_with_the_driver(start: Callable[..., Running]) -> None:
    """A stopped process cannot react to anything: it must be killed."""
    driver = start("--func", "selector", "--conns", "20", *LONG, conns=20)
    driver.stop_worker()
    os.kill(driver.process.pid, signal.SIGINT)
    status, *_ = driver.finish()
    assert status == 130
    driver.assert_nothing_left()


def listen(bind: str) -> None:
    """Start a worker and wait until it listens."""
    cell = Cell(row=ROWS["selector"], conns=1, msize=64, runtime_ns=10**9, warmup_ns=0)
    with (
        Interrupts() as interrupts,
        WorkerProcess(cell, bind=bind, cpu=None) as worker,
        Watch(worker, interrupts) as watch,
    ):
        watch.until(lambda: worker.port is not None, 20)


def test_orphan_worker_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker whose driver has ended before it could look ends before it listens."""
    dup, pipe, made = os.dup2, os.pipe, list[int]()

    def pipe_without_a_writer() -> tuple[int, int]:
        reader, writer = pipe()
        made.append(writer)
        if len(made) == 2:  # after that of its events
            with Path(os.devnull).open("wb") as nothing:
                dup(nothing.fileno(), writer, inheritable=False)
        return reader, writer

    monkeypatch.setattr(os, "pipe", pipe_without_a_writer)
    cell = Cell(row=ROWS["selector"], conns=1, msize=64, runtime_ns=10**9, warmup_ns=0)
    with WorkerProcess(cell, bind="127.0.0.1", cpu=None) as worker:
        monkeypatch.undo()
        wait_for("its end", lambda: worker.ended)
        with pytest.raises(WorkerError, match="exit status 1"):
            worker.receive()
        assert worker.port is None


def test_a_worker_outlives_the_thread_that_started_it() -> None:
    """And not the driver: the kernel's own death signal is that of a thread."""
    cell = Cell(row=ROWS["selector"], conns=1, msize=64, runtime_ns=10**9, warmup_ns=0)
    started: list[WorkerProcess] = []

    def start() -> None:
        started.append(WorkerProcess(cell, bind="127.0.0.1", cpu=None))
        with Interrupts() as interrupts, Watch(started[0], interrupts) as watch:
            watch.until(lambda: started[0].port is not None, 20)

    thread = threading.Thread(target=start)
    thread.start()
    tid = thread.native_id
    thread.join()
    wait_for("the end of the thread", lambda: not Path(f"/proc/self/task/{tid}").exists())
    with started[0] as worker:
        with socket.create_connection(("127.0.0.1", worker.port or 0)) as peer:
            peer.sendall(b"x" * 64)
            assert peer.recv(64)
        wait_for("its own end", lambda: worker.ended)
        worker.receive()
        assert worker.usage is not None


def test_bind_to_an_address_that_is_not_ours() -> None:
    listen("127.0.0.1")
    with pytest.raises(WorkerError, match=r"bind 192\.0\.2\.1: Cannot assign"):
        listen("192.0.2.1")
