"""What the load server counts of its own work and of pings that never came back."""

import os
import socket
import subprocess
import sys
import time

import pytest

from tests.support.wire import Peer, load_server


@pytest.mark.parametrize(("threads", "lost"), [(1, 4), (2, 2)])
def test_cpu_time_of_threads_whose_connections_all_end_in_the_window(engine, threads, lost):
    connections = []
    with (
        load_server("--engine", engine) as server,
        Peer(on_accept=lambda _, one: connections.append(one)) as peer,
        server.client() as client,
    ):
        client.request(peer.port, conns=4, threads=threads, warmup_ms=100, runtime_ms=1000)
        client.await_verb("connected")
        client.send("ready\n")
        time.sleep(0.6)
        for connection in connections[:lost]:
            connection.shutdown(socket.SHUT_RDWR)
        answer = client.finish()
    assert answer.count("lost") == lost
    used = [answer.count(key) for key in ("user_ns", "sys_ns")]  # how they divide is a guess
    assert sum(used) > 0
    assert max(used) <= 1.05 * threads * answer.count("window_ns")


@pytest.mark.alone
def test_a_lost_ping_was_in_flight_until_it_was_lost(engine):
    first = []

    def answer_all_but_one(peer, connection, data):
        if not first:
            first.append(connection)
        if connection is not first[0]:
            peer.echo(connection, data)

    with (
        load_server("--engine", engine) as server,
        Peer(answer_all_but_one) as peer,
        server.client() as client,
    ):
        client.request(peer.port, conns=2, threads=1, warmup_ms=0, runtime_ms=1000)
        client.await_verb("connected")
        client.send("ready\n")
        time.sleep(0.8)
        first[0].shutdown(socket.SHUT_RDWR)
        answer = client.finish()
    assert answer.count("lost") == 1
    assert 1.7 < answer.count("in_flight_ns") / answer.count("window_ns") < 2.01


@pytest.mark.alone
def test_idle_time_on_a_shared_cpu_is_cpu_time(engine):
    """What passes while another program has the CPU is not the server's idling."""
    cpu = min(os.sched_getaffinity(0))
    hog = subprocess.Popen(
        [sys.executable, "-c", f"import os\nos.sched_setaffinity(0, {{{cpu}}})\nwhile True: pass"]
    )
    try:
        with load_server("--engine", engine, "--cpus", str(cpu)) as server, Peer() as peer:
            answer = server.run(
                peer.port, conns=1, threads=1, warmup_ms=100, runtime_ms=1000,
                busy_poll_us=200_000, think_min_us=20_000, think_max_us=20_000,
            )  # fmt: skip
    finally:
        hog.kill()
        hog.wait()
    used = answer.count("user_ns") + answer.count("sys_ns")
    assert 0.5 * used < answer.count("idle_ns") <= 1.01 * used
