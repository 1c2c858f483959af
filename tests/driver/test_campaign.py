"""Campaigns: their order, their files, Ctrl-C and resuming."""

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from pybench import backends
from pybench.analysis.load import load_files
from pybench.driver import campaign, plan
from pybench.driver.interrupts import Interrupts
from pybench.driver.loadserver import LoadServer
from pybench.driver.progress import Estimate, LiveReporter, PlainReporter, make_reporter
from pybench.driver.round import OnProgress, RoundContext
from pybench.errors import PybenchError
from pybench.result import Result
from pybench.result.campaign import CampaignRecord
from pybench.result.file import ResultWriter, read_sections
from pybench.spec import Campaign, Cell
from pybench.spec.file import read_campaign_file
from pybench.spec.race import RACES
from tests.analysis.test_littles_law import CLEAN
from tests.conftest import Running
from tests.support import processes, synthetic
from tests.support.fakerounds import FakeRounds, Invoke
from tests.support.limits import full_disk

Run = Callable[..., subprocess.CompletedProcess[str]]


def make(**options: object) -> Campaign:
    base: dict[str, object] = {"func": "selector,thread,asyncio", "conns": "10,20,30"}
    return Campaign.from_options(base | options, str)


def test_rounds_are_outermost_and_each_has_every_cell_in_an_order_of_its_own() -> None:
    asked = make(rounds="3", seed="5")
    tasks = list(plan.tasks_in_order(asked, asked.cells))
    assert [task.number for task in tasks] == [1] * 9 + [2] * 9 + [3] * 9
    orders = [[t.cell for t in tasks if t.number == number] for number in (1, 2, 3)]
    assert all(Counter(order) == Counter(asked.cells) for order in orders)
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_the_seed_decides_the_order() -> None:
    def order(seed: str) -> list[plan.Task]:
        asked = make(rounds="2", seed=seed)
        return list(plan.tasks_in_order(asked, asked.cells))

    assert order("5") == order("5")
    assert order("5") != order("6")


