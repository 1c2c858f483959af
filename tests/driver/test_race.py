"""A race from its command line to its exit status: rounds, looks, budgets, and what ends it early.

Heats are made up (tests/support/fakeheats.py); real ones are in test_heat.py.
"""

import dataclasses
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from pybench.cli import main
from pybench.driver import race as races
from pybench.driver.course import is_look
from pybench.driver.raceplan import make_plan
from pybench.driver.raceprogress import LiveRaceReporter
from pybench.result.file import read_sections
from pybench.spec.race import ELSEWHERE, FACTORS, RACE_OPTIONS, SHARED, Race
from tests.support.fakeheats import FakeHeats, Invoke
from tests.support.limits import full_disk
from tests.support.synthetic import make_result

PAIR = ("c_epoll", "selector")


def test_a_clear_difference_ends_at_the_first_look(race: Invoke) -> None:
    done = race(*PAIR, heats=FakeHeats({"selector": 40_000}))
    assert done.returncode == 0
    assert [number for _, number, _, _ in done.heats.asked] == [1, 2, 3, 4, 5, 6]
    assert "selector is slower than c_epoll at 100 connections: 0.7" in done.stdout


def test_a_row_against_itself_is_equal(race: Invoke) -> None:
    done = race("c_epoll", "c_epoll", heats=FakeHeats())
    assert done.returncode == 0
    assert "c_epoll#2 and c_epoll are equal within 3% in messages/s" in done.stdout


def test_what_is_undecided_at_the_end_of_the_budget_is_status_1(race: Invoke) -> None:
    done = race(*PAIR, "--budget", "9s", heats=FakeHeats(noise=0.2))
    assert done.returncode == 1
    assert len(done.heats.asked) == 9
    assert "undecided" in done.stdout and "more rounds would decide" in done.stdout


def test_each_size_is_a_race_of_its_own(race: Invoke) -> None:
    asked = (*PAIR, "--conns", "10,100", "--msize", "64,16KiB", "--format", "json")
    done = race(*asked, "--output", "r.jsonl", heats=FakeHeats({"selector": 40_000}))
    found = json.loads(done.stdout)["counts"]
    places = [(one["conns"], one["msize"]) for one in found]
    assert places == [(10, 64), (10, 16384), (100, 64), (100, 16384)]
    assert all(one["rounds"] == 6 for one in found)
    assert "at 100 connections with 16384-byte messages: 0.7" in found[3]["sentence"]
    assert "[round 6, 100 connections, 16384-byte messages]" in done.stderr
    assert main(["report", "r.jsonl"]) == 0


def test_transports_race_each_other_and_one_is_named(race: Invoke) -> None:
    heats = FakeHeats({"thread[transport=tls]": 20_000})
    done = race("thread", "--transport", "tcp,tls", heats=heats)
    assert "Race at 100 connections: " in done.stdout and "thread[transport=tls]" in done.stdout
    done = race("thread", "gevent", "--transport", "tls", "--output", "r.jsonl")
    assert "Race at 100 connections (TLS 1.3): " in done.stdout
    assert '"transport":"tls"' in Path("r.jsonl").read_text().splitlines()[1]


def test_what_a_connection_costs_in_memory(race: Invoke) -> None:
    asked = (*PAIR, "--budget", "4s")
    memory = {"c_epoll": 1, "selector": 12}
    shown = race(*asked, heats=FakeHeats(kib_per_conn=memory))
    assert "KiB/conn" in shown.stdout and " 12 " in shown.stdout
    done = race(*asked, "--format", "json", heats=FakeHeats(kib_per_conn=memory))
    found = {c["name"]: c for c in json.loads(done.stdout)["counts"][0]["contenders"]}
    assert found["selector"]["busy_kib_per_conn"] == 12
    assert found["selector"]["idle_kib_per_conn"] == 6
    assert "KiB/conn" not in race(*asked).stdout  # as in files of before


