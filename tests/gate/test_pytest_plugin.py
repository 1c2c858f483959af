"""The pytest plugin as its users have it: a session of its own, in this process.

Rounds are made up (tests/support/fakeheats.py, fakerounds.py), but for one test.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pybench.driver import campaign, race
from pybench.gate import baseline  # noqa: F401 - once, and not anew in each session
from tests.conftest import environment
from tests.support.fakeheats import FakeHeats
from tests.support.fakerounds import FakeRounds

pytest_plugins = ["pytester"]

RATIO = "pybench.ratio('selector', 'c_epoll', conns=2)"
ABSENT = "curio" if sys.version_info >= (3, 12) else "asyncio_eager"  # not for this Python


@dataclass(frozen=True)
class Done:
    """How a session ended."""

    returncode: int
    stdout: str
    stderr: str


Session = Callable[..., Done]


@pytest.fixture
def real_session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Session:
    """Writes a test file and runs pytest on it, with our plugin alone: others take seconds to load.

    The folder is the test's own.
    """
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    ours = ("-p", "pybench.gate.plugin", "-p", "no:cacheprovider")

    def run(text: str, *options: str) -> Done:
        (pytester.path / "test_it.py").write_text(text)
        done = pytester.runpytest_inprocess(*ours, *options)
        return Done(int(done.ret), done.stdout.str(), done.stderr.str())

    return run


@pytest.fixture
def session(real_session: Session, monkeypatch: pytest.MonkeyPatch) -> Session:
    """The same with rounds made up, in which selector is slower than c_epoll by a fifth."""

    @contextmanager
    def heats(*what: object) -> Iterator[FakeHeats]:
        yield FakeHeats({"selector": 40_000})

    @contextmanager
    def rounds(*what: object) -> Iterator[FakeRounds]:
        yield FakeRounds()

    monkeypatch.setattr(race, "measuring", heats)
    monkeypatch.setattr(campaign, "measuring", rounds)
    return real_session


def _plugin() -> list[str]:
    """Named where the installed distribution is older than its entry point."""
    from importlib.metadata import entry_points

    known = any(entry.value == "pybench.gate.plugin" for entry in entry_points(group="pytest11"))
    return [] if known else ["-p", "pybench.gate.plugin"]


def test_outcomes_and_table(session: Session) -> None:
    done = session(
        "import pytest\n"
        f"def test_kept(pybench): {RATIO}.require(at_least=0.5, at_most=1)\n"
        f"def test_broken(pybench): {RATIO}.require(at_least=1)\n"
        "@pytest.mark.pybench(rounds=6)\n"
        "def test_unsure(pybench):\n"
        f"    ratio = {RATIO}\n"
        "    ratio.require(at_least=ratio.value)\n"
        f"def test_absent(pybench): pybench.measure({ABSENT!r}, conns=2)\n"
        f"def test_absent_too(pybench): pybench.ratio('selector', {ABSENT!r}, conns=2)\n"
        "def test_lost(pybench): pybench.measure('no_such_module:serve', conns=2)\n"
        "def test_lost_too(pybench):\n"
        "    pybench.ratio('no_such_module:serve', 'selector', conns=2)\n"
        "def test_typo(pybench): pybench.ratio('selektor', 'c_epoll', conns=2)\n"
        f"def test_number(pybench): assert {RATIO} > 0.5\n"
        "@pytest.mark.pybench(runtime='150ms', warmup='0', rounds=9)\n"
        "def test_measure(pybench):\n"
        "    result = pybench.measure('c_epoll', conns=3, msize=10)\n"
        "    assert (result.conns, result.round) == (3, 1)\n",
        "-rs",
    )
    assert done.returncode == 1
    assert "5 failed, 2 passed, 2 skipped, 1 inconclusive" in done.stdout, done.stdout
    assert "surely not at least 1" in done.stdout
    assert done.stdout.count("no_such_module: no module of that name") >= 2
    assert f"{ABSENT}: " in done.stdout and "Python 3.12" in done.stdout
    assert "did you mean selector" in done.stdout
    assert "write ratio.require(at_least=0.5)" in done.stdout
    [line] = [line for line in done.stdout.splitlines() if line.startswith("test_it.py::test_uns")]
    assert "inconclusive: selector / c_epoll at 2:" in line and "cannot be told" in line
    table = done.stdout.partition("pybench: ratios, 95% intervals")[2].splitlines()
    verdicts = [found[1] for line in table if (found := re.search(r"\)  +6  +(\w+)", line))]
    assert verdicts == ["passed", "failed", "inconclusive", "failed"]


def test_what_is_undecided_fails_where_that_is_asked_for(session: Session) -> None:
    text = f"def test_it(pybench):\n    r = {RATIO}\n    r.require(at_least=r.low * 1.000001)\n"
    done = session(text, "--pybench-undecided", "fail", "--pybench-rounds", "6")
    assert done.returncode == 1 and "1 failed" in done.stdout, done.stdout
    assert "undecided: selector" in done.stdout
    done = session(text, "--pybench-rounds", "6")
    assert done.returncode == 0 and "1 inconclusive" in done.stdout


def test_rounds_of_one_window(session: Session) -> None:
    done = session(
        "def test_it(pybench):\n"
        "    ratio = pybench.ratio('asyncio', 'c_epoll', conns=5, turns=False, metric='p50')\n"
        "    assert 0 < ratio.value < 1e3 and len(ratio.speeds) == 2 and not ratio.turns\n",
        "--pybench-rounds", "2", "--pybench-runtime", "300ms",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "asyncio / c_epoll at 5 in p50" in done.stdout


def test_a_real_ratio_leaves_nothing_alive(real_session: Session) -> None:
    """Not even between measuring and demanding."""
    done = real_session(
        "import os\n"
        "def children():\n"
        "    with open(f'/proc/self/task/{os.getpid()}/children') as file:\n"
        "        return set(file.read().split())\n"
        "def test_turns(pybench):\n"
        "    before = children()\n"
        "    ratio = pybench.ratio('asyncio', 'c_epoll', conns=5, rounds=2)\n"
        "    assert 0 < ratio.value < 1e3 and ratio.rounds == 2 and children() == before\n"
    )
    assert done.returncode == 0, done.stdout


def _change(path: Path, **changes: Any) -> None:
    """Rewrite a baseline; a number of `ratios` makes them that many times as large."""
    record: dict[str, Any] = json.loads(path.read_text())
    by = changes.pop("ratios", 1)
    for one in record["ratios"]:
        one["ratios"] = [by * ratio for ratio in one["ratios"]]
    path.write_text(json.dumps(record | changes))


def test_baseline(session: Session, pytester: pytest.Pytester) -> None:
    text = f"def test_it(pybench): {RATIO}\n"
    base = pytester.path / "b.json"
    done = session(text, "--pybench-save", "b.json", "--pybench-rounds", "3")
    assert done.returncode == 0 and "kept in b.json" in done.stdout
    [one] = json.loads(base.read_text())["ratios"]
    assert len(one["speeds"]) == 3 and one["test"] == "test_it.py::test_it" and one["turns"]
    _change(base, ratios=1e-6)
    done = session(text, "--pybench-compare", "b.json")
    assert done.returncode == 0, done.stdout
    _change(base, ratios=1e12)
    done = session(text, "--pybench-compare", "b.json", "--pybench-save", "c.json")
    assert done.returncode == 1
    assert "1 failed" in done.stdout and "in the baseline" in done.stdout
    assert "surely not at least 0.9" in done.stdout
    assert "Traceback" not in done.stdout and "During handling" not in done.stdout
    assert len(json.loads((pytester.path / "c.json").read_text())["ratios"]) == 1
    done = session(
        text.replace("test_it", "test_new"), "--pybench-compare", "b.json",
        "--pybench-fail-below", "0.5",
    )  # fmt: skip
    assert done.returncode == 0 and " none " in done.stdout


def test_a_baseline_of_another_machine(session: Session, pytester: pytest.Pytester) -> None:
    text = f"def test_it(pybench): {RATIO}\n"
    session(text, "--pybench-save", "b.json")
    _change(pytester.path / "b.json", ratios=1e6, env={"cpu_model": "Other", "cpus": 512})
    done = session(text, "--pybench-compare", "b.json")
    assert done.returncode == 0 and "1 inconclusive" in done.stdout, done.stdout
    assert "not compared: b.json is from another machine (processor Other there" in done.stdout
    done = session(text, "--pybench-compare", "b.json", "--pybench-undecided", "fail")
    assert done.returncode == 1 and "1 failed" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pybench-compare", "none.json"], "--pybench-compare none.json: No such file"),
        (["--pybench-save", "no/such/file"], "--pybench-save no/such/file: No such file"),
        (["--pybench-fail-below", "7"], "--pybench-fail-below 7: a share"),
        (["--pybench-rounds", "1"], "--pybench-rounds 1: an interval takes 2"),
        (["--pybench-runtime", "soon"], "--pybench-runtime: "),
        (["--pybench-budget", "soon"], "--pybench-budget: "),
        (["--pybench-budget", "9s", "--pybench-rounds", "9"], "exclude each other"),
    ],
)
def test_bad_options(session: Session, options: list[str], message: str) -> None:
    done = session("def test_it(): pass\n", *options)
    assert done.returncode == 4
    assert message in done.stderr and "Traceback" not in done.stderr


def test_marker_selects_and_strangers_are_left_alone(session: Session, tmp_path: Path) -> None:
    text = f"def test_plain(): pass\ndef test_it(pybench): {RATIO}\n"
    done = session(text, "--strict-markers", "-m", "not pybench")
    assert "1 passed, 1 deselected" in done.stdout
    assert "ratios of messages" not in done.stdout
    heavy = ["rich", "pybench.analysis", "pybench.gate.ratio", "pybench.driver.campaign"]
    text = f"import sys\ndef test_plain(): assert not set({heavy}) & set(sys.modules)\n"
    (tmp_path / "test_heavy.py").write_text(text)
    alone = subprocess.run(
        [sys.executable, "-m", "pytest", *_plugin(), "test_heavy.py"], cwd=tmp_path,
        env=environment(), capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert alone.returncode == 0, alone.stdout


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
    session: Session, pytester: pytest.Pytester, text: str, options: list[str]
) -> None:
    (pytester.path / "base.json").write_text("precious")
    done = session(text, "--pybench-save", "base.json", *options)
    assert (pytester.path / "base.json").read_text() == "precious"
    assert "nothing was measured: --pybench-save base.json writes nothing" in done.stdout
    session(text, "--pybench-save", "new.json", *options)
    assert not (pytester.path / "new.json").exists()


def test_a_full_disk_at_the_end_leaves_the_table(session: Session) -> None:
    text = f"def test_it(pybench): {RATIO}\n"
    done = session(text, "--pybench-save", "/dev/full")
    assert done.returncode == 1 and "1 passed" in done.stdout
    assert "selector / c_epoll" in done.stdout and "kept in" not in done.stdout
    assert "--pybench-save /dev/full: No space left on device" in done.stdout


def test_nothing_passes_against_an_empty_baseline(
    session: Session, pytester: pytest.Pytester
) -> None:
    (pytester.path / "base.json").write_text('{"schema": 1, "ratios": []}')
    done = session("def test_it(): pass\n", "--pybench-compare", "base.json")
    assert done.returncode == 4
    assert "--pybench-compare base.json: no ratio is kept in it" in done.stderr
