"""The pytest plugin as its users have it: a session of its own, with real rounds."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import environment
from tests.support import PYTEST

Session = Callable[..., "subprocess.CompletedProcess[str]"]
QUICK = "rounds=2, runtime='300ms', warmup='50ms'"
RATIO = f"pybench.ratio('selector', 'c_epoll', conns=2, {QUICK})"
ABSENT = "curio" if sys.version_info >= (3, 12) else "asyncio_eager"  # not for this Python


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """Writes a test file and runs pytest on it; the folder is the test's own."""

    def run(text: str, *options: str) -> "subprocess.CompletedProcess[str]":
        (tmp_path / "test_it.py").write_text(text)
        argv = [*PYTEST, *_plugin(), *options]
        return subprocess.run(
            argv, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
            timeout=100,
        )  # fmt: skip

    return run


def _plugin() -> list[str]:
    """Named where the installed distribution is older than its entry point."""
    from importlib.metadata import entry_points

    known = any(entry.value == "pybench.gate.plugin" for entry in entry_points(group="pytest11"))
    return [] if known else ["-p", "pybench.gate.plugin"]


def test_outcomes_and_table(session: Session) -> None:
    done = session(
        "import pytest\n"
        f"def test_kept(pybench): {RATIO}.require(at_least=1e-9, at_most=1e9)\n"
        f"def test_broken(pybench): {RATIO}.require(at_least=1e9)\n"
        "def test_unsure(pybench):\n"
        f"    ratio = {RATIO}\n"
        "    ratio.require(at_least=ratio.value)\n"
        f"def test_absent(pybench): pybench.measure({ABSENT!r}, conns=2)\n"
        "def test_lost(pybench): pybench.measure('no_such_module:serve', conns=2)\n"
        "def test_typo(pybench): pybench.ratio('selektor', 'c_epoll', conns=2)\n"
        "@pytest.mark.pybench(runtime='300ms', warmup='0')\n"
        "def test_measure(pybench):\n"
        "    result = pybench.measure('c_epoll', conns=3, msize=10)\n"
        "    assert (result.conns, result.msize, result.runtime_s) == (3, 10, 0.3)\n",
        "-rs",
    )
    assert done.returncode == 1
    assert "3 failed, 2 passed, 1 skipped, 1 inconclusive" in done.stdout, done.stdout
    assert "surely not at least 1e+09" in done.stdout
    assert "no_such_module: no module of that name" in done.stdout
    assert f"{ABSENT}: " in done.stdout and "Python 3.12" in done.stdout
    assert "did you mean selector" in done.stdout
    [line] = [line for line in done.stdout.splitlines() if line.startswith("test_it.py::test_uns")]
    assert "inconclusive: selector / c_epoll at 2:" in line and "cannot be told" in line
    table = done.stdout.partition("ratios of messages per second")[2].splitlines()
    verdicts = [found[1] for line in table if (found := re.search(r"\)  +2  +(\w+)", line))]
    assert verdicts == ["passed", "failed", "inconclusive"]


def _scale(path: Path, by: float) -> None:
    """Make a baseline's ratios that many times as large."""
    record: dict[str, Any] = json.loads(path.read_text())
    for one in record["ratios"]:
        one["speeds"] = [by * speed for speed in one["speeds"]]
    path.write_text(json.dumps(record))


def test_one_round_is_measured_whatever_rounds_are_asked_for(session: Session) -> None:
    text = (
        "import pytest\n"
        "@pytest.mark.pybench(rounds=9)\n"
        "def test_it(pybench): assert pybench.measure('selector', conns=2).round == 1\n"
    )
    done = session(text, "--pybench-rounds", "2")
    assert done.returncode == 0, done.stdout


def test_baseline(session: Session, tmp_path: Path) -> None:
    text = f"def test_it(pybench): {RATIO}\n"
    done = session(text, "--pybench-save", "b.json", "--pybench-rounds", "3")
    assert done.returncode == 0 and "kept in b.json" in done.stdout
    [one] = json.loads((tmp_path / "b.json").read_text())["ratios"]
    assert len(one["speeds"]) == 3 and one["test"] == "test_it.py::test_it"
    _scale(tmp_path / "b.json", 1e-9)
    done = session(text, "--pybench-compare", "b.json")
    assert done.returncode == 0, done.stdout
    _scale(tmp_path / "b.json", 1e18)
    done = session(text, "--pybench-compare", "b.json", "--pybench-save", "c.json")
    assert done.returncode == 1
    assert "1 failed" in done.stdout and "in the baseline" in done.stdout
    assert "surely not at least 0.9" in done.stdout
    assert "Traceback" not in done.stdout and "During handling" not in done.stdout
    assert len(json.loads((tmp_path / "c.json").read_text())["ratios"]) == 1
    done = session(
        text.replace("test_it", "test_new"), "--pybench-compare", "b.json",
        "--pybench-fail-below", "0.5", "--pybench-runtime", "400ms",
    )  # fmt: skip
    assert done.returncode == 0 and " none " in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pybench-compare", "none.json"], "--pybench-compare none.json: No such file"),
        (["--pybench-save", "no/such/file"], "--pybench-save no/such/file: No such file"),
        (["--pybench-fail-below", "7"], "--pybench-fail-below 7: a share"),
        (["--pybench-rounds", "1"], "--pybench-rounds 1: an interval takes 2"),
        (["--pybench-runtime", "soon"], "--pybench-runtime: "),
    ],
)
def test_bad_options(session: Session, options: list[str], message: str) -> None:
    done = session("def test_it(): pass\n", *options)
    assert done.returncode == 4
    assert message in done.stderr and "Traceback" not in done.stderr


def test_marker_selects_and_strangers_are_left_alone(session: Session) -> None:
    text = f"def test_plain(): pass\ndef test_it(pybench): {RATIO}\n"
    done = session(text, "--strict-markers", "-m", "not pybench")
    assert "1 passed, 1 deselected" in done.stdout
    assert "ratios of messages" not in done.stdout
    heavy = ["rich", "pybench.analysis", "pybench.gate.ratio", "pybench.driver.campaign"]
    done = session(f"import sys\ndef test_plain(): assert not set({heavy}) & set(sys.modules)\n")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (f"def test_it(pybench): {RATIO}\n", ["--collect-only"]),
        (f"def test_it(pybench): {RATIO}\n", ["-k", "nothing"]),
        ("def test_it(pybench: pass\n", []),
        ("def test_it(): pass\n", []),
    ],
    ids=["collect-only", "deselected", "syntax error", "no test of ours"],
)
def test_a_session_that_measured_nothing_keeps_the_baseline(
    session: Session, tmp_path: Path, text: str, options: list[str]
) -> None:
    (tmp_path / "base.json").write_text("precious")
    done = session(text, "--pybench-save", "base.json", *options)
    assert (tmp_path / "base.json").read_text() == "precious"
    assert "nothing was measured: --pybench-save base.json writes nothing" in done.stdout
    session(text, "--pybench-save", "new.json", *options)
    assert not (tmp_path / "new.json").exists()


def test_nothing_passes_against_an_empty_baseline(session: Session, tmp_path: Path) -> None:
    (tmp_path / "base.json").write_text('{"schema": 1, "ratios": []}')
    done = session("def test_it(): pass\n", "--pybench-compare", "base.json")
    assert done.returncode == 4
    assert "--pybench-compare base.json: no ratio is kept in it" in done.stderr