def test_one_size_is_not_named(race: Invoke) -> None:
    done = race(*PAIR, "--msize", "1k", "--budget", "4s")
    assert "byte" not in done.stdout and "MB/s" not in done.stdout
    done = race(*PAIR, "--msize", "1k,100k", "--budget", "4s")
    assert "at 100 connections with 100k-byte messages" in done.stdout
    assert done.stdout.count("MB/s") == 2


def test_precision_is_worth_rounds_where_the_verdict_is_clear(race: Invoke) -> None:
    heats = FakeHeats({"selector": 20_000}, noise=0.05)
    coarse = race(*PAIR, "--precision", "20%", heats=heats)
    fine = race(*PAIR, "--precision", "3%", heats=FakeHeats({"selector": 20_000}, noise=0.05))
    assert coarse.returncode == fine.returncode == 0
    assert len(coarse.heats.asked) == 6 < len(fine.heats.asked)


def test_no_round_begins_that_would_end_behind_the_budget(race: Invoke) -> None:
    done = race(*PAIR, "--budget", "10s", heats=FakeHeats(noise=0.2, takes_s=3.0))
    assert len(done.heats.asked) == 3


def test_two_rounds_are_run_however_long_they_take(race: Invoke) -> None:
    done = race(*PAIR, "--budget", "1s", heats=FakeHeats({"selector": 5_000}, takes_s=30.0))
    assert len(done.heats.asked) == 2


def test_numbers_of_connections_take_turns_and_what_is_settled_leaves_its_time(
    race: Invoke,
) -> None:
    heats = FakeHeats(noise=0.002)
    done = race(*PAIR, "--conns", "10,1k", heats=heats)
    assert done.returncode == 0
    assert [(conns, number) for conns, number, _, _ in heats.asked[:4]] == [
        (10, 1), (1000, 1), (10, 2), (1000, 2),
    ]  # fmt: skip
    assert "at 10 connections" in done.stdout and "at 1k connections" in done.stdout


def test_looks_are_few_and_at_fixed_rounds() -> None:
    assert [n for n in range(1, 90) if is_look(n)] == [6, 8, 11, 15, 20, 27, 36, 48, 64, 86]


# ---- what ends it early ----


def test_a_contender_that_dies_is_said_and_the_others_go_on(race: Invoke) -> None:
    heats = FakeHeats({"selector": 40_000}, fails={"asyncio": 1})
    done = race(*PAIR, "asyncio", heats=heats)
    assert "asyncio, 100 connections (round 2): failed: worker killed by SIGKILL" in done.stderr
    out = "asyncio, 100 connections: failed again, and is out of the race"
    lines = done.stderr.splitlines()
    assert lines.count(out) == 1
    assert "(round 3): failed" in lines[lines.index(out) - 1]
    assert [labels for _, _, _, labels in heats.asked[2:4]] == [
        (*PAIR, "asyncio"), PAIR,
    ]  # fmt: skip
    assert "asyncio: 2 of 3 rounds failed: worker killed by SIGKILL" in done.stdout
    assert done.returncode == 1  # its pair is not decided, by one round


def test_a_single_failure_costs_a_round_only(race: Invoke) -> None:
    class Once(FakeHeats):
        def __call__(self, entrants, number, heat, env):  # type: ignore[no-untyped-def]
            self.fails = {"selector": 0} if number == 3 else {}
            return super().__call__(entrants, number, heat, env)

    done = race(*PAIR, heats=Once({"selector": 40_000}))
    assert done.returncode == 0
    assert "selector: 1 of 8 rounds failed" in done.stdout


def test_the_race_ends_where_nobody_is_left_to_race_against(race: Invoke) -> None:
    done = race(*PAIR, heats=FakeHeats(fails={"c_epoll": 0}))
    assert done.returncode == 1
    assert len(done.heats.asked) == 2
    assert "Nobody was measured at 100 connections, but for selector" in done.stdout


