"""A real scheduler and real workers, each on a host of its own; some are taken away."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import datetime
from itertools import pairwise
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
RUNTIME_S = 0.25
SHORT = ("--runtime", f"{RUNTIME_S}s", "--warmup", "0")
OUTPUT = "r.jsonl"


def lines(path: Path) -> list[dict[str, Any]]:
    """The results in a file, as far as they are whole."""
    if not path.exists():
        return []
    whole = [json.loads(line) for line in path.read_text().split("\n")[:-1] if line]
    return [line for line in whole if "func" in line]


def test_every_round_once_though_worker_and_driver_are_killed(
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

    def await_lines(count: int) -> None:
        processes.wait_for(f"{count} results", lambda: len(lines(output)) >= count, 100)

    output = tmp_path / OUTPUT
    with star(3) as (here, *there), cluster(tmp_path, here.address, here.prefix) as dask:
        for host, name in zip(there, ("one", "two"), strict=True):
            dask.add(name, (*host.prefix, "env", "PYBENCH_MACHINE=same"))
        driver = start(*CAMPAIGN, *SHORT, "--cluster", dask.scheduler, "--output", OUTPUT)
        await_lines(1)
        dask.kill("two")
        await_lines(2)
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
    assert {line["machine"]["name"] for line in found} == {"same"}
    assert f"[{5 - len(kept)}/{5 - len(kept)}] " in err and " on same: " in err
    # Two workers of one machine: whoever measures, the other waits.
    starts = sorted(datetime.fromisoformat(line["started_at"]) for line in found)
    assert all((b - a).total_seconds() >= RUNTIME_S for a, b in pairwise(starts))
    assert "c_epoll" in out
