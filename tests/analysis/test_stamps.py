"""The stamps: each on both sides of its threshold, what they are computed from, where they show."""

import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from pybench.analysis import queue_share, stamps
from pybench.analysis.model import Group, group_rounds, rounds_of_section
from pybench.driver.progress import outcome
from pybench.machine import cgroup, interference
from pybench.machine.interference import Monitor, read_cpu_times, read_listen_counters
from pybench.machine.placement import Placement
from pybench.report.document import write_document
from pybench.report.metrics import METRICS
from pybench.report.page.sections import row_warnings
from pybench.report.results import report_document
from pybench.report.summary import run_summary
from pybench.report.tables import build_tables
from pybench.result import ClientUsage, Disturbance, Result, ServerUsage, Stamp
from tests.analysis.test_littles_law import CLEAN, FAIR
from tests.support import synthetic

QUIET = Disturbance(steal=0.0, other=0.0, taken=0.0)
CLIENT = ClientUsage(user_s=5.0, sys_s=5.9, wall_s=11.2, max_rss_kb=1, cpu=0, messages=1_100_000)
SERVER = ServerUsage(
    address="127.0.0.1:1",
    engine="epoll",
    threads=1,
    user_s=1.0,
    sys_s=4.0,
    wall_s=10.0,
    connect_s=0.1,
    waits=100_000,
    events=1_000_000,
    events_squared=11_000_000,
)
FULL = structs.replace(CLEAN, client=CLIENT, server=SERVER, disturbance=QUIET, server_queue=0.1)


def changed(part: str, **values: Any) -> Result:
    """The clean result with something else in a part of it."""
    new = structs.replace(getattr(FULL, part), **values)
    return structs.replace(FULL, **{part: new})


def codes(result: Result) -> list[str]:
    return [warning.code for warning in stamps.run(result)]


def test_a_full_clean_result_has_no_stamp() -> None:
    assert codes(FULL) == []


BUSY_CLIENT = {"user_s": 5.0, "sys_s": 4.9}
IDLE_CLIENT = {"user_s": 5.0, "sys_s": 4.89}


@pytest.mark.parametrize(
    ("code", "clean", "stamped", "number"),
    [
        (
            "generator_bound",
            structs.replace(FULL, server_queue=0.2),
            structs.replace(FULL, server_queue=0.214),
            "21%",
        ),
        ("client_idle", changed("client", **BUSY_CLIENT), changed("client", **IDLE_CLIENT), "90%"),
        (
            "unfair",
            changed("per_conn", jain=0.9),
            changed("per_conn", jain=0.899),
            "0.899",
        ),
        ("steal", changed("disturbance", steal=0.02), changed("disturbance", steal=0.031), "3%"),
        (
            "busy_machine",
            changed("disturbance", other=0.05),
            changed("disturbance", other=0.07),
            "7%",
        ),
        (
            "throttled",
            changed("disturbance", throttled_s=0.02 * FULL.window_s, throttled_times=1),
            changed("disturbance", throttled_s=0.021 * FULL.window_s, throttled_times=7),
            "7 times",
        ),
        ("null_engine", FULL, changed("server", engine="null"), "ns of CPU time on a message"),
        ("backlog", FULL, changed("disturbance", listen_overflows=3), "3 times"),
        ("backlog", FULL, changed("disturbance", listen_drops=4), "4"),
        (
            "frequency",
            structs.replace(FULL, env={"governor": "performance", "turbo": False}),
            structs.replace(FULL, env={"governor": "powersave", "frequency_mhz": [800, 3400]}),
            "800 to 3400 MHz",
        ),
        ("frequency", FULL, structs.replace(FULL, env={"turbo": True}), "turbo on"),
        (
            "short_run",
            structs.replace(FULL, window_s=1.0, mps=100_000.0, warmup_s=10.0),
            structs.replace(FULL, window_s=0.99, mps=100_000.0, warmup_s=10.0),
            "0.99 s",
        ),
        (
            "shared_core",
            structs.replace(FULL, env={"placement": {"shared_cpus": []}}),
            structs.replace(FULL, env={"placement": {"shared_cpus": [2]}}),
            "CPU 2",
        ),
    ],
)
def test_both_sides_of_each_threshold(
    code: str, clean: Result, stamped: Result, number: str
) -> None:
    assert code not in codes(clean)
    (warning,) = (w for w in stamps.run(stamped) if w.code == code)
    assert number in warning.text and warning.remedy


