"""Programs in any language as rows: `exec:`. Started, waited for, accounted for, ended."""

import dataclasses
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pybench.backends import find
from pybench.driver.loadserver import LoadServer
from pybench.errors import UsageError
from pybench.machine.placement import Placement
from tests.conftest import Running
from tests.support import EXAMPLES, processes, programs
from tests.support.rounds import IMPATIENT, Measure, cell

PROGRAMS = Path(programs.__file__)
IMPATIENT_TO_LISTEN = dataclasses.replace(IMPATIENT, listen=2)


def program(how: str) -> str:
    """With a word that tells it from one that another run of these tests has started."""
    return f"exec:{sys.executable} {PROGRAMS} {how} {{port}} {os.getpid()}"


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the built examples."""
    if shutil.which("make") is None or shutil.which("cc") is None:
        pytest.skip("no make, or no C compiler")
    folder = tmp_path_factory.mktemp("examples")
    for source in ("Makefile", "echo.c", "echo.go"):
        shutil.copy(EXAMPLES / source, folder)
    cache = {"GOCACHE": str(folder / "cache"), "GOFLAGS": "-mod=mod"}
    subprocess.run(["make", "-s"], cwd=folder, check=True, env={**os.environ, **cache})
    return folder / "build"


@pytest.mark.parametrize("name", ["echo-c", "echo-go"])
def test_examples(name: str, examples: Path, measure: Measure) -> None:
    if name == "echo-go" and shutil.which("go") is None:
        pytest.skip("no Go compiler")
    result = measure(cell(f"exec:{examples / name} --port {{port}}", 50))
    assert result.status == "ok", result.error
    assert (result.func, result.family) == (f"exec:{name}", "programs")
    assert result.per_conn and result.per_conn.lost == 0
    assert result.client and result.client.messages >= result.messages > 0
    assert result.client.max_rss_kb > 100 and result.client.wall_s >= result.window_s
    assert (memory := result.client.rss_kb) and memory.before and memory.idle and memory.busy
    if name == "echo-c":
        assert memory.busy < 5000  # KiB; an interpreter, its supervisor, has three times that


def test_programs_stand_beside_rows_in_one_table(
    examples: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    command = f"exec:{examples / 'echo-c'} --port {{port}}"
    done = run(
        "--func", "c_epoll,selector", "--func", f"mine={command}", "--func", program("serves"),
        "--conns", "10", "--runtime", "200ms", "--warmup", "0",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in ("c_epoll", "selector", "mine", f"exec:{Path(sys.executable).name}"):
        assert f" {name} " in done.stdout


@pytest.mark.parametrize(
    ("how", "status", "error"),
    [
        ("never_listens", "hung", "did not listen within 2 s"),
        ("never_accepts", "hung", "did not accept all connections within 1 s"),
        ("exits", "failed", "exit status 3 before the load did; it last printed: no licence found"),
        (
            "becomes_a_daemon", "failed",
            "exit status 0 and left processes behind before the load did: it must stay in the fore",
        ),
        ("dies_in_mid_run", "failed", "the program was killed by signal 11 (SIGSEGV)"),
        ("stops_itself", "hung", "did not accept all"),
    ],
)  # fmt: skip
def test_broken_programs(how: str, status: str, error: str, measure: Measure) -> None:
    what = cell(program(how), 3, runtime_ns=1_000_000_000)
    result = measure(what, timeouts=IMPATIENT_TO_LISTEN)
    assert (result.status, error in result.error) == (status, True), result.error
    assert not _running(how)


def test_an_exec_row_that_ends_at_once_has_one_good_line(
    run: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    done = run("--func", program("exits"), "--conns", "3", "--runtime", "200ms", "--warmup", "0")
    assert done.returncode == 1
    told = [line for line in done.stderr.splitlines() if "exit status 3" in line]
    assert len(told) == 1 and "no licence found" in told[0]
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.alone
def test_waiting_for_a_program_to_listen_takes_little_cpu_time(measure: Measure) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = measure(cell(program("never_listens"), 3), timeouts=IMPATIENT_TO_LISTEN)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert result.status == "hung"
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert used < 0.25 * 2 + 0.3  # with the start of two interpreters


def _running(how: str) -> bool:
    """Whether a program of that kind runs that was started for a test of this process."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        mine = [str(PROGRAMS).encode(), how.encode(), str(os.getpid()).encode()]
        if [*words[1:3], *words[4:5]] == mine:
            found.append(int(path.parent.name))
    return any(processes.alive(pid) for pid in found)


@pytest.mark.parametrize("how", ["ignores_sigterm", "serves_in_a_child"])
def test_none_is_left(how: str, measure: Measure) -> None:
    assert measure(cell(program(how))).status == "ok"
    assert not _running(how)


@pytest.mark.alone
def test_cpu_of_the_whole_tree_counts(measure: Measure) -> None:
    """That of a grandchild as well, which has ended, and whose parent has."""
    slow = {"think_us": (20_000, 20_000), "runtime_ns": 1_200_000_000}
    alone = measure(cell(program("serves"), 1, **slow))
    burning = measure(cell(program("burns_in_children"), 1, **slow))
    assert alone.client and burning.client
    assert alone.client.user_s + alone.client.sys_s < programs.BURN_S / 2
    assert burning.client.user_s + burning.client.sys_s > 0.8 * programs.BURN_S


def test_program_is_pinned_and_may_open_many_files(measure: Measure) -> None:
    cpu = max(os.sched_getaffinity(0))
    placement = Placement(worker_cpu=cpu, server_cpus=None, server_threads=None, shared_cpus=())
    show = "import os, resource; print(os.sched_getaffinity(0), resource.getrlimit(7))"
    result = measure(cell(f"exec:{sys.executable} -c '{show}' {{port}}"), placement=placement)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert f"it last printed: {{{cpu}}} ({hard}, {hard})" in result.error


def test_placeholder_in_a_word_and_a_listener_of_both_families(measure: Measure) -> None:
    command = f"exec:{sys.executable} {PROGRAMS} serves_both_families port:{{port}}"
    result = measure(cell(command))
    assert result.status == "ok", result.error
    with LoadServer(listen="::1") as server:
        result = measure(cell(command), server=server.address, bind="::1")
    assert result.status == "ok", result.error


def test_a_program_that_is_not_there(
    run: Callable[..., subprocess.CompletedProcess[str]], measure: Measure
) -> None:
    done = run("--func", "exec:./no-such --port {port}", "--conns", "1")
    assert done.returncode != 0 and "./no-such: no such program" in done.stderr
    with pytest.raises(UsageError, match=r"does not say where \{port\} goes"):
        find("exec:./echo --port 7777")


def test_driver_killed(start: Callable[..., Running]) -> None:
    """With SIGKILL, in full swing: the supervisor notices, and ends what it has started."""
    running = start(
        "--func", program("serves_in_a_child"), "--conns", "5", "--runtime", "60s", conns=5
    )
    pid = running.process.pid
    processes.wait_for("a program", lambda: _running("serves_in_a_child"))
    supervisor = processes.wait_for(
        "its supervisor", lambda: processes.child_called(pid, "pybench.worker.supervisor")
    )
    os.kill(pid, signal.SIGKILL)
    processes.wait_for("the end of the program", lambda: not _running("serves_in_a_child"))
    processes.wait_for("the end of its supervisor", lambda: processes.gone(supervisor))
