"""The extension modules: rawselect's API, and what only the C rows promise."""

import contextlib
import errno
import gc
import importlib.util
import inspect
import os
import re
import select
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from pybench.backends import ROWS
from pybench.contract.peers import PeerError
from tests.support.peers import DEADLINE_S, Host, connect, exchange, read_to_end

rawselect = pytest.importorskip("pybench.rawselect")
Epoll, EPOLLIN, EPOLLOUT = rawselect.Epoll, rawselect.EPOLLIN, rawselect.EPOLLOUT

HAVE_URING = importlib.util.find_spec("pybench.c_uring") is not None
SHARING_ROWS = ["c_th", *(["c_uring"] if HAVE_URING else [])]  # see ext/shares.h
C_ROWS = ["c_epoll", "c_poll", *SHARING_ROWS]
needs_uring = pytest.mark.skipif(not HAVE_URING, reason="built without liburing")


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def epoll() -> Iterator[Any]:
    with Epoll() as epoll:
        yield epoll


Pair = tuple[socket.socket, socket.socket]


def _python(script: str, *args: str) -> str:
    """What a script prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *args],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout).strip()


# ---- Epoll ----


def test_wait_reports_ready_descriptors(epoll: Any, pair: Pair) -> None:
    ours, theirs = pair
    epoll.register(ours.fileno(), EPOLLIN)
    assert epoll.wait(0) == []
    theirs.send(b"x")
    assert epoll.wait() == [ours.fileno()]
    assert epoll.wait(timeout=0) == [ours.fileno()], "level-triggered: until it is read"
    assert rawselect.recv(ours.fileno(), 64) == b"x"
    assert epoll.wait(0) == []


def test_events_choose_what_is_reported(epoll: Any, pair: Pair) -> None:
    ours, _ = pair
    epoll.register(ours.fileno())
    assert epoll.wait(0) == []
    epoll.modify(ours.fileno(), EPOLLIN | EPOLLOUT)
    assert epoll.wait(0) == [ours.fileno()]
    epoll.unregister(ours.fileno())
    assert epoll.wait(0) == []


def test_objects_with_fileno_are_descriptors(epoll: Any, pair: Pair) -> None:
    ours, theirs = pair
    epoll.register(ours, EPOLLIN)
    assert rawselect.send(theirs, b"hello") == 5
    assert epoll.wait() == [ours.fileno()]
    assert rawselect.recv(ours, 3) == b"hel"
    epoll.unregister(ours)


def test_constants_are_those_of_select() -> None:
    names = [name for name in dir(rawselect) if name.startswith("EPOLL")]
    assert len(names) == 9
    for name in names:
        assert getattr(rawselect, name) == getattr(select, name) & 0xFFFFFFFF


def test_more_ready_descriptors_than_one_wait_returns(epoll: Any) -> None:
    with contextlib.ExitStack() as stack:
        fds = set()
        for _ in range(1100):
            event = os.eventfd(1) if hasattr(os, "eventfd") else os.dup(1)
            stack.callback(os.close, event)
            epoll.register(event, EPOLLIN)
            fds.add(event)
        seen = epoll.wait()
        assert len(seen) == 1024
        assert fds == {*seen, *epoll.wait()}, "the next wait goes on with the others"


@pytest.mark.parametrize("timeout", [0.0201, 0.05, 1e-9])
def test_a_timeout_is_never_too_short(epoll: Any, timeout: float) -> None:
    start = time.monotonic()
    assert epoll.wait(timeout) == []
    assert time.monotonic() - start >= timeout


@pytest.mark.parametrize("timeout", [None, 1e300, float("inf"), 3_000_000])
def test_long_timeouts_wait_for_the_event(epoll: Any, pair: Pair, timeout: float | None) -> None:
    ours, theirs = pair
    epoll.register(ours.fileno(), EPOLLIN)
    threading.Timer(0.02, theirs.send, [b"x"]).start()
    assert epoll.wait(timeout) == [ours.fileno()], "other threads run meanwhile"


def test_close(pair: Pair) -> None:
    epoll = Epoll()
    fd = epoll.fileno()
    assert str(Path(f"/proc/self/fd/{fd}").readlink()) == "anon_inode:[eventpoll]"
    assert not os.get_inheritable(fd)
    assert epoll.closed is False
    epoll.close()
    epoll.close()
    assert epoll.closed is True
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    calls: list[Callable[[], object]] = [
        epoll.fileno,
        epoll.wait,
        epoll.__enter__,
        lambda: epoll.register(pair[0].fileno(), EPOLLIN),
        lambda: epoll.modify(pair[0].fileno(), EPOLLIN),
        lambda: epoll.unregister(pair[0].fileno()),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="closed Epoll"):
            call()


def test_context_and_deletion_close() -> None:
    with Epoll() as epoll:
        fd = epoll.fileno()
    assert epoll.closed
    epoll = Epoll()
    assert epoll.fileno() == fd
    del epoll
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_epoll_errors_name_the_call(epoll: Any, pair: Pair, tmp_path: Path) -> None:
    fd = pair[0].fileno()
    with pytest.raises(FileNotFoundError, match="epoll_ctl"):
        epoll.modify(fd, EPOLLIN)
    with pytest.raises(FileNotFoundError, match="epoll_ctl"):
        epoll.unregister(fd)
    epoll.register(fd, EPOLLIN)
    with pytest.raises(FileExistsError, match="epoll_ctl"):
        epoll.register(fd, EPOLLIN)
    with (tmp_path / "file").open("w") as file, pytest.raises(PermissionError, match="epoll_ctl"):
        epoll.register(file, EPOLLIN)


BAD_ARGUMENTS: list[tuple[Callable[[Any, int], object], type[Exception]]] = [
    (lambda epoll, fd: Epoll(1), TypeError),
    (lambda epoll, fd: Epoll(x=1), TypeError),
    (lambda epoll, fd: epoll.register(), TypeError),
    (lambda epoll, fd: epoll.register(fd, EPOLLIN, 0), TypeError),
    (lambda epoll, fd: epoll.register("x", EPOLLIN), TypeError),
    (lambda epoll, fd: epoll.register(-1, EPOLLIN), ValueError),
    (lambda epoll, fd: epoll.register(1 << 40, EPOLLIN), OverflowError),
    (lambda epoll, fd: epoll.register(fd, "x"), TypeError),
    (lambda epoll, fd: epoll.register(fd, -1), OverflowError),
    (lambda epoll, fd: epoll.register(fd, 1 << 32), OverflowError),
    (lambda epoll, fd: epoll.modify(fd), TypeError),
    (lambda epoll, fd: epoll.unregister(None), TypeError),
    (lambda epoll, fd: epoll.wait("1"), TypeError),
    (lambda epoll, fd: epoll.wait(1, 2), TypeError),
    (lambda epoll, fd: epoll.wait(1, timeout=2), TypeError),
    (lambda epoll, fd: epoll.wait(seconds=2), TypeError),
    (lambda epoll, fd: epoll.wait(-0.5), ValueError),
    (lambda epoll, fd: epoll.wait(float("nan")), ValueError),
    (lambda epoll, fd: rawselect.recv(fd), TypeError),
    (lambda epoll, fd: rawselect.recv(fd, "x"), TypeError),
    (lambda epoll, fd: rawselect.recv(fd, 0), ValueError),
    (lambda epoll, fd: rawselect.recv(fd, -5), ValueError),
    (lambda epoll, fd: rawselect.recv(fd, 1 << 70), OverflowError),
    (lambda epoll, fd: rawselect.recv(fd, sys.maxsize), OverflowError),
    (lambda epoll, fd: rawselect.recv(None, 1), TypeError),
    (lambda epoll, fd: rawselect.send(fd), TypeError),
    (lambda epoll, fd: rawselect.send(fd, "text"), TypeError),
    (lambda epoll, fd: rawselect.send(-1, b""), ValueError),
]


@pytest.mark.parametrize(("call", "error"), BAD_ARGUMENTS)
def test_bad_arguments(
    epoll: Any, pair: Pair, call: Callable[[Any, int], object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        call(epoll, pair[0].fileno())


class Meanwhile:
    """An argument that runs something when it is converted, and then is a value."""

    def __init__(self, run: Callable[[], object], value: float = 1) -> None:
        self._run, self._value = run, value

    def _convert(self) -> Any:
        self._run()
        return self._value

    fileno = __index__ = __float__ = _convert


@pytest.mark.parametrize(
    "call",
    [
        lambda epoll, fd, close: epoll.register(Meanwhile(close, fd)),
        lambda epoll, fd, close: epoll.modify(Meanwhile(close, fd), EPOLLIN),
        lambda epoll, fd, close: epoll.unregister(Meanwhile(close, fd)),
        lambda epoll, fd, close: epoll.wait(Meanwhile(close, 0.01)),
        lambda epoll, fd, close: epoll.wait(timeout=Meanwhile(close, 0.0)),
    ],
    ids=["register", "modify", "unregister", "wait", "wait at once"],
)
def test_an_argument_that_closes_the_epoll(pair: Pair, call: Callable[..., object]) -> None:
    """Its number belongs to another Epoll by then, which must not be touched."""
    others = []
    epoll = Epoll()
    number = epoll.fileno()

    def close() -> None:
        epoll.close()
        others.append(Epoll())

    with pytest.raises(ValueError, match="closed Epoll"):
        call(epoll, pair[0].fileno(), close)
    with others[0] as other:
        assert other.fileno() == number
        other.register(pair[0].fileno())


def test_a_signal_handler_that_closes_the_epoll() -> None:
    others = []
    epoll = Epoll()

    def close(number: int, frame: object) -> None:
        epoll.close()
        others.append(Epoll())

    with _on_signal(close):
        thread = _kill_when_waiting(1)
        with pytest.raises(ValueError, match="closed Epoll"):
            epoll.wait(5)
        thread.join()
    others[0].close()


def test_an_argument_that_closes_the_socket(pair: Pair) -> None:
    """recv, send and serve ask for the descriptor last: an argument may close it, and does."""
    ours, theirs = pair
    theirs.send(b"x")
    with pytest.raises(ValueError, match="negative"):  # what a closed socket has for a number
        rawselect.recv(ours, Meanwhile(ours.close))
    for name in C_ROWS:
        listener = socket.create_server(("127.0.0.1", 0))
        with pytest.raises(ValueError, match="negative"):
            import_module(f"pybench.{name}").serve(
                listener, Meanwhile(listener.close), 64, lambda: None
            )


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ is new in 3.12")
def test_a_buffer_that_closes_the_socket(pair: Pair) -> None:
    class Buffer:
        def __buffer__(self, flags: int) -> memoryview:
            pair[0].close()
            return memoryview(b"x")

    with pytest.raises(ValueError, match="negative"):
        rawselect.send(pair[0], Buffer())


# ---- recv and send ----


def test_recv_and_send_are_the_system_calls(pair: Pair) -> None:
    ours, theirs = pair[0].fileno(), pair[1].fileno()
    for data in (b"bytes", bytearray(b"bytearray"), memoryview(b"a view")[2:]):
        assert rawselect.send(ours, data) == len(data)
        assert rawselect.recv(theirs, 65536) == data
    assert rawselect.send(ours, b"abcdef") == 6
    assert [rawselect.recv(theirs, 4), rawselect.recv(theirs, 4)] == [b"abcd", b"ef"]
    pair[0].close()
    assert rawselect.recv(theirs, 4) == b""


def test_recv_and_send_never_wait(pair: Pair) -> None:
    ours, theirs = pair
    assert ours.getblocking()
    with pytest.raises(BlockingIOError, match="recv"):
        rawselect.recv(ours.fileno(), 64)
    sent = 0
    with pytest.raises(BlockingIOError, match="send"):
        while True:
            sent += rawselect.send(ours.fileno(), bytes(100_000))
    received = 0
    while received < sent:
        received += len(rawselect.recv(theirs.fileno(), 1 << 20))


def test_recv_and_send_errors_name_the_call(pair: Pair) -> None:
    with pytest.raises(OSError, match=r"recv: Socket operation on non-socket"):
        rawselect.recv(0, 1)
    pair[1].close()
    with pytest.raises(BrokenPipeError, match="send: Broken pipe"):
        rawselect.send(pair[0].fileno(), b"x")


def test_a_short_send_is_reported(pair: Pair) -> None:
    data = bytes(8 << 20)
    assert 0 < rawselect.send(pair[0].fileno(), data) < len(data)


# ---- signals ----


@contextlib.contextmanager
def _on_signal(handler: Callable[[int, object], None]) -> Iterator[None]:
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGUSR1, before)


def _kill_when_waiting(times: int) -> threading.Thread:
    """Signals the main thread `times` times, each time after it went to sleep."""
    main = threading.main_thread().ident
    stat = Path(f"/proc/self/task/{os.getpid()}/stat")
    assert main is not None

    def kill() -> None:
        for _ in range(times):
            while stat.read_text().rpartition(")")[2].split()[0] != "S":
                os.sched_yield()
            signal.pthread_kill(main, signal.SIGUSR1)

    thread = threading.Thread(target=kill)
    thread.start()
    return thread


def test_wait_goes_on_after_a_signal_for_the_rest_of_its_time(epoll: Any) -> None:
    seen = []
    with _on_signal(lambda number, frame: seen.append(number)):
        start = time.monotonic()
        thread = _kill_when_waiting(1)
        assert epoll.wait(0.1) == []
        assert time.monotonic() - start >= 0.1
        thread.join()
    assert seen == [signal.SIGUSR1]


def test_a_handler_that_raises_ends_the_wait(epoll: Any) -> None:
    def handler(number: int, frame: object) -> None:
        raise LookupError("from the handler")

    with _on_signal(handler):
        thread = _kill_when_waiting(1)
        with pytest.raises(LookupError, match="from the handler"):
            epoll.wait()
        thread.join()


# ---- memory ----


def _count_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _exercise(fd: int, other: int) -> None:
    with Epoll() as epoll:
        epoll.register(fd, EPOLLIN)
        rawselect.send(other, b"x" * 5000)
        assert epoll.wait(0) == [fd]
        rawselect.recv(fd, 65536)
        failing: list[Callable[[], object]] = [
            lambda: rawselect.recv(fd, 10),
            lambda: epoll.register(fd, EPOLLIN),
            lambda: epoll.wait(-1),
            lambda: epoll.register(fd, 1 << 40),
            lambda: rawselect.send(fd, None),
        ]
        for call in failing:
            with contextlib.suppress(OSError, ValueError, OverflowError, TypeError):
                call()


def test_no_call_leaks(pair: Pair) -> None:
    fd, other = pair[0].fileno(), pair[1].fileno()
    descriptors = _count_descriptors()
    references = sys.getrefcount(Epoll)
    for _ in range(20):
        _exercise(fd, other)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(500):
            _exercise(fd, other)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 500 * 8, "less than one pointer for each call"
    assert sys.getrefcount(Epoll) == references
    assert _count_descriptors() == descriptors


def test_the_type_is_collected_with_its_module() -> None:
    """A heap type that did not visit itself would keep each module that is loaded again alive."""
    script = """
        import gc, importlib, sys, weakref
        def load():
            sys.modules.pop("pybench.rawselect", None)
            module = importlib.import_module("pybench.rawselect")
            module.instance = module.Epoll()
            return weakref.ref(module.Epoll)
        refs = [load() for _ in range(5)]
        import pybench; del pybench.rawselect; sys.modules.pop("pybench.rawselect")
        gc.collect()
        print(sum(ref() is not None for ref in refs))
    """
    assert _python(script) == "0"


# ---- every module ----


@pytest.mark.parametrize("name", [*C_ROWS, "rawselect"])
def test_signatures_and_docstrings(name: str) -> None:
    module = import_module(f"pybench.{name}")
    if name == "rawselect":
        assert str(inspect.signature(module.recv)) == "(fd, n, /)"
        assert str(inspect.signature(module.Epoll.wait)) == "(self, /, timeout=None)"
        objects = [module.recv, module.send, module.Epoll]
        objects += [thing for thing in vars(module.Epoll).values() if inspect.isroutine(thing)]
    else:
        assert str(inspect.signature(module.serve)) == "(listener_fd, conns, msize, ready, /)"
        objects = [module.serve]
    for thing in objects:
        assert thing.__doc__
        assert inspect.signature(thing)


OWN_GIL = """
    import contextlib, socket, sys, threading
    from pathlib import Path
    import pybench
    try:
        import _interpreters as interpreters  # from 3.13 on
    except ImportError:
        import _xxsubinterpreters as interpreters
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    where = interpreters.create()  # isolated: refuses modules that do not declare support
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.create_connection(address, 10)) for _ in range(3)]
        here = socks if "accepted" in sys.argv[1] else []  # else the row itself accepts
        accepted = {listener.accept()[0].detach() for _ in here}
        # By bare names: 3.12 crashes when much of the standard library is imported twice.
        code = f"import sys; sys.path.append({str(Path(pybench.__file__).parent)!r})\\n"
        code += f"listener, accepted = {listener.fileno()}, {accepted}\\n" + sys.argv[1]
        results = []
        thread = threading.Thread(
            target=lambda: results.append(interpreters.run_string(where, code))
        )
        thread.start()
        for sock in socks:
            sock.sendall(b"x" * 64)
            assert sock.recv(64, socket.MSG_WAITALL) == b"x" * 64
    thread.join()
    interpreters.destroy(where)
    print(results)
