"""Facts of a machine into checks: each flaw is found, graded, and has its remedy."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from pybench.analysis.fitness import TriedOut, checks
from pybench.machine.health import Health
from pybench.machine.limits import Limit
from pybench.machine.placement import Placement
from pybench.result.calibration import Calibration
from pybench.result.checkup import Check

CALIBRATION = Calibration(
    measured_at="2026-01-02T03:04:05+00:00",
    machine="CPython 3.11, Linux, 4 x Example CPU",
    noise_floor=0.04,
    noise_of="selector, 100 connections, 5 runs of 300ms",
    runs=[100_000.0, 101_000.0],
    ceiling_mps={"epoll": 176_400.0, "uring": 191_000.0},
    syscall_ns=90.0,
    send_ns=3000.0,
    recv_ns=1500.0,
    limits={},
)
TRIED = TriedOut(
    calibration=CALIBRATION, failure="", throttled_s=0.0, took_s=10.0, clock_ns=25.0,
    late_us=(60.0, 70.0, 900.0),
)  # fmt: skip
HEALTH = Health(
    env={
        "pybench": "0.2.0", "implementation": "CPython", "python": "3.11.7", "kernel": "6.1",
        "cpu_model": "Example CPU", "allowed_cpus": [0, 1, 2, 3], "governor": "performance",
        "turbo": False, "clocksource": "tsc",
    },
    debug_build=False,
    placement=Placement(worker_cpu=0, server_cpus=(1, 2, 3), server_threads=3, shared_cpus=()),
    siblings=frozenset({0}),
    quota_cpus=None,
    limits={"open files": Limit(1 << 20, "open files", "more"), "memory": None},
    listen_queue=4096,
    loopback_down=None,
)  # fmt: skip


def flaws(health: Health, tried: TriedOut = TRIED) -> dict[str, Check]:
    return {one.name: one for one in checks(health, tried) if one.verdict != "good"}


def test_a_machine_without_flaw() -> None:
    found = checks(HEALTH, TRIED)
    assert flaws(HEALTH) == {}
    assert len(found) == len({one.name for one in found}) == 24
    assert all(one.value and not one.remedy for one in found)


@pytest.mark.parametrize(
    ("changes", "name", "grade", "remedy"),
    [
        ({"debug_build": True}, "versions", "bad", "release build"),
        ({"siblings": frozenset({0, 2})}, "SMT", "bad", "echo off > /sys/devices/system/cpu/smt"),
        ({"siblings": frozenset({0, 7})}, "SMT", "caution", "echo off > /sys/devices"),
        ({"quota_cpus": 1.5}, "CPU quota", "bad", "cpuset"),
        ({"quota_cpus": 3.0}, "CPU quota", "caution", "cpuset"),
        ({"listen_queue": 128}, "listen queue", "caution", "sysctl -w net.core.somaxconn=4096"),
        ({"loopback_down": "it is down"}, "loopback", "bad", "ip link set lo up"),
        ({"limits": {"open files": Limit(20_000, "", "")}}, "open files", "caution", "ulimit -Hn"),
        ({"limits": {"open files": Limit(1024, "", "")}}, "open files", "bad", "ulimit -Hn"),
        ({"limits": {"threads": Limit(1000, "", "raise it")}}, "threads", "bad", "raise it"),
        ({"limits": {"memory": Limit(1 << 20, "", "end it")}}, "memory", "caution", "end it"),
    ],
)
def test_what_the_kernel_says(changes: dict[str, Any], name: str, grade: str, remedy: str) -> None:
    found = flaws(replace(HEALTH, **changes))
    assert list(found) == [name]
    assert found[name].verdict == grade and remedy in found[name].remedy


@pytest.mark.parametrize(
    ("env", "name", "grade"),
    [
        ({"governor": "powersave"}, "governor", "caution"),
        ({"turbo": True}, "turbo", "caution"),
        ({"clocksource": "hpet"}, "clock", "caution"),
        ({"allowed_cpus": [0]}, "CPUs", "bad"),
    ],
)
def test_what_results_record(env: dict[str, Any], name: str, grade: str) -> None:
    found = flaws(replace(HEALTH, env={**HEALTH.env, **env}))
    assert [(one.name, one.verdict) for one in found.values()] == [(name, grade)]
    assert found[name].remedy


def test_a_shared_core_is_bad() -> None:
    shared = replace(HEALTH.placement, server_cpus=(0,), shared_cpus=(0,))
    assert flaws(replace(HEALTH, placement=shared))["placement"].verdict == "bad"


@pytest.mark.parametrize(
    ("changes", "name", "grade"),
    [
        ({"steal": 0.009}, "", ""),
        ({"steal": 0.02}, "steal", "caution"),
        ({"steal": 0.05}, "steal", "bad"),
        ({"other": 0.05}, "interference", "caution"),
        ({"other": 0.2}, "interference", "bad"),
        ({"noise_floor": 0.2}, "noise", "caution"),
        ({"noise_floor": 0.6}, "noise", "bad"),
        ({"unavailable": {"uring": "built without liburing"}}, "load server", "caution"),
    ],
)
def test_what_runs_tell(changes: dict[str, Any], name: str, grade: str) -> None:
    tried = replace(TRIED, calibration=structs.replace(CALIBRATION, **changes))
    found = flaws(HEALTH, tried)
    assert [(one.name, one.verdict) for one in found.values()] == ([(name, grade)] if name else [])
    assert all(one.remedy for one in found.values())


@pytest.mark.parametrize(
    ("changes", "name", "grade"),
    [
        ({"throttled_s": 1.0}, "throttling", "bad"),
        ({"clock_ns": 900.0}, "clock", "caution"),
        ({"late_us": (10.0, 2000.0, 3000.0)}, "timers", "caution"),
        ({"calibration": None, "failure": "no pybench-server"}, "load server", "bad"),
    ],
)
def test_what_trying_out_tells(changes: dict[str, Any], name: str, grade: str) -> None:
    found = flaws(HEALTH, replace(TRIED, **changes))
    assert [(one.name, one.verdict) for one in found.values()] == [(name, grade)]
