"""The looks at a backend: where bytes lie, asked for in two ways, and who sleeps."""

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from pybench.contract import sockdiag
from pybench.contract.kernel import Held, cpu, held, is_asleep
from pybench.contract.sockdiag import queues, queues_of_both
from tests.support.processes import wait_for

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as ours,
        listener.accept()[0] as theirs,
    ):
        yield ours, theirs


def jam(sock: socket.socket) -> int:
    sock.setblocking(False)
    sent = 0
    try:
        while True:
            sent += sock.send(bytes(65536))
    except BlockingIOError:
        return sent


def test_bytes_are_found_wherever_they_lie(pair: Pair) -> None:
    ours, theirs = pair
    assert held(ours, 0).is_nothing
    ours.send(b"hello")
    wait_for("what was sent", lambda: held(ours, 5) == Held(0, unread=5, by_backend=0))
    assert held(ours, 5).is_at_backend
    data = theirs.recv(5)
    assert (held(ours, 5).unread, held(ours, 5).by_backend) == (0, 5)
    theirs.send(data)
    wait_for("what came back", lambda: held(ours, 5).is_nothing)
    assert not held(ours, 5).is_at_backend
    sent = jam(ours)
    wait_for("all in one queue or the other", lambda: held(ours, sent + 5).by_backend == 0)
    jammed = held(ours, sent + 5)
    assert jammed.arriving > 0 and jammed.unread > 0


def test_both_ways_of_asking_say_the_same(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair[0].send(b"hello")
    pair[1].send(b"and back")
    asked = queues_of_both(pair[0])
    assert (asked[0].to_read, asked[1].to_read) == (8, 5)
    monkeypatch.setattr(sockdiag, "queues", lambda local, remote: None)
    listed = queues_of_both(pair[0])
    assert (listed[0].to_read, listed[1].to_read) == (8, 5)


def test_a_connection_that_is_not_there() -> None:
    assert queues(("127.0.0.1", 1), ("127.0.0.1", 2)) is None


def test_who_sleeps_and_who_runs() -> None:
    """Of this process one thread always runs, while it looks; its child only waits."""
    assert not is_asleep(os.getpid())
    before = cpu(os.getpid())
    threading.Thread(target=sum, args=[range(300_000)]).start()
    while cpu(os.getpid()).since(before).ran_s < 0.001:
        pass
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(into)
        os.read(out, 1)
        os._exit(0)
    while not is_asleep(child):
        os.sched_yield()
    slept = cpu(child)
    assert cpu(child) == slept
    os.close(into)
    os.close(out)
    os.waitpid(child, 0)
    assert cpu(child).ran_s == 0.0
