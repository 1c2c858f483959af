"""`report --history DIR`: ratios over files, their changes, and the page."""

import gzip
import json
import math
import random
import re
from pathlib import Path

import pytest

from pybench.cli import main
from pybench.result import Result
from tests.report.test_report import write_results
from tests.support import ROOT, synthetic

COMMITS = [f"{n:02}" + "a" * 38 for n in range(12)]
STEP = 7


def campaign(number: int, rng: random.Random) -> list[Result]:
    """Two rows in a campaign of an hour of its own; from STEP on one is slower by 15%."""
    hour = math.exp(rng.gauss(0, 0.3))
    slower = 0.85 if number >= STEP else 1.0
    speeds = {"c_epoll": 120_000 * hour, "selector": 90_000 * hour * slower}
    return [
        synthetic.make_result(
            row, 100, n, mps=mps * math.exp(rng.gauss(0, 0.01)), samples=50,
            started_at=f"2026-02-{number + 1:02}T03:{n:02}:00+00:00",
            env=synthetic.ENV | {"commit": COMMITS[number]},
        )
        for n in (1, 2, 3)
        for row, mps in speeds.items()
    ]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve files, whose names do not sort as they were measured; one is packed, one is none."""
    made = tmp_path_factory.mktemp("history")
    rng = random.Random("history")
    for number in range(12):
        path = made / f"{11 - number:02}.jsonl"
        write_results(path, campaign(number, rng), id=str(number))
        if number == 3:
            (made / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    (made / "notes.txt").write_text("not read")
    return made


def test_a_series_in_order_of_time_with_its_change(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The machine's hours, which differ by 30%, are not seen: a ratio is inside a file."""
    assert main(["report", "--history", str(folder), "--format", "json"]) == 0
    (series,) = json.loads(capsys.readouterr().out)["series"]
    assert (series["new"], series["base"], series["metric"]) == ("selector", "c_epoll", "mps")
    assert [point["commit"] for point in series["points"]] == COMMITS
    assert all(p["ci95_low"] < p["ratio"] < p["ci95_high"] for p in series["points"])
    (change,) = series["changes"]
    assert (change["at"], change["better"]) == (STEP, False)
    assert change["ci95_low"] < 0.85 < change["ci95_high"] < 0.9


def test_the_change_in_words_and_as_lines(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--history", str(folder), "--relative-to", "selector"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "c_epoll got better against selector at 100 connections" in said
    assert f"between {COMMITS[STEP - 1][:10]} and {COMMITS[STEP][:10]}" in said
    assert main(["report", "--history", str(folder), "--format", "csv"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.endswith("ci95_high,change") and len(lines) == 12
    assert [line.endswith(",1") for line in lines].index(True) == STEP


def test_the_page_draws_every_point_and_the_change(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "deep" / "history.html"
    assert main(["report", "--history", str(folder), "--html", str(page)]) == 0
    text = page.read_text()
    assert text.count("<circle") == 12 and text.count('class="cut"') == 1
    assert text.count('class="level"') == 2 and "got worse against c_epoll" in text
    assert not re.search(r"https?://", text) and "<script" not in text
    assert f"wrote {page}" in capsys.readouterr().err


def test_races_have_their_ratio_to_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    race = ROOT / "docs" / "data" / "race.jsonl.gz"
    (tmp_path / race.name).write_bytes(race.read_bytes())
    assert main(["report", "--history", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "gevent / c_epoll" in said and "fewer than 8 points" in " ".join(said.split())


def test_other_settings_are_other_series(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else one file would have two points of one series."""
    results = [
        synthetic.make_result(row, 100, n, samples=20, think_us=think)
        for row in ("c_epoll", "selector")
        for n in (1, 2)
        for think in ((0, 0), (0, 1000))
    ]
    write_results(tmp_path / "a.jsonl", results)
    assert main(["report", "--history", str(tmp_path), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)["series"]
    usual = "100 connections, 64-byte messages"
    assert [one["where"] for one in found] == [usual, f"{usual}, think_us 0:1000"]


def test_a_file_that_is_none_is_named_and_the_others_are_read(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in folder.glob("*.jsonl"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "broken.jsonl").write_text("{}\n")
    assert main(["report", "--history", str(tmp_path), "--format", "json"]) == 1
    found = capsys.readouterr()
    assert f"error: {tmp_path / 'broken.jsonl'}" in found.err
    assert len(json.loads(found.out)["series"][0]["points"]) == 11


def test_a_copy_of_a_file_is_no_second_point(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Packed beside itself, or as it was when it had fewer rounds: it is the same measurement."""
    for path in folder.glob("0*.jsonl"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    whole = (tmp_path / "05.jsonl").read_bytes()
    (tmp_path / "00-part.jsonl").write_bytes(b"".join(whole.splitlines(keepends=True)[:5]))
    (tmp_path / "05.jsonl.gz").write_bytes(gzip.compress(whole))
    assert main(["report", "--history", str(tmp_path), "--format", "json"]) == 0
    found = capsys.readouterr()
    files = [point["file"] for point in json.loads(found.out)["series"][0]["points"]]
    assert sorted(files) == sorted(path.name for path in folder.glob("0*.jsonl"))
    for copy in ("00-part.jsonl", "05.jsonl.gz"):
        assert f"warning: {copy} has rounds of 05.jsonl: they count once" in found.err


def test_the_base_may_have_its_older_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--history", str(folder), "--relative-to", "cpp_epoll"]) == 0
    assert "selector / c_epoll" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["x.jsonl"], "reads a folder, and no results files beside it"),
        (["--table", "mps"], "--table is for one results file"),
        (["--format", "bmf"], "--history is for tables: --format bmf has none"),
        (["--relative-to", "gevent"], "--relative-to gevent: no such row; there are c_epoll, sel"),
    ],
)
def test_what_it_cannot_do_is_said(
    arguments: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--history", str(folder), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_without_results_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--history", str(tmp_path)]) == 2
    assert "no results files in it" in capsys.readouterr().err
    assert main(["report", "--history", str(tmp_path / "none")]) == 2
    assert "No such file or directory" in capsys.readouterr().err
