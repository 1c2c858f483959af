"""A person's folder, home and interpreter: no reason to fail, nor to say what is not so."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pybench.backends import interpreters
from pybench.backends.start import python_command
from pybench.cli import main
from pybench.driver.interrupts import Interrupts
from pybench.driver.loadserver import LoadServer
from pybench.result.file import read_sections
from tests.conftest import environment
from tests.support.fakeserver import fake_server
from tests.support.processes import child_called, wait_for
from tests.support.rounds import Measure, cell

Run = Callable[..., "subprocess.CompletedProcess[str]"]
# Idle for most of a second: others may have the CPU for a while.
SHORT = ("--runtime", "1s", "--warmup", "0", "--think", "5ms")
PYBENCH = (sys.executable, "-m", "pybench")
SERVE = """\
import helper
from pybench.backends.rows.selector import serve
"""


@pytest.fixture
def run_script(tmp_path: Path) -> Run:
    """Runs the console script, whose path the current folder is not on."""

    def runner(*arguments: str, **extra: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(Path(sys.executable).parent / "pybench"), *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment(**extra),
            timeout=60,
            check=False,
        )

    return runner


def shadow(folder: Path) -> None:
    """Everything that could be imported by mistake."""
    for name in ("json", "socket", "selectors", "signal", "ctypes", "resource", "rich", "msgspec"):
        (folder / f"{name}.py").write_text(f"raise SystemExit('the wrong {name}')\n")
    for name in ("uvloop", "pybench", "asyncio"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(f"raise SystemExit('the wrong {name}')\n")


def statuses(path: Path) -> dict[str, str]:
    return {r.func: r.status for r in read_sections(path)[0].results}


def test_the_current_folder_shadows_nothing(run_script: Run, tmp_path: Path) -> None:
    pytest.importorskip("uvloop")
    shadow(tmp_path)
    listed = run_script("--list")
    assert listed.returncode == 0, listed.stderr
    words = ["--func", "selector,uvloop,c_epoll", "--conns", "2", *SHORT]
    done = run_script(*words, "--output", "r.jsonl")
    assert done.returncode == 0, done.stderr
    assert set(statuses(tmp_path / "r.jsonl").values()) == {"ok"}
    found = {r.func: r.python["library"] for r in read_sections(tmp_path / "r.jsonl")[0].results}
    import uvloop

    assert found["uvloop"] == f"uvloop {uvloop.__version__}"


def test_nor_for_a_module_that_is_run(run: Run, tmp_path: Path) -> None:
    """`python -m pybench` must find pybench itself, and then looks there no more."""
    shadow(tmp_path)
    (tmp_path / "pybench" / "__init__.py").unlink()
    done = run("--func", "selector", "--conns", "2", *SHORT, "--output", "r.jsonl")
    assert done.returncode == 0, done.stderr
    assert statuses(tmp_path / "r.jsonl") == {"selector": "ok"}


def test_nor_for_another_interpreter(
    run_script: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadow(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert interpreters.ask(sys.executable, ("c_epoll",))["unavailable"] == {}


def test_a_folder_of_a_librarys_name_is_no_library(run_script: Run, tmp_path: Path) -> None:
    for name in ("curio", "eventlet", "rloop"):
        (tmp_path / name).mkdir(exist_ok=True)
    from importlib.util import find_spec

    text = run_script("--list").stdout.splitlines()
    for name in ("curio", "eventlet", "rloop"):
        (at,) = (i for i, line in enumerate(text) if line.startswith(f"{name} "))
        assert ("unavailable" in text[at + 1]) == (find_spec(name) is None), text[at : at + 2]


@pytest.mark.parametrize("spec", ["mine:serve", "mine.py:serve", "json.py:serve", "test:serve"])
def test_a_backend_in_the_current_folder_is_found(
    spec: str, run_script: Run, tmp_path: Path
) -> None:
    """With what it imports from there, though that comes after everybody else's modules."""
    shadow(tmp_path)
    (tmp_path / "helper.py").write_text("import json; json.dumps\n")
    name = spec.partition(":")[0].removesuffix(".py")
    (tmp_path / f"{name}.py").write_text(SERVE)
    done = run_script("--func", spec, "--conns", "2", *SHORT)
    assert done.returncode == 0, done.stderr


