"""One round, end to end: real workers, the real load server, and everything that can go wrong."""

import contextlib
import dataclasses
import json
import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import structs

from pybench import backends
from pybench.driver import assemble
from pybench.driver.control import Progress, lacks_slices
from pybench.driver.interrupts import InterruptError
from pybench.driver.loadserver import LoadServer
from pybench.driver.round import Timeouts
from pybench.machine.placement import Placement
from pybench.result import Result
from pybench.spec import HostPort
from tests.conftest import Running
from tests.driver.test_servers import measured
from tests.support import processes, synthetic
from tests.support.fakeserver import AWAIT_LINE, CONNECT, Step, fake_server
from tests.support.rounds import HASTY, IMPATIENT, Measure, cell

TRIES = 4
"""On a busy machine a round may be disturbed, but not that many one after the other."""


def measure_undisturbed(func: str, measure: Measure) -> Result:
    """A round in which the driver was in time at both ends of the window, else usage is of more;
    and the worker had time enough for the clock of its usage to tick."""
    for _ in range(TRIES):
        result = measure(cell(func, 20))
        assert result.status == "ok" and result.client, result.error
        ticked = result.client.user_s + result.client.sys_s > 0
        if ticked and result.client.messages == result.messages:
            break
    return result


@pytest.mark.parametrize(
    "func", [name for name, row in backends.ROWS.items() if backends.unavailable(row) is None]
)
def test_row(func: str, measure: Measure) -> None:
    result = measure_undisturbed(func, measure)
    assert (result.func, result.conns, result.round) == (func, 20, 1)
    assert result.mps == pytest.approx(result.messages / result.window_s)
    assert sum(result.histogram.values()) == result.messages > 0
    assert result.per_conn and result.per_conn.lost == 0
    assert len(result.per_conn.percentiles) == 19
    assert result.client and result.client.messages == result.messages
    used_s = result.client.user_s + result.client.sys_s
    assert used_s > 0
    assert result.client.wall_s == result.window_s
    assert result.client.minor_faults is not None
    assert result.client.voluntary_switches and result.client.involuntary_switches is not None
    assert result.series and sum(result.series.messages) == result.messages
    assert [len(result.series.cpu_ns), len(result.series.max_ns)] == [2, 2]
    assert sum(result.series.cpu_ns) == pytest.approx(used_s * 1e9)
    assert result.server and result.server.engine == "epoll"
    assert result.env == {"here": True}
    assert Result.from_dict(json.loads(result.to_json())) == result


def test_with_a_load_server_that_knows_no_slices_usage_is_of_the_whole(measure: Measure) -> None:
    """As in 0.1: from ready to end, over all messages."""
    result = measure(cell("selector"), slices=False)
    assert result.status == "ok" and result.series is None
    assert result.client and result.client.messages > result.messages
    assert result.client.wall_s > result.window_s
    assert result.client.minor_faults is not None and result.client.voluntary_switches is not None


def test_a_load_server_that_knows_no_slices_is_noticed(measure: Measure) -> None:
    line = b"error code=bad_request msg=\"unknown key 'slice_ms'\"\n"
    with fake_server([line]) as old:
        result = measure(cell("selector"), server=old.address)
    assert lacks_slices(result.error)
    assert "slice_ms=100" in old.lines[0].split()


@pytest.mark.alone
@pytest.mark.parametrize("conns", [1, 300])
def test_littles_law(conns: int, measure: Measure) -> None:
    """In a closed loop the connections are all there, in rate times latency."""
    for _ in range(TRIES):
        result = measure(cell("selector", conns, runtime_ns=600_000_000))
        assert result.latency_ns
        slack = result.latency_ns.p99 / 1e9 / result.window_s  # both ends of the window cut pings
        found = result.mps * result.latency_ns.mean / 1e9, result.in_flight
        # the latter is counted, the ends as they lie inside
        expected = pytest.approx(conns, rel=0.05 + slack), pytest.approx(conns, rel=0.05)
        if found == expected:
            break
    assert found == expected


