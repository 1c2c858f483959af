"""A real scheduler and real workers, each on a host of its own; some are taken away."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import environment
from tests.support import processes
from tests.support.netns import star

pytest.importorskip("distributed")
from tests.support.daskcluster import cluster

pytestmark = [pytest.mark.alone, pytest.mark.timeout(300)]

CAMPAIGN = ("--func", "c_epoll", "--conns", "5", "--rounds", "5", "--seed", "1")
SHORT = ("--runtime", "150ms", "--warmup", "20ms")
OUTPUT = "r.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    """The results in a file, as far as they are whole."""
    if not path.exists():
        return []
    whole = [json.loads(line) for line in path.read_text().split("\n")[:-1] if line]
    return [line for line in whole if "func" in line]


def machines(found: list[dict[str, Any]]) -> set[str]:
    return {line["machine"]["name"] for line in found}


def test_a_race_and_every_round_once_though_worker_and_driver_are_killed(
    tmp_path: Path,
) -> None:
    def start(*arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [*here.prefix, sys.executable, "-m", "pybench", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=environment(),
        )

    def await_results(what: str, there: Callable[[list[dict[str, Any]]], bool]) -> None:
        processes.wait_for(f"results {what}", lambda: there(lines(output)), 100)

    output = tmp_path / OUTPUT
    with star(3) as (here, *there), cluster(tmp_path, here.address, here.prefix) as dask:
        for host, name in zip(there, ("one", "two"), strict=True):
            dask.add(name, host.prefix)
        race = ("race", "c_epoll", "c_epoll", "--conns", "5", "--budget", "100ms")
        raced = start(*race, "--cluster", dask.scheduler, "--output", "race.jsonl")
        raced.communicate(timeout=100)
        assert raced.returncode in (0, 1)
        found = lines(tmp_path / "race.jsonl")
        assert Counter((line["func"], line["round"]) for line in found) == Counter(
            (func, number) for func in ("c_epoll", "c_epoll#2") for number in (1, 2)
        )
        assert all(line["status"] == "ok" and line["turns"]["each"] for line in found)
        driver = start(*CAMPAIGN, *SHORT, "--cluster", dask.scheduler, "--output", OUTPUT)
        await_results("of both machines", lambda found: machines(found) == {"one", "two"})
        dask.kill("two")
        await_results("one more", lambda found: len(found) > 2)
        os.kill(driver.pid, signal.SIGKILL)
        driver.communicate()
        kept = lines(output)
        assert 2 <= len(kept) < 5
        resumed = start("--resume", OUTPUT)
        out, err = resumed.communicate(timeout=200)
    assert resumed.returncode == 0, err
    found = lines(output)
    assert Counter(line["round"] for line in found) == Counter(range(1, 6))
    assert all(line["status"] == "ok" for line in found)
    assert found[: len(kept)] == kept
    assert found[-1]["machine"]["name"] == "one"
    assert f"[{5 - len(kept)}/{5 - len(kept)}] " in err and " on one: " in err
    assert "c_epoll" in out