def test_what_is_printed_at_start_is_no_answer(
    run_script: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noisy = tmp_path / "noisy"
    noisy.mkdir()
    text = "import sys; print('{\"pybench\": \"hello\"}'); print('hello', file=sys.stderr)\n"
    (noisy / "sitecustomize.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(noisy))
    assert interpreters.ask(sys.executable, ())["implementation"]
    words = ["--func", "selector", "--conns", "2", *SHORT, "--format", "json"]
    done = run_script(*words, "--python", sys.executable, PYTHONPATH=str(noisy))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.partition("\n")[2])["schema"] == 1


def test_the_command_of_another_python_names_no_folder_of_ours() -> None:
    ours, other = (python_command("python", "m", ours=own)[-1] for own in (True, False))
    assert "sys.path.insert" in ours and "insert" not in other


@pytest.mark.parametrize("secret", ["correct horse", " ", "a\tb", "gehe\u00edm", "x" * 257])
def test_what_is_no_token_is_said_without_it(secret: str, run_script: Run, tmp_path: Path) -> None:
    words = ["--func", "selector", "--conns", "2", *SHORT, "--output", "r.jsonl"]
    done = run_script(*words, "--server", "127.0.0.1:1", PYBENCH_TOKEN=secret)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("pybench: error: PYBENCH_TOKEN is no token: ")
    assert secret.strip() == "" or secret not in line
    assert not (tmp_path / "r.jsonl").exists()


def test_a_server_that_repeats_the_token_is_not_repeated(
    measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYBENCH_TOKEN", "sesame")
    with fake_server([b'error code=bad_request msg="token=sesame: unknown key"\n']) as fake:
        result = measure(cell("selector", 2), server=fake.address)
    assert result.status == "failed" and "sesame" not in result.error
    assert "unknown key" in result.error


def test_no_folder_takes_a_temporary_file(
    measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    assert measure(cell("selector", 2)).status == "ok"
    raised = measure(cell("badbackends:raises", 2))
    assert raised.status == "failed" and raised.error
    with LoadServer() as server:
        os.kill(server.pid, signal.SIGKILL)
        assert "SIGKILL" in str(server.exit_reason())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_is_ignored_at_start_stays_ignored(number: signal.Signals) -> None:
    """A script's `pybench ... &` ignores SIGINT: the Ctrl-C is meant for what runs before it."""
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with Interrupts() as interrupts:
            os.kill(os.getpid(), number)
            interrupts.check()
            assert signal.getsignal(number) is signal.SIG_IGN
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_script_runs_it_behind_itself(tmp_path: Path) -> None:
    script = '"$@" & echo $!; wait $!; echo $?'
    words = ["--func", "selector", "--conns", "2", "--runtime", "700ms", "--warmup", "0"]
    with subprocess.Popen(
        ["sh", "-c", script, "sh", *PYBENCH, *words, "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=tmp_path,
        env=environment(),
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        wait_for("the worker", lambda: child_called(pid, "pybench.worker"))
        os.kill(pid, signal.SIGINT)
        *lines, status = process.stdout.read().splitlines()
    assert status == "0"
    assert json.loads("".join(lines))["failures"] == []


def test_names_that_are_no_text(run_script: Run, tmp_path: Path) -> None:
    """Bytes that are no UTF-8, on a terminal that knows no more than ASCII."""
    odd = os.fsdecode(b"odd\xff")
    folder = tmp_path / odd
    folder.mkdir()
    (folder / f"{odd}.py").write_text("from pybench.backends.rows.selector import serve\n")
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    results = f"{odd}/r.jsonl"
    words = ["--func", f"{odd}/{odd}.py:serve,exec:{odd}/none-{odd} {{port}}", "--conns", "2"]
    measured = run_script(*words, *SHORT, "--output", results, **ascii_only)
    assert measured.returncode == 1 and "Traceback" not in measured.stderr
    assert sorted(statuses(tmp_path / results).values()) == ["ok", "unavailable"]
    pages = ("--html", f"{odd}/p.html", "--hgrm", f"{odd}/h", "--plots", f"{odd}/p")
    shown = run_script("report", results, *pages, **ascii_only)
    assert shown.returncode == 0, shown.stderr
    assert (folder / "p.html").exists() and list((folder / "h").iterdir())
    for line in (["report", f"{odd}/none"], ["compare", results, f"{odd}/none"], ["check", odd]):
        done = run_script(*line, **ascii_only)
        assert done.returncode in (1, 2)
        assert len(done.stderr.splitlines()) == 1, done.stderr
    assert run_script("--resume", results, **ascii_only).returncode == 1


def test_locked_memory_that_is_limited_is_the_reason(tmp_path: Path) -> None:
    """Not that the kernel has no io_uring, nor that the machine has no memory."""
    pytest.importorskip("pybench.c_uring")
    if os.geteuid() or shutil.which("setpriv") is None:
        pytest.skip("needs root, to give up CAP_IPC_LOCK")
    words = ["--func", "c_uring", "--conns", "2", *SHORT]
    without = ["setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock"]
    done = subprocess.run(
        ["bash", "-c", 'ulimit -l 16; exec "$@"', "bash", *without, *PYBENCH, *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "locked memory is limited to 16 KiB: raise it (ulimit -l" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ["check", "selector"],
        ["--func", "selector", "--conns", "2", *SHORT, "--output", "r.jsonl"],
        ["--func", "selector", "--conns", "2", "--engine", "epoll", "--skip-impossible"],
        ["--func", "selector", "--conns", "2", "--server", "127.0.0.1:7000"],
        ["calibrate"],
    ],
    ids=" ".join,
)
def test_a_network_that_is_down_is_no_fault_of_a_row(words: list[str], tmp_path: Path) -> None:
    if os.geteuid() or shutil.which("unshare") is None:
        pytest.skip("needs root, to make a network namespace")
    done = subprocess.run(
        ["unshare", "-n", *PYBENCH, *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(),
        timeout=60,
        check=False,
    )
    assert done.returncode in (1, 2) and done.stdout == ""
    assert "the loopback interface is down" in done.stderr.splitlines()[-1]
    assert "ip link set lo up" in done.stderr and "contract" not in done.stderr
    assert not (tmp_path / "r.jsonl").exists()


def test_a_folder_that_has_been_removed(tmp_path: Path) -> None:
    words = [
        ["--version"],
        ["--list"],
        ["check", "selector", "--conns", "2"],
    ]
    script = str(Path(sys.executable).parent / "pybench")
    for command in ([script], list(PYBENCH)):
        for arguments in words[: 3 if command == [script] else 2]:
            gone = tmp_path / "gone"
            gone.mkdir()
            done = subprocess.run(
                ["sh", "-c", 'rmdir "$PWD"; exec "$@"', "sh", *command, *arguments],
                capture_output=True,
                text=True,
                cwd=gone,
                env={**os.environ, "PYTHONPATH": ""},
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stderr


def test_a_name_in_a_folder_that_has_been_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (gone := tmp_path / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for words in (["report", "r.jsonl"], ["check", "mine.py:serve"]):
        assert main(words) == 1
        assert "the current folder has been removed" in capsys.readouterr().err