def test_the_list_is_closed() -> None:
    """Every code that a result can bear is one that the reports and the README speak of."""
    known = "corrupt lost idle_lost null_engine generator_bound overloaded client_idle littles_law"
    known += " unfair shared_core few_cpus uneven gil_on steal busy_machine throttled page_faults"
    known += " unsteady frequency backlog short_run"
    assert [check.__name__ for check in stamps.CHECKS] == known.split()


def test_generator_bound_names_ceiling_source_and_what_helps() -> None:
    env = {"calibration": {"ceiling_mps": {"epoll": 176_000}}}
    bound = structs.replace(FULL, server_queue=0.5, server_queue_source="kernel", env=env)
    warning = stamps.generator_bound(bound)
    assert warning is not None
    assert "kernel receive times" in warning.text and "176,000" in warning.text
    assert "--engine uring" in warning.remedy
    on_uring = structs.replace(bound, server=structs.replace(SERVER, engine="uring"))
    warning = stamps.generator_bound(on_uring)
    assert warning is not None and "--engine" not in warning.remedy


def test_over_tls_no_engine_helps_and_no_ceiling_is_known() -> None:
    env = {"calibration": {"ceiling_mps": {"epoll": 176_000}}}
    warning = stamps.generator_bound(
        structs.replace(FULL, server_queue=0.5, env=env, transport="tls")
    )
    assert warning is not None and "176,000" not in warning.text
    assert "uring" not in warning.remedy and "--server-cpus" in warning.remedy


def test_a_full_listen_queue_of_tcp_says_nothing_of_unix_sockets() -> None:
    assert FULL.disturbance is not None
    full = structs.replace(FULL, disturbance=structs.replace(FULL.disturbance, listen_drops=4))
    assert stamps.backlog(full) is not None
    assert stamps.backlog(structs.replace(full, transport="unix")) is None


def test_a_short_latency_is_not_the_fault_of_an_idle_generator() -> None:
    paced = structs.replace(FULL, server_queue=0.4, rate=1000)
    for idle in (paced, structs.replace(paced, rate=0, think_us=(5, 9))):
        assert stamps.generator_bound(idle) is None
        busy = structs.replace(idle, server=structs.replace(SERVER, sys_s=8.0))
        assert stamps.generator_bound(busy) is not None
    robbed = structs.replace(QUIET, server_taken=0.45)
    assert stamps.generator_bound(structs.replace(paced, disturbance=robbed)) is not None


def test_idling_is_not_told_from_being_robbed_without_asking() -> None:
    idle = changed("client", user_s=2.0, sys_s=2.0)
    assert stamps.client_idle(idle) is not None
    robbed = structs.replace(idle, disturbance=structs.replace(QUIET, taken=0.65))
    assert stamps.client_idle(robbed) is None
    assert stamps.client_idle(structs.replace(idle, rate=1000)) is None
    assert stamps.client_idle(structs.replace(idle, think_us=(1, 2))) is None


def test_the_drain_is_no_idling() -> None:
    drained = changed("client", wall_s=13.0)  # two seconds for connections that did not answer
    assert stamps.client_idle(drained) is None


def test_few_pings_each_are_not_unfair() -> None:
    spread = structs.replace(FAIR, jain=0.5, starved=50)
    sparse = structs.replace(FULL, per_conn=spread, rate=39)
    assert stamps.unfair(sparse) is None
    assert stamps.unfair(structs.replace(sparse, rate=40)) is not None


# The estimate of the queue.


def test_a_generator_that_reads_one_at_a_time_holds_only_that_one() -> None:
    single = changed("server", waits=1_000_000, events_squared=1_000_000)
    assert queue_share.estimated_queue_share(single) == pytest.approx(0.5 / 2 / 100)


def test_with_one_connection_no_echo_waits_while_its_ping_is_sent() -> None:
    one = {"waits": 1_000_000, "events_squared": 1_000_000}
    alone = structs.replace(changed("server", **one), conns=1, mps=1000.0)
    assert queue_share.estimated_queue_share(alone) == pytest.approx(0.5 / 2)
    hidden = structs.replace(alone, server=structs.replace(alone.server, engine="uring"))
    assert queue_share.estimated_queue_share(hidden) == pytest.approx(0.5)
    pairs = changed("server", waits=1_000_000, events_squared=2_000_000)
    assert queue_share.estimated_queue_share(pairs) == pytest.approx(0.5 * 2 / 100)


