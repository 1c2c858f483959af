"""How rows grow with workers and loops: families of groups, efficiency, verdicts, tables."""

import csv
import io
import json
from pathlib import Path

import pytest
from msgspec import structs

import pybench
from pybench.analysis.model import group_rounds
from pybench.analysis.scaling import Scale, scale_groups, scales_of
from pybench.cli import main
from pybench.result import ListenerShare, Result
from pybench.result.file import ResultWriter
from tests.driver.test_openloop import open_round
from tests.support import synthetic
from tests.support.fakerounds import Invoke, invoke

__all__ = ["invoke"]

SPEEDS = {1: 50_000.0, 2: 90_000.0, 4: 120_000.0}


def one(row: str, count: int, number: int, **changes: object) -> Result:
    mps = SPEEDS[count] * (1 + 0.002 * number)
    made = synthetic.make_result(
        row, 100, number, mps=mps, seed=count, samples=50, workers=count, campaign_id="x", **changes
    )
    assert made.client
    shares = tuple(
        ListenerShare(worker=n + 1, loop=1, conns=100 // count, messages=30 if n else 10)
        for n in range(count if count > 1 else 0)
    )
    return structs.replace(made, client=structs.replace(made.client, shares=shares))


def results(rounds: int = 4) -> list[Result]:
    return [
        one(row, count, number)
        for row in ("selector", "c_epoll")
        for count in SPEEDS
        for number in range(1, rounds + 1)
    ]


def scales(found: list[Result]) -> list[Scale]:
    return scales_of(group_rounds(synthetic.as_rounds(found)))


def test_efficiency_is_against_the_least() -> None:
    scale = scales(results())[0]
    assert (scale.axis, scale.row, scale.column) == ("workers", "selector", 100)
    assert "worker" not in scale.where
    first, two, four = scale.steps
    assert (first.count, first.speedup, first.verdict, first.unevenness) == (1, None, None, None)
    assert two.speedup and two.speedup.value == pytest.approx(1.8)
    found = [scale.efficiency(step) for step in scale.steps]
    assert found[0] is None and found[1] and found[2]
    assert [found[1].value, found[2].value] == pytest.approx([0.9, 0.6])
    assert found[1].low <= 0.9 <= found[1].high < 1
    assert two.verdict and two.verdict.kind == "faster"
    assert two.unevenness == pytest.approx(1.5) and four.unevenness == pytest.approx(1.2)


def test_a_single_round_claims_nothing() -> None:
    assert all(step.verdict is None for scale in scales(results(1)) for step in scale.steps)


def test_a_bound_opens_the_interval() -> None:
    stamped = [
        structs.replace(r, warnings=(synthetic.GENERATOR_BOUND,)) if r.workers == 4 else r
        for r in results()
    ]
    scale = scales(stamped)[0]
    efficiency = scale.efficiency(scale.steps[2])
    assert efficiency and efficiency.high == float("inf") and efficiency.low > 0.5


def test_what_differs_otherwise_is_no_family() -> None:
    apart = [one("selector", 1, 1), one("selector", 2, 1, runtime_s=9.0)]
    assert scales(apart) == []
    assert scales([open_round(1000), structs.replace(open_round(1000), workers=2)]) == []


def test_loops_are_an_axis_of_their_own() -> None:
    found = [
        structs.replace(one("selector", 1, number), loops=loops)
        for loops in (1, 2)
        for number in (1, 2)
    ]
    (scale,) = scales(found)
    assert scale.axis == "loops" and [step.count for step in scale.steps] == [1, 2]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scaling") / "r.jsonl"
    writer = ResultWriter(path, {"id": "x"})
    for result in results():
        writer.write(result)
    writer.close()
    return path


def test_the_table_stands_behind_the_others_or_alone(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(file)]) == 0
    out = capsys.readouterr().out
    assert out.index("2 workers") < out.index("Scaling over workers")
    assert main(["report", str(file), "--table", "scaling"]) == 0
    out = capsys.readouterr().out
    assert "Messages per second" not in out and "faster" in out and "0.90" in out
    assert main(["report", str(file), "--table", "mps"]) == 0
    assert "Scaling" not in capsys.readouterr().out
    assert main(["report", str(file), "--table", "mps,scaling", "--format", "json"]) == 0
    record = json.loads(capsys.readouterr().out)
    steps = record["scaling"][0]["steps"]
    assert [step["count"] for step in steps] == [1, 2, 4] and "speedup" not in steps[0]
    assert steps[1]["efficiency"] == pytest.approx(0.9) and steps[1]["verdict"] == "faster"
    assert [group["setting"].get("workers") for group in record["groups"]] == [None, 2, 4]


