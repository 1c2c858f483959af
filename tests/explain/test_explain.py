"""--explain: reading perf and strace, layers, pictures, and real counts of real rows.

What needs perf or strace is skipped, with the tool's own words, where neither is permitted.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from pybench import cli
from pybench.errors import PybenchError, ResultFormatError, UsageError
from pybench.explain import stacks, syscalls
from pybench.explain.explanation import Cpu, Explained, Explanation, read_explanation, save
from pybench.explain.flame import flame_graph
from pybench.explain.layers import Frame, layer_colours, layer_of
from pybench.explain.run import free_slug, slug
from pybench.explain.syscalls import Count, Syscalls, parse_perf_stat, parse_strace, per_ping
from pybench.explain.tools import StraceObserver, ToolError, try_out
from pybench.report.syscalls import formula, syscall_lines, write_explanation
from tests.conftest import Running, environment
from tests.support import DATA, processes

PERF_SCRIPT = DATA / "explain" / "perf_script.txt"
SVG = "{http://www.w3.org/2000/svg}"
Run = Callable[..., subprocess.CompletedProcess[str]]


def read_stacks() -> Counter[stacks.Stack]:
    return Counter(stacks.parse_perf_script(PERF_SCRIPT.read_text().splitlines()))


# --- counting --------------------------------------------------------------------------------


def test_perf_stat_is_read() -> None:
    count = parse_perf_stat((DATA / "explain" / "perf_stat.csv").read_text())
    assert count.total == 203126
    assert count.calls == {
        "close": 101,
        "epoll_ctl": 100,
        "epoll_wait": 2025,
        "recvfrom": 100500,
        "sendto": 100400,
    }


def test_perf_stat_without_its_total_is_an_error() -> None:
    text = (DATA / "explain" / "perf_stat.csv").read_text()
    with pytest.raises(ToolError, match="counted nothing"):
        parse_perf_stat("")
    with pytest.raises(ToolError, match="counted nothing"):
        parse_perf_stat(text.replace("203126,", "<not supported>,"))
    with pytest.raises(ToolError, match=r"more rights .*perf_event_paranoid"):
        parse_perf_stat(text.replace("sys_enter,", "sys_enter:u,"))  # of user space only


def test_strace_table_is_read() -> None:
    count = parse_strace((DATA / "explain" / "strace.txt").read_text())
    assert count.calls["recvfrom"] == 200900  # not its errors
    assert count.calls["sendto"] == 100400
    assert "total" not in count.calls
    assert count.total == 303529
    assert parse_strace("").total == 0
    with pytest.raises(ToolError):
        parse_strace("strace: some new kind of table\n")


def test_what_happens_once_per_connection_is_no_part_of_a_ping() -> None:
    once = {"close": 100, "epoll_ctl": 100, "mmap": 7}
    calls = {"recvfrom": 20100, "sendto": 20000, "futex": 50, **once}
    long = Count(calls, sum(calls.values()) + 5000)
    short = Count({"recvfrom": 300, "sendto": 200, **once}, 500 + 207)
    found = per_ping("x", (long, 20000), (short, 200))
    assert found.messages == 19800
    assert found.per_ping == {"recvfrom": 1.0, "sendto": 1.0, "futex": 50 / 19800}
    assert found.unnamed == pytest.approx(5000 / 19800)  # counted, but under no name


def test_a_long_round_that_was_not_longer_is_an_error() -> None:
    with pytest.raises(ToolError, match="5 messages in the long round"):
        per_ping("x", (Count({}, 0), 5), (Count({}, 0), 5))


@pytest.mark.parametrize(
    ("rates", "text"),
    [
        ({"sendto": 1.0, "recvfrom": 1.0002, "poll": 0.0104}, "recvfrom + sendto + 0.01 poll"),
        ({"sendto": 0.998, "recvfrom": 1.996, "brk": 0.0049}, "2 recvfrom + sendto"),
        ({"read": 1.8, "write": 1.0, "epoll_ctl": 1.56}, "1.80 read + 1.56 epoll_ctl + write"),
        ({"futex": 45.2, "read": 0.5}, "45 futex + 0.50 read"),
        ({"brk": 0.0001}, "none"),
        ({}, "none"),
    ],
)  # fmt: skip
def test_formula(rates: dict[str, float], text: str) -> None:
    assert formula(rates) == text


# --- whose time it is ------------------------------------------------------------------------


def test_every_sample_has_its_layer() -> None:
    found = [layer_of(stack) for stack in read_stacks().elements()]
    assert found == [
        "TCP/IP",
        "TCP/IP",  # the receiver's softirq, inside the sender's send
        "waiting, waking",  # below tcp_recvmsg, but asleep
        "memory",
        "other kernel",
        "interpreter",
        "libuv",
        "uvloop",
        "greenlet",
        "asyncio",
        "asyncio",  # interpreter, running a function of asyncio
        "pybench",
        "libc",
        "libc",
        "other",
    ]


def test_shares_sum_to_one() -> None:
    profile = stacks.Profile(read_stacks(), messages=10, cpu_s=1.0)
    layers = profile.layers()
    assert profile.samples == 15
    assert sum(layers.values()) == pytest.approx(1)
    assert stacks.tcp_share(layers) == pytest.approx(2 / 15)
    assert stacks.kernel_share(layers) == pytest.approx(5 / 15)


def test_stacks_begin_with_the_outermost_function() -> None:
    first, *_ = read_stacks()
    assert first[0] == Frame("_start", "/usr/bin/python3.11")
    assert first[-1].symbol == "ip_send_check"
    lost = next(stack for stack in read_stacks() if stack[-1].symbol == "uv__io_poll")
    assert len(lost) == 1  # unknown callers are left out


def test_unknown_libraries_have_names_and_colours_of_their_own() -> None:
    path = "/x/lib/python3.12/site-packages/{}/core.so"
    names = [layer_of((Frame("f", path.format(name)),)) for name in ("rloop", "twisted")]
    assert names == ["rloop", "twisted"]
    assert len(set(layer_colours([*names, "libc"]).values())) == 3


# --- pictures --------------------------------------------------------------------------------


def test_flame_graph_is_xml_with_every_function_in_its_place() -> None:
    root = ET.fromstring(flame_graph(read_stacks(), "a <row> & more", "15 samples"))
    assert root.tag == f"{SVG}svg"
    assert root.findtext(f"{SVG}title") == "a <row> & more"
    boxes: dict[str, list[tuple[float, float, float]]] = {}
    for group in root.iter(f"{SVG}g"):
        rect = group.find(f"{SVG}rect")
        title = group.findtext(f"{SVG}title")
        assert rect is not None
        assert title is not None
        x, y, width = (float(rect.attrib[key]) for key in ("x", "y", "width"))
        boxes.setdefault(title.split(" ")[0], []).append((x, y, width))
    assert {"_start", "sock_send", "tcp_sendmsg_locked", "mas_wr_node_store", "main"} <= set(boxes)
    [start] = boxes["_start"]
    [sock_send] = boxes["sock_send"]
    [check] = boxes["ip_send_check"]
    assert start[2] == pytest.approx(4 / 15 * 1176, abs=0.1)
    assert sock_send[2] == pytest.approx(2 / 15 * 1176, abs=0.1)
    assert check[1] < sock_send[1] < start[1]  # callers below what they call
    assert start[0] <= sock_send[0] <= check[0]
    assert check[0] + check[2] <= start[0] + start[2] + 0.1
    titles = [group.findtext(f"{SVG}title") or "" for group in root.iter(f"{SVG}g")]
    assert any("tcp_sendmsg_locked ([kernel]), TCP/IP: 13.33%, 2 samples" in t for t in titles)
    labels = {text.text for text in root.iter(f"{SVG}text")}
    assert {"_start", "selector_\u2026"} <= labels  # a Python function by its file, cut to fit


def test_bars_are_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `report` is not installed")
    from pybench.explain.bars import Bar, write_bars

    layers = stacks.Profile(read_stacks(), 10, 1.0).layers()
    odd = r"selector[A=$\frac{$] x 100"  # no formula, and bytes that are no text
    paths = write_bars([Bar(odd, layers, 7.4), Bar("c_th x 9", layers, 3.1)], tmp_path)
    assert [path.name for path in paths] == ["cpu.svg", "cpu.png"]
    assert ET.parse(paths[0]).getroot().tag == f"{SVG}svg"
    assert paths[1].read_bytes().startswith(b"\x89PNG")


def test_file_names_are_plain() -> None:
    assert slug("asyncio_proto[A=1,B=/x] x 100") == "asyncio_proto-A-1-B-x-x-100"
    long = [slug(f"asyncio_proto[A={'/long' * 60}{i}] x 100") for i in range(2)]
    assert long[0] != long[1]
    assert max(map(len, long)) <= 80
    taken: set[str] = set()
    alike = [free_slug(f"selector[A={value}] x 5", taken) for value in ("x", "/x", "-x")]
    assert len(set(alike)) == 3 == len(taken) and alike[0] == "selector-A-x-x-5"


# --- the file, and the report beside it ------------------------------------------------------


def explanation() -> Explanation:
    calls = Syscalls(
        tool="perf stat",
        messages=1000,
        per_ping={"recvfrom": 1.0, "sendto": 1.0, "epoll_wait": 0.03},
    )
    cpu = Cpu(
        samples=500,
        messages=1000,
        cpu_us_per_ping=7.5,
        kernel=0.75,
        tcp=0.65,
        layers={"TCP/IP": 0.65, "memory": 0.1, "interpreter": 0.25},
        flame="x.svg",
    )

    def cell(func: str, **found: Any) -> Explained:
        return Explained(cell=f"{func} x 100", func=func, conns=100, msize=64, **found)

    return Explanation(
        cells=(
            cell("c_epoll", syscalls=calls, cpu=cpu),
            cell("gevent", syscalls=None, cpu=None, errors=("system calls: no",)),
        ),
        command=("pybench",),
        env={"kernel": "6"},
    )


def test_the_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = save(explanation(), tmp_path)
    assert read_explanation(path) == explanation()
    assert read_explanation(tmp_path) == explanation()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": 2, "cells": []}', '{"schema": 1, "cells": [{"cell": 1}]}']
)
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "some.json"
    path.write_text(text)
    with pytest.raises(ResultFormatError, match=r"some\.json"):
        read_explanation(path)
    with pytest.raises(ResultFormatError, match="No such file"):
        read_explanation(tmp_path / "absent")


def test_report_sets_2016_beside_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(explanation(), tmp_path)
    assert cli.main(["report", "--syscalls", str(path), "--format", "csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    then = "recvfrom + write + 0.01 epoll_wait"
    assert f"c_epoll,100,{then},recvfrom + sendto + 0.03 epoll_wait" in lines
    assert "gevent,100,2 recvfrom + sendto + 0.01 epoll_wait,---" in lines
    assert "thread,---,recvfrom + sendto + 0.01 futex,---" in lines
    assert ",,15 futex + recvfrom + sendto (not pinned)," in lines
    assert cli.main(["report", "--syscalls", str(tmp_path)]) == 0
    assert then in capsys.readouterr().out
    assert cli.main(["report", "--syscalls", str(path), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["cells"][0]["per_ping"]["epoll_wait"] == 0.03


def test_every_row_of_the_report_is_listed() -> None:
    rows = {line[0] for line in syscall_lines(explanation())} - {""}
    assert {"asyncio", "asyncio_sock", "uvloop_sock", "thread", "c_th", "c_poll", "gevent"} <= rows
    assert not any(row.startswith("cpp_") for row in rows)


def test_report_needs_something_to_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report"]) == 2
    assert "--syscalls" in capsys.readouterr().err
    assert cli.main(["report", "--syscalls", "a.json", "b.jsonl"]) == 2


def test_table_of_layers(capsys: pytest.CaptureFixture[str]) -> None:
    write_explanation(explanation(), "markdown", sys.stdout)
    out = capsys.readouterr().out
    assert "| gevent x 100 | --- |" in out
    assert "| c_epoll x 100 | 7.5 | 75 | 65 | 10 | 25 |" in out
    with pytest.raises(UsageError):
        write_explanation(explanation(), "csv", sys.stdout)


# --- tools that are not there, or not allowed ------------------------------------------------


class Program:
    """Puts shell scripts into a folder that a test makes all of PATH."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "bin"
        self.folder.mkdir()

    def __call__(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """No program can be found but those that the test puts there."""
    program = Program(tmp_path)
    monkeypatch.setenv("PATH", str(program.folder))
    return program


def test_without_any_tool_the_message_says_what_to_install(program: Program) -> None:
    with pytest.raises(ToolError) as caught:
        syscalls.find_counter(lambda _: None)
    assert "perf is not installed: linux-perf on Debian" in str(caught.value)
    assert "strace is not installed: the package strace" in str(caught.value)
    with pytest.raises(ToolError, match="perf is not installed"):
        stacks.find_sampler()


def test_a_forbidden_perf_says_what_to_set(program: Program) -> None:
    program(
        "perf", "echo 'Error:\nNo permission to enable raw_syscalls:sys_enter event.' >&2; exit 255"
    )
    with pytest.raises(ToolError) as caught:
        stacks.find_sampler()
    assert str(caught.value).startswith("perf: No permission to enable")
    assert "kernel.perf_event_paranoid=-1" in str(caught.value)


def test_a_forbidden_strace_says_what_to_set(program: Program) -> None:
    program(
        "strace",
        "echo 'strace: attach: ptrace(PTRACE_SEIZE, 7): Operation not permitted' >&2; exit 1",
    )
    with pytest.raises(ToolError, match=r"not permitted .*kernel\.yama\.ptrace_scope=0"):
        try_out(StraceObserver())


def test_a_tool_that_says_nothing_is_not_waited_for(program: Program) -> None:
    program("perf", "exit 0")
    with pytest.raises(ToolError, match="perf: ended at once"):
        stacks.find_sampler()


def test_a_run_without_tools_measures_and_says_so(run: Run, program: Program) -> None:
    options = ("--func", "selector", "--conns", "2", "--runtime", "250ms", "--warmup", "0")
    done = run(*options, "--explain", "out")
    assert done.returncode == 2
    assert "selector" in done.stdout  # the measurement
    error = done.stderr.splitlines()[-1]
    assert "perf is not installed" in error
    assert "strace is not installed" in error
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_made_is_a_usage_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    options = ("--func", "selector", "--conns", "2", "--runtime", "50ms", "--warmup", "0")
    done = run(*options, "--explain", "file")
    assert done.returncode == 2
    assert "--explain file: File exists" in done.stderr


# --- the real thing --------------------------------------------------------------------------


@cache
def why_not(tool: str) -> str:
    """Why the tool cannot be used here, empty when it can."""
    try:
        if tool == "strace":
            try_out(StraceObserver())
        elif tool == "count":
            syscalls.find_counter(lambda _: None)
        else:
            stacks.find_sampler()
    except PybenchError as exc:
        return str(exc)
    return ""


def needs(tool: str) -> None:
    if reason := why_not(tool):
        pytest.skip(reason)


PYBENCH = (sys.executable, "-m", "pybench")
ROUND = ("--conns", "20", "--runtime", "400ms", "--warmup", "0")


def rates(explained: Explained) -> dict[str, float]:
    assert explained.syscalls is not None
    return dict(explained.syscalls.per_ping)


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """One real explanation of two rows: its folder, and what was printed."""
    needs("count")
    folder = tmp_path_factory.mktemp("explained")
    done = subprocess.run(
        [*PYBENCH, "--func", "c_epoll,selector", *ROUND, "--explain", "out"],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == (1 if why_not("sample") else 0), done.stderr
    return folder / "out", done.stdout


def test_one_receive_and_one_send_per_ping(explained: tuple[Path, str]) -> None:
    folder, printed = explained
    found = {cell.func: rates(cell) for cell in read_explanation(folder).cells}
    assert list(found) == ["c_epoll", "selector"]
    for calls in found.values():
        assert calls["recvfrom"] == pytest.approx(1, rel=0.05)
        assert calls["sendto"] == pytest.approx(1, rel=0.05)
        assert calls.get("close", 0) < 0.001
        assert 0 < calls["epoll_wait"] <= 1.02
    assert "recvfrom + sendto + " in printed


def test_cpu_time_is_sampled_and_drawn(explained: tuple[Path, str]) -> None:
    needs("sample")
    folder, printed = explained
    assert "The worker's CPU time, percent by layer" in printed
    cells = {cell.func: cell.cpu for cell in read_explanation(folder).cells}
    c_epoll, selector = cells["c_epoll"], cells["selector"]
    assert c_epoll is not None
    assert selector is not None
    for cpu in (c_epoll, selector):
        assert cpu.samples > 20
        assert sum(cpu.layers.values()) == pytest.approx(1)
        assert 0.2 < cpu.tcp < cpu.kernel <= 1
    python = [sum(cpu.layers.get(k, 0) for k in ("interpreter", "pybench", "standard library"))
              for cpu in (c_epoll, selector)]  # fmt: skip
    assert python[0] < 0.04 < python[1]
    graph = (folder / selector.flame).read_text()
    assert "tcp_sendmsg" in graph
    assert "_PyEval" in graph
    ET.fromstring(graph)


def test_only_the_worker_counts_where_its_cpu_is_observed() -> None:
    """Two processes share a CPU that perf listens to: each one's samples can be had alone."""
    needs("sample")
    if not stacks._privileged() and stacks._paranoid() > 0:
        pytest.skip("a CPU may not be observed")
    cpu = min(os.sched_getaffinity(0))
    burn = (
        f"import os, time; os.sched_setaffinity(0, {{{cpu}}}); print(flush=True); input()\n"
        "end = time.process_time() + 0.2\n"
        "while time.process_time() < end: pass"
    )
    observer = stacks._recorder(cpu)
    with ExitStack() as stack:
        stack.callback(observer.discard)
        stack.callback(observer.close)
        pair = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            )
            for _ in range(2)
        ]
        for process in pair:
            assert process.stdout is not None and process.stdout.readline()
        observer.attach(pair[0].pid)
        observer.begin()
        for process in pair:
            process.communicate(b"\n")
        observer.end()
        alone = [stacks.read_stacks(observer.output, process.pid).total() for process in pair]
        everybody = stacks.read_stacks(observer.output).total()
    assert min(alone) > 20
    assert sum(alone) <= everybody


