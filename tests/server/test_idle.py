"""Connections that are opened, held and never pinged, beside those that are."""

import resource

import pytest

from tests.server.conftest import engine_here
from tests.support.wire import Peer, load_server

QUICK = {"warmup_ms": 0, "runtime_ms": 100}
LIMIT = 256  # open files: a table has room for 192 connections


def lower() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))


@pytest.fixture(scope="module", params=["epoll", "uring", "null"])
def server(request):
    options = ["--engine", engine_here(request.param), "--threads", "1", "--quiet"]
    with load_server(*options, preexec_fn=lower) as running:
        yield running


def test_they_are_opened_first_and_are_in_no_count(server):
    """Ten of twelve say nothing: the ten that came first."""
    accepted: list[object] = []
    pinged: set[int] = set()

    def note(peer: Peer, connection) -> None:
        accepted.append(connection)

    def echo(peer: Peer, connection, data: bytes) -> None:
        pinged.add(accepted.index(connection))
        peer.echo(connection, data)

    with Peer(echo, on_accept=note) as peer:
        answer = server.run(peer.port, conns=2, idle=10, **QUICK)
        peer.await_closed(12)
    assert answer.words("connected")["n"] == "2"
    assert answer.count("idle_lost") == answer.count("lost") == 0
    assert int(answer.words("fairness")["min"]) > 0
    assert peer.accepted == 12
    if answer.words("result")["engine"] != "null":
        assert pinged == {10, 11}


def test_those_that_ended_or_spoke_are_told(server):
    """The first is closed at once, the second says something that nobody asked for."""

    def end_or_speak(peer: Peer, connection) -> None:
        if peer.accepted == 1:
            peer.drop(connection)
        elif peer.accepted == 2:
            connection.send(b"hello")

    with Peer(on_accept=end_or_speak) as peer:
        answer = server.run(peer.port, conns=2, idle=10, **QUICK)
    assert answer.count("idle_lost") == 2
    assert answer.count("lost") == 0
    assert answer.count("messages") > 0


def test_turns_keep_them_too(server):
    with Peer() as peer, server.client() as client:
        client.request_turns(peer.port, conns=2, idle=20)
        turns = [client.turn(window_us=20_000) for _ in range(2)]
        answer = client.stop()
    assert [turn["alive"] for turn in turns] == [2, 2]
    assert answer.count("idle_lost") == 0


def test_they_take_room_in_the_tables(server):
    """300 open files are more than one thread's: there are two, each with its part of both."""
    with Peer(backlog=1024) as peer:
        answer = server.run(peer.port, conns=5, idle=379, **QUICK)
        assert answer.count("threads") == 2, answer
        assert answer.count("idle_lost") == answer.count("lost") == 0
        one = server.run(peer.port, conns=1, idle=300, **QUICK).words("error")
    assert one["code"] == "no_files"
    assert one["msg"].startswith("301 connections in 1 ping threads: each has open files for 192; ")
    assert "threads=" not in one["msg"]  # one connection is one thread's


def test_without_any_nothing_is_said_of_them(server):
    with Peer() as peer:
        assert "idle_lost" not in server.run(peer.port, **QUICK).words("result")
