"""Several load servers in one cell: shares, one barrier, one result; whichever fails is named."""

import json
import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from pybench.analysis.model import server_name
from pybench.backends import ROWS
from pybench.driver import plan
from pybench.driver.control import LOST_CAUSES, Corrected, Measurement, Slice, tokens
from pybench.driver.interrupts import InterruptError, Interrupts
from pybench.driver.loadserver import LoadServer
from pybench.driver.merge import merge
from pybench.driver.progress import outcome
from pybench.driver.servers import Servers, dealt_out
from pybench.errors import PreflightError, UsageError
from pybench.spec import Campaign, Cell, HostPort
from tests.conftest import environment
from tests.support.fakeserver import AWAIT_LINE, CONNECT, fake_server
from tests.support.netns import star
from tests.support.rounds import FREE, HASTY, Measure, cell
from tests.support.wire import Peer, server_program

CELL = Cell(row=ROWS["selector"], conns=10, runtime_ns=250_000_000, warmup_ns=0)


# Shares.


@pytest.mark.parametrize(("conns", "shares"), [(10, [4, 3, 3]), (3, [1, 1, 1]), (11, [4, 4, 3])])
def test_connections_are_dealt_out_evenly(conns: int, shares: list[int]) -> None:
    assert [one.conns for one in dealt_out(replace(CELL, conns=conns), 3)] == shares


@pytest.mark.parametrize("rate", [3, 10, 1000, 1001])
def test_a_rate_is_dealt_out_as_the_connections_are(rate: int) -> None:
    shares = dealt_out(replace(CELL, rate=rate), 3)
    assert sum(one.rate for one in shares) == rate
    assert all(abs(one.rate - rate * one.conns / 10) < 1 for one in shares)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"conns": "1,10"}, "--conns 1 cannot be dealt out among the 2 load servers of --server"),
        ({"rate": "1"}, "--rate 1 cannot be dealt out among the 2"),
        ({"server": "a:1,b,a:1"}, "--server: a:1 comes twice"),
    ],
)
def test_what_cannot_be_dealt_out_is_refused(given: dict[str, str], said: str) -> None:
    asked = {"func": "selector", "conns": "10", "server": "a:1,b:2"} | given
    with pytest.raises(UsageError, match=said):
        Campaign.from_options(asked, lambda name: f"--{name}")


