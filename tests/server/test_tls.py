"""The load server over TLS: handshakes, messages, and all the ways in which either goes wrong."""

import itertools
import ssl
from collections.abc import Iterator

import pytest

from tests.support.processes import wait_for
from tests.support.tlspeer import Certificate, TlsPeer, relay
from tests.support.wire import Peer, load_server


@pytest.fixture(scope="module")
def certificate():
    return Certificate()


@pytest.fixture(scope="module")
def server():
    with load_server("--engine", "epoll") as running, running.client() as client:
        client.request(9, transport="tls", pin="0" * 64)
        if "without OpenSSL" in (said := client.finish()[0]):
            pytest.skip(said)
        yield running


def test_a_test_over_tls(server, certificate):
    with TlsPeer(certificate.context()) as peer:
        answer = server.run(peer.port, conns=20, **certificate.asked())
        peer.await_closed(20)
    assert answer[-1] == "end"
    assert answer.count("messages") > 20
    assert answer.count("lost") == answer.count("lost_tls") == 0
    in_flight = answer.count("in_flight_ns") / answer.count("window_ns")
    assert in_flight == pytest.approx(20, rel=0.05)
    assert answer.words("result")["tls_cipher"].startswith("TLS_")
    busy_ns, sum_ns = answer.count("tls_handshake_ns"), answer.count("tls_handshake_sum_ns")
    assert 0 < busy_ns <= answer.count("connect_ns")
    assert busy_ns <= sum_ns


def test_no_session_is_resumed(server, certificate):
    context = certificate.context()
    with TlsPeer(context) as peer:
        for _ in range(2):
            assert server.run(peer.port, conns=4, **certificate.asked())[-1] == "end"
    assert peer.handshakes == [("TLSv1.3", False)] * 8
    assert context.session_stats()["hits"] == 0


def test_long_messages_and_turns(server, certificate):
    with TlsPeer(certificate.context(), receive=5000) as peer, server.client() as client:
        client.request_turns(peer.port, conns=3, msize=300_000, **certificate.asked())
        turns = [client.turn() for _ in range(2)]
        answer = client.stop()
        peer.await_closed(3)
    assert all(turn["alive"] == 3 and turn["unanswered"] == 0 for turn in turns)
    assert answer.count("messages") == sum(turn["messages"] for turn in turns) > 0
    assert answer.count("lost") == 0


@pytest.mark.parametrize("msize", [64, 40_000])
def test_several_pings_in_flight_beside_idle_connections(server, certificate, msize):
    with TlsPeer(certificate.context()) as peer:
        words = certificate.asked(conns=3, inflight=5, idle=4, msize=msize, warmup_ms=0)
        answer = server.run(peer.port, **words)
    result = answer.words("result")
    assert int(result["messages"]) > 15 and int(result["lost"]) == 0
    assert int(result["idle_lost"]) == 0
    assert len(peer.handshakes) == 7


def test_a_rate_and_a_unix_socket(server, certificate, tmp_path):
    """An open loop finds connections idle: tickets that nobody waits for are read then."""
    path = str(tmp_path / "s")
    with TlsPeer(certificate.context(), unix=path):
        asked = certificate.asked(addr=f"unix:{path}", rate=200, threads=2)
        answer = server.run(None, conns=4, **asked)
    assert answer.count("lost") == 0
    assert int(answer.words("fairness")["min"]) > 0


def pieces(data: bytes) -> Iterator[bytes]:
    """A byte, three, 40, and again: no record is whole, and most headers are not."""
    at = 0
    for size in itertools.cycle((1, 3, 40)):
        if at >= len(data):
            return
        yield data[at : at + size]
        at += size


def test_records_in_fragments(server, certificate):
    with TlsPeer(certificate.context()) as peer, relay(peer.port, pieces) as port:
        answer = server.run(port, conns=1, msize=1000, **certificate.asked())
    assert answer[-1] == "end"
    assert answer.count("messages") > 0
    assert answer.count("lost") == 0


# ---- handshakes that fail ------------------------------------------------------------------


def failure(server, certificate, port: int) -> dict[str, str]:
    (line,) = answer = server.run(port, conns=3, **certificate.asked())
    assert line.startswith("error ")
    return answer.words("error")


def test_a_wrong_pin(server, certificate):
    with TlsPeer(Certificate().context()) as peer:
        words = failure(server, certificate, peer.port)
        peer.await_closed(1)
    assert words["code"] == "pin_mismatch"
    assert words["addr"] == f"127.0.0.1:{peer.port}"
    assert "another certificate than the pin's" in words["msg"]
    assert "(0 of 3 connections were up)" in words["msg"]


def test_a_peer_that_speaks_plain_text(server, certificate):
    with Peer() as peer:
        words = failure(server, certificate, peer.port)
    assert words["code"] == "tls"
    assert words["msg"].startswith(f"TLS handshake with 127.0.0.1:{peer.port}: ")
    assert words["msg"].endswith("does the client speak TLS 1.3 there?")


