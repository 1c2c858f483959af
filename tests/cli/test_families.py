"""`--races`: a campaign behind which the rows of each family race. Nothing is measured."""

import json
from functools import partial
from pathlib import Path

import pytest

from pybench.cli import main
from pybench.cli import run as command
from pybench.driver import race
from pybench.result.file import read_sections
from tests.support.fakeheats import FakeHeats
from tests.support.fakerounds import FakeRounds, Invoke
from tests.support.limits import full_disk

FUNC = "selector,raw_selector,c_epoll,c_poll,c_th,gevent"
ROWS = ("--func", FUNC, "--conns", "10,100", "--rounds", "2")


@pytest.fixture
def heats(monkeypatch: pytest.MonkeyPatch) -> FakeHeats:
    """Those of every race, asked for before `invoke`; the budget is counted by their clock."""
    made = FakeHeats({"c_th": 20_000})
    monkeypatch.setattr(command, "run", partial(command.run, measure_heat=made))
    monkeypatch.setattr(race, "run", partial(race.run, clock=made.clock))
    return made


def test_rows_of_a_family_race_and_others_do_not(heats: FakeHeats, invoke: Invoke) -> None:
    done = invoke(*ROWS, "--races", "50s", "--output", "x.jsonl")
    assert done.returncode == 0, done.stderr
    assert {labels for _, _, _, labels in heats.asked} == {
        ("selector", "raw_selector"), ("c_epoll", "c_poll", "c_th"),
    }  # fmt: skip
    assert {conns for conns, _, _, _ in heats.asked} == {10, 100}
    assert "2 families race inside, 0:50 at most" in done.stderr
    assert "c_epoll" in done.stdout and done.stdout.count("Race at 100 connections") == 2
    campaign, *races = read_sections(Path("x.jsonl"))
    assert len(campaign.results) == 6 * 2 * 2
    shares = [one.campaign.race.budget_s for one in races if one.campaign and one.campaign.race]
    assert sorted(shares) == [20, 30]


def test_the_file_says_what_the_campaign_said(
    heats: FakeHeats, invoke: Invoke, capsys: pytest.CaptureFixture[str]
) -> None:
    done = invoke(*ROWS, "--races", "50s", "--output", "x.jsonl", "--format", "json")
    assert len(json.loads(done.stdout)["races"]) == 2
    assert main(["report", "x.jsonl", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["races"] == json.loads(done.stdout)["races"]


def test_a_campaign_is_resumed_without_its_races(heats: FakeHeats, invoke: Invoke) -> None:
    invoke(*ROWS, "--races", "50s", "--output", "x.jsonl")
    raced = len(heats.asked)
    kept = Path("x.jsonl").read_bytes().splitlines(keepends=True)
    Path("x.jsonl").write_bytes(b"".join(kept[:7] + kept[10:]))
    done = invoke("--resume", "x.jsonl")
    assert done.returncode == 0 and len(done.rounds.asked) == 3
    assert len(heats.asked) == raced


def test_what_could_not_be_measured_does_not_race(heats: FakeHeats, invoke: Invoke) -> None:
    done = invoke(*ROWS, "--races", "50s", rounds=FakeRounds(fails=["selector"]))
    assert done.returncode == 1
    assert {labels for _, _, _, labels in heats.asked} == {("c_epoll", "c_poll", "c_th")}


def test_where_nothing_races_that_is_said(heats: FakeHeats, invoke: Invoke) -> None:
    done = invoke("--func", "selector,c_epoll", "--conns", "10", "--races", "9s")
    assert (done.returncode, heats.asked) == (0, [])
    assert "nothing races: no two rows of one family" in done.stderr


def test_ctrl_c_in_the_campaign_or_in_a_race_ends_both(heats: FakeHeats, invoke: Invoke) -> None:
    done = invoke(*ROWS, "--races", "50s", rounds=FakeRounds(interrupted_after=3))
    assert done.returncode == 130 and not heats.asked
    heats.interrupted_in = 2
    done = invoke(*ROWS, "--races", "50s")
    assert done.returncode == 130 and len({labels for _, _, _, labels in heats.asked}) == 1
    assert "the races are not at their end" in done.stderr
    assert done.stdout.count("Race at") >= 1


def test_a_full_disk_in_a_race_leaves_the_campaign_its_table(
    heats: FakeHeats, invoke: Invoke
) -> None:
    done = invoke(*ROWS, "--output", "r.jsonl")
    with full_disk(Path("r.jsonl").stat().st_size + 3000):
        done = invoke(*ROWS, "--output", "s.jsonl", "--races", "50s")
    assert done.returncode == 1 and "Local load server" in done.stdout
    assert "error: --output s.jsonl: File too large" in done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--races", "soon"], "--races: "),
        (["--races", "9s", "--rate", "1k"], "--races is for messages/s, which --rate sets"),
        (["--races", "9s", "--timestamps", "kernel"], "--races and --timestamps exclude"),
        (["--races", "9s", "--resume", "x.jsonl"], "takes everything from its file"),
    ],
)
def test_what_does_not_go_together(words: list[str], says: str, invoke: Invoke) -> None:
    done = invoke(*ROWS, *words)
    assert done.returncode == 2 and says in done.stderr


def test_a_campaign_file_has_races_too(heats: FakeHeats, invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "my.toml").write_text('func = "selector,raw_selector"\nconns = 5\nraces = "9s"\n')
    assert invoke("--campaign", "my.toml").returncode == 0
    assert heats.asked
    (tmp_path / "my.toml").write_text('func = "selector"\nconns = 5\nraces = "0s"\n')
    done = invoke("--campaign", "my.toml")
    assert "my.toml: races: " in done.stderr