def test_latency_percentiles_are_ordered_and_below_the_maximum(measure: Measure) -> None:
    latency = measure(cell("selector")).latency_ns
    assert latency
    ordered = [latency.p50, latency.p75, latency.p90, latency.p95, latency.p99, latency.p999]
    assert ordered == sorted(ordered)
    assert latency.p999 <= latency.max
    assert latency.mean <= latency.max


def test_think_time_slows_the_pings_but_is_not_latency(measure: Measure) -> None:
    result = measure(cell("selector", 20, think_us=(40_000, 60_000), runtime_ns=500_000_000))
    assert result.status == "ok" and result.latency_ns
    assert result.think_us == (40_000, 60_000)
    assert result.mps < 20 / 0.040
    assert result.latency_ns.p50 < 40_000_000


def test_message_size_is_the_one_asked_for(measure: Measure) -> None:
    result = measure(cell("selector", 3, msize=100_000))
    assert result.status == "ok" and result.msize == 100_000


@pytest.mark.parametrize("func", ["selector", "bad:ends_the_first_of_many"])
def test_pings_in_flight_beside_idle_connections(func: str, measure: Measure) -> None:
    result = measure(cell(func, 5, inflight=8, idle=20))
    assert result.status == "ok", result.error
    assert (result.conns, result.inflight, result.idle) == (5, 8, 20)
    assert result.in_flight and 20 < result.in_flight < 40.1  # it may begin late
    assert result.per_conn and result.per_conn.lost == result.per_conn.starved == 0
    assert result.idle_lost == ("bad" in func)
    assert ("idle_lost" in [stamp.code for stamp in result.warnings]) == ("bad" in func)


def test_progress_is_passed_on(measure: Measure) -> None:
    seen: list[Progress] = []
    measure(cell("selector", 7, runtime_ns=1_300_000_000), on_progress=seen.append)
    assert seen and seen[0].alive == 7 and seen[0].messages > 0


def test_ipv6(measure: Measure) -> None:
    with LoadServer(listen="::1") as server:
        result = measure(cell("selector"), server=server.address, bind="::1")
    assert result.status == "ok", result.error
    assert result.server and result.server.address.startswith("[::1]:")


def test_worker_is_pinned_and_may_open_many_files(measure: Measure) -> None:
    cpu = max(os.sched_getaffinity(0))
    placement = Placement(worker_cpu=cpu, server_cpus=None, server_threads=None, shared_cpus=())
    result = measure(cell("bad:tells_where_it_is"), placement=placement)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert f"cpus=[{cpu}] files=({hard}, {hard})" in result.error


def test_memory_is_the_workers_own(measure: Measure) -> None:
    """Not what the driver had when it forked: ru_maxrss would say that."""
    ballast = bytearray(os.urandom(1)) * (300 << 20)
    result = measure(cell("selector"))
    assert result.client and 1_000 < result.client.max_rss_kb < 200_000
    del ballast


def test_memory_is_read_before_with_idle_and_with_busy_connections(measure: Measure) -> None:
    result = measure(cell("bad:hoards", 100, runtime_ns=250_000_000))
    assert result.status == "ok" and result.client and (found := result.client.rss_kb)
    assert found.before and found.idle and found.busy
    assert found.idle - found.before == pytest.approx(300 * 100, rel=0.1)
    assert found.busy - found.idle == pytest.approx(200 * 100, rel=0.1)


def test_memory_of_what_a_backend_forks_counts(measure: Measure) -> None:
    result = measure(cell("bad:echoes_in_a_child"))
    assert result.status == "ok" and result.client and (found := result.client.rss_kb)
    assert found.before and found.idle and found.idle > 1.3 * found.before


