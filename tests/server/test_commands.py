"""The lines that follow a request: however many come in one segment."""

import time

import pytest

from tests.support.wire import Peer, load_server


@pytest.fixture(scope="module")
def server():
    with load_server() as running:
        yield running


@pytest.mark.parametrize("with_request", [False, True])
def test_commands_in_one_segment_are_obeyed_at_once(server, with_request):
    with Peer() as peer, server.client() as client:
        if with_request:
            client.send(
                f"test v=2 addr=127.0.0.1 port={peer.port} conns=2 msize=64 warmup_ms=0"
                " runtime_ms=20000\nready\nstop\n"
            )
        else:
            client.request(peer.port, conns=2, warmup_ms=0, runtime_ms=20_000)
            client.await_verb("connected")
            client.send("ready\nstop\n")
        began = time.monotonic()
        client.await_verb("end")
        assert time.monotonic() - began < 0.7


def test_many_commands_are_no_fault(server):
    """More than the server's input holds, all of them good: all but the first change nothing."""
    with Peer() as peer, server.client() as client:
        client.request(peer.port, conns=2, warmup_ms=0, runtime_ms=20_000)
        client.await_verb("connected")
        client.send("ready\n" + "stop\n" * 2000)
        client.await_verb("end")


def test_a_bad_line_behind_good_ones_is_an_error(server):
    with Peer() as peer, server.client() as client:
        client.request(peer.port, conns=2, warmup_ms=0, runtime_ms=20_000)
        client.await_verb("connected")
        client.send("ready\nsteady\n")
        began = time.monotonic()
        assert client.finish().words("error")["code"] == "bad_request"
        assert time.monotonic() - began < 0.7


def test_a_line_without_an_end_is_an_error(server):
    with Peer() as peer, server.client() as client:
        client.request(peer.port, conns=2, runtime_ms=20_000)
        client.await_verb("connected")
        client.send("ready\n" + "x" * 5000)
        assert client.finish().words("error")["code"] == "bad_request"