def test_of_messages_that_come_in_pieces_the_queue_is_not_estimated() -> None:
    whole = changed("server", events=1_500_000)
    assert queue_share.estimated_queue_share(whole) is not None
    assert queue_share.estimated_queue_share(changed("server", events=1_500_001)) is None
    assert queue_share.estimated_queue_share(structs.replace(FULL, msize=65_535)) is not None
    assert queue_share.estimated_queue_share(structs.replace(FULL, msize=65_536)) is None


def test_an_event_of_a_pipeline_is_as_many_echoes() -> None:
    """Four in flight, which are read together: the queue is as long as that of one, in events."""
    one = queue_share.estimated_queue_share(FULL)
    four = structs.replace(FULL, inflight=4, messages=4 * FULL.messages, mps=4 * FULL.mps)
    assert queue_share.estimated_queue_share(four) == pytest.approx(one)
    apart = changed("server", events=4_000_000, events_squared=44_000_000)
    apart = structs.replace(four, server=apart.server)  # each is an event of its own
    assert queue_share.estimated_queue_share(apart) == pytest.approx(0.5 * 11 / 400)


def test_a_busy_generator_that_finds_all_connections_ready_holds_them_all() -> None:
    full = changed("server", user_s=3.0, sys_s=7.0, waits=10_000, events_squared=100_000_000)
    share = queue_share.estimated_queue_share(full)
    assert share == pytest.approx(1.0)
    half = structs.replace(full, server=structs.replace(full.server, sys_s=2.0))
    assert queue_share.estimated_queue_share(half) == pytest.approx(0.5)


def test_who_is_robbed_of_the_cpu_lets_echoes_wait_too() -> None:
    share = queue_share.estimated_queue_share(FULL)
    assert share == pytest.approx(0.5 * 11 / 100)
    robbed = changed("disturbance", server_taken=0.5)
    worker_s = 100 * 10.9 / 1_100_000  # to serve all connections once: a third of a time slice
    gathered = 1 - worker_s / queue_share.SLICE_S / 2
    lost = 1.0 - 0.5  # twice as busy as its CPU time says
    expected = 0.11 + (1 - 0.11) * lost * gathered
    assert queue_share.estimated_queue_share(robbed) == pytest.approx(expected)
    modest = structs.replace(robbed, server=structs.replace(SERVER, user_s=0.0, sys_s=1.0))
    share = queue_share.estimated_queue_share(modest)
    quiet = 0.2 * 11 / 100
    assert share == pytest.approx(quiet + (1 - quiet) * 0.2 * 0.1 * gathered), "given when it wakes"
    many = structs.replace(robbed, conns=10_000, mps=10_000_000.0)
    share = queue_share.estimated_queue_share(many)
    assert share is not None and share < 0.02, "a slice is too short for so many to gather"


def test_no_echo_waits_for_the_sending_of_a_paced_ping() -> None:
    paced = structs.replace(FULL, rate=1000)
    assert queue_share.estimated_queue_share(paced) == pytest.approx(0.25 * 11 / 100)


def test_who_polls_is_not_woken_for_the_echo_of_a_paced_ping() -> None:
    polling = structs.replace(SERVER, busy_poll_us=200, sys_s=5.0, idle_s=1.0)
    paced = structs.replace(FULL, rate=1000, server=polling)
    assert queue_share.estimated_queue_share(paced) == pytest.approx(0.5 / 6 * 11 / 100)
    closed = structs.replace(paced, rate=0)
    assert queue_share.estimated_queue_share(closed) == pytest.approx(0.5 * 11 / 100)
    no_time = structs.replace(paced, server=structs.replace(polling, user_s=5.5))
    assert queue_share.estimated_queue_share(no_time) == pytest.approx(0.95 / 2 * 11 / 100)


def test_idle_time_is_no_sign_of_a_bottleneck() -> None:
    full = changed("server", user_s=3.0, sys_s=7.0, waits=10_000, events_squared=100_000_000)
    idle = structs.replace(full, server=structs.replace(full.server, idle_s=9.0))
    assert queue_share.estimated_queue_share(idle) == pytest.approx(0.1)


