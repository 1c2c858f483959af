"""Rates instead of echoes: cells, the sweep to the knee, what is recorded and how it is shown."""

import csv
import io
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from msgspec import structs

from pybench import cli
from pybench.analysis import stamps
from pybench.analysis.compare import compare_groups
from pybench.analysis.model import Group, group_rounds, kept_rate
from pybench.analysis.verdict import METRICS as COMPARED
from pybench.driver import plan
from pybench.report.metrics import METRICS
from pybench.report.sentences import summary_sentences
from pybench.report.summary import run_summary
from pybench.report.tables import build_tables
from pybench.result import Latency, Result, Stamp
from pybench.result.file import ResultWriter, read_sections
from pybench.spec import Campaign, sweep
from tests.conftest import Running
from tests.support import synthetic

Run = Callable[..., subprocess.CompletedProcess[str]]
ROUND = ("--func", "selector", "--conns", "10", "--output", "r.jsonl")


# The sweep.


def swept(capacity: float, *, conns: int = 10, hiccups: frozenset[int] = frozenset()) -> list[int]:
    """The rates of a sweep against something that does so much, and errs at some rates."""
    known: dict[int, bool] = {}
    while (rate := sweep.next_rate(known, conns)) is not None:
        assert rate not in known, "no rate is tried twice"
        assert len(known) < 40, "a sweep ends"
        known[rate] = rate > capacity or rate in hiccups
    return list(known)


@pytest.mark.parametrize("capacity", [15, 700, 1000, 23_456, 99_000, 1_500_000])
def test_a_sweep_ends_at_the_knee(capacity: int) -> None:
    tried = swept(capacity)
    best = max(rate for rate in tried if rate <= capacity)
    assert capacity / best < sweep.CLOSE * 1.1
    assert sum(rate > capacity for rate in tried) >= 2, "two are too much before it is believed"
    assert len(tried) < 20


def test_a_sweep_is_not_stopped_by_one_hiccup() -> None:
    tried = swept(23_456, hiccups=frozenset({4000}))
    assert max(rate for rate in tried if rate <= 23_456) > 20_000


def test_a_sweep_that_nothing_keeps_ends() -> None:
    assert min(swept(0)) >= sweep.LOWEST


def test_a_sweep_that_everything_keeps_ends() -> None:
    assert max(swept(1e18)) < 3 * sweep.HIGHEST


def test_a_sweep_starts_with_a_ping_for_each_connection() -> None:
    assert sweep.next_rate({}, 10) == sweep.START
    assert sweep.next_rate({}, 12_345) == 12_000


def test_the_steps_left_shrink_to_none() -> None:
    known: dict[int, bool] = {}
    left = [sweep.steps_left(known)]
    while (rate := sweep.next_rate(known, 10)) is not None:
        known[rate] = rate > 23_456
        left.append(sweep.steps_left(known))
    assert left[0] > 5 and left[-1] == 0
    assert all(after <= before for before, after in pairwise(left[7:]))


def open_round(rate: int, number: int = 1, *, func: str = "selector", kept: bool = True) -> Result:
    """A round of an open loop over 100 connections."""
    reached = rate if kept else 0.6 * rate
    result = synthetic.make_result(func, 100, number, mps=reached, samples=300)
    assert result.latency_ns is not None
    late = Stamp(code="overloaded", text=f"{rate} was too much", remedy="less")
    slow = structs.replace(result.latency_ns, p99=result.latency_ns.p99 + 5_000_000)
    return structs.replace(
        result,
        rate=rate,
        corrected_ns=slow,
        corrected_histogram=result.histogram,
        late=0 if kept else rate,
        unsent=0 if kept else rate // 2,
        server_queue=0.04,
        server_queue_source="estimate",
        warnings=() if kept else (late,),
    )