"""
RAW_ECHO = """
import posix
from rawselect import Epoll, recv, send
with Epoll() as epoll:
    for fd in accepted:
        epoll.register(fd)
    while accepted:
        for fd in epoll.wait():
            if data := recv(fd, 64):
                send(fd, data)
            else:
                posix.close(fd)
                accepted.remove(fd)
"""


@pytest.mark.skipif(sys.version_info < (3, 12), reason="own-GIL interpreters are new in 3.12")
@pytest.mark.parametrize(
    "serve",
    [*(f"import {row}; {row}.serve(listener, 3, 64, lambda: None)" for row in C_ROWS), RAW_ECHO],
    ids=[*C_ROWS, "rawselect"],
)
def test_serves_in_an_interpreter_with_its_own_gil(serve: str) -> None:
    """The peers run in the main interpreter, the row in another one, at the same time."""
    assert _python(OWN_GIL, serve) == "[None]"


# ---- the C rows ----


class Serving:
    """`serve` of a C row in a thread of this process, as a context.

    result is what it returned. `at_ready` runs when all are accepted, in that thread.
    """

    def __init__(self, name: str, conns: int, at_ready: Callable[[], None] = lambda: None) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=conns)
        self.result: int | None = None
        self.socks: list[socket.socket] = []
        self._serve = import_module(f"pybench.{name}").serve
        self._conns = conns
        self._at_ready = at_ready
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.result = self._serve(self.listener.fileno(), self._conns, 64, self._on_ready)

    def _on_ready(self) -> None:
        self._at_ready()
        self._ready.set()

    def __enter__(self) -> "Serving":
        self._thread.start()
        self.socks = connect(self.listener.getsockname(), self._conns)
        assert self._ready.wait(DEADLINE_S)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.finish()
        self.listener.close()

    def finish(self) -> None:
        for sock in self.socks:
            sock.close()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()


@pytest.mark.parametrize("name", C_ROWS)
def test_serve_counts_and_releases_the_gil(name: str) -> None:
    """One that kept the GIL would give it up at each tick only: 300 rounds would take a minute."""
    deadline = time.monotonic() + DEADLINE_S
    with Serving(name, 3) as serving:
        for _ in range(300):
            assert exchange(serving.socks, [b"x" * 64] * 3) == [b"x" * 64] * 3
            assert time.monotonic() < deadline
    assert serving.result == 900


@pytest.mark.parametrize("name", C_ROWS)
def test_serve_gives_the_listener_back_as_it_was(name: str) -> None:
    with Serving(name, 1) as serving:
        serving.finish()
        assert os.get_blocking(serving.listener.fileno())
        with socket.create_connection(serving.listener.getsockname()):
            serving.listener.accept()[0].close()


@pytest.mark.parametrize("name", C_ROWS)
def test_serve_checks_its_arguments(name: str) -> None:
    serve = import_module(f"pybench.{name}").serve
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as idle:
        fd = listener.fileno()
        cases: list[tuple[tuple[object, ...], type[Exception], str]] = [
            ((fd, 1, 64), TypeError, r"serve\(\) takes 4 arguments \(3 given\)"),
            (("x", 1, 64, print), TypeError, "fileno"),
            ((-1, 1, 64, print), ValueError, "negative"),
            ((fd, "1", 64, print), TypeError, "integer"),
            ((fd, 1.0, 64, print), TypeError, "integer"),
            ((fd, 0, 64, print), ValueError, "conns must be 1 to"),
            ((fd, 1 << 31, 64, print), ValueError, "conns must be 1 to"),
            ((fd, 1 << 70, 64, print), OverflowError, "index-sized"),
            ((fd, 1, 0, print), ValueError, "msize must be at least 1, not 0"),
            ((fd, 1, 64, None), TypeError, "ready must be callable, not NoneType"),
            ((idle.fileno(), 1, 64, print), OSError, "accept4: Invalid argument"),
            ((1 << 20, 1, 64, print), OSError, "fcntl: Bad file descriptor"),
        ]
        for args, error, text in cases:
            with pytest.raises(error, match=text):
                serve(*args)


@pytest.mark.parametrize("name", C_ROWS)
def test_serves_sockets_that_are_not_tcp(name: str, tmp_path: Path) -> None:
    serve = import_module(f"pybench.{name}").serve
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as peer:
        listener.bind(str(tmp_path / "socket"))
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener.fileno(), 1, 64, lambda: None))
        thread.start()
        peer.connect(str(tmp_path / "socket"))
        assert exchange([peer], [b"hello"]) == [b"hello"]
        peer.close()
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


@pytest.fixture
def host_of(tmp_path: Path) -> Iterator[Callable[..., Host]]:
    """Starts host processes that end with the test."""
    with contextlib.ExitStack() as stack:

        def start(env: dict[str, str] | None = None) -> Host:
            host = Host(tmp_path / "printed", env)
            stack.callback(host.close)
            return host

        yield start


def _keep_busy(socks: list[socket.socket]) -> None:
    """Sends and reads until the connections end."""
    with contextlib.suppress(ConnectionError, PeerError):
        while True:
            exchange(socks, [bytes(16384)] * len(socks))


@pytest.mark.parametrize("row", C_ROWS)
def test_ctrl_c_under_load(host_of: Callable[..., Host], row: str) -> None:
    host = host_of()
    with host.call(ROWS[row], 32) as call:
        socks = connect(("127.0.0.1", call.await_port()), 32)
        call.await_ready()
        load = threading.Thread(target=_keep_busy, args=[socks])
        load.start()
        cpu_s = call.cpu_s()
        while call.cpu_s() < cpu_s + 0.05:  # until it is at work
            os.sched_yield()
        host.interrupt()
        assert call.await_failure().exceptions[0] == "KeyboardInterrupt"
        assert call.await_end().left_open == 0
    load.join(DEADLINE_S)
    assert not load.is_alive()
    for sock in socks:
        sock.close()


@pytest.mark.parametrize("row", ["c_epoll", "c_poll"])
def test_accept_failure_tells_how_far_it_got(host_of: Callable[..., Host], row: str) -> None:
    with host_of().call(ROWS[row], 100, max_files=30) as call:
        address = ("127.0.0.1", call.await_port())
        socks = []
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                socks += connect(address, 1)
        text = r"accept4: Too many open files \(\d+ of 100 connections accepted\)"
        assert re.search(text, str(call.await_failure()))
        assert call.await_end().left_open == 0
    for sock in socks:
        sock.close()


# ---- more connections than a table of descriptors holds ----

FEW_FILES = 256


@pytest.mark.parametrize("row", SHARING_ROWS)
def test_more_connections_than_open_files(host_of: Callable[..., Host], row: str) -> None:
    host = host_of()
    for _ in range(2):  # the second finds nothing of the first in its way
        with host.call(ROWS[row], 600, max_files=FEW_FILES) as call:
            socks = connect(("127.0.0.1", call.await_port()), 600)
            call.await_ready()
            messages = [bytes([number % 256]) * 64 for number in range(600)]
            assert exchange(socks, messages) == messages
            socks.pop().close()
            assert exchange(socks[:1], [b"again"]) == [b"again"]
            for sock in socks:
                sock.close()
            assert call.await_end().left_open == 0
            assert call.usage is not None


@pytest.mark.parametrize("row", SHARING_ROWS)
@pytest.mark.parametrize("connected", [10, 600], ids=["accepting", "serving"])
def test_ctrl_c_with_several_tables(host_of: Callable[..., Host], row: str, connected: int) -> None:
    host = host_of()
    with host.call(ROWS[row], 600, max_files=FEW_FILES) as call:
        socks = connect(("127.0.0.1", call.await_port()), connected)
        if connected == 600:
            call.await_ready()
        call.await_sleep()
        host.interrupt()
        assert call.await_failure().exceptions[0] == "KeyboardInterrupt"
        assert call.await_end().left_open == 0
        assert [read_to_end(sock) for sock in socks] == [b""] * connected
    for sock in socks:
        sock.close()


@needs_uring  # of c_th's many threads each shows the table that it has
def test_no_table_keeps_what_others_close(host_of: Callable[..., Host]) -> None:
    """Its copies would: of the worker's pipe to the driver, say, which ends with the worker."""
    with host_of().call(ROWS["c_uring"], 600, max_files=FEW_FILES) as call:
        socks = connect(("127.0.0.1", call.await_port()), 600)
        call.await_ready()
        tables = [
            {path.readlink() for path in task.glob("fd/*") if path.name not in ("0", "1", "2")}
            for task in Path(f"/proc/{call.pid}/task").iterdir()
        ]
        (own,) = [table for table in tables if len(table) < 100]
        shared = set.union(*(table & own for table in tables if table != own))
        assert [str(path).partition(":")[0] for path in shared] == ["socket"], "the listener"
        for sock in socks:
            sock.close()
        call.await_end()


