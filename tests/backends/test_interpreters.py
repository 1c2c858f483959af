"""Several Pythons in one campaign: told apart, run, recorded, compared."""

import json
import platform
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import pybench
from pybench.backends import interpreters
from pybench.backends.interpreters import identify
from pybench.errors import UsageError
from pybench.result.campaign import CampaignRecord
from pybench.result.codec import decode, encode
from pybench.spec import Campaign
from tests.support import SUPPORT

Run = Callable[..., "subprocess.CompletedProcess[str]"]
SHORT = ("--runtime", "300ms", "--warmup", "0", "--think", "5ms")


def environment(folder: Path, *, libraries: bool) -> Path:
    """A virtual environment in which this pybench is found, and the libraries of this Python."""
    venv.create(folder, symlinks=True)
    [site] = folder.glob("lib/python*/site-packages")
    (site / "pybench").symlink_to(Path(pybench.__file__).parent)
    if libraries:
        (site / "here.pth").write_text(sysconfig.get_path("purelib"))
    return folder / "bin" / "python"


@pytest.fixture(scope="module")
def pythons(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two environments; the second has no libraries."""
    folder = tmp_path_factory.mktemp("pythons")
    full = environment(folder / "full", libraries=True)
    return str(full), str(environment(folder / "bare", libraries=False))


def script(folder: Path, name: str, text: str) -> str:
    """A program that is no Python but answers as it is told."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def answers(tmp_path: Path) -> Callable[..., str]:
    """Makes a program that answers as an interpreter of that version does."""

    def make(place: str, version: str, implementation: str = "CPython", **changes: Any) -> str:
        (tmp_path / place / "bin").mkdir(parents=True)
        answer = {
            "pybench": pybench.__version__,
            "version": version,
            "implementation": implementation,
            "free_threaded": False,
            "unavailable": {},
        }
        text = f"echo '{json.dumps(answer | changes)}'"
        return script(tmp_path / place / "bin", "python", text)

    return make


def test_names_are_as_short_as_tells_them_apart(answers: Callable[..., str]) -> None:
    def names(*paths: str) -> list[str]:
        return [one.name for one in identify(paths)]

    one, other = answers("a", "3.12.1"), answers("b", "3.13.0")
    assert names(one) == ["py3.12"]
    assert names(one, other, one) == ["py3.12", "py3.13"]
    assert names(one, answers("c", "3.12.2")) == ["py3.12.1", "py3.12.2"]
    twin = answers("twin", "3.12.1")
    assert names(one, twin) == ["py3.12.1-a", "py3.12.1-twin"]
    assert names(one, f"mine={twin}") == ["py3.12", "mine"]
    free = answers("free", "3.12.1", free_threaded=True)
    assert names(one, free, answers("pp", "3.11.1", "PyPy")) == ["py3.12", "py3.12t", "pypy3.11"]
    with pytest.raises(UsageError, match="both be called x: write one of them as NAME=PATH"):
        identify([f"x={one}", f"x={twin}"])


def test_a_link_is_not_followed(pythons: tuple[str, str]) -> None:
    """An environment's python is a link; what it points to has not the environment's libraries."""
    [found] = identify([pythons[0]])
    assert found.path == pythons[0] and Path(found.path).is_symlink()
    assert (found.version, found.implementation) == (
        platform.python_version(),
        platform.python_implementation(),
    )


def test_what_is_no_interpreter_is_named(
    run: Run, tmp_path: Path, answers: Callable[..., str]
) -> None:
    empty = tmp_path / "empty"
    venv.create(empty, symlinks=True)
    old = answers("old", "3.12.1", pybench="0.0.1")
    babbles = script(tmp_path, "babbles", "echo hello; echo what? >&2; exit 3")
    for path, message in (
        ("/no/such/python", "/no/such/python: no such interpreter"),
        (str(empty / "bin" / "python"), "has no pybench: "),
        (str(empty / "bin" / "python"), "/python -m pip install . in the source tree"),
        (old, f"has pybench 0.0.1, this is {pybench.__version__}: {old} -m pip install . in"),
        (babbles, "does not answer as a Python with pybench does; it says: what?"),
    ):
        done = run("--func", "selector", "--conns", "1", "--python", path)
        assert done.returncode == 2
        assert f"--python: {path}" in done.stderr and message in done.stderr
        assert done.stderr.count("\n") == 1


def test_campaign_of_two(run: Run, pythons: tuple[str, str], tmp_path: Path) -> None:
    """They stand apart, results say where they come from, one is held against the other."""
    program = f"exec:{sys.executable} {SUPPORT / 'programs.py'} serves {{port}}"
    done = run(
        "--func", "asyncio", "--func", program, "--conns", "5", "--rounds", "2", *SHORT,
        "--python", f"full={pythons[0]}", "--python", f"bare={pythons[1]}",
        "--env", "A=1", "--output", "two.jsonl",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "two.jsonl").read_text().splitlines()][1:]
    name = f"exec:{Path(sys.executable).name}"
    rows = {f"asyncio[{python}{env}]" for python in ("full", "bare") for env in ("", ",A=1")}
    assert {line["func"] for line in lines} == rows | {name, f"{name}[A=1]"}
    assert all(f" {row} " in done.stdout for row in rows)
    for line in lines:
        if line["func"].startswith("exec:"):
            assert line["python"] == {}
            continue
        python = line["python"]
        assert python["executable"] == pythons[python["name"] == "bare"]
        assert python["version"] == platform.python_version()
        assert line["row"] == "asyncio"
    compared = run("compare", "two.jsonl", "--by", "python", "--format", "json")
    assert compared.returncode == 0, compared.stderr
    assert {cell["name"] for cell in json.loads(compared.stdout)["cells"]} == {
        f"asyncio[full{env}] -> asyncio[bare{env}]" for env in ("", ",A=1")
    }
    wrong = run("compare", "two.jsonl", "--by", "python", "--base-python", "py9")
    assert wrong.returncode == 2
    assert "--base-python py9: no such interpreter; there are bare, full" in wrong.stderr
    resumed = run("--resume", "two.jsonl")
    assert resumed.returncode == 0 and "0 rounds to measure" in resumed.stderr


