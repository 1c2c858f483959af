"""The load server, through its control connection and nothing else."""

import contextlib
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.support.wire import (
    IDLY,
    TIMEOUT_S,
    Answer,
    ControlClient,
    Peer,
    load_server,
    server_program,
)

# ---- a test from request to result ---------------------------------------------------------


def histogram(answer: Answer) -> dict[int, int]:
    return {int(edge): int(n) for edge, n in answer.words("hist").items()}


@pytest.mark.alone
def test_result_is_complete_and_consistent(server, engine):
    with Peer() as peer:
        answer = server.run(peer.port, conns=20, runtime_ms=1200)
        peer.await_closed(20)
    assert answer.verbs[0] == "connected"
    assert answer.verbs[-1] == "end"
    assert "progress" in answer.verbs
    assert answer.words("connected")["n"] == "20"
    assert answer.words("progress")["alive"] == "20"

    messages, window = answer.count("messages"), answer.count("window_ns")
    assert window == 1_200_000_000
    assert answer.count("lost") == 0
    assert answer.words("result")["engine"] == engine
    assert 0 < messages < answer.count("total")  # the warm-up was sent too
    assert sum(histogram(answer).values()) == messages

    # Little's law: connections = throughput * mean latency
    assert answer.count("latency_sum_ns") / window == pytest.approx(20, rel=0.05)

    # and exactly so when the pings that the window's ends cut in two are counted as they lie inside
    assert answer.count("in_flight_ns") / window == pytest.approx(20, rel=0.002)

    fair = answer.words("fairness")
    spread = [int(fair["min"]), *(int(fair[f"p{q}"]) for q in range(5, 100, 5)), int(fair["max"])]
    assert spread == sorted(spread)
    assert 0 < float(fair["jain"]) <= 1
    assert fair["starved"] == "0"
    cpu = answer.count("user_ns") + answer.count("sys_ns")
    assert 0 < cpu < 1.5 * window * answer.count("threads")


def test_histogram_agrees_with_sum_and_maximum(server):
    with Peer() as peer:
        answer = server.run(peer.port)
    buckets = histogram(answer)
    widths = {low: max(1, 2 ** (low.bit_length() - 7)) for low in buckets}
    assert all(low % width == 0 for low, width in widths.items())
    low = sum(edge * n for edge, n in buckets.items())
    high = sum((edge + widths[edge]) * n for edge, n in buckets.items())
    assert low <= answer.count("latency_sum_ns") <= high
    assert max(buckets) <= answer.count("latency_max_ns") < max(buckets) + widths[max(buckets)]


@pytest.mark.parametrize("msize", [1, 7, 8, 9, 64, 4096, 300_000])
def test_message_sizes(server, msize):
    with Peer() as peer:
        answer = server.run(peer.port, conns=3, msize=msize)
    assert answer.count("messages") > 0
    assert answer.count("lost") == 0


def test_fragmented_echo_counts_once(server):
    """A reply that dribbles in byte by byte is one echo."""

    def dribble(peer: Peer, connection: socket.socket, data: bytes) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(data)):
            connection.send(data[i : i + 1])

    with Peer(dribble) as peer:
        answer = server.run(peer.port, conns=2, msize=30)
    assert answer.count("messages") > 0
    assert answer.count("lost") == 0


def test_short_sends_to_a_slow_reader(server):
    """A megabyte does not fit a small receive buffer: the server sends it in parts."""

    def shrink(peer: Peer, connection: socket.socket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)

    with Peer(on_accept=shrink, receive=1 << 14) as peer:
        answer = server.run(peer.port, conns=2, msize=1 << 20, warmup_ms=0, runtime_ms=1500)
    assert answer.count("messages") > 0
    assert answer.count("lost") == 0


def test_threads_share_the_connections(server):
    with Peer() as peer:
        answer = server.run(peer.port, conns=7, threads=3)
    assert answer.count("threads") == 3
    assert answer.count("lost") == 0
    assert answer.words("fairness")["starved"] == "0"


def test_more_threads_than_connections(server):
    with Peer() as peer:
        answer = server.run(peer.port, conns=2, threads=64)
    assert answer.count("threads") == 2


def test_ipv6(server):
    with load_server(listen="[::1]:0") as six, Peer(host="::1") as peer:
        answer = six.run(peer.port, addr="::1")
    assert answer.count("messages") > 0