# ---- c_th ----


def _tasks() -> set[str]:
    return {path.name for path in Path("/proc/self/task").iterdir()}


def _mappings() -> int:
    return Path("/proc/self/maps").read_text().count("\n")


def _blocks_sigint(task: str) -> bool:
    status = Path(f"/proc/self/task/{task}/status").read_text()
    return bool(int(re.findall(r"SigBlk:\s(\w+)", status)[0], 16) >> (signal.SIGINT - 1) & 1)


def test_c_th_makes_one_thread_each_and_one_mapping_for_all() -> None:
    new: set[str] = set()
    mappings = blocking = 0

    def at_ready() -> None:
        nonlocal mappings, blocking
        mappings = _mappings()
        new.update(_tasks() - tasks_before)
        blocking = sum(_blocks_sigint(task) for task in new)

    serving = Serving("c_th", 200, at_ready)
    tasks_before, mappings_before = _tasks(), _mappings()
    with serving:
        assert exchange(serving.socks, [b"x"] * 200) == [b"x"] * 200
    assert len(new) == 201, "and the one that serves"
    assert blocking == 200
    assert mappings - mappings_before < 20
    deadline = time.monotonic() + DEADLINE_S
    while _tasks() != tasks_before:  # a joined thread is listed until the kernel is done with it
        assert time.monotonic() < deadline
        os.sched_yield()