def test_a_campaign_file_whose_lines_end_in_lone_crs_is_read(tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_bytes(b'func = "selector"\r# why\rconns = 5\r')
    options = read_campaign_file(str(tmp_path / "my.toml"))
    assert options == {"func": "selector", "conns": 5}


@pytest.mark.parametrize("name", ["quick", "report-2016"])
def test_shipped_campaigns(name: str) -> None:
    options = read_campaign_file(name)
    made = Campaign.from_options(options, str)
    assert made.msize == (64,)
    if name == "quick":
        assert made.skip_impossible and made.rounds == 5
        families = {row.family for row in backends.ROWS.values()}
        assert families == {cell.row.family for cell in made.cells}
        seconds = sum(cell.runtime_ns + cell.warmup_ns + 4e8 for cell in made.cells) / 1e9
        races_s = RACES.value(options, "races") / 1e9
        assert races_s >= 60 and races_s + 5 * seconds < 200
    else:
        assert made.skip_impossible and made.rounds == 7 and made.runtime_ns == 30 * 10**9
        assert {"asyncio", "uvloop_sock", "thread", "c_poll"} <= set(made.func)
        assert {10, 32, 100, 316, 1000, 3000, 10000} <= set(made.conns)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('func = "selector"\nconn = 5\n', "unknown key 'conn'"),
        ('func = "selector"\nconns = 0\n', "my.toml: conns: 0 is out of range"),
        ('func = "selector"\nconns = {a = 1}\n', "my.toml: conns"),
        ('func = "selector"\nconns = 5\nno_pin = 3\n', "my.toml: no_pin"),
        ("func = \n", "not TOML"),
        ("\xff", "not TOML"),
        ("conns = 5\n", "--func is missing"),
        ("func = []\nconns = 5\n", "my.toml: func is missing"),
    ],
)
def test_bad_campaign_file(text: str, says: str, invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_bytes(text.encode("latin-1"))
    done = invoke("--campaign", "my.toml")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1, done.stderr
    assert says in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_and_resume(
    number: int, start: Callable[..., Running], run: Run, tmp_path: Path
) -> None:
    """The acceptance of campaigns: in the end the file has each cell exactly R times."""
    path = tmp_path / "r.jsonl"
    driver = start(
        "--func", "selector,thread", "--conns", "20,30", "--rounds", "2", "--runtime", "400ms",
        "--warmup", "0", "--think", "5ms", "--output", "r.jsonl", conns=20,
    )  # fmt: skip
    processes.wait_for("two rounds", lambda: path.exists() and path.read_text().count("\n") >= 3)
    driver.await_pings()
    os.kill(driver.process.pid, number)
    status, out, err = driver.finish()
    assert status == 130
    assert "to go on: pybench --resume r.jsonl" in err
    assert "Traceback" not in err
    assert "selector" in out or "thread" in out  # what was measured is shown
    driver.assert_nothing_left()
    before = read_sections(path)[0].results
    assert 2 <= len(before) < 8

    done = run("--resume", "r.jsonl")
    assert done.returncode == 0, done.stderr
    sections = read_sections(path)
    assert sections[0].results == before
    assert sections[0].campaign.id == sections[1].campaign.id
    rounds = Counter((r.func, r.conns, r.round) for s in sections for r in s.results)
    wanted = [(f, c, n) for f in ("selector", "thread") for c in (20, 30) for n in (1, 2)]
    assert rounds == Counter(wanted)


def rounds(path: Path) -> list[tuple[str, int, int]]:
    """Row, connections and number of every round in a results file, in its order."""
    return [(r.func, r.conns, r.round) for s in read_sections(path) for r in s.results]


def test_campaign_file_and_options_that_override_it(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text(
        'func = "selector"\nconns = [5, "10"]\nruntime = "100ms"\nwarmup = 0\nrounds = 2\n'
    )
    done = invoke("--campaign", "my.toml", "--conns", "7", "--output", "r.jsonl")
    assert done.returncode == 0, done.stderr
    assert rounds(tmp_path / "r.jsonl") == [("selector", 7, 1), ("selector", 7, 2)]
    assert {cell.runtime_ns for cell, _ in done.rounds.asked} == {100_000_000}


def test_rounds_are_made_in_the_order_of_the_plan(invoke: Invoke, tmp_path: Path) -> None:
    asked = ("--func", "selector,thread", "--conns", "5,10", "--rounds", "3", "--seed", "4")
    done = invoke(*asked, "--output", "r.jsonl")
    assert done.returncode == 0, done.stderr
    made = make(func="selector,thread", conns="5,10", rounds="3", seed="4")
    wanted = [(task.cell.label, task.cell.conns, task.number)
              for task in plan.tasks_in_order(made, made.cells)]  # fmt: skip
    assert rounds(tmp_path / "r.jsonl") == wanted
    assert "12 rounds to measure, about " in done.stderr and "(seed 4)" in done.stderr


def test_an_interrupted_campaign_goes_on_where_it_stood(invoke: Invoke, tmp_path: Path) -> None:
    asked = ("--func", "selector,thread", "--conns", "5", "--rounds", "2", "--output", "r.jsonl")
    cut = invoke(*asked, rounds=FakeRounds(interrupted_after=2))
    assert cut.returncode == 130
    assert "interrupted (SIGINT): 2 of 4 rounds measured; to go on: pybench --resume" in cut.stderr
    assert "selector" in cut.stdout or "thread" in cut.stdout  # what was measured is shown
    before = rounds(tmp_path / "r.jsonl")
    assert len(before) == 2

    done = invoke("--resume", "r.jsonl")
    assert done.returncode == 0, done.stderr
    after = rounds(tmp_path / "r.jsonl")
    assert after[:2] == before
    wanted = [(func, 5, number) for func in ("selector", "thread") for number in (1, 2)]
    assert Counter(after) == Counter(wanted)
    assert len({section.campaign.id for section in read_sections(tmp_path / "r.jsonl")}) == 1

    again = invoke("--resume", "r.jsonl")
    assert (again.returncode, again.rounds.asked) == (0, [])
    assert "0 rounds to measure" in again.stderr
    assert rounds(tmp_path / "r.jsonl") == after


def test_an_interrupted_campaign_without_a_file_says_so(invoke: Invoke) -> None:
    cut = invoke("--func", "selector", "--conns", "5,6", rounds=FakeRounds(interrupted_after=1))
    assert cut.returncode == 130
    assert "with --output FILE they could have been resumed" in cut.stderr


def test_every_size_is_measured_and_resumed_by_itself(invoke: Invoke) -> None:
    asked = ("--func", "selector,thread", "--conns", "5", "--msize", "64,1k,16KiB", "--rounds", "2")
    whole = invoke(*asked, "--seed", "4", "--output", "whole.jsonl")
    sizes = [(cell.row.name, cell.msize) for cell, _ in whole.rounds.asked]
    assert sorted(sizes) == sorted(
        2 * [(r, s) for r in ("selector", "thread") for s in (64, 1000, 16384)]
    )
    assert "thread, 5 connections, 16384-byte messages (round 2/2)" in whole.stderr
    cut = FakeRounds(interrupted_after=4)
    invoke(*asked, "--seed", "4", "--output", "cut.jsonl", rounds=cut)
    resumed = invoke("--resume", "cut.jsonl")
    assert resumed.returncode == 0
    assert cut.asked + resumed.rounds.asked == whole.rounds.asked


def test_pings_in_flight_and_idle_connections_are_resumed_by_themselves(invoke: Invoke) -> None:
    asked = ("--func", "selector", "--conns", "5", "--inflight", "1,16", "--idle", "0,30")
    whole = invoke(*asked, "--seed", "4", "--output", "whole.jsonl")
    load = [(cell.inflight, cell.idle) for cell, _ in whole.rounds.asked]
    assert sorted(load) == [(1, 0), (1, 30), (16, 0), (16, 30)]
    assert "selector, 5 connections, 16 in flight, 30 idle: " in whole.stderr
    cut = FakeRounds(interrupted_after=2)
    invoke(*asked, "--seed", "4", "--output", "cut.jsonl", rounds=cut)
    resumed = invoke("--resume", "cut.jsonl")
    assert cut.asked + resumed.rounds.asked == whole.rounds.asked
    assert invoke("--resume", "whole.jsonl").rounds.asked == []


def test_resume_makes_failed_rounds_again_and_stops_at_a_torn_line(
    invoke: Invoke, tmp_path: Path
) -> None:
    path = tmp_path / "r.jsonl"
    invoke("--func", "selector", "--conns", "5", "--rounds", "3", "--output", "r.jsonl")
    header, first, second, third = path.read_text().splitlines()
    failed = json.loads(second) | {"status": "failed", "error": "x"}
    path.write_text("\n".join([header, first, json.dumps(failed), third[:100]]))
    done = invoke("--resume", "r.jsonl")
    assert done.returncode == 0, done.stderr
    assert [number for _, number in done.rounds.asked] == [2, 3]
    assert [r.round for r in read_sections(path)[1].results] == [2, 3]


def test_resume_measures_what_was_unavailable_and_is_there_now(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "r.jsonl"
    with monkeypatch.context() as before:
        missing = {"selector": "selector: not installed"}
        before.setattr(backends, "unavailable", lambda row, _transport: missing.get(row.name))
        asked = ("--func", "selector,thread", "--conns", "5", "--rounds", "2")
        assert invoke(*asked, "--output", "r.jsonl").returncode == 1
        again = invoke("--resume", "r.jsonl")
        assert (again.returncode, again.rounds.asked) == (1, [])  # it still is
    done = invoke("--resume", "r.jsonl")
    assert done.returncode == 0, done.stderr
    assert [(cell.func, number) for cell, number in done.rounds.asked] == [
        ("selector", 1),
        ("selector", 2),
    ]
    assert "unavailable" not in done.stdout
    assert {r.status for r in load_files([path]).rounds} == {"ok"}


def test_a_second_campaign_is_refused_while_one_writes(invoke: Invoke, tmp_path: Path) -> None:
    writer = ResultWriter(tmp_path / "r.jsonl", CampaignRecord(id="first"))
    done = invoke("--func", "selector", "--conns", "5", "--output", "r.jsonl")
    assert (done.returncode, done.rounds.asked) == (2, [])
    assert "another campaign is writing to it" in done.stderr and done.stderr.count("\n") == 1
    writer.close()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("empty", ""),
        ("other", '{"schema": 1, "campaign": {"func": ["selector"]}}\n'),
        ("text", "hello\n"),
    ],
)
def test_resume_refuses_what_is_no_campaign(
    name: str, text: str, invoke: Invoke, tmp_path: Path
) -> None:
    (tmp_path / f"{name}.jsonl").write_text(text)
    done = invoke("--resume", f"{name}.jsonl")
    assert (done.returncode, done.rounds.asked) == (2, [])
    assert done.stderr.count("\n") == 1, done.stderr


def test_a_failed_round_is_recorded_and_told_by_the_exit_status(
    invoke: Invoke, tmp_path: Path
) -> None:
    asked = ("--func", "selector,thread", "--conns", "5", "--rounds", "2", "--output", "r.jsonl")
    done = invoke(*asked, rounds=FakeRounds(fails={"thread"}))
    assert done.returncode == 1
    assert "Too many open files" in done.stdout
    results = [r for s in read_sections(tmp_path / "r.jsonl") for r in s.results]
    statuses = Counter((r.func, r.status) for r in results)
    assert statuses == {("selector", "ok"): 2, ("thread", "failed"): 2}


def test_a_load_server_that_does_not_start_again_leaves_what_was_measured(invoke: Invoke) -> None:
    asked = ("--func", "selector", "--conns", "5", "--rounds", "3", "--output", "r.jsonl")
    done = invoke(*asked, rounds=FakeRounds(no_server_after=2))
    assert done.returncode == 1 and "Local load server" in done.stdout
    assert "interrupted (load server did not start): 2 of 3 rounds measured" in done.stderr
    assert "to go on: pybench --resume r.jsonl" in done.stderr
    done = invoke("--resume", "r.jsonl")
    assert (done.returncode, len(done.rounds.asked)) == (0, 1)
    done = invoke(*asked[:-2], rounds=FakeRounds(no_server_after=0))
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.splitlines()[-1] == "pybench: error: load server did not start"


@pytest.mark.parametrize("fmt", ["table", "markdown", "csv", "json"])
def test_results_come_in_every_format_on_standard_output(fmt: str, invoke: Invoke) -> None:
    done = invoke("--func", "selector,c_epoll", "--conns", "5", "--format", fmt)
    assert done.returncode == 0, done.stderr
    assert "selector" in done.stdout and "c_epoll" in done.stdout
    if fmt == "json":
        funcs = {cell["func"] for cell in json.loads(done.stdout)["cells"]}
        assert funcs == {"selector", "c_epoll"}


def test_bare_results_are_not_resumable(tmp_path: Path) -> None:
    path = tmp_path / "bare.jsonl"
    path.write_text(CLEAN.to_json() + "\n")
    with pytest.raises(PybenchError, match="does not record a campaign"):
        campaign.load_unfinished(path)


# ---- progress


def test_live_display_shows_cell_rate_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    from rich.console import Console

    from pybench.driver.control import Progress

    cells = make(conns="10", func="selector").cells
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, height=20)
    with LiveReporter(cells, 1, console) as reporter:
        reporter.round_started(cells[0], 1)
        reporter.live(Progress(1000, 50_000, 10))
        reporter.live(Progress(2000, 150_000, 9))
        reporter._live.refresh()
        reporter.round_finished(CLEAN)
    text = screen.getvalue()
    for words in ("100,000 messages/s, 9 alive", "selector, 10 connections", "0:3", "0/1"):
        assert words in text


