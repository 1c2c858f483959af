"""Sessions that take turns: many may be there, one pings at a time, each turn is counted apart."""

import resource
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.wire import TIMEOUT_S, ControlClient, Peer, load_server

SUMS = ("messages", "window_ns", "latency_sum_ns", "idle_ns", "user_ns", "sys_ns")


@contextmanager
def session(server, port: int, **options: object) -> Iterator[ControlClient]:
    with server.client() as client:
        client.request_turns(port, **options)
        yield client


def code_of(client: ControlClient) -> str:
    return client.finish().words("error")["code"]


@contextmanager
def watched_peer() -> Iterator[tuple[Peer, threading.Event]]:
    """One that echoes, and what is set when the first ping has come."""
    pinged = threading.Event()

    def echo(peer, connection, data):
        pinged.set()
        peer.echo(connection, data)

    with Peer(echo) as peer:
        yield peer, pinged


def ask_until_answered(client: ControlClient) -> None:
    """A turn as soon as nobody else is pinged."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        client.ask_turn()
        if (line := client.line()) != "busy\n":
            assert line.startswith("turn "), line
            return
    raise AssertionError("busy for ever")


# ---- what is counted -----------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 3])
def test_the_result_is_of_all_turns_together(server, threads):
    received = 0

    def count(peer, connection, data):
        nonlocal received
        received += len(data)
        peer.echo(connection, data)

    with Peer(count) as peer, session(server, peer.port, conns=12, threads=threads) as client:
        turns = [client.turn(50_000, window) for window in (80_000, 40_000, 60_000)]
        answer = client.stop()
        peer.await_closed(12)
    assert [turn["n"] for turn in turns] == [1, 2, 3]
    assert [turn["window_ns"] for turn in turns] == [80_000_000, 40_000_000, 60_000_000]
    for turn in turns:
        assert turn["alive"] == 12
        assert turn["unanswered"] == turn["late_echoes"] == 0
        assert turn["drain_ns"] < 2_000_000_000  # over when the last echo is there
        assert turn["messages"] <= turn["total"] >= 12
    assert answer.count("messages") > 0
    for key in SUMS:
        assert answer.count(key) == sum(turn[key] for turn in turns), key
    assert answer.count("latency_max_ns") == max(turn["latency_max_ns"] for turn in turns)
    assert sum(map(int, answer.words("hist").values())) == answer.count("messages")
    # nothing was sent but in turns, and all of it came back in them
    assert received == 64 * answer.count("total") == 64 * sum(turn["total"] for turn in turns)
    # Little's law over three windows; fewer where a ping thread had no CPU in time
    assert 0 < answer.count("in_flight_ns") <= 12.01 * answer.count("window_ns")
    assert answer.verbs[-1] == "end"


def test_a_ping_without_an_echo_is_awaited_over_turns(server):
    """It does not hold up the turn for ever, and its echo is neither lost nor a latency."""
    held = []
    pinged_again = []

    def hold_one(peer, connection, data):
        if not held:
            held.append((connection, data))
            return
        if connection is held[0][0]:
            pinged_again.append(data)
        peer.echo(connection, data)

    with (
        Peer(hold_one) as peer,
        session(server, peer.port, conns=4, threads=1, busy_poll_us=100) as client,
    ):
        first = client.turn(50_000)
        assert (first["unanswered"], first["alive"], first["late_echoes"]) == (1, 4, 0)
        assert first["drain_ns"] >= 2_000_000_000
        held[0][0].send(held[0][1])
        second = client.turn(50_000)
        assert (second["unanswered"], second["alive"], second["late_echoes"]) == (0, 4, 1)
        answer = client.stop()
    assert answer.count("lost") == 0
    assert pinged_again
    assert answer.count("latency_max_ns") < 2_000_000_000
    assert answer.count("total") == first["total"] + second["total"]
    # to the nanosecond in c/test_pinger.c; fewer where a ping thread had no CPU in time
    assert 0 < answer.count("in_flight_ns") <= 4.01 * answer.count("window_ns")


def lose(connection: socket.socket, *, reset: bool = False) -> None:
    """Have the peer, whose thread owns it, close it."""
    if reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.shutdown(socket.SHUT_RD)


def test_connections_lost_between_turns_are_found_by_the_next(server):
    connections = []
    with (
        Peer(on_accept=lambda _, one: connections.append(one)) as peer,
        session(server, peer.port, conns=4) as client,
    ):
        assert client.turn()["alive"] == 4
        lose(connections[0])
        peer.await_closed(1)
        assert client.turn()["alive"] == 3
        for connection in connections[1:]:
            lose(connection, reset=True)
        peer.await_closed(4)
        last = client.turn()
        assert last["alive"] == 0
        assert last["window_ns"] < 50_000_000
        assert client.turn()["messages"] == 0
        answer = client.stop()
    assert answer.count("lost") == 4
    assert answer.count("lost_closed") == 1
    assert answer.count("lost_reset") == 3


def test_other_bytes_than_were_sent_between_turns_are_corrupt(server):
    connections = []
    with (
        Peer(on_accept=lambda _, one: connections.append(one)) as peer,
        session(server, peer.port, conns=4) as client,
    ):
        client.turn()
        connections[0].send(b"nobody asked for this")
        assert client.turn()["alive"] == 3
        assert client.stop().count("lost_corrupt") == 1


@pytest.mark.parametrize("pace", [{"rate": 2000}, {"think_min_us": 3000, "think_max_us": 3000}])
def test_think_time_and_schedule_begin_anew_with_each_turn(server, peer, pace):
    """A turn does not make up for what was due between turns."""
    with session(server, peer.port, conns=6, **pace) as client:
        for _ in range(3):
            time.sleep(0.1)  # 200 pings would be due
            turn = client.turn(settle_us=0, window_us=60_000)
            # 2000 a second, or six every 3 ms; and one each that was due with the window's end
            assert turn["messages"] <= 120 + 6
        answer = client.stop()
    assert answer.count("lost") == 0
    assert answer.count("messages") > 0
    if "rate" in pace:
        corrected = answer.words("corrected")
        most = 3 * (120 + 6)
        assert answer.count("messages") + int(corrected["censored"]) <= most


# ---- one at a time -------------------------------------------------------------------------


def test_one_of_many_is_pinged_at_a_time(server, peer):
    with (
        watched_peer() as (watched, pinged),
        session(server, watched.port) as one,
        session(server, peer.port) as other,
    ):
        one.ask_turn(window_us=60_000_000)
        assert pinged.wait(TIMEOUT_S)
        for _ in range(2):
            other.ask_turn()
            assert other.line() == "busy\n"
        one.send("stop\n")
        assert one.turned()["n"] == 1
        assert other.turn()["n"] == 1  # a turn that was refused is none
        assert other.stop().count("total") >= 10


@pytest.mark.alone
def test_who_waits_costs_no_cpu_time(server, peer):
    """Twenty sessions of four threads: all can be there, and sleep."""
    with ExitStack() as stack:
        clients = [stack.enter_context(server.client()) for _ in range(20)]
        for client in clients:
            client.request_turns(peer.port, conns=8, threads=4)
        for _ in range(2):
            for client in clients:
                assert client.turn(window_us=2000)["alive"] == 8
        before = activity(server.process.pid)
        for _ in range(50):  # the last turn's threads are on their way to bed
            last, before = before, activity(server.process.pid, after_s=0.05)
            if before == last:
                break
        used_ns, times = activity(server.process.pid, after_s=0.5)
        assert (used_ns - before[0], times - before[1]) == (0, 0)
        assert clients[-1].turn()["n"] == 3


def activity(pid: int, after_s: float = 0.0) -> tuple[int, int]:
    """CPU time of all threads in ns, and how often they got a CPU."""
    time.sleep(after_s)
    tasks = [
        (task / "schedstat").read_text().split() for task in Path(f"/proc/{pid}/task").iterdir()
    ]
    return sum(int(ran) for ran, _, _ in tasks), sum(int(times) for _, _, times in tasks)


def test_more_sessions_come_at_once_than_clients_may_wait(any_server, peer):
    with ExitStack() as stack:
        clients = [stack.enter_context(any_server.client()) for _ in range(50)]
        for client in clients:
            client.send(
                f"test v=2 addr=127.0.0.1 port={peer.port} conns=1 msize=64 turns=1 threads=1\n"
            )
        for client in clients:
            client.await_verb("connected")


def test_a_test_of_its_own_and_takers_of_turns_exclude_each_other(any_server, peer):
    with session(any_server, peer.port) as taker:
        with any_server.client() as alone:
            alone.request(peer.port)
            assert code_of(alone) == "busy"
        assert taker.turn()["n"] == 1
        assert taker.stop()[-1] == "end"
    with any_server.client() as alone:
        alone.request(peer.port, runtime_ms=60_000)
        alone.await_verb("connected")
        with any_server.client() as taker:
            taker.send(f"test v=2 addr=127.0.0.1 port={peer.port} conns=1 msize=64 turns=1\n")
            assert code_of(taker) == "busy"


def test_a_session_without_files_leaves_the_others_alone(peer):
    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))

    with (
        load_server("--quiet", preexec_fn=limit_files) as running,
        session(running, peer.port) as one,
        running.client() as too_many,
    ):
        assert one.turn()["alive"] == 10
        too_many.send(
            f"test v=2 addr=127.0.0.1 port={peer.port} conns=200 threads=1 msize=64 turns=1\n"
        )
        assert code_of(too_many) == "no_files"
        assert one.turn()["alive"] == 10
        assert one.stop().count("lost") == 0


def test_tokens_are_not_guessed_in_parallel(peer):
    """A wrong one takes 0.1 s, and one is looked at at a time."""
    guess = f"test v=2 addr=127.0.0.1 port={peer.port} conns=1 msize=64 turns=1 token=guess\n"
    with load_server("--quiet", env={"PYBENCH_TOKEN": "secret"}) as running, ExitStack() as stack:
        clients = [stack.enter_context(running.client()) for _ in range(5)]
        began = time.monotonic()
        for client in clients:
            client.send(guess)
        assert [code_of(client) for client in clients] == ["forbidden"] * 5
        assert time.monotonic() - began >= 0.5


# ---- ends ----------------------------------------------------------------------------------


def test_who_goes_between_turns_or_in_one_leaves_the_others_alone(server):
    with Peer() as peer, session(server, peer.port) as stays:
        with session(server, peer.port) as goes:
            goes.turn()
        peer.await_closed(10)
        assert stays.turn()["alive"] == 10
        with session(server, peer.port) as goes:
            goes.ask_turn(window_us=60_000_000)
        peer.await_closed(20)
        ask_until_answered(stays)
        assert stays.stop().count("lost") == 0


def test_stop_in_a_turn_ends_its_window(server):
    with watched_peer() as (peer, pinged), session(server, peer.port) as client:
        client.ask_turn(settle_us=0, window_us=60_000_000)
        assert pinged.wait(TIMEOUT_S)
        client.send("stop\n")
        turn = client.turned()
        answer = client.finish()
    assert turn["window_ns"] < 50_000_000_000
    assert answer.count("window_ns") == turn["window_ns"]
    assert answer.count("messages") == turn["messages"]
    assert answer[-1] == "end"


def test_stop_without_a_turn_is_an_empty_result(server, peer):
    with session(server, peer.port) as client:
        answer = client.stop()
    assert answer.count("messages") == answer.count("window_ns") == answer.count("lost") == 0


def test_all_are_told_when_the_server_ends(engine):
    with (
        load_server("--engine", engine) as running,
        watched_peer() as (peer, pinged),
        ExitStack() as stack,
    ):
        clients = [stack.enter_context(session(running, peer.port)) for _ in range(3)]
        clients[0].ask_turn(window_us=60_000_000)
        assert pinged.wait(TIMEOUT_S)
        running.process.send_signal(signal.SIGTERM)
        assert [code_of(client) for client in clients] == ["stopped"] * 3
        assert running.process.wait(TIMEOUT_S) == 0
        peer.await_closed(30)


def test_once_ends_when_the_last_has_gone(peer):
    with load_server("--once", "--quiet") as running:
        with session(running, peer.port) as one, session(running, peer.port) as other:
            one.turn()
            assert one.stop()[-1] == "end"
            assert other.turn()["n"] == 1
        assert running.process.wait(TIMEOUT_S) == 0


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("turn window_us=5\n", "settle_us is missing"),
        ("turn settle_us=0 window_us=0\n", "window_us=0: expected a whole number from 1 to"),
        ("turn settle_us=0 window_us=5 settle_us=0\n", "settle_us is given twice"),
        ("turn settle_us=0 window_us=5 more=1\n", "unknown key 'more'"),
        ("turn\n", "expected a line 'turn' or 'stop'"),
        ("ready\n", "expected a line 'turn' or 'stop'"),
        ("turn settle_us=0 window_us=5000000\n" * 2, "expected a line"),
    ],
)
def test_lines_that_are_no_turn_end_the_session(any_server, peer, lines, said):
    with session(any_server, peer.port) as client:
        client.send(lines)
        error = client.finish().words("error")
        assert error["code"] == "bad_request"
        assert said in error["msg"]


def test_no_turn_before_ready(any_server, peer):
    with any_server.client() as client:
        client.send(
            f"test v=2 addr=127.0.0.1 port={peer.port} conns=1 msize=64 turns=1\n"
            "turn settle_us=0 window_us=5\n"
        )
        assert code_of(client) == "bad_request"


def test_a_turn_is_not_cut_into_slices(any_server, peer):
    with any_server.client() as client:
        client.send(
            f"test v=2 addr=127.0.0.1 port={peer.port} conns=1 msize=64 turns=1 slice_ms=100\n"
        )
        error = client.finish().words("error")
        assert error["msg"] == "slice_ms and turns exclude each other: a turn is short"


def test_turns_without_turns_are_no_command(any_server, peer):
    with any_server.client() as client:
        client.request(peer.port, runtime_ms=60_000)
        client.await_verb("connected")
        client.send("ready\nturn settle_us=0 window_us=5\n")
        assert code_of(client) == "bad_request"


def test_the_null_engine_measures_the_server_alone(any_server):
    received = []
    with (
        Peer(lambda _, __, data: received.append(data)) as peer,
        session(any_server, peer.port, conns=7, engine="null", threads=2) as client,
    ):
        turn = client.turn()
        answer = client.stop()
    assert turn["messages"] > 1000
    assert answer.words("result")["engine"] == "null"
    assert answer.count("lost") == 0
    assert received == []


def test_the_null_engine_keeps_a_schedule(any_server, peer):
    answer = any_server.run(peer.port, engine="null", rate=200, warmup_ms=0, runtime_ms=200)
    assert 0 < answer.count("messages") <= 40
    assert int(answer.words("corrected")["rate"]) == 200
    answer = any_server.run(peer.port, engine="null", warmup_ms=100, runtime_ms=100)
    assert 0 < answer.count("in_flight_ns") <= 10.01 * answer.count("window_ns")
