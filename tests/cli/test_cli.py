"""The command line as a user meets it: what it refuses, says, prints and returns."""

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pybench import backends, cli
from pybench.driver.loadserver import LoadServer, executable
from pybench.result.file import read_sections
from tests.conftest import SHORT, environment
from tests.support.netns import namespaces

Run = Callable[..., subprocess.CompletedProcess[str]]
CELL = ("--func", "selector", "--conns", "10")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "--func is missing"),
        ("--func selector", "--conns is missing"),
        ("--conns 10", "--func is missing"),
        ("--func selctor --conns 10", "selector"),
        ("--func selector, --conns 10", "--func"),
        ("--func selector --conns 0", "--conns: 0 is out of range"),
        ("--func selector --conns ten", "--conns: 'ten' is not a count"),
        ("--func selector --conns 10,,20", "--conns"),
        ("--func selector --conns -5", "--conns"),
        ("--func selector --conns 10 --msize 0", "--msize: 0 is out of range"),
        ("--func selector --conns 10 --msize 2000k", "--msize"),
        ("--func selector --conns 10 --runtime 0", "--runtime: 0 is out of range"),
        ("--func selector --conns 10 --runtime 1d", "--runtime: '1d' is not a duration"),
        ("--func selector --conns 10 --runtime 20us", "--runtime"),
        ("--func selector --conns 10 --warmup nan", "--warmup"),
        ("--func selector --conns 10 --rounds 0", "--rounds"),
        ("--func selector --conns 10 --think 5ms:1ms", "--think: the shortest"),
        ("--func selector --conns 10 --think 1ms:", "--think"),
        ("--func selector --conns 10 --seed x", "--seed"),
        ("--func selector --conns 10 --server ::1", "--server: '::1' is not an address"),
        ("--func selector --conns 10 --server h:99999", "--server"),
        ("--func selector --conns 10 --bind localhost", "--bind"),
        ("--func selector --conns 10 --bind 0.0.0.0", "--bind"),
        ("--func selector --conns 10 --server-threads 0", "--server-threads"),
        ("--func selector --conns 10 --cpu 999", "--cpu: CPU 999"),
        ("--func selector --conns 10 --server-cpus 999", "--server-cpus: CPU 999"),
        ("--func selector --conns 10 --server-cpus 1-x", "--server-cpus"),
        ("--func selector --conns 10 --no-pin --cpu 0", "--cpu and --no-pin"),
        ("--func selector --conns 10 --server h:1 --server-cpus 0", "--server-cpus"),
        ("--func selector --conns 10 --format xml", "--format"),
        ("--func selector --conns 10 --output /nowhere/r.jsonl", "/nowhere/r.jsonl: No such file"),
        ("--func selector --conns 10 --output .", "--output .: Is a directory"),
        ("--func selector --conns 10 --output /dev/full", "No space left"),
        ("--func selector --conns 10 --transport unix --bind 127.0.0.2", "--bind is of TCP"),
        ("--func selector --conns 10 --wat", "--wat"),
        ("--func selector --conns 10 extra", "extra"),
        ("--func", "--func"),
        ("--fun selector --conns 10", "--fun"),
        ("selector", "'selector' is not a command"),
        ("reprot x", "did you mean report?"),
        ("--campaign missing.toml", "campaigns that come with pybench: quick report-2016"),
        ("--resume missing.jsonl", "--resume missing.jsonl"),
        ("--resume x.jsonl --func selector", "without --func"),
        ("check selector --conns ten", "--conns: 'ten' is not a count"),
        ("check selector --timeout x", "--timeout: 'x' is not a duration"),
        ("check selector --timeout 0", "--timeout: 0 is out of range"),
    ],
)
def test_refusal_is_one_clear_line(
    line: str,
    says: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(line.split()) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("pybench: error: ")
    assert says in err
    assert list(tmp_path.iterdir()) == []


def test_refusal_as_a_process(run: Run) -> None:
    done = run("--func", "selctor", "--conns", "10")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "pybench: error: --func: no row is called 'selctor': did you mean selector or raw_selector?"
        " `pybench --list` shows them all\n"
    )


def test_unreachable_server_is_said_before_anything_starts(run: Run, tmp_path: Path) -> None:
    done = run(*CELL, "--server", "127.0.0.1:1", "--output", "r.jsonl")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "no load server at 127.0.0.1:1: Connection refused" in done.stderr
    assert not (tmp_path / "r.jsonl").exists()


