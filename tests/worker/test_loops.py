"""Several calls of serve in one process: when they are ready, when they are done, who failed."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from pybench.driver.workers import sum_of
from pybench.errors import WorkerError
from pybench.worker.loops import LoopError, serve_in_threads, shares
from pybench.worker.protocol import Done, Event, Listening, Ready, Usage, decode, encode
from pybench.worker.serving import gil_is_on

TIMEOUT_S = 30
Serve = Callable[[socket.socket, int, int, Callable[[], None]], None]


@pytest.fixture
def listeners() -> Iterator[list[socket.socket]]:
    found = [socket.socket() for _ in range(3)]
    yield found
    for one in found:
        one.close()


def test_connections_are_dealt_out_as_the_load_server_does() -> None:
    assert [shares(7, 3), shares(3, 3), shares(2, 3)] == [[3, 2, 2], [1, 1, 1], [1, 1, 0]]


def test_ready_is_said_once_when_all_are(listeners: list[socket.socket]) -> None:
    said: list[Event] = []
    called: list[tuple[int, int]] = []
    before_last: list[int] = []
    others = threading.Semaphore(0)

    def serve(listener: socket.socket, conns: int, msize: int, ready: Callable[[], None]) -> None:
        called.append((listeners.index(listener), conns))
        assert threading.current_thread() is not threading.main_thread()
        if listener is listeners[0]:  # after the others
            assert all(others.acquire(timeout=TIMEOUT_S) for _ in range(2))
            before_last.append(len(said))
        ready()
        others.release()

    serve_in_threads(serve, listeners, 7, 64, said.append)
    assert sorted(called) == [(0, 3), (1, 2), (2, 2)]
    assert before_last == [0]
    assert [type(one) for one in said] == [Ready, Done]


def test_one_that_fails_ends_the_wait_for_the_others(listeners: list[socket.socket]) -> None:
    held = threading.Event()

    def serve(listener: socket.socket, conns: int, msize: int, ready: Callable[[], None]) -> None:
        if listener is listeners[1]:
            raise ValueError("out of cheese")
        held.wait(TIMEOUT_S)

    with pytest.raises(LoopError) as failed:
        serve_in_threads(serve, listeners, 3, 64, lambda event: None)
    assert failed.value.who == "loop 2 of 3" and not held.is_set()
    assert isinstance(failed.value.__cause__, ValueError)
    held.set()


def test_each_owes_what_one_alone_owes(listeners: list[socket.socket]) -> None:
    def mute(listener: socket.socket, conns: int, msize: int, ready: Callable[[], None]) -> None:
        if listener is not listeners[2]:
            ready()

    with pytest.raises(WorkerError, match="without having called ready"):
        serve_in_threads(mute, listeners, 3, 64, lambda event: None)
    with pytest.raises(LoopError) as failed:
        serve_in_threads(lambda *_: 7, listeners, 3, 64, lambda event: None)
    assert "returned a int instead of None" in str(failed.value.__cause__)


@pytest.mark.parametrize("on", [True, False])
def test_the_gil_is_asked_when_all_is_over(
    on: bool, listeners: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Event] = []
    serve: Serve = lambda listener, conns, msize, ready: ready()  # noqa: E731
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: on, raising=False)
    serve_in_threads(serve, listeners, 3, 64, said.append)
    assert isinstance(said[-1], Done) and said[-1].usage.gil is on is gil_is_on()


def test_the_ports_of_all_loops_come_through_the_pipe() -> None:
    event = Listening(7, ports=(7, 8))
    assert decode(encode(event)) == event
    assert decode(b'{"event": "listening", "port": 7}') == Listening(7), "of an older worker"


def test_usage_of_several_workers_adds_up() -> None:
    one = Usage(1.0, 2.0, 5.0, 100, 7, 8, None, gil=False)
    two = Usage(0.5, 0.5, 6.0, 50, 1, 1, 1, gil=True)
    assert sum_of([one, two]) == Usage(1.5, 2.5, 6.0, 150, 8, 9, None, gil=True)
    assert sum_of([one]) == one
