"""--engine, --timestamps and --env: read, asked of the load server, recorded, resumed."""

import dataclasses
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import UNSET, convert, structs, to_builtins

from pybench import cli
from pybench.backends import ROWS
from pybench.backends.names import base_row, canonical, family, row_order
from pybench.driver.control import BOUNDS, ReplyParser, request_line, unsupported
from pybench.driver.loadserver import LoadServer
from pybench.errors import ProtocolError, UsageError
from pybench.machine import placement
from pybench.machine.placement import BUSY_POLL_US
from pybench.result.campaign import CampaignRecord
from pybench.result.codec import decode, encode
from pybench.result.file import read_sections
from pybench.spec import Campaign, Cell, parse_env
from tests.conftest import SHORT
from tests.support.fakeserver import fake_server
from tests.support.rounds import FREE

Run = Callable[..., subprocess.CompletedProcess[str]]
CELL = Cell(row=ROWS["selector"], conns=10, msize=64, runtime_ns=10**9, warmup_ns=0)
ROUND = ("--func", "selector", "--conns", "10", *SHORT, "--output", "r.jsonl")


def campaign(**options: Any) -> Campaign:
    base: dict[str, Any] = {"func": "selector,thread", "conns": "10,20"}
    return Campaign.from_options(base | options, lambda key: f"--{key}")


# Reading them.


def test_each_row_runs_as_it_is_and_with_each_set_of_variables() -> None:
    made = campaign(conns="10", env=["A=1,B=2", "C=3", "A=1,B=2"])
    labels = ["selector", "selector[A=1,B=2]", "selector[C=3]"]
    assert [cell.label for cell in made.cells[:3]] == labels
    assert {cell.func for cell in made.cells} == {"selector", "thread"}
    assert made.cells[1].env == (("A", "1"), ("B", "2"))


@pytest.mark.parametrize(
    ("text", "env"),
    [
        ("A=1", (("A", "1"),)),
        ("A=,B=x y", (("A", ""), ("B", "x y"))),
        ("A=1,2,B=3", (("A", "1,2"), ("B", "3"))),
        ("GLIBC_TUNABLES=a.b=1:c.d=2", (("GLIBC_TUNABLES", "a.b=1:c.d=2"),)),
    ],
)
def test_variables(text: str, env: object) -> None:
    assert parse_env(text) == env


@pytest.mark.parametrize("text", ["", "A", "=1", "A-B=1", "1A=2", "A=1,A=2", "A=1\0"])
def test_bad_variables(text: str) -> None:
    with pytest.raises(UsageError, match=r"NAME=VALUE|twice"):
        parse_env(text)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"engine": "turbo"}, "--engine: 'turbo' is not one of: epoll uring"),
        ({"timestamps": "user"}, "--timestamps: 'user'"),
        ({"timestamps": "kernel", "engine": "uring"}, "only --engine epoll can"),
        ({"arrivals": "poisson"}, "--arrivals poisson: that is of the schedule of a --rate"),
        ({"rate": "10", "arrivals": "random"}, "--arrivals: 'random' is not one of: even poisson"),
        ({"rate": "10", "think": "1ms"}, "--rate and --think exclude each other"),
        ({"busy_poll": "2s"}, "--busy_poll: 2s is out of range: 0 to 1s"),
        ({"busy_poll": "0.5us"}, "whole number of microseconds"),
        ({"busy_poll": "long"}, "or auto"),
        ({"rate": "0"}, "--rate: 0 is out of range"),
        ({"rate": "fast"}, "or auto"),
        ({"env": ["A"]}, "--env: 'A'"),
    ],
)
def test_what_cannot_be_is_said(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        campaign(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"rate": "1k,2500", "engine": "uring"},
        {"rate": "auto", "timestamps": "kernel", "arrivals": "poisson"},
        {"env": "A=1,B=2"},
        {"busy_poll": "50us"},
        {"busy_poll": "auto"},
        {"env": ["A=1", "B=2"], "rate": [100, "1k"]},
    ],
)
def test_the_header_of_a_file_holds_them(options: dict[str, Any]) -> None:
    made = campaign(**options)
    record = decode(encode(made.to_record()).encode(), CampaignRecord)
    assert Campaign.from_record(record) == made


def test_a_header_from_before_has_none_of_them() -> None:
    record = to_builtins(campaign().to_record())
    for key in ("rate", "rate_auto", "engine", "timestamps", "env_sets"):
        del record[key]
    assert Campaign.from_record(convert(record, CampaignRecord)).cells == campaign().cells