def test_missing_load_server_program(run: Run) -> None:
    done = run(*CELL, PYBENCH_SERVER="/nowhere/server")
    assert done.returncode == 2
    assert "PYBENCH_SERVER: no load server program at /nowhere/server" in done.stderr
    assert done.stderr.count("\n") == 1


def test_load_server_that_does_not_start(run: Run) -> None:
    done = run(*CELL, PYBENCH_SERVER="/bin/false")
    assert done.returncode == 1
    assert "cannot start the load server: load server ended with exit status 1" in done.stderr


def test_run_prints_a_table_and_appends_results(run: Run, tmp_path: Path) -> None:
    for _ in range(2):
        done = run(*CELL, *SHORT, "--output", "r.jsonl")
        assert done.returncode == 0, done.stderr
        assert "selector" in done.stdout
        assert "[1/1] selector, 10 connections: " in done.stderr
    lines = (tmp_path / "r.jsonl").read_text().splitlines()
    assert ["func" in json.loads(line) for line in lines] == [False, True, False, True]
    first, second = read_sections(tmp_path / "r.jsonl")
    assert first.campaign.conns == (10,)
    assert first.campaign.command[0] == "pybench"
    assert second.results[0].ok


def test_json_on_stdout_is_nothing_but_json(run: Run) -> None:
    done = run("run", *CELL, *SHORT, "--format", "json")
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout)


def test_remote_server_and_its_default_bind(
    run: Run, load_server: LoadServer, tmp_path: Path
) -> None:
    done = run(*CELL, *SHORT, "--server", str(load_server.address), "--output", "r.jsonl")
    assert done.returncode == 0, done.stderr
    (result,) = read_sections(tmp_path / "r.jsonl")[0].results
    assert result.server and result.server.address == str(load_server.address)


