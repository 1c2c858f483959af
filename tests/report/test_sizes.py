"""Results of several sizes of a message: MB/s, tables, pictures and a chart by size."""

import csv
import io
import json
from pathlib import Path

import pytest
from msgspec import structs

from pybench.analysis.along import INFLIGHT, SIZE, groups_along, side_by_side, usual
from pybench.analysis.model import Group, group_rounds
from pybench.cli import main
from pybench.result import Result
from pybench.result.file import ResultWriter
from tests.driver.test_openloop import open_round
from tests.support import synthetic
from tests.support.fakerounds import Invoke, invoke

__all__ = ["invoke"]

SPEEDS = {64: 50_000.0, 1000: 40_000.0, 16_384: 20_000.0}
ROWS = ("asyncio_proto", "c_epoll")


def results() -> list[Result]:
    return [
        synthetic.make_result(row, conns, number, msize=size, mps=speed, seed=size, samples=300)
        for size, speed in SPEEDS.items()
        for row in ROWS
        for conns in ((10, 100) if size != 64 else (10, 100, 1000))
        for number in (1, 2)
    ]


def groups_of(found: list[Result]) -> list[Group]:
    return group_rounds(synthetic.as_rounds(found))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sizes") / "r.jsonl"
    writer = ResultWriter(path, {"id": "x", "msize": list(SPEEDS)})
    for result in results():
        writer.write(result)
    writer.close()
    return path


def test_what_differs_in_size_only_stands_side_by_side() -> None:
    (family,) = groups_along(groups_of(results()))
    assert [group.conns for group in family] == [10, 100]  # at 1000 there is one size
    assert usual(family).conns == 100
    group = family[0]
    assert group.counts == list(SPEEDS) and group.rows == list(ROWS)
    assert group.at(1000) == "with 1k-byte messages"
    assert "10 connections" in group.title and "byte" not in group.title
    found = group.summary("c_epoll", 16_384, "mb_per_s")
    assert found is not None and found.mean == pytest.approx(20_000 * 16_384 / 1e6, rel=0.1)


def test_other_differences_and_open_loops_are_no_families() -> None:
    slower = synthetic.make_result("c_epoll", 10, msize=1000, runtime_s=9.0)
    assert groups_along(groups_of([synthetic.make_result("c_epoll", 10), slower])) == []
    assert (
        groups_along(groups_of([open_round(1000), structs.replace(open_round(1000), msize=1000)]))
        == []
    )


