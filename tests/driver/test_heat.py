"""One round of a heat: real workers that take turns, and everything that can go wrong with one."""

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pybench.driver import heat
from pybench.driver.heat import (
    Entrant,
    HeatContext,
    Pace,
    find_pace,
    find_paces,
    find_passes,
    turn_order,
)
from pybench.driver.interrupts import InterruptError, Interrupts
from pybench.driver.loadserver import LoadServer
from pybench.errors import ServerError
from pybench.result import Result, Turn
from tests.support import SUPPORT, processes
from tests.support.rounds import FREE, IMPATIENT, cell

Run = Callable[..., list[Result]]
OF_CELL = ("rate", "think_us", "workers", "loops")


@pytest.fixture
def run(load_server: LoadServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs one short round of a heat; afterwards no worker is left."""
    path = os.pathsep.join(filter(None, [str(SUPPORT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("PYTHONPATH", path)
    with Interrupts() as interrupts:

        def call(*rows: str, conns: int = 10, number: int = 1, **changes: Any) -> list[Result]:
            of_cell = {k: changes.pop(k) for k in OF_CELL if k in changes}
            context = HeatContext(
                **{
                    "server": load_server.address,
                    "bind": "127.0.0.1",
                    "interrupts": interrupts,
                    "env": {"here": True},
                    "seed": 7,
                    "longest_s": 0.1,
                    "timeouts": IMPATIENT,
                }
                | changes
            )
            entrants = [
                Entrant(label=f"{row}#{i}", cell=cell(row, conns, **of_cell), placement=FREE)
                for i, row in enumerate(rows)
            ]
            return heat.run(entrants, number, 1, context)

        yield call
    assert not processes.child_called(os.getpid(), "pybench.worker")


def turns(result: Result) -> tuple[Turn, ...]:
    assert result.turns is not None
    return result.turns.each


# ---- how it is laid out ----


def test_a_pair_goes_there_and_back_and_the_next_block_is_turned_round() -> None:
    order = list(turn_order(2, 8, random.Random(1)))
    assert [block for block, _ in order] == [1, 1, 2, 2, 3, 3, 4, 4]
    turns = [who for _, indices in order for who in indices]
    assert turns[:8] in ([0, 1, 1, 0, 1, 0, 0, 1], [1, 0, 0, 1, 0, 1, 1, 0])
    assert turns[8:] == turns[:8]
    (half,) = turn_order(2, 1, random.Random(1))
    assert half == order[0]


def test_more_than_two_come_in_a_fresh_order_each_block() -> None:
    order = list(turn_order(5, 20, random.Random(1)))
    assert [block for block, _ in order] == list(range(1, 21))
    assert all(sorted(indices) == [0, 1, 2, 3, 4] for _, indices in order)
    assert len({indices for _, indices in order}) > 10
    assert order == list(turn_order(5, 20, random.Random(1)))


def test_nobody_is_always_started_first() -> None:
    rng = random.Random(1)
    pairs = [heat.seat_order(2, number, rng) for number in range(1, 5)]
    assert pairs == [[0, 1], [1, 0], [0, 1], [1, 0]]
    orders = [heat.seat_order(5, number, rng) for number in range(1, 41)]
    assert all(sorted(order) == [0, 1, 2, 3, 4] for order in orders)
    assert {order[0] for order in orders} == {0, 1, 2, 3, 4}


def pace(settle_us: int, window_us: int) -> Pace:
    return Pace(settle_us=settle_us, window_us=window_us)


def test_a_window_holds_round_trips_of_every_connection() -> None:
    assert find_pace(100, 100_000) == pace(8_000, 40_000)
    assert find_pace(100, 5_000) == pace(20_000, 100_000)
    assert find_pace(8000, 100_000) == pace(80_000, 400_000)
    assert find_pace(1_000_000, 1_000) == pace(heat.MAX_WINDOW_US, heat.MAX_WINDOW_US)
    assert find_pace(10, 0.0).window_us == heat.MAX_WINDOW_US
    assert find_pace(10, float("inf")) == pace(8_000, 40_000)


def test_a_pair_goes_at_the_slower_ones_pace_and_of_more_each_at_its_own() -> None:
    assert find_paces(100, [130_000, 5_000]) == [find_pace(100, 5_000)] * 2
    rates = [130_000, 5_000, 9_000]
    assert find_paces(100, rates) == [find_pace(100, rate) for rate in rates]


def test_windows_take_half_of_a_round_and_no_more_than_is_allowed() -> None:
    """Start 0.4 s, turns of 56 ms with 40 ms of window, two a pass."""
    pair = [pace(8_000, 40_000)] * 2
    passes = find_passes(pair, 0.4, longest_s=10.0)
    windows_s, turns_s = passes * 2 * 0.04, passes * 2 * 0.056
    assert passes == 10 and windows_s >= 0.4 * 1.2 + turns_s - windows_s
    assert find_passes(pair, 0.4, longest_s=0.6) == 4  # five, of which one would not come back
    assert find_passes(pair, 0.4, longest_s=0.24) == 2
    assert find_passes(pair, 0.4, longest_s=0.01) == 1
    assert find_passes(pair, 0.01, longest_s=10.0) == 4
    even = [pace(40_000, 40_000)] * 2  # half of the time can never be had
    assert find_passes(even, 0.4, longest_s=9.7) == 40
    assert find_passes([pace(8_000, 40_000)] * 8, 2.0, longest_s=10.0) == 13


# ---- with real workers ----


def test_all_take_turns_and_the_result_is_of_all_turns_together(run: Run) -> None:
    results = run("c_epoll", "selector", "c_epoll")
    for result in results:
        assert result.status == "ok", result.error
        in_trial = result.messages - sum(t.messages for t in turns(result))
        assert 0 <= in_trial < 0.1 * result.messages  # of a window of a microsecond
        window_ns = sum(t.window_ns for t in turns(result))
        assert window_ns == pytest.approx(1e9 * result.window_s, rel=0.1)
        assert all(t.total >= t.messages and (t.cpu_ns or 0) > 0 for t in turns(result))
        assert all(t.unanswered == 0 for t in turns(result))
        assert result.turns is not None and result.turns.window_us >= heat.MIN_WINDOW_US
        assert result.turns.start_s > 0 and result.turns.turns_s > 0
        assert result.client and (memory := result.client.rss_kb)
        assert memory.before and memory.idle and memory.busy
        assert result.env == {"here": True} and sum(result.histogram.values()) == result.messages
    assert [r.func for r in results] == ["c_epoll#0", "selector#1", "c_epoll#2"]
    assert [r.row for r in results] == ["c_epoll", "selector", "c_epoll"]
    places = Counter((t.block, t.place) for r in results for t in turns(r))
    assert set(places.values()) == {1} and len(places) == 3 * len(turns(results[0]))


def test_the_cpu_time_of_what_a_worker_forks_is_its_own(run: Run) -> None:
    parent, _ = run("bad:echoes_in_a_child", "selector")
    each = turns(parent)
    per_message_ns = sum(t.cpu_ns or 0 for t in each) / sum(t.total for t in each)
    assert per_message_ns > 1000  # two system calls; the parent alone only waits


def test_an_open_loop_starts_anew_with_each_turn(run: Run) -> None:
    results = run("c_epoll", "selector", rate=2000)
    for result in results:
        assert result.status == "ok" and result.rate == 2000
        assert result.corrected_ns is not None
        assert result.mps <= 2400


FAULTS = {
    "bad:raises": ("failed", "RuntimeError: this backend is broken"),
    "bad:raises_in_mid_run": ("failed", "RuntimeError: broken in mid-run"),
    "bad:dies_after_some_echoes": ("failed", "worker killed by signal 9 (SIGKILL)"),
    "bad:corrupts_all": ("failed", "all 10 connections were lost (10 corrupt)"),
    "bad:never_ready": ("hung", "worker hung: it did not accept all connections within 1 s"),
    "bad:swallows": ("hung", "worker hung: it answered no ping within"),
    "bad:hangs_at_end": ("hung", "worker hung: it did not end after its last turn within 1"),
}


def test_who_fails_is_out_and_the_others_go_on(run: Run) -> None:
    *bad, one, other = run(*FAULTS, "c_epoll", "c_epoll", longest_s=0.3)
    for result, (status, error) in zip(bad, FAULTS.values(), strict=True):
        assert (result.status, error in result.error) == (status, True), result.error
        assert result.turns is not None and result.messages == 0
    assert one.status == other.status == "ok" and turns(one) and turns(other)


def killing(victim: int, number: int) -> Callable[..., None]:
    """In place of the turns: first somebody is sent a signal."""
    whole = heat._take_turns

    def take_turns(*arguments: Any) -> None:
        os.kill(victim, number)
        whole(*arguments)

    return take_turns


def test_the_load_servers_end_ends_the_heat(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with LoadServer() as server:
        monkeypatch.setattr(heat, "_take_turns", killing(server.pid, signal.SIGKILL))
        with pytest.raises(ServerError, match="lost the load server") as caught:
            run("c_epoll", "selector", server=server.address)
    assert caught.value.code == "unreachable"


def test_ctrl_c_ends_the_heat(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heat, "_take_turns", killing(os.getpid(), signal.SIGINT))
    with pytest.raises(InterruptError):
        run("c_epoll", "selector")


# ---- several workers ----


def test_workers_and_loops_take_turns_together(run: Run) -> None:
    for parallel, shares in (
        ({"workers": 2}, [(1, 1, 2), (2, 1, 1)]),
        ({"loops": 2}, [(1, 1, 2), (1, 2, 1)]),
    ):
        for result in run("selector", "c_epoll", conns=3, **parallel):
            assert result.status == "ok", result.error
            assert turns(result) and all(turn.cpu_ns for turn in turns(result))
            client = result.client
            assert client and [(s.worker, s.loop, s.conns) for s in client.shares] == shares
            assert sum(s.messages for s in client.shares) == result.messages


def test_a_worker_of_several_that_fails_is_named(run: Run) -> None:
    _, bad = run("selector", "bad:exits", workers=2)
    assert bad.status == "failed" and "of 2 ended with exit status 3" in bad.error
