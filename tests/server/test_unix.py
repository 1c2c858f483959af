"""The load server over Unix sockets: what is asked for, how it connects, both engines."""

import contextlib
import socket
import threading

import pytest

from tests.support.wire import TIMEOUT_S, Peer, load_server


@pytest.fixture(params=["path", "abstract"])
def place(request, tmp_path):
    """Where to listen: a path, or the name of an abstract socket."""
    return str(tmp_path / "s") if request.param == "path" else f"@{tmp_path}"


def test_a_test_over_a_unix_socket(server, place):
    with Peer(unix=place) as peer:
        answer = server.run(None, addr=f"unix:{place}", conns=20)
        peer.await_closed(20)
    assert answer[-1] == "end"
    assert answer.count("messages") > 20
    assert answer.count("lost") == 0
    assert int(answer.words("fairness")["min"]) > 0
    in_flight = answer.count("in_flight_ns") / answer.count("window_ns")
    assert in_flight == pytest.approx(20, rel=0.05)


def test_long_messages_and_turns(server, tmp_path):
    path = str(tmp_path / "s")
    with Peer(unix=path, receive=5000) as peer, server.client() as client:
        client.request_turns(None, addr=f"unix:{path}", conns=3, msize=300_000)
        turns = [client.turn() for _ in range(2)]
        answer = client.stop()
        peer.await_closed(3)
    assert all(turn["alive"] == 3 and turn["unanswered"] == 0 for turn in turns)
    assert answer.count("messages") == sum(turn["messages"] for turn in turns) > 0
    assert answer.count("lost") == 0


@pytest.mark.parametrize(
    ("cause", "treat"),
    [
        ("closed", lambda peer, connection, data: peer.drop(connection)),
        ("corrupt", lambda peer, connection, data: peer.echo(connection, bytes(len(data)))),
    ],
)
def test_lost_connections_are_counted_by_cause(server, tmp_path, cause, treat):
    path = str(tmp_path / "s")
    with Peer(treat, unix=path) as peer:
        answer = server.run(None, addr=f"unix:{path}", conns=4)
        peer.await_closed(4)
    assert answer[-1] == "end"
    assert answer.count("lost") == answer.count(f"lost_{cause}") == 4


def accept_slowly(listener: socket.socket, count: int, held: contextlib.ExitStack) -> None:
    for _ in range(count):
        threading.Event().wait(0.002)
        connection, _ = listener.accept()
        held.enter_context(connection)


def test_a_full_accept_queue_is_waited_for(any_server, tmp_path):
    """connect() says EAGAIN then, and there is nothing to poll for."""
    path = str(tmp_path / "s")
    with contextlib.ExitStack() as held, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        client = held.enter_context(any_server.client())
        client.request(None, addr=f"unix:{path}", conns=40)
        accept_slowly(listener, 40, held)
        assert "n=40" in client.await_verb("connected")


def test_a_client_that_goes_ends_the_waiting_for_a_full_queue(any_server, tmp_path):
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(0)
        with any_server.client() as client:
            client.request(None, addr=f"unix:{path}", conns=40)
            connection, _ = listener.accept()
            with connection:
                client.close()
                connection.settimeout(TIMEOUT_S)
                assert connection.recv(1) == b""


REFUSED = "is the client listening there? nothing has that name"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"addr": "unix:/nowhere/s"}, REFUSED),
        ({"addr": "unix:@pybench-nobody"}, "Connection refused"),
        ({"addr": "unix:/s", "port": 5}, "port and a Unix socket exclude each other"),
        ({"addr": "unix:/s", "timestamps": "kernel"}, "there are none of a Unix socket"),
        ({"addr": "unix:s"}, "expected unix:/PATH or unix:@NAME, of at most 107 characters"),
        ({"addr": "unix:/" + 107 * "s"}, "expected unix:/PATH or unix:@NAME"),
        ({"addr": "unix:/a,unix:b"}, "addr=unix:b: expected unix:/PATH"),
        ({"addr": "unix:/a,/b"}, "Unix sockets with commas between"),
        ({}, "port is missing"),
    ],
)
def test_what_cannot_be_had_is_said(any_server, options, said):
    (line,) = any_server.run(options.pop("port", None), **options)
    assert line.startswith("error code=")
    assert said in line


def test_an_error_names_the_socket(any_server, tmp_path):
    path = str(tmp_path / ("x" * 20))
    answer = any_server.run(None, addr=f"unix:{path}")
    words = answer.words("error")
    assert (words["code"], words["call"]) == ("refused", "connect")
    assert words["addr"] == f"unix:{path}"
    assert words["msg"].startswith(f"connect unix:{path}: No such file or directory (0 of 10 ")


def test_a_listed_source_has_no_use(tmp_path):
    with load_server("--source", "127.0.0.9") as server:
        (line,) = server.run(None, addr=f"unix:{tmp_path}/s")
    assert "code=bad_request" in line
    assert "start the server without --source" in line
