"""Several pings in flight on a connection: order, books, and what goes with it or does not."""

import socket

import pytest

from tests.support.wire import Peer

QUICK = {"warmup_ms": 80, "runtime_ms": 200}


def in_flight(answer) -> float:
    return answer.count("in_flight_ns") / answer.count("window_ns")


def check_in_flight(answer, pings: int) -> None:
    """All of them, all the time; less where the ping thread began late, on a busy machine."""
    assert pings / 2 < in_flight(answer) < 1.002 * pings


@pytest.mark.parametrize(
    ("msize", "inflight"), [(1, 16), (64, 16), (5000, 7), (16_384, 16), (100_000, 40)]
)
def test_as_many_are_in_flight_as_asked_for(server, msize, inflight):
    """The largest are more than both socket buffers hold."""
    with Peer() as peer:
        answer = server.run(peer.port, conns=3, msize=msize, inflight=inflight, **QUICK)
    assert answer[-1] == "end", answer
    assert answer.count("messages") > 0
    assert answer.count("lost") == 0
    check_in_flight(answer, 3 * inflight)
    # what was sent has come back: in the window, before or after it
    fair = answer.words("fairness")
    assert int(fair["min"]) * 3 <= answer.count("messages") <= int(fair["max"]) * 3


def test_several_are_sent_before_the_first_is_answered(server):
    """A peer that answers when it has all sixteen, and all at once."""
    held: dict[socket.socket, bytes] = {}

    def hold(peer: Peer, connection: socket.socket, data: bytes) -> None:
        got = held[connection] = held.get(connection, b"") + data
        if len(got) == 16 * 64:
            held[connection] = b""
            peer.echo(connection, got)

    with Peer(hold) as peer:
        answer = server.run(peer.port, conns=2, inflight=16, **QUICK)
    assert answer.count("messages") > 16
    assert answer.count("lost") == 0
    assert answer.count("events") < answer.count("messages") / 4


def test_a_pipeline_in_pieces_is_whole_again(server):
    """Echoes come back in pieces of 7 bytes, from which no boundary of a message can be told."""

    def dribble(peer: Peer, connection: socket.socket, data: bytes) -> None:
        for at in range(0, len(data), 7):
            connection.send(data[at : at + 7])

    with Peer(dribble) as peer:
        answer = server.run(peer.port, conns=2, msize=30, inflight=5, **QUICK)
    assert answer.count("messages") > 0
    assert answer.count("lost") == 0


def swap(peer: Peer, connection: socket.socket, data: bytes) -> None:
    """The second message of what arrives comes back first."""
    peer.echo(connection, data[64:128] + data[:64] + data[128:])


def twice(peer: Peer, connection: socket.socket, data: bytes) -> None:
    peer.echo(connection, data + data)


@pytest.mark.parametrize("wrong", [swap, twice])
def test_echoes_in_another_order_or_too_many_are_corrupt(server, wrong):
    with Peer(wrong) as peer:
        answer = server.run(peer.port, conns=2, inflight=4, **QUICK)
    assert answer.count("lost_corrupt") == 2


def test_a_turn_waits_for_all_of_them(server):
    with Peer() as peer, server.client() as client:
        client.request_turns(peer.port, conns=5, inflight=8)
        turns = [client.turn(settle_us=50_000, window_us=50_000) for _ in range(2)]
        answer = client.stop()
    assert all(turn["unanswered"] == 0 and turn["messages"] > 0 for turn in turns)
    assert sum(turn["total"] for turn in turns) == answer.count("total")
    check_in_flight(answer, 5 * 8)


def test_what_a_turn_leaves_unanswered_comes_in_the_next(any_server):
    """A peer that keeps 3 of 8 back for longer than a turn waits, until it is let go."""
    held: list[bytes] = []
    let_go: list[bool] = []

    def keep(peer: Peer, connection: socket.socket, data: bytes) -> None:
        if let_go:
            peer.echo(connection, b"".join(held) + data)
            held.clear()
            return
        held.append(data)
        got = b"".join(held)
        if len(got) == 8 * 64:
            held[:] = [got[5 * 64 :]]
            peer.echo(connection, got[: 5 * 64])

    with Peer(keep) as peer, any_server.client() as client:
        client.request_turns(peer.port, conns=1, inflight=8)
        first = client.turn(settle_us=0, window_us=20_000)
        let_go.append(True)
        second = client.turn(settle_us=0, window_us=20_000)
        answer = client.stop()
    assert first["alive"] == second["alive"] == 1
    assert 3 <= first["unanswered"] <= 8
    assert second["late_echoes"] == first["unanswered"]
    assert second["unanswered"] == 0
    assert answer.count("lost") == 0


def test_who_goes_away_takes_all_that_is_out_along(server):
    """One connection of two is reset in the middle of a pipeline."""
    reset: list[bool] = []

    def once(peer: Peer, connection: socket.socket, data: bytes) -> None:
        if reset:
            peer.echo(connection, data)
            return
        reset.append(True)
        peer.drop(connection, reset=True)

    with Peer(once) as peer:
        answer = server.run(peer.port, conns=2, inflight=4, **QUICK)
    assert answer.count("lost") == 1
    assert answer.count("messages") > 0
    assert 2 < in_flight(answer) < 8  # the other's four; what was lost counts until then


def test_the_null_engine_has_as_many(any_server):
    with Peer() as peer:
        answer = any_server.run(peer.port, conns=4, inflight=16, engine="null", **QUICK)
    assert answer.count("lost") == 0
    check_in_flight(answer, 4 * 16)


def test_kernel_times_go_with_it(any_server):
    with Peer() as peer:
        answer = any_server.run(
            peer.port, conns=3, inflight=8, timestamps="kernel", engine="epoll", **QUICK
        )
    assert 0 < answer.count("queue_samples") <= answer.count("messages")
    assert answer.count("queue_ns") < answer.count("latency_sum_ns")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"inflight": 4, "rate": 100}, "inflight=4 and a rate exclude each other"),
        ({"inflight": 4, "think_max_us": 9}, "inflight=4 and think times exclude each other"),
        ({"inflight": 1024, "conns": 20_000}, "at most 16777216 pings may be in flight"),
        ({"idle": 999_999, "conns": 2}, "at most 1000000 together"),
    ],
)
def test_what_does_not_go_together_is_said(any_server, asked, said):
    error = any_server.run(9, **asked).words("error")
    assert error["code"] == "bad_request"
    assert said in error["msg"]