def test_load_server_on_another_host(tmp_path: Path) -> None:
    """Nothing but --server is needed: the worker listens where the server sees this host."""
    with namespaces(2) as (here, there):
        with subprocess.Popen(
            [*there.prefix, str(executable()), "--listen", f"{there.address}:0", "--once"],
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            assert server.stdout
            address = server.stdout.readline().split()[-1]
            done = subprocess.run(
                [
                    *(*here.prefix, sys.executable, "-m", "pybench", *CELL, *SHORT),
                    *("--server", address, "--output", "r.jsonl"),
                ],
                capture_output=True,
                text=True,
                cwd=tmp_path,
                env=environment(),
                timeout=60,
                check=False,
            )
            server.terminate()
        assert done.returncode == 0, done.stderr
    (result,) = read_sections(tmp_path / "r.jsonl")[0].results
    assert result.ok and result.server and result.server.address == address
    assert result.env["placement"]["server_cpus"] is None


@pytest.mark.parametrize("options", [["--no-pin"], ["--server-threads", "2"], ["--bind", "::1"]])
def test_ways_to_run(options: list[str], run: Run, tmp_path: Path) -> None:
    done = run(*CELL, *SHORT, *options, "--output", "r.jsonl")
    assert done.returncode == 0, done.stderr
    (result,) = read_sections(tmp_path / "r.jsonl")[0].results
    assert result.client and result.server
    assert (result.client.cpu is None) == ("--no-pin" in options)
    if "--server-threads" in options:
        assert result.server.threads == 2
    if "--bind" in options:
        assert result.server.address.startswith("[::1]")


def test_single_cpu_works_and_is_stamped(run: Run, tmp_path: Path) -> None:
    cpu = min(os.sched_getaffinity(0))
    done = run(*CELL, *SHORT, "--output", "r.jsonl", before=lambda: os.sched_setaffinity(0, {cpu}))
    assert done.returncode == 0, done.stderr
    (result,) = read_sections(tmp_path / "r.jsonl")[0].results
    assert "shared_core" in {warning.code for warning in result.warnings}


def test_reader_that_leaves_is_no_failure() -> None:
    """As with `pybench ... | head -0`: the pipe is closed before the table is written."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "pybench", *CELL, *SHORT],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


def test_list_shows_every_row_and_why_one_is_missing(run: Run, tmp_path: Path) -> None:
    done = run("--list", PYTHONPATH=hide(tmp_path, "uvloop"))
    assert done.returncode == 0
    for name in backends.ROWS:
        assert f"\n{name} " in "\n" + done.stdout
    assert "unavailable: uvloop: not installed (pip install uvloop)" in done.stdout


def hide(folder: Path, *libraries: str) -> str:
    """A PYTHONPATH under which the libraries cannot be found."""
    hidden = folder / "hidden"
    hidden.mkdir()
    lines = [f"sys.modules[{library!r}] = None\n" for library in libraries]
    (hidden / "sitecustomize.py").write_text("".join(["import sys\n", *lines]))
    return os.pathsep.join([str(hidden), environment()["PYTHONPATH"]])


def test_unavailable_row_fails_when_asked_for_by_name(run: Run, tmp_path: Path) -> None:
    done = run(
        "--func", "uvloop,selector", "--conns", "5", *SHORT, "--output", "r.jsonl",
        PYTHONPATH=hide(tmp_path, "uvloop"),
    )  # fmt: skip
    assert done.returncode == 1
    (section,) = read_sections(tmp_path / "r.jsonl")
    found = {result.func: result for result in section.results}
    assert found["uvloop"].status == "unavailable"
    assert "(pip install uvloop)" in found["uvloop"].error
    assert found["selector"].ok


def test_unavailable_rows_of_all_are_only_listed(run: Run, tmp_path: Path) -> None:
    libraries = {
        row.name: row.requires
        for row in backends.ROWS.values()
        if row.requires and not row.requires.startswith("pybench.")
    }
    done = run(
        "--func", "all", "--conns", "2", "--runtime", "100ms", "--warmup", "0", "--think", "5ms",
        "--output", "r.jsonl", PYTHONPATH=hide(tmp_path, *libraries.values()),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (section,) = read_sections(tmp_path / "r.jsonl")
    assert {result.func for result in section.results} == set(backends.ROWS)
    statuses = {result.func: result.status for result in section.results}
    assert {statuses[name] for name in libraries} == {"unavailable"}
    assert statuses["selector"] == statuses["c_epoll"] == "ok"


def test_version_and_help(run: Run) -> None:
    assert run("--version").stdout.startswith("pybench ")
    text = run("--help").stdout
    for word in ("--func", "--resume", "report", "compare", "serve"):
        assert word in text


def test_serve_becomes_the_load_server(run: Run) -> None:
    assert "pybench-server" in run("serve", "--help").stdout
    assert run("serve", "--wat").returncode == 2


# ---- preflight: limits are lowered for a process of its own, or the kernel's files faked


def lower_files(hard: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def test_too_few_files_is_said_before_anything_starts(run: Run, tmp_path: Path) -> None:
    done = run(
        "--func", "selector,thread", "--conns", "10,400", "--output", "r.jsonl",
        before=lower_files(300),
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "selector x 400, thread x 400: 464 open files needed, 300 available" in done.stderr
    assert "ulimit -Hn" in done.stderr
    assert "x 10" not in done.stderr
    assert not (tmp_path / "r.jsonl").exists()


def test_what_is_impossible_can_be_left_out(run: Run, tmp_path: Path) -> None:
    done = run(
        "--func", "selector", "--conns", "10,400", "--skip-impossible", *SHORT,
        "--output", "r.jsonl", before=lower_files(300),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "warning: selector x 400 is left out: 464 open files needed" in done.stderr
    (result,) = read_sections(tmp_path / "r.jsonl")[0].results
    assert result.conns == 10


def test_more_connections_than_open_files(run: Run, tmp_path: Path) -> None:
    """Both sides have as many tables of descriptors as it takes: 600 of 192 each."""
    done = run(
        "--func", "c_th", "--conns", "100,600", *SHORT, "--output", "r.jsonl",
        before=lower_files(256),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = read_sections(tmp_path / "r.jsonl")[0].results
    threads = {r.conns: r.server.threads for r in results if r.server is not None}
    assert threads[600] == 4 and threads[100] < 4
    assert all(r.per_conn is not None and r.per_conn.lost == 0 for r in results)


def test_nothing_possible_is_an_error_even_then(run: Run) -> None:
    done = run("--func", "selector", "--conns", "400", "--skip-impossible", before=lower_files(300))
    assert done.returncode == 2
    assert "no cell can run here" in done.stderr


def test_soft_limit_is_no_obstacle(run: Run) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    done = run(
        "--func", "selector", "--conns", "300", *SHORT,
        before=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
