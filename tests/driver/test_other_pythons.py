"""Workers under other versions of Python: those that are found in PATH."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import pybench
from pybench.result.file import read_sections
from tests.conftest import SHORT

MINORS = range(10, 14)
"""Of Python 3: what pybench runs under."""


def found() -> dict[int, str]:
    """Minor version -> command, of every other Python that can be started."""
    commands = {minor: shutil.which(f"python3.{minor}") for minor in MINORS}
    return {
        minor: command
        for minor, command in commands.items()
        if command is not None and minor != sys.version_info.minor and _starts(command)
    }


def _starts(command: str) -> bool:
    """A version manager leaves commands for versions that are not chosen: they only complain."""
    return subprocess.run([command, "-c", "import venv"], capture_output=True).returncode == 0


def environment(command: str, folder: Path) -> str:
    """A virtual environment of that Python in which this pybench is found, and nothing else."""
    subprocess.run([command, "-m", "venv", "--without-pip", str(folder)], check=True)
    [site] = folder.glob("lib/python*/site-packages")
    (site / "pybench").symlink_to(Path(pybench.__file__).parent)
    return str(folder / "bin" / "python")


def test_a_row_runs_under_each(
    run: Callable[..., "subprocess.CompletedProcess[str]"], tmp_path: Path
) -> None:
    """The worker needs no library; what is new in a version is there, and only there."""
    if not (others := found()):
        pytest.skip(f"no other Python in PATH: none of {' '.join(f'python3.{m}' for m in MINORS)}")
    options = []
    for command in others.values():
        options += ["--python", environment(command, tmp_path / command.rpartition("/")[2])]
    done = run(
        "--func", "selector,asyncio_eager", "--conns", "5", *SHORT, *options, "--output", "r.jsonl"
    )
    results = {one.func: one for one in read_sections(tmp_path / "r.jsonl")[0].results}
    assert results.keys() == {
        f"{row}[py3.{minor}]" for row in ("selector", "asyncio_eager") for minor in others
    }, done.stderr
    for minor in others:
        assert results[f"selector[py3.{minor}]"].ok, done.stderr
        assert results[f"selector[py3.{minor}]"].python["version"].startswith(f"3.{minor}.")
        eager = results[f"asyncio_eager[py3.{minor}]"]
        assert eager.status == ("ok" if minor >= 12 else "unavailable"), eager.error