def test_hidden_batches_are_judged_by_who_is_always_busy() -> None:
    uring = structs.replace(SERVER, engine="uring", user_s=5.0, sys_s=4.8)
    bound = structs.replace(FULL, server=uring)
    share = queue_share.estimated_queue_share(bound)
    assert share is not None and 0.2 < share < 1, "0.98 s of 1 against 9.9 us of 9.9 us"
    idle_client = structs.replace(bound, client=structs.replace(CLIENT, sys_s=0.0))
    share = queue_share.estimated_queue_share(idle_client)
    assert share is not None and share > 0.95
    relaxed = structs.replace(bound, server=structs.replace(uring, sys_s=4.0))
    assert queue_share.estimated_queue_share(relaxed) == pytest.approx(0.9 * 11 / 100)


def test_nothing_is_said_of_a_server_that_does_not_say() -> None:
    assert queue_share.estimated_queue_share(changed("server", events=0)) is None
    assert queue_share.estimated_queue_share(structs.replace(FULL, server=None)) is None


@pytest.mark.parametrize(
    ("ratio", "pings", "held"),
    [(1.0, 10, 5.0), (0.5, 1, 1 / 3), (2.0, 1, 2 / 3), (1e6, 10, 10.0), (0.0, 10, 0.0)],
)
def test_mean_held(ratio: float, pings: int, held: float) -> None:
    assert queue_share.mean_held(ratio, pings) == pytest.approx(held, rel=1e-4)


# What the machine did meanwhile.

TICK_S = 1 / interference._TICKS_PER_S


def stat(*cpus: tuple[int, ...]) -> str:
    """/proc/stat with these columns: user nice system idle iowait irq softirq steal."""
    lines = [f"cpu{i} {' '.join(map(str, ticks))} 0 0" for i, ticks in enumerate(cpus)]
    return "\n".join(["cpu  9 9 9 9 9 9 9 9 0 0", *lines, "intr 7", "ctxt 8"]) + "\n"


def test_time_of_interrupts_is_in_the_processes_where_the_kernel_does_not_measure_it() -> None:
    by_tick = read_cpu_times(stat((10, 1, 20, 50, 2, 0, 7, 3)))[0]
    assert by_tick.busy == pytest.approx(38 * TICK_S)
    assert by_tick.steal == pytest.approx(3 * TICK_S)
    assert by_tick.total == pytest.approx(93 * TICK_S)
    measured = read_cpu_times(stat((10, 1, 20, 50, 2, 5, 7, 3)))[0]
    assert measured.busy == pytest.approx(31 * TICK_S)


def monitored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: str, after: str, **places: Any
) -> Monitor:
    """A monitor that read these two texts of /proc/stat around the pings."""
    values: dict[str, Any] = {"worker_cpu": 0, "server_cpus": (1,)} | places
    file = tmp_path / "stat"
    monkeypatch.setattr(interference, "STAT", file)
    monitor = Monitor(Placement(server_threads=1, shared_cpus=(), **values))
    file.write_text(before)
    monitor.begin()
    file.write_text(after)
    monitor.end()
    return monitor


IDLE = (0, 0, 0, 0, 0, 0, 0, 0)


def test_what_others_took_is_what_is_left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # Of 1000 ticks CPU 0 was busy 900, the worker 700 of them; CPU 1 was busy 500 for the server.
    after = stat((400, 0, 500, 80, 0, 0, 0, 20), (100, 0, 400, 500, 0, 0, 0, 0), (1000, *IDLE[1:]))
    monitor = monitored(monkeypatch, tmp_path, stat(IDLE, IDLE, IDLE), after)
    found = monitor.disturbance(worker_s=700 * TICK_S, server_share=0.5)
    assert found is not None
    assert found.other == pytest.approx(0.1, abs=0.01), "200 of the 2000 ticks of both CPUs"
    assert found.steal == pytest.approx(0.01)
    assert found.taken == pytest.approx(0.22), "of the worker's CPU, the hypervisor's 20 too"
    assert found.server_taken == 0, "all that CPU 1 did was the load server's"
    shared = monitored(
        monkeypatch, tmp_path, stat(IDLE), stat((400, 0, 500, 80, 0, 0, 0, 20)), server_cpus=(0,)
    )
    found = shared.disturbance(worker_s=300 * TICK_S, server_share=0.3)
    assert found is not None
    assert found.taken == found.server_taken == pytest.approx(0.32)
    free = monitored(
        monkeypatch,
        tmp_path,
        stat(IDLE),
        stat((400, 0, 500, 80, 0, 0, 0, 20)),
        worker_cpu=None,
        server_cpus=None,
    )
    found = free.disturbance(worker_s=300 * TICK_S, server_share=0.3)
    assert found is not None and found.taken == 0
    assert found.server_taken == pytest.approx(0.32), "nothing is pinned: of all CPUs"