def test_stop_ends_early_with_a_result(server):
    with Peer() as peer, server.client() as client:
        client.request(peer.port, runtime_ms=60_000, warmup_ms=0, **IDLY)
        client.await_verb("connected")
        client.send("ready\n")
        client.await_verb("progress")
        client.send("stop\n")
        answer = client.finish()
    assert answer.verbs[-1] == "end"
    assert answer.count("messages") > 0
    assert 0 < answer.count("window_ns") < 20_000_000_000


def test_stop_before_ready(server):
    with Peer() as peer, server.client() as client:
        client.request(peer.port)
        client.await_verb("connected")
        client.send("stop\n")
        answer = client.finish()
    assert answer.count("messages") == 0
    assert answer.verbs[-1] == "end"


def test_nothing_is_sent_before_ready(server):
    with Peer() as peer, server.client() as client:
        client.request(peer.port, conns=1)
        client.await_verb("connected")
        received: list[bytes] = []
        peer.on_data = lambda peer, connection, data: (
            received.append(data),
            peer.echo(connection, data),
        )
        # the loopback delivers inside send(): had anything been sent, a later byte from the
        # control connection would find it there
        client.socket.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        assert received == []
        client.socket.settimeout(TIMEOUT_S)
        client.send("ready\n")
        assert client.finish().count("messages") > 0
    assert received


# ---- think time ----------------------------------------------------------------------------


@pytest.mark.alone
def test_think_time_is_waited_and_not_measured(server):
    with Peer() as peer:
        answer = server.run(
            peer.port, conns=50, runtime_ms=1500, think_min_us=20_000, think_max_us=30_000
        )
    messages = answer.count("messages")
    latency_s = answer.count("latency_sum_ns") / messages / 1e9
    assert latency_s < 0.015  # the 25 ms are not in it
    # Little's law with the think time: conns = rate * (latency + think)
    assert messages / 1.5 * (latency_s + 0.025) == pytest.approx(50, rel=0.1)


def test_unequal_think_times_are_refused(server):
    with Peer() as peer:
        answer = server.run(peer.port, think_min_us=20, think_max_us=10)
    assert answer.words("error")["code"] == "bad_request"


# ---- open loop -----------------------------------------------------------------------------


@pytest.mark.alone
def test_rate_is_kept(server):
    with Peer() as peer:
        answer = server.run(peer.port, conns=20, runtime_ms=1500, rate=1000)
    corrected = answer.words("corrected")
    # a machine that stood still at the end of the window has echoes that came after it
    assert answer.count("messages") + int(corrected["censored"]) == pytest.approx(1500, abs=3)
    assert answer.count("messages") > 1000
    assert corrected["rate"] == "1000"
    assert int(corrected["sum_ns"]) >= answer.count("latency_sum_ns")
    recorded = sum(map(int, answer.words("corrected_hist").values()))
    assert recorded == answer.count("messages")
    assert int(corrected["unsent"]) <= int(corrected["censored"])


def test_rate_beyond_reach_is_counted(server):
    """What cannot be sent on time is late, what cannot be sent at all is counted as well."""
    with Peer() as peer:
        answer = server.run(peer.port, conns=2, warmup_ms=0, runtime_ms=500, rate=10_000_000)
    corrected = answer.words("corrected")
    done = answer.count("messages") + int(corrected["unsent"])
    assert done == pytest.approx(5_000_000, rel=0.01)
    assert int(corrected["late"]) > 0
    # the schedule ran away: the corrected latency is of the order of the run itself
    assert int(corrected["max_ns"]) > 200_000_000
    assert int(corrected["max_ns"]) > answer.count("latency_max_ns")


def test_a_stall_shows_in_the_corrected_latency_only(engine):
    """The generator is stopped for a while: what was due meanwhile was answered late."""
    with load_server("--engine", engine) as running, Peer() as peer, running.client() as client:
        client.request(peer.port, conns=20, warmup_ms=0, runtime_ms=3000, rate=2000)
        client.await_verb("connected")
        client.send("ready\n")
        client.await_verb("progress")
        running.process.send_signal(signal.SIGSTOP)
        time.sleep(0.7)  # the stall is the subject
        running.process.send_signal(signal.SIGCONT)
        answer = client.finish()

    def over_300_ms(verb: str) -> int:
        return sum(int(n) for low, n in answer.words(verb).items() if int(low) > 300_000_000)

    assert over_300_ms("corrected_hist") > 500  # 0.7 s at 2000/s, those of the first 0.4 s
    assert over_300_ms("hist") <= 20  # at most what was in flight
    assert int(answer.words("corrected")["late"]) > 1000


