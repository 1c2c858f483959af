"""Rounds of several workers and of several loops: real processes, shares, and who is to blame."""

import os
import re
import signal
from pathlib import Path

import pytest

from pybench.driver.control import Progress
from pybench.driver.workerprocess import WorkerProcess
from pybench.errors import WorkerError
from pybench.machine.placement import Placement
from pybench.result import Result
from pybench.worker.protocol import Listening
from pybench.worker.tree import descendants
from tests.support.fakeserver import fake_server
from tests.support.rounds import IMPATIENT, Measure, cell


def shares_of(result: Result) -> list[tuple[int, int, int]]:
    assert result.client
    return [(one.worker, one.loop, one.conns) for one in result.client.shares]


def test_workers_serve_a_cell_together(measure: Measure) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    pinned = (cpus[0], cpus[-1])
    placement = Placement(
        worker_cpu=pinned[0],
        worker_cpus=pinned,
        server_cpus=None,
        server_threads=None,
        shared_cpus=(),
    )
    result = measure(cell("selector", 5, workers=2), placement=placement)
    assert result.status == "ok", result.error
    assert (result.workers, result.loops) == (2, 1)
    client = result.client
    assert client and shares_of(result) == [(1, 1, 3), (2, 1, 2)]
    assert [one.cpu for one in client.shares] == list(pinned)
    assert sum(one.messages for one in client.shares) == result.messages
    assert all(one.cpu_s and one.messages for one in client.shares)
    used_s = sum(one.cpu_s or 0 for one in client.shares)
    assert used_s == pytest.approx(client.user_s + client.sys_s)
    assert result.series and sum(result.series.cpu_ns) == pytest.approx(used_s * 1e9)
    assert client.rss_kb and client.rss_kb.before and client.gil is True
    assert result.per_conn and result.per_conn.lost == 0


def test_memory_of_all_workers_counts(measure: Measure) -> None:
    one, two = (measure(cell("selector", 4, workers=n)).client for n in (1, 2))
    assert one and two and one.rss_kb and two.rss_kb
    assert two.max_rss_kb > 1.6 * one.max_rss_kb
    assert (two.rss_kb.before or 0) > 1.6 * (one.rss_kb.before or 0)


def test_loops_share_a_process(measure: Measure) -> None:
    result = measure(cell("asyncio_proto", 5, loops=3))
    assert result.status == "ok", result.error
    assert shares_of(result) == [(1, 1, 2), (1, 2, 2), (1, 3, 1)]
    assert result.client and {one.cpu_s for one in result.client.shares} == {None}
    assert sum(one.messages for one in result.client.shares) == result.messages


def test_workers_of_several_loops(measure: Measure) -> None:
    result = measure(cell("c_epoll", 5, workers=2, loops=2))
    assert result.status == "ok", result.error
    assert shares_of(result) == [(1, 1, 2), (1, 2, 1), (2, 1, 1), (2, 2, 1)]


@pytest.mark.parametrize(
    ("name", "parallel", "status", "error"),
    [
        ("raises", {"workers": 2}, "failed", "of 2: RuntimeError: this backend is broken"),
        ("raises", {"loops": 2}, "failed", "of 2: RuntimeError: this backend is broken"),
        ("exits", {"workers": 2}, "failed", "of 2 ended with exit status 3"),
        ("never_ready", {"loops": 2}, "hung", "worker hung: it did not accept all"),
        ("hangs_at_end", {"workers": 2}, "hung", "worker 1 of 2 hung: it did not end within 1 s"),
        ("ready_twice", {"loops": 2}, "failed", "ready() twice"),
    ],
)
def test_who_broke_the_round_is_named(
    name: str, parallel: dict[str, int], status: str, error: str, measure: Measure
) -> None:
    result = measure(cell(f"bad:{name}", **parallel), timeouts=IMPATIENT)  # type: ignore[arg-type]
    assert (result.status, error in result.error) == (status, True), result.error


def _workers() -> list[int]:
    """This process' children that are workers, in the order of their start."""
    return [
        pid
        for pid in sorted(descendants())
        if b"pybench.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


@pytest.mark.parametrize(
    ("number", "error"),
    [
        (signal.SIGKILL, "worker 2 of 2 killed by signal 9 (SIGKILL)"),
        (signal.SIGSTOP, "worker 2 of 2 hung: it did not end within 1 s"),
    ],
)
def test_one_that_dies_or_stops_in_mid_run_is_named(
    number: signal.Signals, error: str, measure: Measure
) -> None:
    struck: list[int] = []

    def strike(progress: Progress) -> None:
        if not struck:
            struck.append(_workers()[1])
            os.kill(struck[0], number)

    what = cell("selector", 4, workers=2, runtime_ns=1_500_000_000)
    result = measure(what, timeouts=IMPATIENT, on_progress=strike)
    assert struck
    assert result.error.startswith(error), result.error


def test_one_that_answers_nothing_is_no_slow_one(measure: Measure) -> None:
    """The other's echoes would make a result."""
    result = measure(cell("bad:swallows_in_second_loop", 4, loops=2), timeouts=IMPATIENT)
    assert result.status == "failed"
    assert result.error == "loop 2 of 2 answered no ping within 0.15 s"


def test_a_load_server_that_takes_one_port_is_named(measure: Measure) -> None:
    said = b'error code=bad_request msg="port=1,2: expected a whole number from 1 to 65535"\n'
    with fake_server([said]) as old:
        result = measure(cell("selector", 2, workers=2), server=old.address)
    assert result.error.endswith("this load server is older than --workers and --loops")
    assert re.search(r" port=\d+,\d+ ", old.lines[0])


def test_a_python_with_an_older_pybench_is_named() -> None:
    """Whose worker knows no loops, and so has one."""
    with WorkerProcess(cell("selector", 2, loops=2), bind="127.0.0.1", cpu=None) as worker:
        event = Listening(7)
        with pytest.raises(WorkerError, match="has one loop and not 2: the pybench of its Python"):
            worker._take(event)
