"""What a worker says of its end: the code of the broken promise, told alike by both kinds."""

import json
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from pybench import backends
from pybench.driver.watch import Watch
from pybench.driver.workerprocess import WorkerProcess
from pybench.errors import WorkerError
from pybench.spec import Cell
from pybench.worker.failure import failed
from pybench.worker.protocol import (
    Code,
    Done,
    Event,
    Failed,
    Listening,
    Reader,
    Ready,
    Usage,
    Writer,
    decode,
    encode,
)
from pybench.worker.serving import serve_once
from tests.support import badbackends, contractbreakers, programs

CELL = Cell(row=backends.ROWS["selector"], conns=1, msize=64, runtime_ns=10**9, warmup_ns=0)
NO_CPU = 4095
ROWS = {
    "python": "selector",
    "program": f"exec:{sys.executable} {programs.__file__} serves {{port}}",
}


def error_of(spec: str, *, bind: str = "127.0.0.1", cpu: int | None = None) -> WorkerError:
    """How a worker fails before it listens, or with nobody connected."""
    row = backends.find(spec)
    with (
        pytest.raises(WorkerError) as caught,
        WorkerProcess(replace(CELL, row=row), bind=bind, cpu=cpu) as worker,
        Watch(worker, None) as watch,
    ):
        watch.until(lambda: worker.usage is not None, 20)
    return caught.value


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


# ---- both kinds of worker say the same ----


@pytest.mark.parametrize("kind", ROWS)
def test_a_cpu_that_is_not_there(kind: str) -> None:
    error = error_of(ROWS[kind], cpu=NO_CPU)
    assert (error.code, str(error)) == ("setup", f"pin to CPU {NO_CPU}: Invalid argument")


@pytest.mark.parametrize("kind", ROWS)
def test_an_address_that_is_not_ours(kind: str) -> None:
    error = error_of(ROWS[kind], bind="192.0.2.1")
    assert (error.code, str(error)) == ("bind", "bind 192.0.2.1: Cannot assign requested address")


@pytest.mark.parametrize(
    ("spec", "code", "says"),
    [
        ("exec:/etc/passwd {port}", "start", "/etc/passwd cannot be started: Permission denied"),
        (f"exec:{sys.executable} -c 'import os; os._exit(3)' {{port}}", "exited", "exit status 3"),
        (f"exec:{sys.executable} -c 'import os; os.abort()' {{port}}", "killed", "(SIGABRT)"),
        (f"{badbackends.__file__}:no_such", "import", "badbackends.py has no 'no_such'"),
    ],
)
def test_other_ends(spec: str, code: str, says: str) -> None:
    error = error_of(spec)
    assert (error.code, says in str(error)) == (code, True), str(error)


def test_a_program_is_pinned_and_its_supervisor_is_not() -> None:
    allowed = os.sched_getaffinity(0)
    cpu = max(allowed)
    program = replace(CELL, row=backends.find(ROWS["program"]))
    with (
        WorkerProcess(program, bind="127.0.0.1", cpu=cpu) as worker,
        Watch(worker, None) as watch,
    ):
        supervisor = worker.pid
        watch.until(lambda: worker.port is not None, 20)
        assert worker.pid != supervisor
        assert os.sched_getaffinity(worker.pid) == {cpu}
        assert os.sched_getaffinity(supervisor) == allowed


def test_a_worker_that_cannot_be_started_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    before = open_files()
    assert error_of("selector").code == "start"
    assert open_files() == before


# ---- the promises of serve ----


def end_of(serve: Callable[..., object], conns: int = 0) -> Event:
    """The last event of one call, made in this process; with nobody connected."""
    events: list[Event] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        try:
            serve_once(serve, listener, conns, 64, events.append)
        except BaseException as exc:
            events.append(failed(exc, "raised"))
    return events[-1]


def raises(exc: BaseException) -> Callable[..., None]:
    def serve(*arguments: object) -> None:
        raise exc

    return serve