def test_servers_that_see_two_addresses_need_to_be_told_which(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = {"func": "selector", "conns": "10", "server": "a:1,b:2"}
    seen = {"a": "10.0.0.1", "b": "10.0.0.1"}
    monkeypatch.setattr(plan, "local_address_towards", lambda server: seen[server.host])
    assert plan.make_plan(Campaign.from_options(asked, str)).bind == "10.0.0.1"
    seen["b"] = "10.9.0.1"
    with pytest.raises(
        PreflightError, match=r"10\.0\.0\.1 by a:1, 10\.9\.0\.1 by b:2\): --bind one"
    ):
        plan.make_plan(Campaign.from_options(asked, str))
    told = Campaign.from_options(asked | {"bind": "10.9.0.1"}, str)
    assert plan.make_plan(told).bind == "10.9.0.1"


def test_one_server_under_two_names_is_one() -> None:
    """Said before anything starts: it would answer itself that another test is running."""
    asked = {"func": "selector", "conns": "10", "server": "127.0.0.1:9,localhost:9"}
    with pytest.raises(UsageError, match=r"127\.0\.0\.1:9 and localhost:9 are the same load serv"):
        plan.make_plan(Campaign.from_options(asked, str))


def test_they_survive_the_header_of_a_file() -> None:
    asked = {"func": "selector", "conns": "10", "server": "a:1,[::1]:2"}
    campaign = Campaign.from_options(asked, str)
    assert campaign.servers == (HostPort("a", 1), HostPort("::1", 2))
    record = campaign.to_record()
    assert record.server == "a:1,[::1]:2"
    assert Campaign.from_record(record) == campaign


def test_each_has_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYBENCH_TOKEN", raising=False)
    assert tokens(2) == ["", ""]
    monkeypatch.setenv("PYBENCH_TOKEN", "one")
    assert tokens(2) == ["one", "one"]
    monkeypatch.setenv("PYBENCH_TOKEN", "one two")
    assert tokens(2) == ["one", "two"]
    with pytest.raises(UsageError, match="2 tokens for 3 load servers"):
        tokens(3)
    with pytest.raises(UsageError, match="no blanks"):
        tokens(1)


def test_a_race_has_one(race: Callable[..., object]) -> None:
    done = race("selector", "thread", "--server", "127.0.0.1:1,127.0.0.1:2")
    assert done.returncode == 2  # type: ignore[attr-defined]
    assert "--server: a race has one load server" in done.stderr  # type: ignore[attr-defined]


# One measurement of several.


def measured(counts: Sequence[int], **changes: object) -> Measurement:
    """What a server says whose connections had so many messages each."""
    ranked, n = sorted(counts), len(counts)
    squares = n * sum(x * x for x in counts)
    values: dict[str, object] = {
        "messages": sum(counts),
        "window_ns": 1000,
        "total": sum(counts) + 1,
        "latency_sum_ns": 10 * sum(counts),
        "latency_max_ns": max(counts),
        "lost": 1,
        "lost_by": dict.fromkeys(LOST_CAUSES, 0) | {"reset": 1},
        "engine": "epoll",
        "threads": 1,
        "user_ns": 5,
        "sys_ns": 7,
        "version": "1",
        "conn_min": ranked[0],
        "conn_max": ranked[-1],
        "percentiles": tuple(ranked[(n * q + 99) // 100 - 1] for q in range(5, 100, 5)),
        "jain": round(sum(counts) ** 2 / squares, 6) if squares else 1.0,
        "starved": counts.count(0),
        "histogram": {10: sum(counts)},
    }
    return Measurement(**values | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sizes", "exact"), [((20, 20), True), ((7, 19), True), ((300, 77), False)]
)
def test_fairness_is_that_of_all_connections(sizes: tuple[int, ...], exact: bool) -> None:
    draw = random.Random(str(sizes))
    each = [[draw.randint(0, 40 * (i + 1)) for _ in range(n)] for i, n in enumerate(sizes)]
    each[0][0] = 0
    found = merge([measured(counts) for counts in each], sizes)
    want = measured([count for counts in each for count in counts])
    assert (found.conn_min, found.conn_max) == (want.conn_min, want.conn_max)
    assert (found.starved, found.messages) == (want.starved, want.messages)
    assert found.jain == pytest.approx(want.jain, abs=2e-6)
    if exact:
        assert found.percentiles == want.percentiles
        return
    whole = sorted(count for counts in each for count in counts)
    for place, value in enumerate(found.percentiles, 1):  # no farther than 5% of the connections
        rank = len(whole) * 5 * place / 100
        near = (
            whole[max(0, int(rank - 0.05 * len(whole)))],
            whole[int(rank + 0.05 * len(whole)) - 1],
        )
        assert near[0] <= value <= near[1]


def test_what_is_measured_adds_up() -> None:
    one = measured([3, 5], slices=(Slice(messages=8, latency_sum_ns=80, latency_max_ns=9),))
    two = measured(
        [4], engine="uring", histogram={10: 1, 20: 3}, in_flight_ns=5, drained=2, window_ns=900,
        slices=(
            Slice(messages=1, latency_sum_ns=5, latency_max_ns=5),
            Slice(messages=3, latency_sum_ns=35, latency_max_ns=20),
        ),
    )  # fmt: skip
    found = merge([one, two], [2, 1])
    assert (found.messages, found.total, found.window_ns) == (12, 14, 1000)
    assert found.histogram == {10: 9, 20: 3}
    assert (found.user_ns, found.sys_ns, found.threads) == (10, 14, 2)
    assert (found.lost, found.lost_by["reset"]) == (2, 2)
    assert found.engine == "epoll+uring"
    assert found.drained is None and found.in_flight_ns is None, "one does not say"
    assert [one.messages for one in found.slices] == [9, 3]
    assert (found.slices[0].latency_sum_ns, found.slices[0].latency_max_ns) == (85, 9)


def test_an_open_loop_adds_up_and_its_bounds_stay_bounds() -> None:
    def corrected(mean: int, p99: int, pings: int) -> Corrected:
        bounds = dict.fromkeys(("p50", "p75", "p90", "p95", "p99", "p999"), p99)
        return Corrected(
            rate=10, late=1, unsent=2, sum_ns=100, max_ns=p99, histogram={7: pings - 1},
            censored=1, bounds=bounds | {"mean": mean, "max": p99 + 1},
        )  # fmt: skip

    found = merge(
        [
            measured([3], corrected=corrected(100, 50, 4)),
            measured([1], corrected=corrected(20, 90, 2)),
        ],
        [1, 1],
    ).corrected
    assert found is not None and found.bounds is not None
    assert (found.rate, found.late, found.unsent, found.censored) == (20, 2, 4, 2)
    assert found.histogram == {7: 4}
    assert (found.bounds["p99"], found.bounds["max"]) == (50, 91)
    assert found.bounds["mean"] == (100 * 4 + 20 * 2) // 6


def test_several_have_one_name_in_tables() -> None:
    assert server_name("10.0.0.1:7,[fe80::1]:7") == "10.0.0.1+fe80::1"
    assert server_name("127.0.0.1:7,127.0.0.1:8") == "local"


# Rounds.


def test_two_servers_drive_one_worker(load_server: LoadServer, measure: Measure) -> None:
    """Each its share, and the parts are the whole."""
    with LoadServer() as other:
        result = measure(cell("selector", 11), more_servers=(other.address,))
    assert result.ok, result.error
    assert result.server is not None and result.per_conn is not None
    parts = result.server.parts
    assert [part.address for part in parts] == [str(load_server.address), str(other.address)]
    assert result.server.address == ",".join(part.address for part in parts)
    assert [part.conns for part in parts] == [6, 5]
    assert sum(part.messages for part in parts) == result.messages > 0
    assert all(part.messages for part in parts)
    assert result.server.threads == sum(part.threads for part in parts)
    assert min(part.start_s for part in parts if part.start_s is not None) == 0
    assert result.in_flight == pytest.approx(11, rel=0.1)
    assert result.series is not None and sum(result.series.messages) == result.messages
    assert result.client is not None and result.client.messages == result.messages
    assert f"({parts[0].address} " in outcome(result) and "; began within " in outcome(result)


def test_a_single_server_has_no_parts(measure: Measure) -> None:
    result = measure(cell("selector"))
    assert result.ok and result.server is not None
    assert result.server.parts == ()


def test_the_one_that_dies_in_mid_run_is_named(measure: Measure) -> None:
    with LoadServer() as other:

        def kill(progress: object) -> None:
            os.kill(other._process.pid, signal.SIGKILL)

        long = cell("selector", 10, runtime_ns=20_000_000_000)
        result = measure(long, more_servers=(other.address,), on_progress=kill)
    assert result.status == "failed"
    assert str(other.address) in result.error and "lost the load server" in result.error


@pytest.mark.parametrize(
    ("script", "hold", "said"),
    [
        ([b'error code=no_ports msg="out of ports"\n'], False, "load server {}: out of ports"),
        ([b"gibberish\n"], False, "load server {}: the load server's 'gibberish' is not a reply"),
        (
            [CONNECT, b"connected n=5 elapsed_ns=1\n", AWAIT_LINE],
            True,
            "load server {} fell silent: nothing for",
        ),
    ],
)
def test_the_one_that_fails_is_named(
    measure: Measure, script: list[object], hold: bool, said: str
) -> None:
    with fake_server(script, hold=hold) as fake:
        result = measure(cell("selector"), more_servers=(fake.address,), timeouts=HASTY)
    assert result.status == "failed"
    assert said.format(fake.address) in result.error


def test_listeners_are_dealt_out_over_all_servers(measure: Measure) -> None:
    """Seven connections and three idle ones for two workers: five for each, whoever connects."""
    shared = replace(cell("selector", conns=7), workers=2, idle=3)
    with LoadServer() as other:
        result = measure(shared, more_servers=(other.address,))
    assert result.ok, result.error
    assert [part.conns for part in result.server.parts] == [4, 3]
    assert [share.messages > 0 for share in result.client.shares] == [True, True]
    assert sum(share.messages for share in result.client.shares) == result.messages


def test_nobody_is_ready_before_all_are_connected() -> None:
    up, late = b"connected n=5 elapsed_ns=1\n", b"connected n=5 elapsed_ns=9000000000\n"
    with (
        Peer() as peer,
        fake_server([CONNECT, up], hold=True) as one,
        fake_server([AWAIT_LINE, CONNECT, late], hold=True) as other,
        Servers((one.address, other.address)) as servers,
    ):
        servers.request("127.0.0.1", [peer.port], CELL, FREE, pin="", seed=1, slice_ms=0)
        assert select.select([servers], [], [], 20)[0]
        servers.receive()
        assert not servers.connected
        assert servers.behind == f"load server {other.address}"
        servers.stop()  # the line that the other one waits for
        assert select.select([servers], [], [], 20)[0]
        servers.receive()
        assert servers.connected
        assert servers.connect_s == 9
    assert " conns=5 " in one.lines[0] and " conns=5 " in other.lines[0]


def test_ctrl_c_is_heard_while_a_server_ends_its_test() -> None:
    with (
        Interrupts() as interrupts,
        fake_server([], hold=True, closing_s=0.2) as fake,
        Servers((fake.address,)) as servers,
    ):
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(InterruptError, match="SIGINT"):
            servers.leave(20, interrupts)


@pytest.mark.alone
def test_two_servers_on_two_hosts(tmp_path: Path) -> None:
    """Three hosts: the worker's, and two that generate load with a token of their own each."""
    with star(3) as (here, *there), ExitStack() as stack:
        for number, host in enumerate(there):
            server = stack.enter_context(
                subprocess.Popen(
                    [*host.prefix, server_program(), "--listen", f"{host.address}:33331"],
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=environment(PYBENCH_TOKEN=f"token{number}"),
                )
            )
            stack.callback(server.terminate)
            assert server.stdout is not None
            assert server.stdout.readline().startswith(b"listening on ")
        done = subprocess.run(
            [
                *(*here.prefix, sys.executable, "-m", "pybench", "--func", "selector"),
                *("--server", ",".join(host.address for host in there), "--conns", "400"),
                *("--runtime", "300ms", "--warmup", "50ms", "--output", "r.jsonl"),
            ],
            cwd=tmp_path, env=environment(PYBENCH_TOKEN="token0 token1"), timeout=60,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "r.jsonl").read_text().splitlines()[-1])
    assert [part["conns"] for part in result["server"]["parts"]] == [200, 200]
    assert [part["address"] for part in result["server"]["parts"]] == [
        f"{host.address}:33331" for host in there
    ]
    assert "Load server 10.202.77.2+10.202.77.3" in done.stdout