def test_rate_and_think_time_exclude_each_other(any_server):
    with Peer() as peer:
        answer = any_server.run(peer.port, rate=5, think_min_us=1, think_max_us=2)
    assert "exclude" in answer.words("error")["msg"]


# ---- the generator's own share -------------------------------------------------------------


def test_kernel_times_split_the_latency(any_server):
    with Peer() as peer:
        answer = any_server.run(peer.port, conns=30, timestamps="kernel", engine="epoll")
    assert answer.count("queue_samples") <= answer.count("messages")
    assert answer.count("queue_samples") == pytest.approx(answer.count("messages"), rel=0.1)
    assert 0 < answer.count("queue_ns") < answer.count("latency_sum_ns")


def test_kernel_times_are_refused_where_they_cannot_be_had(any_server):
    error = any_server.run(9, timestamps="kernel", engine="uring").words("error")
    assert error["code"] == "unsupported"


@pytest.mark.alone
def test_a_busy_poll_is_idle_time(server):
    """Who polls in vain does not sleep, and says so; who has much to do finds it at once."""
    slow = {"conns": 2, "warmup_ms": 100, "runtime_ms": 500, "rate": 2000}
    with Peer() as peer:
        sleeping = server.run(peer.port, **slow)
        polling = server.run(peer.port, **slow, busy_poll_us=100_000)
    assert (sleeping.count("busy_poll_us"), sleeping.count("idle_ns")) == (0, 0)
    assert polling.count("busy_poll_us") == 100_000
    assert polling.count("idle_ns") > 50_000_000  # most of the 500 ms, if the CPU was to be had
    assert polling.count("messages") == pytest.approx(1000, rel=0.15)  # some of the warm-up
    used = polling.count("user_ns") + polling.count("sys_ns")
    assert used > sleeping.count("user_ns") + sleeping.count("sys_ns")


def test_a_busy_poll_ends_in_sleep(server):
    """A poll is bounded: with a ping each 50 ms, a millisecond of it is hardly felt."""
    with Peer() as peer:
        answer = server.run(
            peer.port, conns=1, warmup_ms=0, runtime_ms=500, rate=20, busy_poll_us=1000
        )
    assert 0 < answer.count("idle_ns") < 250_000_000
    assert answer.count("messages") == pytest.approx(10, abs=2)


def test_batches_are_counted(server):
    with Peer() as peer:
        answer = server.run(peer.port, conns=30)
    events, waits = answer.count("events"), answer.count("waits")
    assert waits > 0
    assert events == pytest.approx(answer.count("messages"), rel=0.2)
    assert events <= answer.count("events_squared") <= events * events


# ---- connections that misbehave ------------------------------------------------------------


def lost(answer: Answer) -> dict[str, int]:
    return {
        cause: answer.count(f"lost_{cause}")
        for cause in ("reset", "closed", "corrupt", "error")
        if answer.count(f"lost_{cause}")
    }


def spoil_first(spoil):
    """An on_data that spoils the first connection that speaks and echoes on all others."""
    victim: list[socket.socket] = []

    def on_data(peer: Peer, connection: socket.socket, data: bytes) -> None:
        if not victim:
            victim.append(connection)
        if connection is victim[0]:
            spoil(peer, connection, data)
        else:
            peer.echo(connection, data)

    return on_data


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (lambda p, c, d: p.echo(c, bytes(len(d))), "corrupt"),
        (lambda p, c, d: p.echo(c, d[:-1] + bytes([d[-1] ^ 1])), "corrupt"),
        (lambda p, c, d: p.echo(c, bytes([d[0] ^ 1]) + d[1:]), "corrupt"),
        (lambda p, c, d: p.echo(c, d + b"x"), "corrupt"),
        (lambda p, c, d: p.echo(c, d + d), "corrupt"),
        (lambda p, c, d: p.drop(c), "closed"),
        (lambda p, c, d: p.drop(c, reset=True), "reset"),
    ],
    ids=["zeros", "last bit", "first bit", "a byte more", "echoed twice", "closed", "reset"],
)
def test_a_lost_connection_is_counted_and_the_others_go_on(server, spoil, cause):
    with Peer(spoil_first(spoil)) as peer:
        answer = server.run(peer.port, conns=5)
    assert lost(answer) == {cause: 1}
    assert answer.count("messages") > 0
    assert answer.verbs[-1] == "end"