@pytest.mark.parametrize(
    ("name", "status", "error"),
    [
        ("raises", "failed", "RuntimeError: this backend is broken"),
        ("raises_in_mid_run", "failed", "RuntimeError: broken in mid-run"),
        ("never_ready", "hung", "accept all"),
        ("ready_twice", "failed", "ready() twice"),
        ("hangs_before_ready", "hung", "accept all"),
        ("hangs_at_end", "hung", "did not end within 1 s"),
        ("exits", "failed", "exit status 3 before it was done; it last printed: out of cheese"),
        ("stops_listening_then_exits", "failed", "exit status 4"),
        ("segfaults", "failed", "worker killed by signal 11 (SIGSEGV)"),
        ("corrupts_all", "failed", "all 10 connections were lost (10 corrupt)"),
        ("swallows", "failed", "no echo came back in 0.15 s, nor in the 2 s after"),
        ("missing", "failed", "badbackends has no 'missing'"),
    ],
)
def test_broken_backend(name: str, status: str, error: str, measure: Measure) -> None:
    result = measure(cell(f"bad:{name}"), timeouts=IMPATIENT)
    assert result.status == status
    assert error in result.error
    assert "\n" not in result.error
    assert result.latency_ns is None or status == "failed"


def test_traceback_of_a_broken_backend_is_kept(measure: Measure) -> None:
    details = measure(cell("bad:raises")).details
    assert details.startswith("Traceback") and "badbackends.py" in details


def test_threads_left_behind_do_not_keep_the_worker(measure: Measure) -> None:
    assert measure(cell("bad:leaves_threads"), timeouts=IMPATIENT).status == "ok"


def test_waiting_for_a_worker_takes_no_processor_time(measure: Measure) -> None:
    """Though the load server's connection and the worker's pipe are long at their ends."""
    wall, used = time.monotonic(), time.process_time()
    assert measure(cell("bad:hangs_at_end"), timeouts=IMPATIENT).status == "hung"
    assert time.process_time() - used < 0.3 * (time.monotonic() - wall)


def _burning(mark: str) -> list[int]:
    """Workers and their children that run that row: a child that forked has its parent's words."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if f"badbackends:{mark}".encode() in path.read_bytes():
                found.append(int(path.parent.name))
    return [pid for pid in found if processes.alive(pid)]


@pytest.mark.parametrize(
    ("name", "status"), [("echoes_in_a_child", "ok"), ("hangs_with_a_child", "hung")]
)
def test_what_a_backend_forks_is_counted_and_ended(
    name: str, status: str, measure: Measure
) -> None:
    result = measure(cell(f"bad:{name}"), timeouts=dataclasses.replace(IMPATIENT, finish=4))
    assert result.status == status, result.error
    processes.wait_for("the end of all", lambda: not _burning(name))
    if status == "ok":
        assert result.client
        used_s = result.client.user_s + result.client.sys_s
        assert used_s > 1e-6 * result.client.messages  # as Python takes at least, and echoes do


@pytest.mark.parametrize(("slow", "status", "attempts"), [("once", "ok", 2), ("ever", "failed", 3)])
def test_a_window_that_a_worker_slept_through_is_tried_again(
    slow: str, status: str, attempts: int, measure: Measure, tmp_path: Path
) -> None:
    """The machine was busy: no fault of the row, unless it never has an echo in time."""
    env = (("MARK", str(tmp_path / "mark")), ("SLOW", slow))
    result = measure(cell("bad:comes_late", warmup_ns=0, env=env))
    assert (result.status, result.attempts) == (status, attempts), result.error
    if status == "failed":
        assert "no echo came back in 0.15 s, 10 came after that" in result.error
        assert "longer --runtime" in result.error


def test_a_window_that_is_shorter_than_the_think_time_is_to_blame_itself() -> None:
    silent = measured([0, 0], drained=0)
    blank = structs.replace(synthetic.make_result("selector", 2), think_us=(3_000_000, 3_000_000))
    said = assemble._nothing_came(blank, silent, 2.0)
    assert said.endswith("in 2 s, which is no longer than a --think of 3s: a longer --runtime")
    assert "nor in the 2 s after" in assemble._nothing_came(blank, silent, 4.0)


@pytest.mark.parametrize("name", ["echoes_in_a_child", "runs_a_busy_program"])
def test_what_a_backend_started_ends_with_a_driver_that_was_killed(
    name: str, start: Callable[..., Running]
) -> None:
    """Though the worker has no time to see to it: the driver's end is its own."""
    driver = start("--func", f"badbackends:{name}", "--conns", "2", "--runtime", "60s", conns=2)
    try:
        processes.wait_for("a worker and its child", lambda: len(_burning(name)) > 2)
        os.kill(driver.process.pid, signal.SIGKILL)
        processes.wait_for("the end of all", lambda: not _burning(name), 10.0)
    finally:
        for pid in _burning(name):
            os.kill(pid, signal.SIGKILL)