def test_files_of_one_interpreter_each_are_compared_by_row(
    run: Run, pythons: tuple[str, str]
) -> None:
    for name, path in zip(("full", "bare"), pythons, strict=True):
        common = ("--func", "selector,thread", "--conns", "5", "--rounds", "2", *SHORT)
        done = run(*common, "--python", f"{name}={path}", "--output", f"{name}.jsonl")
        assert done.returncode == 0, done.stderr
    done = run("compare", "full.jsonl", "bare.jsonl", "--format", "json")
    assert done.returncode == 0, done.stderr
    cells = json.loads(done.stdout)["cells"]
    assert [(cell["base_func"], cell["new_func"]) for cell in cells] == [
        ("selector[full]", "selector[bare]"),
        ("thread[full]", "thread[bare]"),
    ]


def test_a_row_of_two_libraries_says_the_version_of_both() -> None:
    found = interpreters.describe_self({"msgspec": "msgspec", "rich": "rich"})["library"]
    assert found == f"msgspec {version('msgspec')}, rich {version('rich')}"
    assert interpreters.describe_self({})["library"] == ""


def test_a_row_that_is_missing_there(run: Run, pythons: tuple[str, str], tmp_path: Path) -> None:
    pytest.importorskip("uvloop")
    done = run(
        "--func", "uvloop", "--conns", "5", *SHORT, "--output", "o.jsonl",
        "--python", f"full={pythons[0]}", "--python", f"bare={pythons[1]}",
    )  # fmt: skip
    assert done.returncode == 1
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()][1:]
    results = {line["func"]: line for line in lines}
    assert results["uvloop[full]"]["status"] == "ok"
    assert results["uvloop[full]"]["python"]["library"].startswith("uvloop ")
    assert results["uvloop[bare]"]["status"] == "unavailable"
    assert "(pip install uvloop)" in results["uvloop[bare]"]["error"]


def test_an_interpreter_that_has_gone_since(tmp_path: Path, answers: Callable[..., str]) -> None:
    path = answers("gone", "3.12.1")
    [found] = identify([path])
    script(Path(path).parent, "python", "echo not here any more >&2; exit 1")
    with pytest.raises(UsageError, match="it says: not here any more"):
        interpreters.unavailable(found, ["selector"])


def test_record_of_a_campaign_keeps_its_interpreters(answers: Callable[..., str]) -> None:
    options = {"func": "selector", "conns": 1, "python": [answers("a", "3.12.1")]}
    campaign = Campaign.from_options(options, str)
    record = decode(encode(campaign.to_record()).encode(), CampaignRecord)
    assert Campaign.from_record(record) == campaign
    assert [str(cell) for cell in campaign.cells] == ["selector[py3.12] x 1"]


def test_without_other_interpreters_the_own_one_is_recorded(run: Run, tmp_path: Path) -> None:
    assert run("--func", "selector", "--conns", "1", *SHORT, "--output", "o").returncode == 0
    line = json.loads((tmp_path / "o").read_text().splitlines()[1])
    assert line["func"] == "selector" and "name" not in line["python"]
    assert line["python"]["version"] == platform.python_version()
    assert line["python"]["gil"] is getattr(sys, "_is_gil_enabled", lambda: True)()
