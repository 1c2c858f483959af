"""Standard streams that are closed, full, or read by nobody: nothing is lost, and no traceback."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pybench.result.file import read_sections
from tests.conftest import environment
from tests.support import faked

RESULTS = Path(__file__).parent.parent / "data" / "results_small.jsonl"
PYBENCH = (sys.executable, "-m", "pybench")
FAKED = (sys.executable, faked.__file__)
CELL = (
    "--func",
    "selector",
    "--conns",
    "2",
    "--runtime",
    "250ms",
    "--warmup",
    "0",
    "--think",
    "5ms",
)
COMPARE = ("compare", str(RESULTS), "--base-func", "asyncio_proto", "--new-func", "c_epoll")
COMMANDS = [
    ["--list"],
    ["report", "--help"],
    ["report", str(RESULTS)],
    ["report", str(RESULTS), "--format", "json"],
    [*COMPARE],
]
Shell = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Runs pybench as a shell does; redirections come behind its arguments."""

    def runner(
        arguments: list[str] | tuple[str, ...],
        redirections: str,
        program: tuple[str, ...] = PYBENCH,
        **extra: str,
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-c", f'"$@" {redirections}', "bash", *program, *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment(**extra),
            timeout=60,
            check=False,
        )

    return runner


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda words: " ".join(words)[-20:])
def test_closed_output(arguments: list[str], shell: Shell) -> None:
    done = shell(arguments, ">&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda words: " ".join(words)[-20:])
def test_full_output(arguments: list[str], shell: Shell) -> None:
    done = shell(arguments, ">/dev/full")
    assert done.returncode == 1
    assert done.stderr == "pybench: error: standard output: No space left on device\n"


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda words: " ".join(words)[-20:])
def test_output_that_nobody_reads(arguments: list[str], shell: Shell) -> None:
    done = shell(arguments, "| true; echo ${PIPESTATUS[0]}")
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_neither_stream_can_be_written_to(shell: Shell) -> None:
    for both in (">/dev/full 2>&-", ">/dev/full 2>/dev/full", ">/dev/full 2>&1"):
        assert shell(["--list"], both).returncode == 1
    assert shell(["report", "nothing.jsonl"], ">&- 2>&-").returncode == 1


def test_the_load_server_has_its_streams(shell: Shell) -> None:
    assert shell(["serve", "--version"], "<&- 2>&-").stdout


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_and_a_campaign(closed: str, shell: Shell, tmp_path: Path) -> None:
    """Neither a socket nor the results file takes the number of a stream that is printed to."""
    done = shell([*CELL, "--rounds", "2", "--output", "r.jsonl"], closed)
    assert done.returncode == 0, done.stderr
    assert [r.status for s in read_sections(tmp_path / "r.jsonl") for r in s.results] == ["ok"] * 2


def test_json_is_nothing_else_without_standard_error(shell: Shell, tmp_path: Path) -> None:
    done = shell([*CELL, "--format", "json"], "2>&- >o.json", FAKED)
    assert done.returncode == 0
    assert json.loads((tmp_path / "o.json").read_text())["schema"] == 1


@pytest.mark.parametrize("lost", ["2>&1 | head -1", "2>/dev/full", "2>&1 >/dev/null | true"])
def test_a_campaign_goes_on_when_nobody_listens(lost: str, shell: Shell, tmp_path: Path) -> None:
    words = [*CELL, "--rounds", "4", "--output", "r.jsonl"]
    done = shell(words, f"{lost}; exit ${{PIPESTATUS[0]}}", FAKED)
    assert done.returncode == 0, done.stderr
    assert len(read_sections(tmp_path / "r.jsonl")[0].results) == 4


def test_a_page_is_written_though_nobody_reads_the_tables(shell: Shell, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    pytest.importorskip("jinja2")
    words = ["report", str(RESULTS), "--html", "p.html", "--hgrm", "h"]
    done = shell(words, "| true")
    assert (tmp_path / "p.html").stat().st_size > 10_000
    assert list((tmp_path / "h").iterdir())
    assert "wrote p.html" in done.stderr
    (tmp_path / "p.html").unlink()
    assert shell(words, ">/dev/full").returncode == 1
    assert (tmp_path / "p.html").exists()


def test_forced_colours_do_not_go_into_a_file(shell: Shell, tmp_path: Path) -> None:
    forced = {"FORCE_COLOR": "1", "TTY_COMPATIBLE": "1", "COLUMNS": "80", "NO_COLOR": ""}
    words = [*CELL, "--rounds", "2", "--output", "r.jsonl"]
    for arguments in (words, ["report", str(RESULTS)], [*COMPARE]):
        plain = shell(arguments, ">log 2>&1", FAKED)
        assert plain.returncode == 0, (tmp_path / "log").read_text()
        done = shell(arguments, ">coloured 2>&1", FAKED, **forced)
        assert done.returncode == 0
        text = (tmp_path / "coloured").read_text()
        assert "\x1b" not in text and "\r" not in text
        if arguments is not words:
            assert text == (tmp_path / "log").read_text()


def test_a_terminal_has_its_colours() -> None:
    leader, follower = pty.openpty()
    env = environment(TERM="xterm-256color")
    del env["NO_COLOR"]
    process = subprocess.Popen([*PYBENCH, "report", str(RESULTS)], stdout=follower, env=env)
    os.close(follower)
    text = b""
    try:
        while data := os.read(leader, 65536):
            text += data
    except OSError:  # the other end is closed
        pass
    assert process.wait(60) == 0
    os.close(leader)
    assert b"\x1b[1" in text


def test_output_that_does_not_block(tmp_path: Path) -> None:
    """Whoever shares the pipe may have made it so; what does not fit waits."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    process = subprocess.Popen(
        [*PYBENCH, "report", str(RESULTS), "--table", "all", "--format", "json"],
        stdout=writer,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    os.close(writer)
    with os.fdopen(reader) as file:
        assert json.load(file)["schema"] == 1
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