FEW_THREADS = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
int pthread_create(pthread_t *id, const pthread_attr_t *attr, void *(*run)(void *), void *arg)
{
    static int calls;
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
        dlsym(RTLD_NEXT, "pthread_create");
    return calls++ < atoi(getenv("THREADS")) ? real(id, attr, run, arg) : EAGAIN;
}
"""

LARGE_THREAD_LOCAL_STORAGE = """
__thread char storage[300 * 1024] __attribute__((tls_model("initial-exec")));
char *touch(void) { return storage; }
"""


def test_c_th_that_gets_too_few_threads(
    host_of: Callable[..., Host], preload: Callable[[str], dict[str, str]]
) -> None:
    with host_of(preload(FEW_THREADS) | {"THREADS": "5"}).call(ROWS["c_th"], 20) as call:
        socks = connect(("127.0.0.1", call.await_port()), 20)
        error = call.await_failure()
        assert error.exceptions[0] == "BlockingIOError"
        assert re.search(
            r"pthread_create: .*unavailable \(5 of 20 threads started; kernel\.\S+ is \d+ and not "
            r"reached: the limit is the user's \(ulimit -u\) or the cgroup's \(pids\.max\)\)",
            str(error),
        )
        assert call.await_end().left_open == 0
        assert [read_to_end(sock) for sock in socks] == [b""] * 20
    for sock in socks:
        sock.close()


def test_too_few_threads_are_those_of_all_tables(
    host_of: Callable[..., Host], preload: Callable[[str], dict[str, str]]
) -> None:
    host = host_of(preload(FEW_THREADS) | {"THREADS": "303"})
    with host.call(ROWS["c_th"], 400, max_files=FEW_FILES) as call:  # three tables
        socks = connect(("127.0.0.1", call.await_port()), 400)
        assert re.search(r"pthread_create: .*\(300 of 400 threads", str(call.await_failure()))
        assert call.await_end().left_open == 0
    for sock in socks:
        sock.close()


def test_c_th_grows_its_stacks_for_thread_local_storage(
    host_of: Callable[..., Host], preload: Callable[[str], dict[str, str]]
) -> None:
    """A library's static thread-local storage lies on each stack: these do not fit the first."""
    with host_of(preload(LARGE_THREAD_LOCAL_STORAGE)).call(ROWS["c_th"], 20) as call:
        socks = connect(("127.0.0.1", call.await_port()), 20)
        call.await_ready()
        assert exchange(socks, [b"x" * 64] * 20) == [b"x" * 64] * 20
        for sock in socks:
            sock.close()
        call.await_end()