def test_the_load_servers_end_keeps_what_was_measured(race: Invoke) -> None:
    done = race(*PAIR, "--output", "x.jsonl", heats=FakeHeats(server_dies_in=4))
    assert done.returncode == 1
    assert "pybench: error: load server killed by signal 9 (SIGKILL)" in done.stderr
    (section,) = read_sections(Path("x.jsonl"))
    assert len(section.results) == 6 and "3 rounds" in done.stdout


def test_ctrl_c_keeps_what_was_measured(race: Invoke) -> None:
    done = race(*PAIR, heats=FakeHeats({"selector": 30_000}, interrupted_in=3))
    assert done.returncode == 130
    assert "interrupted (SIGINT): 3 rounds measured" in done.stderr
    assert "selector is slower than c_epoll" in done.stdout


# ---- the file ----


def test_the_file_says_what_the_race_said(race: Invoke, capsys: pytest.CaptureFixture[str]) -> None:
    heats = FakeHeats({"selector": 40_000, "asyncio": 9_000})
    done = race(*PAIR, "asyncio", "--conns", "10,100", "--output", "x.jsonl", heats=heats)
    assert done.returncode == 0
    (section,) = read_sections(Path("x.jsonl"))
    asked = section.campaign.race if section.campaign else None
    assert asked is not None and asked.contenders == (*PAIR, "asyncio")
    assert (asked.metric, asked.precision, asked.budget_s) == ("mps", 0.03, 60.0)
    assert all(r.turns is not None and len(r.turns.each) == 2 for r in section.results)
    assert main(["report", "x.jsonl"]) == 0
    assert capsys.readouterr().out == done.stdout


@pytest.mark.parametrize("words", [["--resume", "x.jsonl"], ["compare", "x.jsonl", "x.jsonl"]])
def test_what_is_not_done_with_a_race_is_told(
    words: list[str],
    race: Invoke,
    capsys: pytest.CaptureFixture[str],
) -> None:
    race(*PAIR, "--output", "x.jsonl", heats=FakeHeats({"selector": 40_000}))
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "a race is not resumed" in said or "pybench report FILE" in said


def test_formats_for_programs(race: Invoke) -> None:
    heats = FakeHeats({"selector": 40_000}, starves=["selector"])
    record = json.loads(race(*PAIR, "--format", "json", heats=heats).stdout)
    (count,) = record["counts"]
    assert (record["metric"], count["conns"], count["base"]) == ("mps", 100, "c_epoll")
    best, other = count["contenders"]
    assert (best["name"], best["ratio"], best["verdict"]) == ("c_epoll", None, None)
    assert other["verdict"] == "slower" and other["ci95_low"] < other["ratio"] < other["ci95_high"]
    assert other["starved_turns"] == other["turns"] == 24
    assert any("selector starves connections" in note for note in count["notes"])
    lines = race(*PAIR, "--format", "csv", heats=FakeHeats({"selector": 40_000})).stdout
    assert lines.startswith("conns,place,contender,") and "100,2,selector,6,0,0.7" in lines