def test_later_rounds_repeat_the_rates_of_the_first() -> None:
    made = Campaign.from_options(
        {"func": "selector", "conns": "100", "rate": "auto", "rounds": "2"}, str
    )
    first, second = plan.tasks_in_order(made, made.cells)
    known = plan.Completed()
    rates = []
    while (cell := known.next_cell(first)) is not None:
        rates.append(cell.rate)
        known.add(open_round(cell.rate, kept=cell.rate <= 5000))
    repeated = []
    while (cell := known.next_cell(second)) is not None:
        repeated.append(cell.rate)
        known.add(open_round(cell.rate, 2, kept=False))
    assert len(rates) > 5 and sorted(repeated) == sorted(rates)


def test_a_sweep_goes_on_where_it_was_interrupted() -> None:
    made = Campaign.from_options({"func": "selector", "conns": "100", "rate": "auto"}, str)
    prepared = plan.make_plan(made, [open_round(1000), open_round(2000)])
    (task,) = prepared.tasks
    cell = plan.Completed(prepared.done).next_cell(task)
    assert cell is not None and cell.rate == 4000
    failed = structs.replace(open_round(4000), status="failed")
    again = plan.Completed([*prepared.done, failed]).next_cell(task)
    assert again == cell, "a round that failed is run again"


def test_each_rate_is_a_cell_that_is_resumed_by_itself() -> None:
    options = {"func": "selector", "conns": "100", "rate": "1k,2k"}
    made = Campaign.from_options(options, str)
    assert [str(cell) for cell in made.cells] == [
        "selector x 100 at 1000/s",
        "selector x 100 at 2000/s",
    ]
    (task,) = plan.make_plan(made, [open_round(1000)]).tasks
    assert task.cell.rate == 2000


# End to end.


@pytest.mark.alone
def test_a_rate_is_kept_and_measured_from_both_ends(run: Run, tmp_path: Path) -> None:
    done = run(*ROUND, "--runtime", "500ms", "--warmup", "100ms", "--rate", "500,1k")
    assert done.returncode == 0, done.stderr
    results = read_sections(tmp_path / "r.jsonl")[0].results
    assert sorted(result.rate for result in results) == [500, 1000]
    for result in results:
        assert result.mps == pytest.approx(result.rate, rel=0.1)
        assert sum(result.corrected_histogram.values()) == result.messages
        assert result.corrected_ns is not None and result.latency_ns is not None
        assert result.corrected_ns.mean >= result.latency_ns.mean
        assert "littles_law" not in {w.code for w in result.warnings}
        assert "client_idle" not in {w.code for w in result.warnings}
        assert Result.from_dict(json.loads(result.to_json())) == result
    assert "open loop over 10 connections" in done.stdout and "Due p99" in done.stdout


def test_more_than_can_be_done_is_overloaded(run: Run, tmp_path: Path) -> None:
    done = run(*ROUND, "--runtime", "300ms", "--warmup", "0s", "--rate", "2000k")
    assert done.returncode == 0, done.stderr
    (result,) = read_sections(tmp_path / "r.jsonl")[0].results
    assert "overloaded" in {w.code for w in result.warnings}
    assert result.unsent > 0 and result.late > 0
    assert result.corrected_ns is not None and result.latency_ns is not None
    assert result.corrected_ns.p50 > 5 * result.latency_ns.p50, "the schedule ran away"


def test_a_sweep_end_to_end(run: Run, tmp_path: Path) -> None:
    done = run(
        *("--func", "asyncio_proto", "--conns", "10", "--output", "r.jsonl"),
        *("--runtime", "200ms", "--warmup", "0s", "--rate", "auto"),
    )
    assert done.returncode == 0, done.stderr
    results = read_sections(tmp_path / "r.jsonl")[0].results
    known = {r.rate: stamps.overloaded(r) is not None for r in results}
    assert len(known) == len(results) > 3
    assert sweep.next_rate(known, 10) is None, "it went on to the end"
    assert f"[{len(results)}/" in done.stderr
    again = run("--resume", "r.jsonl")
    assert again.returncode == 0 and "0 rounds to measure" in again.stderr