# ---- c_uring ----

FAILING_RING = """
#include <dlfcn.h>
#include <stdlib.h>
static int fails(void)
{
    static int calls;
    int call = calls++;
    return call >= atoi(getenv("ENTER_FROM")) && call < atoi(getenv("ENTER_TO"));
}
static void *real(const char *name) /* an extension's libraries come after no one */
{
    return dlsym(dlopen("liburing.so.2", RTLD_NOW), name);
}
int io_uring_submit(void *ring)
{
    if (fails())
        return -atoi(getenv("ENTER_ERRNO"));
    return ((int (*)(void *))real("io_uring_submit"))(ring);
}
int io_uring_submit_and_wait_timeout(void *ring, void *cqe, unsigned n, void *time, void *mask)
{
    if (fails())
        return -atoi(getenv("ENTER_ERRNO"));
    return ((int (*)(void *, void *, unsigned, void *, void *))real(__func__))(ring, cqe, n, time,
                                                                             mask);
}
"""


@pytest.fixture
def failing_ring(
    host_of: Callable[..., Host], preload: Callable[[str], dict[str, str]]
) -> Callable[..., Host]:
    """A host where io_uring_enter fails with an errno, from one call until before another."""

    def start(err: int, first: int = 0, last: int = 1 << 30) -> Host:
        env = {"ENTER_ERRNO": str(err), "ENTER_FROM": str(first), "ENTER_TO": str(last)}
        return host_of(preload(FAILING_RING) | env)

    return start