def test_the_echo_of_another_connection_is_corrupt(server):
    held: list[tuple[socket.socket, bytes]] = []

    def swap(peer: Peer, connection: socket.socket, data: bytes) -> None:
        held.append((connection, data))
        if len(held) == 2:
            (a, from_a), (b, from_b) = held
            peer.echo(a, from_b)
            peer.echo(b, from_a)

    with Peer(swap) as peer:
        answer = server.run(peer.port, conns=2)
    assert lost(answer) == {"corrupt": 2}


def test_an_old_echo_is_corrupt(server):
    last: dict[socket.socket, bytes] = {}

    def repeat(peer: Peer, connection: socket.socket, data: bytes) -> None:
        peer.echo(connection, last.setdefault(connection, data))

    with Peer(repeat) as peer:
        answer = server.run(peer.port, conns=1)
    assert lost(answer) == {"corrupt": 1}


def test_bytes_while_thinking_are_corrupt(server):
    def late_byte(peer: Peer, connection: socket.socket, data: bytes) -> None:
        peer.echo(connection, data)
        threading.Timer(0.05, lambda: connection.send(b"x")).start()

    with Peer(late_byte) as peer:
        answer = server.run(
            peer.port, conns=1, think_min_us=400_000, think_max_us=400_000, runtime_ms=1500
        )
    assert lost(answer) == {"corrupt": 1}


def test_a_peer_that_half_closes_is_lost(server):
    def half_close(peer: Peer, connection: socket.socket, data: bytes) -> None:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)

    with Peer(spoil_first(half_close)) as peer:
        answer = server.run(peer.port, conns=3)
    assert lost(answer) == {"closed": 1}


def test_all_lost_ends_at_once(server):
    with Peer(lambda peer, connection, data: peer.drop(connection, reset=True)) as peer:
        began = time.monotonic()
        answer = server.run(peer.port, conns=10, runtime_ms=60_000)
    assert lost(answer) == {"reset": 10}
    assert time.monotonic() - began < 30  # not the minute that was asked for


def test_a_silent_peer_starves_and_the_test_still_ends(server):
    with Peer(spoil_first(lambda peer, connection, data: None)) as peer:
        answer = server.run(peer.port, conns=3)
    assert answer.words("fairness")["starved"] == "1"
    assert answer.count("lost") == 0
    # the one that nobody answered was in flight all the same, and of the others no more than two
    assert 2.2 < answer.count("in_flight_ns") / answer.count("window_ns") < 3.01


# ---- connecting ----------------------------------------------------------------------------


def test_refused(any_server):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        answer = any_server.run(unused.getsockname()[1])
    error = answer.words("error")
    assert error["code"] == "refused"
    assert error["call"] == "connect"
    assert error["up"] == "0"
    assert error["reason"] == "Connection refused"
    assert "0 of 10 connections were up" in error["msg"]


def slow_accept(listener: socket.socket, count: int, pause_s: float) -> list[socket.socket]:
    accepted = []
    for _ in range(count):
        accepted.append(listener.accept()[0])
        time.sleep(pause_s)  # the slowness is the subject, not a wait for something
    return accepted