@pytest.mark.alone
def test_a_pause_shows_from_the_due_time_and_not_from_the_send(
    start: Callable[..., Running], tmp_path: Path
) -> None:
    running = start(*ROUND, "--rate", "1k", "--runtime", "2s", "--warmup", "0s", conns=10)
    running.await_pings()
    os.kill(running.worker, signal.SIGSTOP)
    time.sleep(0.5)  # the pause is what is measured
    os.kill(running.worker, signal.SIGCONT)
    status, _, err = running.finish()
    assert status == 0, err
    (result,) = read_sections(tmp_path / "r.jsonl")[0].results
    assert result.corrected_ns is not None and result.latency_ns is not None
    assert result.corrected_ns.p90 > 100_000_000, "one in four was due in the pause"
    assert result.latency_ns.p90 < 100_000_000, "only the ten in flight were sent before it"
    assert result.latency_ns.max > 300_000_000


# The reports.


@pytest.fixture
def results() -> list[Result]:
    """Two rows of an open loop, and one of them in a closed loop too."""
    found = [synthetic.make_result("selector", 100, samples=300)]
    for number in (1, 2):
        found += [open_round(1000, number), open_round(2000, number)]
        found.append(open_round(4000, number, kept=False))
        found += [
            open_round(1000, number, func="c_epoll"),
            open_round(8000, number, func="c_epoll"),
        ]
    return found


def open_group(results: list[Result]) -> Group:
    closed, opened = group_rounds(synthetic.as_rounds(results))
    assert not closed.open_loop and opened.open_loop
    return opened


def test_open_and_closed_loops_stand_apart(results: list[Result]) -> None:
    group = open_group(results)
    assert group.counts == [1000, 2000, 4000, 8000]
    assert "open loop over 100 connections" in group.title
    assert group.has("selector", 2000, "due99_ns") and group.has("selector", 2000, "lat99_ns")


def test_the_knee_is_named_and_cpu_compared_at_equal_rate(results: list[Result]) -> None:
    group = open_group(results)
    assert kept_rate(group, "selector") == 2000
    assert kept_rate(group, "c_epoll") == 8000
    text = " ".join(summary_sentences(group))
    assert "selector keeps up to 2.0k messages/s" in text and "4.0k is too much" in text
    assert "of CPU at 1k messages/s each" in text