def test_this_host_is_recognised_whatever_it_is_called(
    measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *more, **how: asked("127.0.0.1" if host == "vm" else host, *more, **how),
    )
    with LoadServer() as server:
        named = HostPort("vm", server.address.port)
        result = measure(cell("c_epoll"), server=named)
    assert result.status == "ok", result.error
    assert result.server and result.server.address == f"localhost:{named.port}"
    (one,) = synthetic.as_rounds([result])
    assert one.setting.server == "local"


def test_a_lost_or_corrupt_connection_of_a_hundred_is_stamped(measure: Measure) -> None:
    result = measure(cell("bad:corrupts_one", 100))
    assert result.status == "ok" and result.per_conn
    assert (result.per_conn.lost, result.per_conn.lost_by["corrupt"]) == (1, 1)
    assert {"lost", "corrupt"} <= {warning.code for warning in result.warnings}
    result = measure(cell("bad:closes_two", 200))
    assert result.status == "ok" and result.per_conn and result.per_conn.lost == 2
    assert "corrupt" not in {warning.code for warning in result.warnings}


@pytest.mark.parametrize(
    ("name", "conns", "error"),
    [
        ("corrupts_all_but_one", 200, "199 of 200 connections were lost (199 corrupt)"),
        ("corrupts_one", 99, "1 of 99 connections were lost (1 corrupt)"),
        ("closes_two", 150, "2 of 150 connections were lost (2 "),
    ],
)
def test_a_round_that_lost_more_than_a_hundredth_has_failed(
    name: str, conns: int, error: str, measure: Measure
) -> None:
    result = measure(cell(f"bad:{name}", conns))
    assert result.status == "failed" and result.error.startswith(error), result.error
    assert "more than 1%" in result.error
    assert result.per_conn and result.messages  # what was seen is kept, for who wants to look


HELLO = b"connected n=2 elapsed_ns=1000\n"
PROGRESS = b"progress t_ms=100 messages=5 alive=2\n"
RESULT = (
    b"result messages=4 window_ns=1000000000 total=5 latency_sum_ns=400 latency_max_ns=100 lost=0"
    b" engine=epoll threads=1 user_ns=1 sys_ns=1 new_key=1\n"
)
FAIRNESS = (
    b"fairness min=2 "
    + b" ".join(b"p%d=2" % q for q in range(5, 100, 5))
    + b" max=2 jain=1.000000 starved=0\n"
)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([b"GET / HTTP/1.1\r\n"], "is not a reply"),
        ([b"\xff\xfe\n"], "is not a reply"),
        ([b"x" * 5000], "more than 4096 bytes"),
        ([PROGRESS], "before 'connected'"),
        ([b"connected n=2\n"], "lacks elapsed_ns"),
        ([b"connected n=2 elapsed_ns=-1\n"], "not a whole number"),
        ([b"connected n=2 elapsed_ns=1 elapsed_ns=1\n"], "comes twice"),
        ([CONNECT, HELLO, AWAIT_LINE, b"progress t_ms=1 messages=x alive=2\n"], "whole number"),
        ([CONNECT, HELLO, AWAIT_LINE, FAIRNESS], "out of order"),
        ([CONNECT, HELLO, AWAIT_LINE, RESULT, b"end\n"], "out of order"),
        ([CONNECT, HELLO, AWAIT_LINE, RESULT, FAIRNESS, b"hist 64=3\n", b"end\n"], "3 of 4"),
        ([], "it closed the connection"),
        ([CONNECT, HELLO, AWAIT_LINE, PROGRESS], "it closed the connection"),
        ([b'error code=refused msg="said \\"no\\" to \\\\ you"\n'], 'said "no" to \\ you'),
        ([b"error code=refused\n"], "lacks msg"),
    ],
)
def test_broken_server(script: list[Step], error: str, measure: Measure) -> None:
    with fake_server(script) as fake:
        result = measure(cell("selector", 2), server=fake.address)
    assert result.status == "failed"
    assert error in result.error
    assert "\n" not in result.error