def test_tables_by_size_behind_the_others(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(file)]) == 0
    out = capsys.readouterr().out
    assert out.count("Megabytes per second, each way") == 5  # three sizes, two counts
    assert "100 connections, by size of message" in out
    assert main(["report", str(file), "--table", "mbps", "--format", "json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert len(record["groups"]) == 3
    assert [one["conns"] for one in record["by_size"]] == [10, 100]
    row = record["by_size"][0]["tables"]["mb_per_s"]["c_epoll"]
    assert list(row) == ["64", "1000", "16384"] and row["64"] < row["1000"] < row["16384"]
    assert main(["report", str(file), "--table", "mbps", "--format", "csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(lines) == 14  # a cell once
    assert {line["unit"] for line in lines} == {"MB/s"}


def test_one_size_has_no_megabytes_unless_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = ResultWriter(tmp_path / "r.jsonl", {"id": "x"})
    writer.write(synthetic.make_result("c_epoll", 10, mps=50_000.0))
    writer.close()
    assert main(["report", str(tmp_path / "r.jsonl")]) == 0
    assert "Megabytes" not in capsys.readouterr().out
    assert main(["report", str(tmp_path / "r.jsonl"), "--table", "mbps"]) == 0
    assert " 3.2 " in capsys.readouterr().out


def test_a_run_of_several_sizes_shows_them_side_by_side(invoke: Invoke) -> None:
    done = invoke("--func", "selector", "--conns", "5", "--msize", "64,1k")
    assert "5 connections, by size of message" in done.stdout
    assert done.stdout.count("Megabytes") == 1
    done = invoke("--func", "selector", "--conns", "5", "--msize", "1k")
    assert "by size" not in done.stdout


def test_pictures_by_size(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    from pybench.report.plots import write

    monkeypatch.setattr(write, "PICTURES", {})  # the others take their time
    assert main(["report", str(file), "--table", "mbps", "--plots", str(tmp_path)]) == 0
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"{name}_by_size.{end}" for name in ("mbps", "mps") for end in ("png", "svg")]


def test_the_page_has_a_chart_by_size(file: Path, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    pytest.importorskip("jinja2")
    target = tmp_path / "page.html"
    assert main(["report", str(file), "--table", "mbps", "--html", str(target)]) == 0
    page = target.read_text()
    text = page.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    groups = json.loads(text)["groups"]
    assert len(groups) == 4 and 'data-group="3" data-chart="size"' in page
    of = groups[3]["at"]["100"]
    assert of["counts"] == list(SPEEDS) and of["axis"] == "bytes a message"
    line = of["lines"]["mbps"]["c_epoll"]
    assert line["x"] == list(SPEEDS) and line["y"] == sorted(line["y"]) and "e" not in line
    assert "By size of message" in page and "At 100 connections" in page


def test_compare_tells_sizes_apart(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new.jsonl"
    writer = ResultWriter(new, {"id": "y"})
    for result in results():
        if result.msize != 64:
            writer.write(structs.replace(result, mps=0.5 * result.mps))
    writer.write(synthetic.make_result("c_epoll", 10, msize=100_000))  # BASE has no such size
    writer.close()
    assert main(["compare", str(file), str(new), "--noise", "0.01"]) == 0
    out = capsys.readouterr().out
    assert "Bytes" in out and "not compared" not in out
    assert main(["compare", str(file), str(new), "--format", "json"]) == 0
    record = json.loads(capsys.readouterr().out)
    cells = [(c["name"], c["conns"], c["msize"]) for c in record["cells"]]
    assert sorted(cells) == sorted(
        (r, n, s) for r in ROWS for n in (10, 100) for s in (1000, 16384)
    )
    assert all(c["ratio"]["ratio"] == pytest.approx(0.5) for c in record["cells"])
    assert main(["compare", str(file), str(new)]) == 0
    out = capsys.readouterr().out
    assert "asyncio_proto at 10 (1k bytes)" in out and "--conns 10,100 --msize 1000,16384" in out


def of_depths() -> list[Result]:
    """A row is twice as fast with four times as many pings in flight; and sizes besides."""
    return [
        synthetic.make_result(
            row, 10, number, inflight=depth, msize=size, mps=speed, seed=depth, samples=300
        )
        for depth, speed in ((1, 20_000.0), (4, 40_000.0), (16, 80_000.0))
        for size in (64, 1000)
        for row in ROWS
        for number in (1, 2)
    ]


def test_pings_in_flight_stand_side_by_side_for_each_size() -> None:
    families = side_by_side(groups_of(of_depths()))
    assert [family[0].along for family in families] == [SIZE] * 3 + [INFLIGHT] * 2
    group = families[3][0]
    assert group.counts == [1, 4, 16] and group.at(16) == "with 16 pings in flight a connection"
    assert "in flight" not in group.title and "64-byte messages" in group.title
    assert "4 pings in flight a connection" in families[1][0].title
    found = group.summary("c_epoll", 16, "mps")
    assert found is not None and found.mean == pytest.approx(80_000, rel=0.01)


def test_what_is_shown_by_pings_in_flight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for library in ("matplotlib", "plotly", "jinja2"):
        pytest.importorskip(library)
    from pybench.report.plots import write

    monkeypatch.setattr(write, "PICTURES", {})
    writer = ResultWriter(tmp_path / "r.jsonl", {"id": "x", "inflight": [1, 4, 16]})
    for result in of_depths():
        if result.msize == 64:
            writer.write(result)
    writer.close()
    command = ["report", str(tmp_path / "r.jsonl")]
    pictures, page = tmp_path / "pictures", tmp_path / "page.html"
    assert main([*command, "--plots", str(pictures), "--html", str(page)]) == 0
    out = capsys.readouterr().out
    assert "10 connections, by pings in flight" in out and "by size" not in out
    assert "Local load server, 64-byte messages, 2 s rounds, 1 ping in flight a connection" in out
    names = sorted(path.stem for path in pictures.glob("*.png"))
    assert names == ["lat50_by_inflight", "mps_by_inflight"]
    text = page.read_text()
    assert "By pings in flight" in text and 'value="lat50" selected' not in text
    groups = json.loads(
        text.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    )["groups"]
    lines = groups[-1]["at"]["10"]["lines"]
    assert list(lines) == ["mps", "lat50"] and lines["mps"]["c_epoll"]["x"] == [1, 4, 16]
    assert main([*command, "--table", "mps", "--format", "json"]) == 0
    record = json.loads(capsys.readouterr().out)
    (one,) = record["by_inflight"]
    assert list(one["tables"]["mps"]["c_epoll"]) == ["1", "4", "16"] and one["msize"] == 64
    assert [group["setting"].get("inflight") for group in record["groups"]] == [None, 4, 16]
    assert main([*command, "--table", "mps", "--format", "csv"]) == 0
    found = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {line["inflight"] for line in found} == {"1", "4", "16"}
    assert "idle" not in found[0]


def test_compare_tells_pings_in_flight_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / "base.jsonl", tmp_path / "new.jsonl"]
    for path, depths in zip(paths, ((1, 4, 16), (4, 16, 64)), strict=True):
        writer = ResultWriter(path, {"id": path.stem})
        for depth in depths:
            for number in (1, 2):
                made = synthetic.make_result("c_epoll", 10, number, inflight=depth, seed=depth)
                writer.write(made)
        writer.close()
    main(["compare", *map(str, paths)])
    out = capsys.readouterr().out
    assert "c_epoll (4 in flight)" in out and "c_epoll (16 in flight)" in out
    assert "64 in flight" not in out and "--inflight 4,16" in out