def test_a_file_may_hold_races_and_rounds(race: Invoke, capsys: pytest.CaptureFixture[str]) -> None:
    race(*PAIR, "--output", "x.jsonl", heats=FakeHeats({"selector": 40_000}))
    with Path("x.jsonl").open("a") as file:
        for func in PAIR:
            file.write(make_result(func, 100).to_json() + "\n")
    assert main(["report", "x.jsonl", "--format", "json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["tables"]["mps"]["selector"]["100"]["n"] == 1
    assert record["races"][0]["counts"][0]["rounds"] == 6
    assert main(["report", "x.jsonl", "--table", "mps"]) == 0
    assert "selector is slower than c_epoll" in capsys.readouterr().out


def test_the_page_is_written_with_the_race(race: Invoke) -> None:
    pytest.importorskip("jinja2")
    done = race(*PAIR, "--html", "x.html", heats=FakeHeats({"selector": 40_000}))
    assert done.returncode == 0 and "wrote x.html" in done.stderr
    page = Path("x.html").read_text()
    assert "selector is slower than c_epoll" in page and "pybench race c_epoll selector" in page


# ---- while it runs ----


def test_lines_at_looks_where_there_is_no_terminal(race: Invoke) -> None:
    said = race(*PAIR, heats=FakeHeats({"selector": 20_000}, noise=0.05)).stderr.splitlines()
    assert said[0].startswith("pybench: 2 contenders at 100 connections, until their ratios")
    assert [line.split("]")[0] for line in said[1:4]] == [
        "[round 6, 100 connections", "[round 8, 100 connections", "[round 11, 100 connections",
    ]  # fmt: skip
    assert "selector / c_epoll: 0.387 (" in said[1] and said[1].endswith("slower; 0:54 left")


def test_a_terminal_shows_each_pair_in_place() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=100)
    heats = FakeHeats({"selector": 40_000}, fails={"asyncio": 1})
    one = Race.from_options((*PAIR, "asyncio"), {"seed": "1"}, str)
    with LiveRaceReporter(60.0, console) as reporter:
        outcome = races.run(make_plan(one), reporter, None, heats, heats.clock)
        shown = Console(file=io.StringIO(), width=100)
        shown.print(reporter._render())
    text = shown.file.getvalue()  # type: ignore[attr-defined]
    assert "selector / c_epoll" in text and "slower" in text and "left" in text
    assert "asyncio, 100 connections: failed again" in out.getvalue()
    assert len(outcome.standings) == 1


def test_a_terminal_shows_what_sets_a_contender_apart() -> None:
    """`[engine=uring]` is no markup, and a closing tag in a name ends nothing."""
    one = Race.from_options(["selector"], {"engine": "epoll,uring", "seed": "1"}, str)
    odd = dataclasses.replace(one.contenders[1], label="selector[/b][engine=uring]")
    one = dataclasses.replace(one, contenders=(one.contenders[0], odd))
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    heats = FakeHeats()
    with LiveRaceReporter(60.0, console) as reporter:
        races.run(make_plan(one), reporter, None, heats, heats.clock)
        shown = Console(file=io.StringIO(), width=100)
        shown.print(reporter._render())
    text = shown.file.getvalue()  # type: ignore[attr-defined]
    assert "selector[/b][engine=uring] / selector[engine=epoll]" in text


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["race", "--help"])
    text = capsys.readouterr().out
    names = [*RACE_OPTIONS, *SHARED, *ELSEWHERE, *FACTORS, "output", "format", "html"]
    assert [n for n in names if f"--{n.replace('_', '-')}" not in text] == []


# ---- for real ----


def test_a_short_race(run: Callable[..., "subprocess.CompletedProcess[str]"]) -> None:
    done = run(
        *("race", "c_epoll", "asyncio", "--conns", "10", "--budget", "20s"),  # it takes two
        *("--format", "json", "--precision", "40%"),
    )
    assert done.returncode in (0, 1), done.stderr
    (count,) = json.loads(done.stdout)["counts"]
    assert {one["name"] for one in count["contenders"]} == {"c_epoll", "asyncio"}
    assert count["rounds"] >= 2
    assert all(one["rounds"] == count["rounds"] and one["mps"] for one in count["contenders"])


def test_what_is_no_race_is_status_2(
    run: Callable[..., "subprocess.CompletedProcess[str]"],
) -> None:
    done = run("race", "c_epoll")
    assert done.returncode == 2
    assert (
        done.stderr
        == "pybench: error: a race needs two contenders or more: a row, or one row twice\n"
    )


def test_a_full_disk_ends_a_race_that_shows_what_there_is(race: Invoke) -> None:
    with full_disk(12_000):
        done = race(*PAIR, "--output", "r.jsonl", heats=FakeHeats({"selector": 40_000}))
    assert done.returncode == 1 and 0 < len(done.heats.asked) < 6
    assert "Race at 100 connections" in done.stdout
    assert "--output r.jsonl: File too large: " in done.stderr
