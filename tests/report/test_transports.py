"""Results over several transports: tables, a picture and a chart side by side, comparisons."""

import csv
import io
import json
from pathlib import Path

import pytest
from msgspec import structs

from pybench.analysis.along import TRANSPORT, groups_along
from pybench.analysis.model import group_rounds
from pybench.cli import main
from pybench.result import Result
from pybench.result.file import ResultWriter
from tests.support import synthetic

SPEEDS = {"tcp": 50_000.0, "unix": 80_000.0, "tls": 20_000.0}
ROWS = ("asyncio_proto", "c_epoll")


def results() -> list[Result]:
    return [
        synthetic.make_result(row, conns, number, transport=transport, mps=speed, samples=300)
        for transport, speed in SPEEDS.items()
        for row in ROWS
        for conns in ((10, 100) if transport != "tls" else (100,))
        for number in (1, 2)
    ]


def write(path: Path, found: list[Result], name: str) -> Path:
    writer = ResultWriter(path, {"id": name})
    for result in found:
        writer.write(result)
    writer.close()
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("transports") / "r.jsonl", results(), "x")


def test_what_differs_in_the_transport_only_stands_side_by_side() -> None:
    (family,) = groups_along(group_rounds(synthetic.as_rounds(results())), TRANSPORT)
    assert [group.conns for group in family] == [10, 100]
    few, many = family
    assert [many.label(count) for count in many.counts] == ["TCP", "Unix sockets", "TLS 1.3"]
    assert [few.at(count) for count in few.counts] == ["over TCP", "over Unix sockets"]
    assert "TCP" not in many.title and "100 connections" in many.title
    assert groups_along(group_rounds(synthetic.as_rounds(results()[:4])), TRANSPORT) == []


def test_tables_by_transport_behind_the_others(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(file), "--table", "mps", "--format", "markdown"]) == 0
    out = capsys.readouterr().out
    assert "100 connections, by transport" in out and "By size" not in out
    assert "TLS 1.3" in out and "Unix sockets" in out
    assert main(["report", str(file), "--table", "mps", "--format", "json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [one["setting"].get("transport") for one in record["groups"]] == [None, "unix", "tls"]
    assert record["by_transport"][1]["tables"]["mps"]["c_epoll"] == SPEEDS
    assert main(["report", str(file), "--table", "mps", "--format", "csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {line["transport"] for line in lines} == set(SPEEDS)


def test_over_tcp_alone_nothing_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "r.jsonl", results()[:4], "x")
    for fmt in ("table", "json", "csv"):
        assert main(["report", str(path), "--format", fmt]) == 0
        out = capsys.readouterr().out
        assert "TCP" not in out and "transport" not in out


def test_a_picture_and_a_chart_by_transport(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("plotly")
    from pybench.report.plots import write as pictures

    monkeypatch.setattr(pictures, "PICTURES", {})
    page = tmp_path / "page.html"
    asked = ["report", str(file), "--table", "mps", "--plots", str(tmp_path), "--html", str(page)]
    assert main(asked) == 0
    assert sorted(p.name for p in tmp_path.glob("*_by_*")) == [
        f"mps_by_transport.{end}" for end in ("png", "svg")
    ]
    text = page.read_text()
    data = text.partition('<script type="application/json" id="data">')[2].partition("</script>")[0]
    of = json.loads(data)["groups"][3]["at"]["100"]
    assert of["labels"] == ["TCP", "Unix sockets", "TLS 1.3"] and of["axis"] == "transport"
    assert of["lines"]["mps"]["c_epoll"]["y"] == list(SPEEDS.values())
    assert "By transport" in text


def test_compare_tells_transports_apart(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    halved = [structs.replace(r, mps=0.5 * r.mps) for r in results() if r.transport != "unix"]
    new = write(tmp_path / "new.jsonl", halved, "y")
    assert main(["compare", str(file), str(new), "--format", "json"]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert len(cells) == 6 and {cell["transport"] for cell in cells} == {"tcp", "tls"}
    assert all(cell["ratio"]["ratio"] == pytest.approx(0.5) for cell in cells)
    assert main(["compare", str(file), str(new)]) == 0
    out = capsys.readouterr().out
    assert "c_epoll (over tls)" in out
    assert "--transport tcp,tls" in out


def test_two_transports_are_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = write(tmp_path / "b.jsonl", [r for r in results() if r.transport == "tcp"], "x")
    new = write(tmp_path / "n.jsonl", [r for r in results() if r.transport == "tls"], "y")
    assert main(["compare", str(base), str(new)]) == 2
    assert "transport tcp against tls" in capsys.readouterr().out