def test_a_full_listen_queue_is_waited_for(any_server):
    """100 connections to a backlog of 3 were enough to hang the 2016 pair."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=3)
    taken: list[socket.socket] = []
    thread = threading.Thread(target=lambda: taken.extend(slow_accept(listener, 100, 0.01)))
    thread.start()
    with any_server.client() as client:
        client.request(listener.getsockname()[1], conns=100)
        assert client.await_verb("connected").startswith("connected n=100 ")
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()
        # every accepted connection is one that the server holds: none was given up half-way
        for sock in taken:
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.recv(1)
    for sock in [*taken, listener]:
        sock.close()


def lower_file_limit() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))


def test_out_of_files():
    with load_server(preexec_fn=lower_file_limit) as small, Peer() as peer:
        error = small.run(peer.port, conns=100).words("error")
        assert error["code"] == "no_files"
        assert error["call"] == "socket"
        assert 0 < int(error["up"]) < 40
        assert "ulimit -n" in error["msg"]
        assert small.run(peer.port, conns=5).count("messages") > 0  # and it serves on


def test_soft_file_limit_is_raised():
    def lower_soft() -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (20, hard))

    with load_server(preexec_fn=lower_soft) as running, Peer() as peer:
        assert running.run(peer.port, conns=50).count("lost") == 0


# ---- who may ask for what ------------------------------------------------------------------


@pytest.mark.parametrize("addr", ["192.0.2.1", "10.0.0.1", "2001:db8::1", "0.0.0.0"])
def test_only_the_clients_own_address_is_connected_to(any_server, addr):
    error = any_server.run(9, addr=addr).words("error")
    assert error["code"] == "forbidden"
    assert "--allow" in error["msg"]


def test_any_loopback_address_for_a_loopback_client(any_server):
    with Peer(host="127.0.0.77") as peer:
        assert any_server.run(peer.port, addr="127.0.0.77").count("messages") > 0


def test_token():
    with load_server(env={"PYBENCH_TOKEN": "s3cret"}) as guarded, Peer() as peer:
        assert guarded.run(peer.port).words("error")["code"] == "forbidden"
        assert guarded.run(peer.port, token="guess").words("error")["code"] == "forbidden"
        assert guarded.run(peer.port, token="s3cret").count("messages") > 0


def test_one_test_at_a_time(any_server):
    with Peer() as peer, any_server.client() as first:
        first.request(peer.port, runtime_ms=1500, **IDLY)
        first.await_verb("connected")
        first.send("ready\n")
        error = any_server.run(peer.port).words("error")
        assert error["code"] == "busy"
        answer = first.finish()
        assert answer.count("lost") == 0
        assert answer.count("window_ns") == 1_500_000_000
        assert any_server.run(peer.port).count("messages") > 0


def test_idle_clients_hold_nobody_up(any_server):
    with contextlib.ExitStack() as stack:
        for _ in range(150):  # more than are kept waiting
            stack.enter_context(any_server.client())
        with Peer() as peer:
            assert any_server.run(peer.port).count("messages") > 0


def test_a_request_in_pieces(any_server):
    with Peer() as peer, any_server.client() as client:
        request = (
            f"test v=2 addr=127.0.0.1 port={peer.port} conns=3 msize=64 warmup_ms=0 runtime_ms=99\n"
        )
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for character in request:
            client.send(character)
        assert client.finish().count("messages") > 0


# ---- ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["connected", "pinging"])
def test_a_control_client_that_vanishes_ends_its_test(server, stage):
    with Peer() as peer:
        client = server.client()
        client.request(peer.port, runtime_ms=60_000, **IDLY)
        client.await_verb("connected")
        if stage == "pinging":
            client.send("ready\n")
            client.await_verb("progress")
        client.close()
        peer.await_closed(10)
        assert server.run(peer.port).count("messages") > 0


def test_a_control_client_that_vanishes_while_connecting(server):
    listener = socket.create_server(("127.0.0.1", 0), backlog=1)
    with Peer() as peer:
        client = server.client()
        client.request(listener.getsockname()[1], conns=50)  # nobody accepts: it cannot get far
        first = listener.accept()[0]
        client.close()
        first.settimeout(TIMEOUT_S)
        assert first.recv(1) == b""
        first.close()
        listener.close()
        assert server.run(peer.port).count("messages") > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("stage", ["connecting", "connected", "pinging"])
def test_signals_stop_a_running_test(number, stage):
    listener = socket.create_server(("127.0.0.1", 0), backlog=1)
    with load_server() as running, Peer() as peer, running.client() as client:
        port = listener.getsockname()[1] if stage == "connecting" else peer.port
        client.request(port, runtime_ms=60_000, **IDLY)
        if stage == "connecting":
            listener.accept()[0].close()
        else:
            client.await_verb("connected")
        if stage == "pinging":
            client.send("ready\n")
            client.await_verb("progress")
        running.process.send_signal(number)
        answer = client.finish()
        assert answer.words("error")["code"] == "stopped"
        assert running.process.wait(TIMEOUT_S) == 0
    listener.close()


def test_once():
    with load_server("--once") as running, Peer() as peer:
        assert running.run(peer.port).count("messages") > 0
        assert running.process.wait(TIMEOUT_S) == 0


START_A_SERVER = f"""
import os, subprocess, sys, threading, time
servers = []
def start():
    servers.append(subprocess.Popen(
        [{server_program()!r}, "--listen", "127.0.0.1:0", "--die-with-parent"],
        stdout=subprocess.PIPE))
    servers[0].stdout.readline()