def wraps_a_wrong_one(*arguments: object) -> None:
    contractbreakers.takes_two(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("serve", "code"),
    [
        (contractbreakers.takes_two, "signature"),
        (wraps_a_wrong_one, "raised"),
        (contractbreakers.is_a_coroutine, "coroutine"),
        (contractbreakers.ReturnsACount.serve, "returned_value"),
        (contractbreakers.raises_at_once, "raised"),
        (contractbreakers.ReadyTwice.serve, "ready_twice"),
        (contractbreakers.ReadyTwiceUnheard.serve, "ready_twice"),
        (contractbreakers.NeverReady.serve, "ready_never"),
        (raises(SystemExit(3)), "raised"),
        (max, "raised"),  # C code that does not say what it takes
    ],
)
def test_a_broken_promise_has_a_code(serve: Callable[..., object], code: str) -> None:
    end = end_of(serve)
    assert isinstance(end, Failed)
    assert end.code == code
    assert code in get_args(Code)


def test_one_that_keeps_them_is_done() -> None:
    end = end_of(contractbreakers.Good.serve)
    assert isinstance(end, Done)
    assert 0 <= end.usage.user_s + end.usage.sys_s < end.usage.wall_s + 1
    assert end.usage.max_rss_kb > 1000


class Gone(ConnectionResetError):
    pass


class Group(Exception):
    """As `ExceptionGroup`, which Python 3.10 has not."""

    def __init__(self, exceptions: list[Exception]) -> None:
        super().__init__("unhandled errors in a TaskGroup (1 sub-exception)")
        self.exceptions = tuple(exceptions)


def translated() -> BaseException:
    try:
        raise RuntimeError("the stream is broken") from Gone(104, "reset")
    except RuntimeError as exc:
        return exc


@pytest.mark.parametrize("exc", [Gone(), Group([ValueError(), Gone()]), translated()])
def test_names_of_classes_say_what_was_raised(exc: BaseException) -> None:
    """Not the text: a subclass, a member of a group and a cause are what they are."""
    end = failed(exc, "raised")
    assert {"Gone", "ConnectionResetError", "OSError"} <= set(end.exceptions)
    assert "Exception" not in end.exceptions
    assert end.exceptions[0] == type(exc).__name__


def test_a_cause_of_itself_is_told_once() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert failed(one, "raised").exceptions == ("ValueError",)


# ---- the pipe ----

EVENTS: list[Event] = [
    Listening(4711, {"version": "3.12.1"}),
    Listening(80, pid=17),
    Ready(),
    Done(Usage(user_s=0.1, sys_s=0.2, wall_s=3.5, max_rss_kb=9000)),
    Failed("raised", "ValueError: no", ("ValueError",), "Traceback ...\n"),
]


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_is_one_line(event: Event) -> None:
    line = encode(event)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert decode(line) == event


def test_the_usage_of_an_older_and_of_a_newer_worker() -> None:
    """Each interpreter of --python has a pybench of its own."""
    words = {"user_s": 0.1, "sys_s": 0.2, "wall_s": 3.5, "max_rss_kb": 9000}
    older = decode(json.dumps({"event": "done", "usage": words}).encode())
    assert isinstance(older, Done) and older.usage.minor_faults is None
    newer = decode(json.dumps({"event": "done", "usage": words | {"watts": 3}}).encode())
    assert newer == older


def test_what_is_no_event() -> None:
    with pytest.raises(ValueError, match="no event of a worker: 'hello'"):
        decode(b'{"event": "hello"}')


def test_a_reader_gives_whole_lines_and_notices_the_end() -> None:
    out, into = os.pipe()
    os.set_blocking(out, False)
    reader = Reader(out)
    assert list(reader.events()) == []
    line = encode(EVENTS[0])
    os.write(into, line[:7])
    assert list(reader.events()) == []
    os.write(into, line[7:])
    Writer(into).send(Ready())
    assert list(reader.events()) == [EVENTS[0], Ready()]
    assert not reader.silent
    os.close(into)
    assert list(reader.events()) == []
    assert reader.silent
    os.close(out)