def test_no_terminal_no_escape_codes() -> None:
    import io

    stream = io.StringIO()
    reporter = make_reporter(make().cells, 2, stream)
    assert isinstance(reporter, PlainReporter)
    with reporter:
        reporter.round_finished(CLEAN)
    assert stream.getvalue().startswith("[1/9] selector, 100 connections (round 1/2): 100,000 mes")
    assert "\x1b" not in stream.getvalue()


def test_estimate_learns_what_a_round_costs_besides(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("pybench.driver.progress.time.monotonic", lambda: now[0])
    estimate = Estimate(make(runtime="9s", warmup="1s", func="selector").cells)
    assert estimate.fraction == 0
    estimate.start()
    now[0] = 12.0
    estimate.finish()
    assert estimate.left_s == pytest.approx(2 * 12)
    assert estimate.fraction == pytest.approx(1 / 3)


def test_what_was_understood_of_a_unit_is_said(invoke: Invoke) -> None:
    done = invoke("--func", "selector", "--conns", "1k,5", "--msize", "64k", "--rate=1K")
    assert done.returncode == 0, done.stderr
    assert "--msize 64k is 64000, --rate 1K is 1000; 2 rounds to measure" in done.stderr
    assert "pybench: 1 round to measure" in invoke("--func", "selector", "--conns", "5").stderr


def test_a_load_server_of_0_1_is_asked_for_slices_once(
    load_server: LoadServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It refuses the first round, which is run again without, and so are the others."""
    asked: list[bool] = []

    def run(cell: Cell, number: int, context: RoundContext, on_progress: OnProgress) -> Result:
        asked.append(context.slices)
        if context.slices:
            return synthetic.make_failure("selector", 10, error="unknown key 'slice_ms'")
        return synthetic.make_result("selector", 10, number)

    monkeypatch.setattr(campaign.one_round, "run", run)
    made = plan.make_plan(make(func="selector", conns="10", server=str(load_server.address)))
    with Interrupts() as interrupts, campaign.measuring(made, interrupts) as measure:
        results = [measure(made.cells[0], number, {}, lambda progress: None) for number in (1, 2)]
    assert [one.status for one in results] == ["ok", "ok"]
    assert asked == [True, False, False]


def test_a_name_with_a_line_end_is_one_line(invoke: Invoke) -> None:
    done = invoke("--func", "selector", "--conns", "10", "--env", "A=x\ny", "--seed", "1")
    assert "selector[A=x\\ny], 10 connections" in done.stderr


def test_a_full_disk_loses_no_round(invoke: Invoke, tmp_path: Path) -> None:
    """The round that found it out is in the table, and measured again when there is room."""
    asked = ("--func", "selector", "--conns", "10,20,30", "--seed", "1", "--output", "r.jsonl")
    with full_disk(5000):
        done = invoke(*asked)
    kept = sum(len(section.results) for section in read_sections(tmp_path / "r.jsonl"))
    assert (done.returncode, len(done.rounds.asked)) == (1, kept + 1) and kept < 2
    assert done.stdout.count("selector") == kept + 1
    assert "--output r.jsonl: File too large: selector at " in done.stderr
    done = invoke("--resume", "r.jsonl")
    assert (done.returncode, len(done.rounds.asked)) == (0, 3 - kept)