def test_silent_server_is_given_up(measure: Measure) -> None:
    for script in ([CONNECT, HELLO, AWAIT_LINE], [CONNECT, HELLO, AWAIT_LINE, PROGRESS]):
        with fake_server(script, hold=True) as fake:
            result = measure(cell("selector", 2), server=fake.address, timeouts=HASTY)
        assert result.status == "failed"
        assert "fell silent" in result.error


def test_the_server_has_ended_a_test_that_was_given_up_before_the_next(measure: Measure) -> None:
    """While it still closes tens of thousands of connections it tells the next that it is busy."""
    with fake_server([CONNECT, HELLO, AWAIT_LINE], hold=True, closing_s=0.2) as fake:
        result = measure(cell("selector", 2), server=fake.address, timeouts=HASTY)
        assert fake.ended
    assert result.error.endswith("fell silent: nothing for 1 s")


def test_a_server_that_does_not_end_a_test_is_not_awaited_for_ever(measure: Measure) -> None:
    brief = dataclasses.replace(HASTY, close=0.05, per_conn=0.0)
    with fake_server([CONNECT, HELLO, AWAIT_LINE], hold=True, closing_s=0.6) as fake:
        result = measure(cell("selector", 2), server=fake.address, timeouts=brief)
        assert not fake.ended
    assert result.error.endswith("; 0.05 s after that the load server had not ended its test")


def test_a_server_that_closes_many_connections_is_not_silent(measure: Measure) -> None:
    """It answers when all are closed; so does one that has many to open."""
    hasty = Timeouts(connect=0.05, silence=0.05, per_conn=10.0)
    answer = RESULT + FAIRNESS + b"hist 64=4\nend\n"
    with fake_server([0.2, CONNECT, HELLO, AWAIT_LINE, PROGRESS, 0.2, answer]) as fake:
        brief = dataclasses.replace(cell("selector", 2), runtime_ns=1_000_000, warmup_ns=0)
        assert measure(brief, server=fake.address, timeouts=hasty).error == ""


def test_replies_in_fragments_and_new_keys_are_understood(measure: Measure) -> None:
    whole = RESULT + FAIRNESS + b"hist 64=3\nhist 99=1\nend\n"
    pieces = [whole[i : i + 7] for i in range(0, len(whole), 7)]
    with fake_server([CONNECT, HELLO, AWAIT_LINE, *pieces], hold=False) as fake:
        result = measure(cell("selector", 2), server=fake.address)
    assert result.status == "ok", result.error
    assert fake.lines[0].startswith("test v=2 addr=127.0.0.1 port=")
    asked = {"conns=2", "msize=64", "warmup_ms=30", "runtime_ms=150"}
    assert asked <= set(fake.lines[0].split())
    assert fake.lines[1] == "ready\n"
    assert result.histogram == {64: 3, 99: 1}


def test_token_is_sent(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYBENCH_TOKEN", "sesame")
    with fake_server([b'error code=busy msg="x"\n']) as fake:
        measure(cell("selector", 2), server=fake.address)
    assert fake.lines[0].endswith(" token=sesame\n")


def test_no_server_there(measure: Measure) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = HostPort(*listener.getsockname())
    result = measure(cell("selector"), server=address)
    assert result.status == "failed"
    assert f"no load server at {address}: Connection refused" in result.error


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_round(number: signal.Signals, measure: Measure) -> None:
    def interrupt(progress: Progress) -> None:
        os.kill(os.getpid(), number)

    with pytest.raises(InterruptError) as caught:
        measure(cell("selector", runtime_ns=60_000_000_000), on_progress=interrupt)
    assert caught.value.signal_name == number.name