def test_strace_counts_the_same(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("strace")  # before it is hidden
    strace = shutil.which("strace")
    program = Program(tmp_path)
    monkeypatch.setenv("PATH", str(program.folder))
    program("perf", "echo 'perf: not permitted' >&2; exit 1")
    program("strace", f'exec {strace} "$@"')
    done = run("--func", "c_epoll,c_th", *ROUND, "--explain", "out")
    assert "system calls are counted by strace, which is slow: perf: not permitted" in done.stderr
    assert "no CPU time sampled: perf: not permitted" in done.stderr
    assert done.returncode == 1  # half of the explanation is missing
    cells = read_explanation(tmp_path / "out").cells
    assert [cell.func for cell in cells] == ["c_epoll", "c_th"]
    for cell in cells:
        assert rates(cell)["recvfrom"] == pytest.approx(1, rel=0.05)
        assert rates(cell)["sendto"] == pytest.approx(1, rel=0.05)
        assert cell.cpu is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to drop")
@pytest.mark.skipif(not shutil.which("setpriv"), reason="needs setpriv")
@pytest.mark.skipif(
    not stacks.PARANOID.exists() or int(stacks.PARANOID.read_text()) < 2,
    reason="kernel.perf_event_paranoid lets everybody see the kernel",
)
def test_rights_that_perf_only_silently_lacks_are_noticed(tmp_path: Path) -> None:
    needs("strace")
    drop = ("setpriv", "--bounding-set=-sys_admin,-perfmon", "--inh-caps=-all")
    done = subprocess.run(
        [*drop, *PYBENCH, "--func", "selector", *ROUND, "--explain", "out"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "counted by strace, which is slow: perf stat counted nothing" in done.stderr
    assert "perf sees no kernel time: kernel.perf_event_paranoid is" in done.stderr
    [cell] = read_explanation(tmp_path / "out").cells
    assert rates(cell)["sendto"] == pytest.approx(1, rel=0.05)


def test_ctrl_c_keeps_what_was_found_and_leaves_nothing(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    needs("count")
    needs("sample")
    options = ("--func", "thread,selector", *ROUND, "--explain", "out")
    running = start(*options, conns=20)
    processes.wait_for("the first cell's graph", (tmp_path / "out" / "thread-x-20.svg").exists)
    started = processes.wait_for("what it started", lambda: processes.children(running.process.pid))
    running.process.send_signal(signal.SIGINT)
    status, _, error = running.finish()
    assert status == 130, error
    [cell] = read_explanation(tmp_path / "out").cells
    assert cell.func == "thread"
    assert rates(cell)["recvfrom"] == pytest.approx(1, rel=0.05)  # of threads started later
    for pid in started:
        processes.wait_for(f"end of {started[pid]}", partial(processes.gone, pid), 5.0)