@needs_uring
@pytest.mark.parametrize(
    ("err", "conns", "first"),
    [
        (errno.EBADR, 2, 0),
        (errno.EBADR, 2, 3),
        (errno.EINVAL, 5000, 0),
        (errno.EBUSY, 2, 3),
        (errno.EAGAIN, 5000, 0),
    ],
)
def test_a_ring_that_fails_ends_the_row(
    failing_ring: Callable[..., Host], err: int, conns: int, first: int
) -> None:
    """5000: more receives than the queue of the ring has room for. EAGAIN, EBUSY: for seconds."""
    with failing_ring(err, first).call(ROWS["c_uring"], conns) as call:
        socks = connect(("127.0.0.1", call.await_port()), conns)
        with contextlib.suppress(PeerError):
            while True:
                exchange(socks[:2], [b"x" * 64] * 2)
        error = call.await_failure()
        assert f"[Errno {err}] io_uring_enter: {os.strerror(err)}" in str(error)
        assert call.await_end().left_open == 0
    for sock in socks:
        sock.close()


@needs_uring
def test_ctrl_c_while_the_ring_has_no_memory(failing_ring: Callable[..., Host]) -> None:
    host = failing_ring(errno.EAGAIN)
    with host.call(ROWS["c_uring"], 5000) as call:
        socks = connect(("127.0.0.1", call.await_port()), 5000)
        call.await_ready()
        host.interrupt()
        assert call.await_failure().exceptions[0] == "KeyboardInterrupt"
        assert call.await_end().left_open == 0
    for sock in socks:
        sock.close()