def test_the_library_has_the_tables_of_the_command(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for names in (None, "scaling", "mps,scaling", "mps"):
        asked = [] if names is None else ["--table", names]
        assert main(["report", str(file), *asked]) == 0
        assert pybench.load(file).table(names) == capsys.readouterr().out


def test_alone_it_writes_what_else_is_asked_for(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a line that cannot be read leaves its exit status."""
    (spoilt := tmp_path / "r.jsonl").write_text(file.read_text() + "{}\n")
    folder = tmp_path / "hgrm"
    assert main(["report", str(spoilt), "--table", "scaling", "--hgrm", str(folder)]) == 1
    assert list(folder.iterdir()) and "wrote " in capsys.readouterr().err
    assert main(["report", str(file), "--table", "scaling", "--relative-to", "nobody"]) == 2


def test_csv_tells_the_axes_apart(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(file), "--table", "scaling", "--format", "csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [line["count"] for line in lines] == ["1", "2", "4"] * 2
    assert lines[0]["efficiency"] == "" and float(lines[1]["efficiency"]) == pytest.approx(0.9)
    assert main(["report", str(file), "--table", "mps", "--format", "csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [line["workers"] for line in lines] == ["1", "1", "2", "2", "4", "4"]


def test_without_several_there_is_no_such_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = ResultWriter(tmp_path / "r.jsonl", {"id": "x"})
    writer.write(one("selector", 1, 1))
    writer.close()
    assert main(["report", str(tmp_path / "r.jsonl"), "--table", "scaling"]) == 2
    assert "measure with --workers 1,2" in capsys.readouterr().err
    assert main(["report", str(tmp_path / "r.jsonl"), "--format", "json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert "scaling" not in record and "workers" not in record["setting"]


def test_compare_holds_equal_numbers_of_workers_against_each_other(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And names them; what only one side has is left out."""
    writer = ResultWriter(tmp_path / "new.jsonl", {"id": "y"})
    for result in results():
        if result.workers < 4:
            writer.write(structs.replace(result, campaign_id="y"))
    writer.close()
    main(["compare", str(file), str(tmp_path / "new.jsonl"), "--format", "json"])
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert [cell.get("workers") for cell in cells] == [1, 1, 2, 2]
    assert not any(cell.get("refused") for cell in cells)
    main(["compare", str(file), str(tmp_path / "new.jsonl")])
    out = capsys.readouterr().out
    assert "selector (2 workers)" in out and " --workers 1,2" in out, "of the race that decides"


def test_a_run_says_how_many_serve_and_shows_the_table(invoke: Invoke) -> None:
    done = invoke("--func", "selector", "--conns", "6", "--workers", "1,2", "--loops", "1,3")
    assert done.returncode == 0
    asked = {(cell.workers, cell.loops) for cell, _ in done.rounds.asked}
    assert asked == {(1, 1), (1, 3), (2, 1), (2, 3)}
    assert "selector, 6 connections, 2 workers, 3 loops:" in done.stderr
    assert "Scaling over workers" in done.stdout and "Scaling over loops" in done.stdout


def test_a_row_that_cannot_have_several_loops_says_why(invoke: Invoke) -> None:
    done = invoke("--func", "twisted", "--conns", "6", "--loops", "2")
    if "not installed" in done.stderr:
        pytest.skip("twisted is not installed")
    assert (done.returncode, done.rounds.asked) == (2, [])
    why = "--loops 2: a process has one reactor of twisted's; --workers starts several"
    assert why in done.stderr
    done = invoke("--func", "twisted,selector", "--conns", "6", "--loops", "1,2")
    asked = {(cell.func, cell.loops) for cell, _ in done.rounds.asked}
    assert asked == {("twisted", 1), ("selector", 1), ("selector", 2)}
    assert done.returncode == 1 and f"unavailable: {why}" in done.stderr
    done = invoke("--func", "exec:cat {port}", "--conns", "6", "--loops", "2")
    assert done.returncode == 2 and "a program listens once" in done.stderr
    done = invoke("--func", "selector", "--conns", "2", "--workers", "3")
    assert done.returncode == 2 and "3 listeners need a connection each" in done.stderr
    done = invoke("--func", "selector", "--conns", "99", "--workers", "9", "--loops", "9")
    assert done.returncode == 2 and "at most 64 listeners" in done.stderr


def test_what_is_done_of_one_number_of_workers_is_not_of_another(
    invoke: Invoke, tmp_path: Path
) -> None:
    path = tmp_path / "r.jsonl"
    invoke("--func", "selector", "--conns", "6", "--workers", "1,2", "--output", str(path))
    lines = path.read_text().splitlines()
    path.write_text("\n".join(line for line in lines if '"workers":2' not in line) + "\n")
    done = invoke("--resume", str(path))
    assert [cell.workers for cell, _ in done.rounds.asked] == [2]


def test_a_picture_by_workers(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    from pybench.report.plots import write

    monkeypatch.setattr(write, "PICTURES", {})  # the others take their time
    assert main(["report", str(file), "--table", "mps", "--plots", str(tmp_path)]) == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["mps_by_workers.png", "mps_by_workers.svg"]
    (group,) = scale_groups(group_rounds(synthetic.as_rounds(results())), "workers")
    assert (group.counts, group.axis, group.at(2)) == ([1, 2, 4], "workers", "with 2 workers")
    assert group.title.endswith("100 connections") and "worker" not in group.title


def test_the_page_has_the_table(file: Path, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    pytest.importorskip("jinja2")
    target = tmp_path / "page.html"
    assert main(["report", str(file), "--table", "mps", "--html", str(target)]) == 0
    page = target.read_text()
    section = page.partition("Scaling over workers: processes")[2].partition("</section>")[0]
    assert section.count("<tr>") == 7 and "<td>faster</td>" in section


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--explain"], "--explain observes one worker of one loop"),
        (["--races", "5s", "--workers", "1,2"], "--races takes one number of --workers"),
    ],
)
def test_what_does_not_go_with_several_says_so(invoke: Invoke, more: list[str], said: str) -> None:
    done = invoke("--func", "selector", "--conns", "6", "--workers", "2", *more)
    assert (done.returncode, done.rounds.asked) == (2, []) and said in done.stderr