def test_a_campaign_from_before_is_resumed_without_a_busy_poll() -> None:
    record = campaign().to_record()
    assert record.busy_poll_us is None
    record = structs.replace(record, busy_poll_us=UNSET)
    assert Campaign.from_record(record).busy_poll_us == 0


def test_a_row_with_variables_has_the_looks_of_its_row() -> None:
    assert family("cpp_epoll[A=1]") == "C"
    assert canonical("cpp_epoll[A=1]") == "c_epoll[A=1]"
    assert base_row("cpp_epoll[A=1]") == "c_epoll"
    rows = ["thread", "asyncio[A=1]", "selector", "asyncio"]
    assert sorted(rows, key=row_order) == ["asyncio", "asyncio[A=1]", "selector", "thread"]


# Asking for them.


def test_the_request_has_what_was_asked_for() -> None:
    asked = dataclasses.replace(CELL, engine="uring", rate=500, timestamps="kernel")
    words = request_line("127.0.0.1", 9, asked).decode().split()
    assert {"engine=uring", "rate=500", "timestamps=kernel"} <= set(words)
    plain = request_line("127.0.0.1", 9, CELL)
    assert not any(word in plain for word in (b"engine", b"rate", b"timestamps", b"busy_poll"))
    polling = request_line("127.0.0.1", 9, CELL, dataclasses.replace(FREE, busy_poll_us=50))
    assert set(polling.split()) - set(plain.split()) == {b"busy_poll_us=50"}


RESULT = (
    b"connected n=1 elapsed_ns=5\n"
    b"result messages=3 window_ns=9 total=4 latency_sum_ns=30 latency_max_ns=20 lost=0"
    b" engine=epoll threads=1 user_ns=1 sys_ns=2 waits=2 events=3 events_squared=5"
    b" queue_ns=12 queue_samples=3\n"
    b"fairness min=3 " + b" ".join(b"p%d=3" % q for q in range(5, 100, 5)) + b" max=3"
    b" starved=0 jain=1.0\nhist 10=3\n"
)
CORRECTED = b"corrected rate=7 late=1 unsent=2 sum_ns=60 max_ns=40\n"


def test_what_the_end_of_the_window_cut_off_is_read() -> None:
    bounds = {name: 10 * place for place, name in enumerate(BOUNDS, 1)}
    more = " ".join(f"bound_{name}_ns={value}" for name, value in bounds.items())
    parser = ReplyParser()
    head = CORRECTED.rstrip() + f" censored=5 {more}\n".encode()
    parser.feed(RESULT + head + b"corrected_hist 12=1 40=2\nend\n")
    found = parser.measurement
    assert found is not None and found.corrected is not None
    assert (found.corrected.censored, found.corrected.bounds) == (5, bounds)


def test_queue_and_corrected_figures_are_read() -> None:
    parser = ReplyParser()
    parser.feed(RESULT + CORRECTED + b"corrected_hist 12=1 40=2\nend\n")
    found = parser.measurement
    assert found is not None and found.queue is not None and found.corrected is not None
    assert (found.waits, found.events, found.events_squared) == (2, 3, 5)
    assert (found.queue.sum_ns, found.queue.samples) == (12, 3)
    corrected = found.corrected
    assert (corrected.rate, corrected.late, corrected.unsent) == (7, 1, 2)
    assert corrected.histogram == {12: 1, 40: 2}


@pytest.mark.parametrize(
    "tail",
    [
        b"corrected_hist 12=3\nend\n",
        CORRECTED + CORRECTED,
        CORRECTED + b"corrected_hist 12=2\nend\n",
        CORRECTED + b"corrected_hist 12=1 12=2\n",
    ],
)
def test_corrected_figures_that_cannot_be(tail: bytes) -> None:
    with pytest.raises(ProtocolError):
        ReplyParser().feed(RESULT + tail)


@pytest.mark.parametrize("engine", ["epoll", "uring"])
def test_engine(engine: str, run: Run, load_server: LoadServer, tmp_path: Path) -> None:
    asked = dataclasses.replace(CELL, engine=engine)
    if reason := unsupported(load_server.address, "127.0.0.1", asked):
        pytest.skip(reason)
    done = run(*ROUND, "--engine", engine)
    assert done.returncode == 0, done.stderr
    (result,) = read_sections(tmp_path / "r.jsonl")[0].results
    assert result.server is not None and result.server.engine == engine
    assert result.server_queue_source == "estimate"
    assert result.server_queue is not None and 0 <= result.server_queue <= 1
    assert ("uring engine" in done.stdout) == (engine == "uring")