@needs_uring
@pytest.mark.parametrize("err", [errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ETIME])
def test_a_ring_that_has_no_memory_for_a_moment_goes_on(
    failing_ring: Callable[..., Host], err: int
) -> None:
    with failing_ring(err, 2, 40).call(ROWS["c_uring"], 5000) as call:
        socks = connect(("127.0.0.1", call.await_port()), 5000)
        for _ in range(2):
            assert exchange(socks, [b"x" * 64] * 5000) == [b"x" * 64] * 5000
        for sock in socks:
            sock.close()
        call.await_end()


KEPT_FILES = """
int io_uring_register_files_update(void *ring, unsigned offset, int *files, unsigned n)
{
    return n;
}
"""


@needs_uring
def test_a_closed_connection_is_shut_down_while_the_ring_keeps_it(
    host_of: Callable[..., Host], preload: Callable[[str], dict[str, str]]
) -> None:
    """As before Linux 6.13, where the ring lets go of a file only when older requests are done."""
    with host_of(preload(KEPT_FILES)).call(ROWS["c_uring"], 2) as call:
        socks = connect(("127.0.0.1", call.await_port()), 2)
        assert exchange(socks, [b"x" * 64] * 2) == [b"x" * 64] * 2
        socks[0].shutdown(socket.SHUT_WR)
        assert read_to_end(socks[0]) == b""
        assert exchange(socks[1:], [b"y"]) == [b"y"]
        for sock in socks:
            sock.close()
        call.await_end()