def test_machine_formats_tell_rate_from_connections(
    results: list[Result], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.jsonl"
    writer = ResultWriter(path, {})
    for result in results:
        writer.write(result)
    writer.close()
    assert cli.main(["report", str(path), "--format", "csv", "--table", "all"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    opened = [line for line in lines if line["table"] == "due99_ns"]
    assert {(line["conns"], line["rate"]) for line in opened if line["test"] == "c_epoll"} == {
        ("100", "1000"),
        ("100", "8000"),
    }
    assert not any(line["table"] == "rel" and line["rate"] != "0" for line in lines)
    assert cli.main(["report", str(path), "--format", "json"]) == 0
    closed, group = json.loads(capsys.readouterr().out)["groups"]
    assert (closed["columns"], group["columns"]) == ("conns", "rate")
    assert group["setting"]["conns"] == 100
    assert set(group["tables"]["cpu_us_per_msg"]["selector"]) == {"1000", "2000", "4000"}


def test_a_picture_of_latency_by_rate_and_a_page(results: list[Result], tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    writer = ResultWriter(path, {})
    for result in results:
        writer.write(result)
    writer.close()
    plots, page = tmp_path / "plots", tmp_path / "page.html"
    argv = ["report", str(path), "--plots", str(plots), "--html", str(page), "--reference", "2016"]
    assert cli.main([*argv, "--relative-to", "selector"]) == 0
    names = {picture.name for picture in plots.glob("*.svg")}
    assert "latency_by_rate-2-local.svg" in names
    assert not any(name.startswith("latency_by_rate-1") for name in names), "not of a closed loop"
    text = page.read_text(encoding="utf-8")
    assert "from the due time" in text and "messages/s asked for" in text


def test_the_summary_has_a_line_per_rate(results: list[Result]) -> None:
    file = io.StringIO()
    run_summary(results, "markdown", file)
    lines = file.getvalue().splitlines()
    (stamped,) = (line for line in lines if line.startswith("| selector") and "|   4k |" in line)
    assert "!a" in stamped
    assert any("Due p99" in line and "Gen. queue" in line for line in lines)


def test_speeds_that_were_asked_for_are_not_compared(results: list[Result]) -> None:
    group = open_group(results)
    compared = compare_groups([group], [group])
    assert all(c.verdict is None and "open loop" in c.refused for c in compared)
    for name in ("cpu_us_per_msg", "due99"):
        asked = compare_groups([group], [group], metric=COMPARED[name])
        assert not any("open loop" in c.refused for c in asked)


# The stamp.


@pytest.mark.parametrize(
    ("messages", "late", "unsent", "stamped"),
    [
        (10_000, 0, 0, False),
        (9_800, 0, 200, False),
        (9_790, 0, 0, True),
        (10_000, 0, 202, True),
        (10_000, 5_000, 0, False),
        (10_000, 5_001, 0, True),
    ],
)
def test_overloaded(messages: int, late: int, unsent: int, stamped: bool) -> None:
    latency = Latency(mean=9, p50=9, p75=9, p90=9, p95=9, p99=9, p999=9, max=9)
    result = structs.replace(
        open_round(5000),
        window_s=2.0,
        messages=messages,
        mps=messages / 2,
        late=late,
        unsent=unsent,
        latency_ns=latency,
    )
    warning = stamps.overloaded(result)
    assert (warning is not None) == stamped
    if warning is not None:
        assert "5,000" in warning.text and str(late) in warning.text and warning.remedy
    assert stamps.overloaded(structs.replace(result, rate=0)) is None


def test_chance_is_not_taken_for_overload_nor_for_unfairness() -> None:
    """Of arrivals at random more or fewer fall into a window, on a connection, than are due."""
    few = structs.replace(open_round(200), window_s=2.0, messages=370, unsent=0, late=0)
    spread = structs.replace(synthetic.make_result("selector", 100).per_conn, jain=0.8, starved=2)
    few = structs.replace(few, per_conn=spread)
    drawn = structs.replace(few, options={"arrivals": "poisson"})
    assert stamps.overloaded(few) and not stamps.overloaded(drawn)
    assert stamps.unfair(few) and not stamps.unfair(drawn)
    much_less = structs.replace(drawn, messages=300)
    assert stamps.overloaded(much_less)
    many = structs.replace(drawn, rate=5000, messages=10_000)
    assert stamps.unfair(many)


def test_arrivals_of_a_round_are_told_and_recorded(run: Run, tmp_path: Path) -> None:
    options = ("--runtime", "200ms", "--warmup", "0s", "--rate", "2k", "--arrivals", "poisson")
    done = run(*ROUND, *options, "--rounds", "2")
    assert done.returncode == 0, done.stderr
    (section,) = read_sections(tmp_path / "r.jsonl")
    assert [result.options for result in section.results] == [{"arrivals": "poisson"}] * 2
    assert "arrivals poisson" in done.stdout
    assert Campaign.from_record(section.campaign).arrivals == "poisson"


@pytest.mark.parametrize(("share", "mark"), [(0.1, ">=7.0 ms"), (0.001, "7.0 ms")])
def test_latencies_that_the_end_cut_off_are_lower_bounds(share: float, mark: str) -> None:
    result = open_round(1000)
    assert result.corrected_ns is not None
    cut_off = structs.replace(
        result,
        censored=round(share * result.rate * result.window_s),
        bounded_ns=structs.replace(result.corrected_ns, p99=7_000_000),
    )
    table = io.StringIO()
    run_summary([cut_off], "table", table)
    assert mark in table.getvalue(), table.getvalue()
    assert (">=" in table.getvalue()) == (">=" in mark)
    (group,) = group_rounds(synthetic.as_rounds([cut_off]))
    (reported,) = build_tables(group, [METRICS["due99"]]).tables
    assert reported.text("selector", 1000, "---").startswith(mark)
    assert ("(10% open)" in reported.text("selector", 1000, "---")) == (">=" in mark)