def test_a_peer_of_an_older_version(server, certificate):
    with TlsPeer(certificate.context(at_most=ssl.TLSVersion.TLSv1_2)) as peer:
        words = failure(server, certificate, peer.port)
    assert words["code"] == "tls"
    assert "protocol version" in words["msg"]


def test_a_peer_that_closes_at_once(server, certificate):
    with Peer(on_accept=Peer.drop) as peer:
        words = failure(server, certificate, peer.port)
    assert words["code"] == "tls"
    assert "clos" in words["msg"] or "reset" in words["msg"]


def test_a_peer_that_closes_in_the_middle(server, certificate):
    """It has read the hello, and answers no more."""
    with Peer(lambda peer, connection, data: peer.drop(connection)) as peer:
        words = failure(server, certificate, peer.port)
    assert words["code"] == "tls"
    assert ": the peer closed the connection (" in words["msg"]


def test_a_client_that_goes_ends_the_handshakes(server, certificate):
    with Peer(lambda *_: None) as peer, server.client() as client:
        client.request(peer.port, conns=3, threads=1, **certificate.asked())
        wait_for("three handshakes under way", lambda: peer.accepted == 3)
        client.close()
        peer.await_closed(3)


# ---- connections that end ------------------------------------------------------------------


def garble(connection_bytes: int):
    """Change a byte of what comes after that many."""
    seen = 0

    def tamper(data: bytes) -> Iterator[bytes]:
        nonlocal seen
        seen += len(data)
        yield data[:-1] + bytes([data[-1] ^ 1]) if seen > connection_bytes else data

    return tamper


@pytest.mark.parametrize(
    ("cause", "treat"),
    [
        ("closed", TlsPeer.say_end),
        ("closed", Peer.drop),
        ("reset", lambda peer, connection: peer.drop(connection, reset=True)),
        ("corrupt", lambda peer, connection: peer.echo(connection, bytes(64))),
        ("tls", TlsPeer.babble),
    ],
    ids=["close_notify", "close", "reset", "corrupt", "babble"],
)
def test_lost_connections_are_counted_by_cause(server, certificate, cause, treat):
    with TlsPeer(certificate.context(), lambda peer, conn, data: treat(peer, conn)) as peer:
        answer = server.run(peer.port, conns=4, **certificate.asked())
        peer.await_closed(4)
    assert answer[-1] == "end"
    assert answer.count("lost") == answer.count(f"lost_{cause}") == 4


def test_an_alert_of_the_peer_is_a_cause_of_its_own(server, certificate):
    with TlsPeer(certificate.context()) as peer, relay(peer.port, garble(5000)) as port:
        answer = server.run(port, conns=1, **certificate.asked())
    assert answer[-1] == "end"
    assert answer.count("lost") == answer.count("lost_tls") == 1


def test_the_peer_is_told_of_the_end(server, certificate):
    """By close_notify: a peer that reads finds an end, not a connection cut off."""
    ends: list[bytes | str] = []

    class Noting(TlsPeer):
        def drop(self, connection, *, reset=False):
            assert isinstance(connection, ssl.SSLSocket)
            connection.suppress_ragged_eofs = False
            try:
                ends.append(connection.recv(1))
            except OSError as exc:
                ends.append(repr(exc))
            super().drop(connection, reset=reset)

    with Noting(certificate.context()) as peer:
        server.run(peer.port, conns=3, **certificate.asked())
        peer.await_closed(3)
    assert ends == [b""] * 3


def test_plain_pings_to_a_peer_over_tls(server, certificate):
    with TlsPeer(certificate.context()) as peer:
        answer = server.run(peer.port, conns=2)
    assert answer[-1] == "end"
    assert answer.count("lost") == 2
    assert answer.count("messages") == 0


# ---- requests ------------------------------------------------------------------------------

PIN = "aB" * 32


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"transport": "tls"}, "transport=tls needs a pin"),
        ({"pin": PIN}, "pin needs transport=tls"),
        ({"transport": "plain", "pin": PIN}, "pin needs transport=tls"),
        ({"transport": "ssl"}, "transport=ssl: there are plain and tls"),
        ({"transport": "tls", "pin": PIN[1:]}, "pin: expected 64 hexadecimal digits"),
        ({"transport": "tls", "pin": "x" + PIN[1:]}, "pin: expected 64 hexadecimal digits"),
        ({"transport": "tls", "pin": PIN, "timestamps": "kernel"}, "none of messages over TLS"),
        ({"transport": "tls", "pin": PIN, "engine": "null"}, "the engine null cannot; use epoll"),
    ],
)
def test_what_cannot_be_had_is_said(server, options, said):
    (line,) = server.run(9, **options)
    assert line.startswith("error code=bad_request ")
    assert said in line


def test_the_engine_uring_has_no_tls(server):
    (line,) = server.run(9, transport="tls", pin=PIN, engine="uring")
    assert "the engine uring cannot; use epoll" in line or "built without liburing" in line