PATTERN = bytes(range(256)) + bytes(range(0, 256, 3))  # what is lost or out of order is seen


@pytest.mark.parametrize("name", C_ROWS)
def test_peers_that_do_not_read_take_nothing_from_the_others(name: str) -> None:
    """They are 100, and each sends until nothing more is taken from it."""
    ident: list[int] = []
    serving = Serving(name, 104, lambda: ident.append(threading.get_ident()))
    for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):  # the accepted sockets inherit them
        serving.listener.setsockopt(socket.SOL_SOCKET, option, 4096)
    with serving:
        reading, jammed = serving.socks[:4], serving.socks[4:]
        sent = dict.fromkeys(jammed, 0)
        for sock in jammed:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        quiet = 0
        while quiet < 20:
            quiet += 1
            for sock in jammed:
                with contextlib.suppress(BlockingIOError):
                    at = sent[sock] % len(PATTERN)
                    sent[sock] += sock.send(PATTERN[at : at + 64])
                    quiet = 0
            if quiet:
                time.sleep(0.01)  # what was on its way has arrived, or never will
        clock = time.pthread_getcpuclockid(ident[0])
        cpu_s = time.clock_gettime(clock)
        time.sleep(0.3)
        assert time.clock_gettime(clock) - cpu_s < 0.1, "it waits and does not try"
        for _ in range(3):
            assert exchange(reading, [b"y" * 64] * 4) == [b"y" * 64] * 4
        for back in exchange(jammed, [b""] * 100, expected=1000):
            assert back[:1000] == (PATTERN * 3)[:1000]