def test_a_quiet_machine_took_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    after = stat((400, 0, 500, 100, 0, 0, 0, 0), (100, 0, 400, 500, 0, 0, 0, 0))
    monitor = monitored(monkeypatch, tmp_path, stat(IDLE, IDLE), after)
    found = monitor.disturbance(worker_s=905 * TICK_S, server_share=0.5)
    assert found is not None and (found.other, found.steal, found.taken) == (0, 0, 0)


def test_a_machine_that_does_not_tell_is_not_judged(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(interference, "STAT", tmp_path / "missing")
    monkeypatch.setattr(interference, "NETSTAT", tmp_path / "missing")
    monitor = Monitor(Placement(worker_cpu=0, server_cpus=(1,), server_threads=1, shared_cpus=()))
    for step in (monitor.connecting, monitor.connected, monitor.begin, monitor.end):
        step()
    assert monitor.disturbance(worker_s=1.0, server_share=0.5) is None


def test_listen_counters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def text(overflows: int, drops: int) -> str:
        return (
            "TcpExt: SyncookiesSent ListenOverflows ListenDrops\n"
            f"TcpExt: 1 {overflows} {drops}\nIpExt: InOctets\nIpExt: 5\n"
        )

    assert read_listen_counters(text(7, 9)) == (7, 9)
    with pytest.raises(KeyError):
        read_listen_counters("IpExt: InOctets\nIpExt: 5\n")
    netstat = tmp_path / "netstat"
    monkeypatch.setattr(interference, "NETSTAT", netstat)
    monitor = monitored(monkeypatch, tmp_path, stat(IDLE), stat((1000, *IDLE[1:])))
    netstat.write_text(text(7, 9))
    monitor.connecting()
    netstat.write_text(text(10, 14))
    monitor.connected()
    found = monitor.disturbance(worker_s=0.0, server_share=0.0)
    assert found is not None and (found.listen_overflows, found.listen_drops) == (3, 5)


def test_a_throttled_worker_is_not_called_idle() -> None:
    idle = changed("client", **IDLE_CLIENT)
    assert idle.disturbance is not None
    stopped = structs.replace(idle.disturbance, throttled_s=0.5, throttled_times=5)
    assert "client_idle" in codes(idle)
    assert "client_idle" not in codes(structs.replace(idle, disturbance=stopped))


@pytest.mark.parametrize(
    ("groups", "folder", "stat_of"),
    [
        (
            "0::/pod/mine\n",
            "pod",
            "usage_usec 5\nnr_periods 9\nnr_throttled {}\nthrottled_usec {}000\n",
        ),
        (
            "5:memory:/other\n3:cpu,cpuacct:/pod\n0::/\n",
            "cpu,cpuacct/pod",
            "nr_periods 9\nnr_throttled {}\nthrottled_time {}000000\n",
        ),
        ("3:cpu:/docker/123\n", "cpu", "nr_periods 9\nnr_throttled {}\nthrottled_time {}000000\n"),
    ],
    ids=["version 2, of the parent", "version 1", "version 1, in a container"],
)
def test_throttling_is_read_of_the_control_group(
    groups: str, folder: str, stat_of: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    membership = tmp_path / "membership"
    membership.write_text(groups)
    monkeypatch.setattr(cgroup, "MEMBERSHIP", membership)
    monkeypatch.setattr(cgroup, "ROOT", tmp_path / "cgroup")
    place = tmp_path / "cgroup" / folder
    place.mkdir(parents=True)
    (place / "cpu.stat").write_text(stat_of.format(2, 100))
    (tmp_path / "stat").write_text(stat(IDLE))
    monkeypatch.setattr(interference, "STAT", tmp_path / "stat")
    monitor = Monitor(Placement(worker_cpu=0, server_cpus=(1,), server_threads=1, shared_cpus=()))
    monitor.begin()
    (tmp_path / "stat").write_text(stat((1000, *IDLE[1:])))
    (place / "cpu.stat").write_text(stat_of.format(14, 1090))
    monitor.end()
    found = monitor.disturbance(worker_s=0.0, server_share=0.0)
    assert found is not None
    assert (found.throttled_times, found.throttled_s) == (12, 0.99)


# Where they show.


FREQUENCY = Stamp(code="frequency", text="the CPUs' clock varies (turbo on)", remedy="turbo off")


def everywhere_stamped() -> Group:
    """Two rows on a machine whose clock varies, one of them unfair."""
    results = [
        synthetic.make_result(row, 100, n, samples=50, warnings=[FREQUENCY, *extra])
        for row, extra in (("asyncio", [synthetic.UNFAIR]), ("selector", []))
        for n in (1, 2)
    ]
    (group,) = group_rounds(synthetic.as_rounds(results))
    return group


def test_what_is_true_of_the_machine_marks_no_cell() -> None:
    group = everywhere_stamped()
    built = build_tables(group, [METRICS["mps"]])
    assert {row: e.marks for (row, _), e in built.tables[0].entries.items()} == {
        "asyncio": "a",
        "selector": "",
    }
    assert [(s.mark, s.code) for s in built.stamps] == [("a", "unfair"), ("", "frequency")]
    assert [entry["row"] for entry in row_warnings(group)] == ["asyncio"]
    assert group.cells["selector", 100].codes == ()


@pytest.mark.parametrize("fmt", ["table", "markdown"])
def test_what_is_true_of_the_machine_is_said_once(fmt: Any) -> None:
    file = io.StringIO()
    built = build_tables(everywhere_stamped(), [METRICS["mps"]])
    write_document(report_document([built], [None]), fmt, file)
    text = file.getvalue()
    assert text.count("frequency") == 1 and "(the whole machine): the CPUs' clock" in text


def test_results_keep_every_stamp_and_progress_shows_those_of_the_round() -> None:
    result = synthetic.make_result("selector", 100, warnings=[FREQUENCY, synthetic.UNFAIR])
    file = io.StringIO()
    run_summary([result], "json", file)
    assert json.loads(file.getvalue())["cells"][0]["warnings"] == ["frequency", "unfair"]
    assert outcome(result).endswith(" [unfair]")


def test_the_queue_is_a_column_of_every_summary() -> None:
    (result,) = (
        synthetic.make_result("selector", 100, samples=200, server_queue=share)
        for share in (0.034,)
    )
    for fmt, words in (
        ("table", ("Gen. queue", "3.4%")),
        ("markdown", ("Gen. queue", "3.4%")),
        ("csv", ("server_queue_pct", "3.4")),
        ("json", ('"server_queue_pct": 3.4',)),
    ):
        file = io.StringIO()
        run_summary([result], fmt, file)  # type: ignore[arg-type]
        assert all(word in file.getvalue() for word in words), fmt


def test_old_results_have_no_queue() -> None:
    file = io.StringIO()
    run_summary([synthetic.make_result("selector", 100, samples=200)], "table", file)
    assert "---" in file.getvalue()


def test_the_mean_held_of_many_is_exact_at_the_bottleneck() -> None:
    assert math.isclose(queue_share.mean_held(0.9, 10_000), 9.0, rel_tol=1e-6)


@pytest.mark.parametrize(("lost", "status"), [(10, "ok"), (11, "failed"), (999, "failed")])
def test_a_file_of_before_that_calls_a_round_ok_though_it_lost_its_connections(
    lost: int, status: str
) -> None:
    spread = structs.replace(FAIR, lost=lost, lost_by={"corrupt": lost})
    result = synthetic.make_result("selector", 1000, per_conn=spread)
    (found,) = synthetic.as_rounds([result])
    assert (found.status, "mps" in found.values) == (status, status == "ok")
    assert (f"{lost} of 1000 connections" in found.error) == (status != "ok")


def test_short_windows_may_be_long_enough_together() -> None:
    short = structs.replace(FULL, window_s=0.3, runtime_s=0.3)
    stamp = Stamp(code="short_run", text="measured for 0.3 s only")
    for rounds, marked in ((3, True), (4, False)):
        each = [structs.replace(short, round=i + 1, warnings=(stamp,)) for i in range(rounds)]
        (group,) = group_rounds(rounds_of_section(each))
        (cell,) = group.cells.values()
        assert ("short_run" in cell.codes) is marked
        assert bool(build_tables(group, [METRICS["mps"]]).stamps) is marked
