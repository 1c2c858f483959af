"""Workers under a CPython without the GIL: `make freethreaded` names it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from pybench.backends import ROWS
from pybench.backends.interpreters import identify, unavailable

EXTENSIONS = ("c_epoll", "c_poll", "c_th", "rawselect")
ASKED_FOR = os.environ.get("PYBENCH_FREETHREADED_WORKER", "")
OURS = [
    "selector",
    "thread",
    "raw_selector",
    "asyncio",
    "asyncio_proto",
    "c_epoll",
    "c_poll",
    "c_th",
]
"""Rows of the standard library and our own: nothing of others switches the GIL on."""

pytestmark = pytest.mark.skipif(not ASKED_FOR, reason="run by `make freethreaded`")


@cache
def absent() -> dict[str, str]:
    """Row -> why it cannot run there."""
    [interpreter] = identify([ASKED_FOR])
    return unavailable(interpreter, list(ROWS))


def run_there(code: str, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [ASKED_FOR, *options, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, cwd="/")


def test_it_is_free_threaded() -> None:
    [interpreter] = identify([ASKED_FOR])
    assert interpreter.free_threaded


@pytest.mark.parametrize("name", EXTENSIONS)
def test_an_extension_leaves_the_gil_off(name: str) -> None:
    """One that does not declare it switches the GIL on, with a RuntimeWarning."""
    code = f"import sys, pybench.{name}; sys.exit(sys._is_gil_enabled())"
    done = run_there(code, "-W", "error::RuntimeWarning")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("row", ROWS)
def test_a_row_keeps_the_contract(row: str) -> None:
    if row in absent():
        pytest.skip(absent()[row])
    done = run_there(f"from pybench.testing import check_backend; check_backend({row!r})")
    assert done.returncode == 0, done.stderr


def test_rounds_by_workers_without_the_gil(
    run: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    done = run(
        "--func", ",".join(OURS), "--conns", "20", "--runtime", "200ms", "--warmup", "50ms",
        "--python", f"nogil={ASKED_FOR}", "--output", "r.jsonl",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()][1:]
    assert {line["row"] for line in lines} == set(OURS)
    for line in lines:
        assert line["status"] == "ok" and line["messages"] > 0
        assert line["python"]["gil"] is False, line["row"]
        assert line["python"]["executable"] != sys.executable