@pytest.mark.parametrize(
    ("options", "polls_us"),
    [
        ({}, BUSY_POLL_US),
        ({"busy_poll": "50us"}, 50),
        ({"busy_poll": "0"}, 0),
        ({"no_pin": True}, 0),
        ({"cpu": "0", "server_cpus": "0"}, 0),
        ({"cpu": "0", "server_cpus": "1", "server_threads": "2"}, 0),
        ({"server": "127.0.0.1:9"}, 0),
        ({"server": "127.0.0.1:9", "busy_poll": "1ms"}, 1000),
    ],
)
def test_the_load_server_polls_where_nobody_pays_for_it(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], polls_us: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(placement, "smt_siblings", lambda cpu: frozenset({cpu}))
    assert placement.place(campaign(**options)).busy_poll_us == polls_us


def test_a_sibling_is_not_kept_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr(placement, "smt_siblings", lambda cpu: frozenset({0, 1}))
    assert placement.place(campaign()).busy_poll_us == 0


def test_idle_time_is_recorded_and_told_apart(run: Run, tmp_path: Path) -> None:
    done = run(*ROUND, "--busy-poll", "100us", "--rate", "100")
    assert done.returncode == 0, done.stderr
    done = run(*ROUND, "--busy-poll", "0", "--rate", "100")
    assert done.returncode == 0, done.stderr
    polled, slept = (s.results[0].server for s in read_sections(tmp_path / "r.jsonl"))
    assert polled is not None and slept is not None
    assert (polled.busy_poll_us, slept.busy_poll_us) == (100, 0)
    assert polled.idle_s > 0 == slept.idle_s
    assert polled.busy_s == pytest.approx(polled.user_s + polled.sys_s - polled.idle_s)
    both = run("report", "r.jsonl")
    assert "busy poll 100us" in both.stdout and "no busy poll" in both.stdout


def test_kernel_timestamps_measure_the_queue(run: Run, tmp_path: Path) -> None:
    done = run(*ROUND, "--timestamps", "kernel")
    assert done.returncode == 0, done.stderr
    (result,) = read_sections(tmp_path / "r.jsonl")[0].results
    assert result.server is not None and result.server.timestamps == "kernel"
    assert result.server_queue_source == "kernel"
    assert result.server_queue is not None and 0 < result.server_queue <= 1
    assert "kernel timestamps" in done.stdout and "Gen. queue" in done.stdout


def test_an_engine_that_the_server_lacks_is_said_before_anything_is_measured(
    capsys: pytest.CaptureFixture[str],
) -> None:
    refusal = b'error code=unsupported msg="engine uring: built without liburing"\n'
    with fake_server([refusal]) as fake:
        options = ["--engine", "uring", "--server", str(fake.address), "--bind", "127.0.0.1"]
        assert cli.main(["--func", "selector", "--conns", "10", *options]) == cli.USAGE
    assert "engine=uring" in fake.lines[0] and "conns=1 " in fake.lines[0]
    assert "engine uring: built without liburing" in capsys.readouterr().err


def test_any_other_trouble_of_the_trial_is_left_to_the_rounds() -> None:
    with fake_server([b'error code=busy msg="later"\n']) as fake:
        assert unsupported(fake.address, "127.0.0.1", CELL) is None
    with fake_server([b"nonsense\n"]) as fake:
        assert unsupported(fake.address, "127.0.0.1", CELL) is None


def test_variables_reach_the_worker_and_only_its_own_row(run: Run, tmp_path: Path) -> None:
    # An interpreter that is told so does not start: the row that has it fails, the others do not.
    done = run(*ROUND, "--env", "PYTHONHASHSEED=wrong", "--env", "A=1,B=x y")
    assert done.returncode == 1
    section = read_sections(tmp_path / "r.jsonl")[0]
    found = {result.func: result for result in section.results}
    assert found.keys() == {"selector", "selector[A=1,B=x y]", "selector[PYTHONHASHSEED=wrong]"}
    assert found["selector"].ok and found["selector"].row == ""
    labelled = found["selector[A=1,B=x y]"]
    assert labelled.ok and labelled.row == "selector"
    assert labelled.env_set == {"A": "1", "B": "x y"}
    assert found["selector[PYTHONHASHSEED=wrong]"].status == "failed"
    assert "selector[A=1,B=x y]" in done.stdout

    again = run("--resume", "r.jsonl")
    assert again.returncode == 1, "the row that cannot start still cannot"
    rerun = read_sections(tmp_path / "r.jsonl")[1].results
    assert [result.func for result in rerun] == ["selector[PYTHONHASHSEED=wrong]"]
