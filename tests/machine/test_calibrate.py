"""Calibrating: measured with real runs, kept per machine, shown, and used by what is run next."""

import json
import math
import os
import pwd
import statistics
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pybench import cli
from pybench.driver import calibrate
from pybench.machine import calibration
from pybench.machine.calibration import Calibration
from pybench.result.file import read_sections
from tests.conftest import SHORT

Run = Callable[..., subprocess.CompletedProcess[str]]

KNOWN = Calibration(
    measured_at="2026-01-02T03:04:05+00:00",
    machine="CPython 3.11, Linux, 2 x Example CPU",
    noise_floor=0.073,
    noise_of="selector, 100 connections, 10 runs of 800ms",
    runs=[100.0, 104.0],
    ceiling_mps={"epoll": 176_400.0},
    unavailable={"uring": "built without liburing"},
    syscall_ns=212.0,
    send_ns=3000.0,
    recv_ns=1500.0,
    limits={"open files": 20_000, "ports": 28_232},
    other=0.21,
    advice=["more connections: raise the hard limit (now 20000)"],
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.alone
def test_calibrating_end_to_end(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"NOISE_RUNS": 2, "RUNTIME": "150ms", "WARMUP": "0s", "CONNS": 10}.items():
        monkeypatch.setattr(calibrate, name, value)
    assert cli.main(["calibrate"]) == cli.OK
    shown = capsys.readouterr()
    found = calibration.load()
    assert found is not None and calibration.path().is_relative_to(cache)
    assert len(found.runs) == 2 and min(found.runs) > 0
    assert found.noise_floor >= calibrate.NO_NOISE
    assert found.ceiling_mps["epoll"] > 0
    assert ("uring" in found.ceiling_mps) != ("uring" in found.unavailable)
    assert 0 < found.syscall_ns < found.send_ns
    assert found.limits["open files"] > 0 and found.limits["ports"] > 0
    assert "noise floor" in shown.out and "kept in" in shown.err
    assert cli.main(["calibrate", "--show"]) == cli.OK
    assert capsys.readouterr().out == shown.out


def test_what_is_shown(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calibration.save(KNOWN)
    assert calibration.load() == KNOWN
    assert cli.main(["calibrate", "--show"]) == cli.OK
    out = capsys.readouterr().out
    for words in ("7.3%", "epoll 180k", "uring not available", "212 ns", "send 3.00 us"):
        assert words in out
    assert "the machine was busy" in out and "nothing was changed" in out
    assert "raise the hard limit (now 20000)" in out


def test_nothing_to_show(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["calibrate", "--show"]) == cli.USAGE
    assert str(calibration.path()) in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 99}', '{"schema": 1}'])
def test_a_file_that_cannot_be_read_counts_as_none(cache: Path, text: str) -> None:
    calibration.save(KNOWN)
    calibration.path().write_text(text)
    assert calibration.load() is None


def test_a_cache_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr(calibrate, "calibrate", lambda notify: KNOWN)
    assert cli.main(["calibrate"]) == cli.USAGE
    said = capsys.readouterr()
    assert "XDG_CACHE_HOME chooses" in said.err
    assert "noise floor" in said.out  # half a minute was spent on it


def test_nobody_has_a_home(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(calibrate, "calibrate", lambda notify: KNOWN)
    assert calibration.load() is None
    for words in (["calibrate"], ["calibrate", "--show"]):
        assert cli.main(words) == cli.USAGE
        said = capsys.readouterr()
        assert said.err == (
            "pybench: error: calibrate: there is no home folder to keep it in"
            " (XDG_CACHE_HOME chooses one)\n"
        )
        assert ("noise floor" in said.out) == (words == ["calibrate"])


def test_another_kernel_is_another_machine(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = calibration.path()
    assert calibration.path() == here
    env = calibration.environment.collect()
    monkeypatch.setattr(
        calibration.environment, "collect", lambda *_: env | {"kernel": "1.2.3-other"}
    )
    assert calibration.path() != here


def test_a_run_records_what_its_stamps_use(run: Run, cache: Path, tmp_path: Path) -> None:
    calibration.save(KNOWN)
    done = run(
        *("--func", "selector", "--conns", "10", *SHORT, "--output", "r.jsonl"),
        XDG_CACHE_HOME=os.environ["XDG_CACHE_HOME"],
    )
    assert done.returncode == 0, done.stderr
    (result,) = read_sections(tmp_path / "r.jsonl")[0].results
    assert result.env["calibration"] == json.loads(json.dumps(KNOWN.to_env()))
    assert result.env["calibration"]["noise_floor"] == 0.073


def test_noise_floor_is_what_two_runs_differ_by() -> None:
    speeds = [100.0, 110.0, 95.0, 102.0]
    s = statistics.stdev(map(math.log, speeds))
    # t(3) is 3.182: four runs know their own scatter badly
    assert calibrate.noise_floor(speeds) == pytest.approx(math.exp(4.5 * s) - 1, rel=1e-3)
    assert calibrate.noise_floor([100.0, 100.0, 100.0]) == calibrate.NO_NOISE


GOOD: dict[str, Any] = {"governor": "performance", "clocksource": "tsc", "allowed_cpus": [0, 1]}


@pytest.mark.parametrize(
    ("limits", "env", "words"),
    [
        ({"open files": 65_535}, {}, "limits.conf"),
        ({"ports": 28_232}, {}, "ip_local_port_range"),
        ({"threads": 31_999}, {}, "pid_max"),
        ({"mappings": 65_530}, {}, "max_map_count"),
        ({"listen queue": 128}, {}, "somaxconn"),
        ({}, {"governor": "powersave"}, "powersave"),
        ({}, {"turbo": True}, "turbo"),
        ({}, {"clocksource": "hpet"}, "hpet"),
        ({}, {"allowed_cpus": [0]}, "second CPU"),
    ],
)
def test_advice(limits: dict[str, int], env: dict[str, Any], words: str) -> None:
    (line,) = calibrate.advice(limits, GOOD | env, {})
    assert words in line


def test_a_machine_without_flaw_gets_no_advice() -> None:
    limits = {"open files": 65_536, "ports": 64_512, "threads": 32_000, "mappings": 10**6}
    assert calibrate.advice(limits, GOOD, {}) == []
    assert calibrate.advice(limits, GOOD, {"uring": "no liburing"}) == [
        "the uring engine: no liburing"
    ]


def test_costs_are_of_calls_that_happen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "CALLS", 50)
    before = len(list(Path("/proc/self/fd").iterdir()))
    send_ns, recv_ns = calibrate.loopback_cost_ns()
    assert send_ns > 0 and recv_ns > 0
    assert len(list(Path("/proc/self/fd").iterdir())) == before, "its sockets are closed"
