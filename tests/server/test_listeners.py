"""A test of several listeners: who gets which connection, and what each had."""

import contextlib
import json
import subprocess
import sys

import pytest

from tests.support.netns import namespaces
from tests.support.wire import TIMEOUT_S, Answer, Peer, load_server


@pytest.fixture(scope="module")
def server():
    with load_server("--engine", "epoll") as running:
        yield running


def listeners(answer: Answer) -> list[dict[str, int]]:
    lines = [line.split()[1:] for line in answer if line.startswith("listener ")]
    return [{k: int(v) for k, v in (word.split("=") for word in line)} for line in lines]


@pytest.mark.parametrize(("conns", "threads"), [(7, 1), (7, 2), (3, 3)])
def test_connections_are_dealt_out(server, conns, threads):
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer()) for _ in range(3)]
        ports = ",".join(str(peer.port) for peer in peers)
        answer = server.run(ports, conns=conns, threads=threads)
    expected = [len(range(i, conns, 3)) for i in range(3)]
    found = listeners(answer)
    assert [one["n"] for one in found] == [1, 2, 3]
    assert [one["conns"] for one in found] == expected
    assert [peer.accepted for peer in peers] == expected
    assert sum(one["messages"] for one in found) == answer.count("messages")
    assert all(one["messages"] for one in found)


def test_what_a_silent_listener_had_is_nothing(server):
    with Peer() as good, Peer(lambda peer, connection, data: None) as silent:
        answer = server.run(f"{good.port},{silent.port}", conns=4)
    echoing, mute = listeners(answer)
    assert (echoing["messages"], mute["messages"]) == (answer.count("messages"), 0)
    assert echoing["messages"] > 0


def test_turns_tell_it_too(server):
    with Peer() as one, Peer() as two, server.client() as client:
        client.request_turns(f"{one.port},{two.port}", conns=5)
        client.turn()
        client.turn()
        answer = client.stop()
    assert [each["conns"] for each in listeners(answer)] == [3, 2]
    assert sum(each["messages"] for each in listeners(answer)) == answer.count("messages")


def test_one_port_is_no_list(server):
    with Peer() as peer:
        assert not listeners(server.run(peer.port))


def test_one_that_refuses_is_named(server):
    with Peer() as peer, Peer() as gone:
        ports = f"{peer.port},{gone.port}"
        gone.__exit__(None, None, None)
        error = server.run(ports, conns=6).words("error")
    assert error["code"] == "refused"
    assert error["addr"] == f"127.0.0.1:{gone.port}"


@pytest.mark.parametrize(
    ("ports", "conns", "said"),
    [
        ("80,x", 9, "port=x: expected a whole number from 1 to 65535"),
        ("80,,81", 9, "port=: expected a whole number from 1 to 65535"),
        ("80,65536", 9, "port=65536: expected a whole number from 1 to 65535"),
        (",".join(["9"] * 65), 99, "port: at most 64 ports"),
        ("80,81,82", 2, "conns=2: each of the 3 listeners needs a connection"),
    ],
)
def test_what_is_no_list_of_ports(server, ports, conns, said):
    assert server.run(ports, conns=conns).words("error")["msg"] == said


# Runs inside a namespace: one test of two listeners there; prints its answer and their local ports.
DRIVE = """
import json, sys
from tests.support.wire import Peer, load_server
ends = [], []
def noted(which): return lambda peer, connection: ends[which].append(connection.getpeername()[1])
with load_server(*json.loads(sys.argv[1])) as server:
    with Peer(on_accept=noted(0)) as one, Peer(on_accept=noted(1)) as two:
        print(json.dumps([server.run(f"{one.port},{two.port}", conns=180), ends]))
"""


def test_one_local_port_serves_several_listeners():
    """There are 100 to connect from, at one address: more than one listener's half of them each."""
    with namespaces(1) as (namespace,):
        ports = "net.ipv4.ip_local_port_range=40000 40099"
        subprocess.run([*namespace.prefix, "sysctl", "-qw", ports], check=True)
        command = [sys.executable, "-c", DRIVE, json.dumps(["--source", "127.0.0.9"])]
        done = subprocess.run(
            [*namespace.prefix, *command], capture_output=True, text=True, timeout=2 * TIMEOUT_S
        )
    assert done.returncode == 0, done.stderr
    lines, ends = json.loads(done.stdout)
    assert lines[-1] == "end", lines
    assert [len(set(of_one)) for of_one in ends] == [90, 90]


def test_several_unix_sockets_beside_idle_connections(server, tmp_path):
    addr = f"unix:{tmp_path}/a,unix:{tmp_path}/b"
    with (
        Peer(unix=f"{tmp_path}/a") as good,
        Peer(lambda peer, connection, data: None, unix=f"{tmp_path}/b") as silent,
    ):
        answer = server.run(None, addr=addr, conns=5, idle=3, threads=2)
    echoing, mute = listeners(answer)
    assert (good.accepted, silent.accepted) == (4, 4)
    assert echoing["conns"] + mute["conns"] == 5 and min(echoing["conns"], mute["conns"]) >= 2
    assert (echoing["messages"], mute["messages"]) == (answer.count("messages"), 0)
    assert echoing["messages"] > 0