"""


def test_die_with_parent():
    script = START_A_SERVER + "start(); print(servers[0].pid, flush=True); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=TIMEOUT_S)
    pid = int(done.stdout)
    deadline = time.monotonic() + TIMEOUT_S
    while Path(f"/proc/{pid}/fd/0").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{pid}/fd/0").exists()


def test_the_end_of_the_thread_that_started_it_is_not_the_parents():
    script = START_A_SERVER + (
        "thread = threading.Thread(target=start); thread.start(); thread.join()\n"
        "time.sleep(0.3)\n"  # what must not happen has no event: as long as a signal takes
        "print(servers[0].poll())\n"
        "servers[0].terminate()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=TIMEOUT_S)
    assert done.stdout == b"None\n"


def test_one_log_line_per_test_unless_quiet():
    for options, lines in ((), 1), (("--quiet",), 0):
        with load_server(*options) as running, Peer() as peer:
            running.run(peer.port)
            running.process.send_signal(signal.SIGTERM)
            running.process.wait(TIMEOUT_S)
            assert len(running.process.stderr.read().splitlines()) == lines


# ---- bad input -----------------------------------------------------------------------------

GOOD = "test v=2 addr=127.0.0.1 port=9 conns=1 msize=1 warmup_ms=0 runtime_ms=1"


@pytest.mark.parametrize(
    ("request_text", "named"),
    [
        ("hello\n", "hello"),
        ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET"),
        ("\n", "7 words"),
        ("\x00\x01\x02", "zero byte"),
        ("test \n", "v is missing"),
        ("test v=3" + GOOD[8:] + "\n", "v=3"),
        (GOOD.replace("port=9", "port=0") + "\n", "port=0"),
        (GOOD.replace("port=9", "port=65536") + "\n", "port=65536"),
        (GOOD.replace("port=9", "port=+9") + "\n", "port=+9"),
        (GOOD.replace("port=9", "port=") + "\n", "port="),
        (GOOD.replace("conns=1", "conns=0") + "\n", "conns=0"),
        (GOOD.replace("conns=1", "conns=99999999999999999999999") + "\n", "conns=9999"),
        (GOOD.replace("conns=1", "conns=1e3") + "\n", "conns=1e3"),
        (GOOD.replace("conns=1", "conns=-1") + "\n", "conns=-1"),
        (GOOD.replace("msize=1", "msize=2000000") + "\n", "msize=2000000"),
        (GOOD.replace("runtime_ms=1", "runtime_ms=0") + "\n", "runtime_ms=0"),
        (GOOD.replace("runtime_ms=1", "") + "\n", "runtime_ms is missing"),
        (GOOD.replace("127.0.0.1", "localhost") + "\n", "localhost"),
        (GOOD.replace("127.0.0.1", "127.1") + "\n", "127.1"),
        (GOOD.replace("127.0.0.1", "1.2.3.4.5") + "\n", "1.2.3.4.5"),
        (GOOD + " conns=2\n", "twice"),
        (GOOD + " color=red\n", "unknown key 'color'"),
        (GOOD + " bare\n", "bare"),
        (GOOD + " =\n", "unknown key ''"),
        (GOOD + " engine=warp\n", "engine=warp"),
        (GOOD + " threads=0\n", "threads=0"),
        (GOOD + " rate=0\n", "rate=0"),
        (GOOD + " timestamps=nic\n", "timestamps=nic"),
        (GOOD + " rate=5 arrivals=odd\n", "arrivals=odd: there are even and poisson"),
        (GOOD + " arrivals=even\n", "the schedule of a rate, and there is none"),
        (GOOD + " rate=5 seed=1\n", "seed needs arrivals=poisson"),
        (GOOD + " busy_poll_us=1000001\n", "busy_poll_us=1000001"),
        (GOOD + " think_min_us=5\n", "think"),
        (GOOD + " token=" + "x" * 300 + "\n", "token"),
        (GOOD + "\r\n", "runtime_ms=1?"),
        (GOOD + " " + "x" * 5000, "at most 4096 bytes"),
        ("test" + " a=1" * 100 + "\n", "at most 32 words"),
        ("127.0.0.1 9 1 1 0 0", "7 words"),
        ("127.0.0.1 9 1 1 0 0 64 64", "7 words"),
        ("127.0.0.1 nine 1 1 0 0 64", "PORT=nine"),
        ("127.0.0.1 9 1 1 9 5 64", "think"),
        ("127.0.0.1 9 1 0 0 0 64", "RUNTIME_S=0"),
    ],
)
def test_malformed_request(any_server, request_text, named):
    with any_server.client() as client:
        client.send(request_text)
        answer = client.finish()
    assert len(answer) == 1
    error = answer.words("error")
    assert error["code"] in ("bad_request", "unsupported")
    assert named in error["msg"]


def test_nonsense_instead_of_ready(any_server):
    with Peer() as peer, any_server.client() as client:
        client.request(peer.port)
        client.await_verb("connected")
        client.send("steady\n")
        assert "expected a line 'ready'" in client.finish().words("error")["msg"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--listen", "nowhere"],
        ["--listen", "127.0.0.1:"],
        ["--listen", "127.0.0.1:65536"],
        ["--listen", "::1:33331"],
        ["--listen", ":33331"],
        ["--listen"],
        ["--threads", "0"],
        ["--threads", "many"],
        ["--engine", "warp"],
        ["--cpus", "1-"],
        ["--cpus", "x"],
        ["--cpus", ""],
        ["--source", "localhost"],
        ["--allow", "10.0.0.0/33"],
        ["--allow", "10.0.0.0/"],
        ["--frobnicate"],
        ["extra"],
    ],
    ids=" ".join,
)
def test_malformed_command_line(arguments):
    done = subprocess.run(
        [server_program(), *arguments], capture_output=True, text=True, timeout=TIMEOUT_S
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("pybench-server: ")
    assert arguments[0] in done.stderr


def test_port_in_use_is_said(any_server):
    done = subprocess.run(
        [server_program(), "--listen", f"127.0.0.1:{any_server.address[1]}"],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 1
    assert "Address already in use" in done.stderr


def test_version_and_help():
    for option in "--version", "--help":
        done = subprocess.run(
            [server_program(), option], capture_output=True, text=True, timeout=TIMEOUT_S
        )
        assert done.returncode == 0
        assert "pybench" in done.stdout


# ---- protocol version 1 --------------------------------------------------------------------


def v1_client(server, conns: int, *, backlog: int, think_ns: tuple[int, int] = (0, 0)) -> str:
    """The 2016 experiment's client: a small backlog, accepts slowly, then echoes."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=backlog)
    port = listener.getsockname()[1]
    control = socket.create_connection(server.address, TIMEOUT_S)
    control.sendall(f"127.0.0.1 {port} {conns} 1 {think_ns[0]} {think_ns[1]} 64".encode())
    accepted = slow_accept(listener, conns, 0.002)

    def echo(sock: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := sock.recv(64):
                sock.sendall(data)

    threads = [threading.Thread(target=echo, args=(sock,)) for sock in accepted]
    for thread in threads:
        thread.start()
    text = b""
    while chunk := control.recv(65536):
        text += chunk
    for thread in threads:
        thread.join(TIMEOUT_S)
        assert not thread.is_alive()
    for sock in [*accepted, listener, control]:
        sock.close()
    return text.decode()


def test_version_1_think_time(server):
    words = v1_client(server, 10, backlog=10, think_ns=(40_000_000, 60_000_000)).split(" ")
    assert 40 <= int(words[0]) <= 220  # 10 connections, 1 s, 50 ms between pings, or a busy machine


def test_control_client_is_told_the_version(any_server):
    with Peer() as peer:
        version = any_server.run(peer.port).words("result")["version"]
    told = subprocess.run([server_program(), "--version"], capture_output=True, text=True)
    assert told.stdout.split()[1] == version


def test_address_may_be_probed_without_harm(any_server):
    """A client that connects and leaves without a word, many times, breaks nothing."""
    for _ in range(50):
        ControlClient(any_server.address).close()
    with Peer() as peer:
        assert any_server.run(peer.port).count("messages") > 0
