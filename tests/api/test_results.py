"""What the functions return: tables, frames, pictures, and what a notebook shows."""

import csv
import io
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import pybench
from pybench import errors
from pybench.api.explained import Explained
from pybench.explain import read_explanation
from pybench.result.campaign import CampaignRecord
from pybench.result.file import ResultWriter
from tests.support import DATA, synthetic
from tests.support.fakeheats import FakeHeats


class Page(HTMLParser):
    """Whether elements are closed in order, and what the tables say."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        if tag == "br":
            return
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three rows at two counts, three rounds; a round of thread hangs."""
    file = tmp_path_factory.mktemp("api") / "r.jsonl"
    writer = ResultWriter(file, CampaignRecord(id="one"))
    for result in synthetic.make_campaign(
        funcs=("selector", "thread", "c_epoll"), counts=(10, 10_000), rounds=3, stamps=True,
        samples=50,
    ):  # fmt: skip
        writer.write(result)
    writer.close()
    return file


def test_load(path: Path) -> None:
    found = pybench.load(path)
    assert len(found) == 18 and not found.ok
    assert repr(found) == "<Results: 18 rounds of selector, thread, c_epoll>"
    twice = pybench.load(path, path)
    assert len(twice) == 18 and "given 2 times" in twice.notes[0]
    with pytest.raises(errors.ResultFormatError, match="No such file"):
        pybench.load(path.with_name("none.jsonl"))
    with pytest.raises(errors.UsageError, match="give one results file"):
        pybench.load()


def test_2016_has_frames_and_tables() -> None:
    found = pybench.load(DATA / "raw_2016_small.yaml")
    assert found and len(found) == 0 and len(found.rounds) > 0
    assert len(found.to_frame()) == len(found.rounds)
    assert "selector" in str(found)


def test_lines_that_cannot_be_read_are_told(path: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(path.read_text() + '{"schema": 1, "func": 5}\n')
    found = pybench.load(bad)
    assert len(found) == 18 and ":20: func: expected str, got int" in found.errors[0]


def test_table(path: Path) -> None:
    found = pybench.load(path)
    assert [line[0] for line in csv.reader(io.StringIO(found.table("mps", format="csv")))][1:] == (
        ["local"] * 6
    )
    assert set(json.loads(found.table("mps,lat99", format="json"))["tables"]) == {"mps", "lat99_ns"}
    assert "c_epoll is 1 at each count" in found.table("rel", relative_to="c_epoll")
    assert "### Messages per second" in found.table(format="markdown")
    for names, options, says in (
        ("speed", {}, "speed"),
        (None, {"format": "pdf"}, "no format 'pdf'"),
        ("rel", {"relative_to": "gevent"}, "gevent: no such row"),
        (None, {"server_name": "far"}, "far: the results are of local"),
    ):
        with pytest.raises(errors.UsageError, match=says):
            found.table(names, **options)  # type: ignore[arg-type]


def test_frame(path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pybench.load(path).to_frame()
    assert isinstance(frame, pandas.DataFrame) and len(frame) == 18
    assert list(frame.columns[:5]) == ["func", "conns", "msize", "rate", "round"]
    (hung,) = frame[frame.status == "hung"].index
    assert frame.loc[hung, "func"] == "thread" and pandas.isna(frame.loc[hung, "mps"])
    good = frame[frame.status == "ok"]
    assert (good.mps > 0).all() and (good.lat99_ns >= good.lat50_ns).all()
    assert set(frame[frame.func == "c_epoll"].stamps) == {"", "generator_bound"}


def test_without_pandas_it_is_said(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pybench.report.optional.find_spec", lambda name: None)
    with pytest.raises(errors.UsageError, match=r"to_frame: pandas is not installed \(pip inst"):
        pybench.load(path).to_frame()


def test_in_a_notebook(path: Path) -> None:
    """The figures of the command's table, in the same places."""
    found = pybench.load(path)
    page = Page(found._repr_html_())
    printed = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in str(found).splitlines()
        if line.startswith("|")
    ]
    assert [[" ".join(cell.split()) for cell in line] for line in printed] == page.rows
    assert "no echo for 5 s" in found._repr_html_()


def test_what_is_shown_is_text_and_no_markup(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    writer = ResultWriter(file, CampaignRecord(id="x"))
    writer.write(synthetic.make_result("<script>alert(1)</script>", 10))
    writer.write(synthetic.make_failure("a&b", 10, error="<b>no</b>"))
    writer.close()
    text = pybench.load(file)._repr_html_()
    Page(text)
    assert "<script>" not in text and "<b>no</b>" not in text and "a&amp;b" in text


def test_pictures(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = pybench.load(path)
    picture = found.plot("latency_distribution", cells="selector:10")
    assert picture._repr_png_().startswith(b"\x89PNG")
    assert "<svg" in picture.save(tmp_path / "x.svg").read_text()
    for call, says in (
        (lambda: found.plot("speed"), "no picture 'speed'; there are mps "),
        (lambda: found.plot("mbps_by_size"), "nothing to show in it"),
        (lambda: found.plot(group=1), "group 1: there are 1, from 0"),
        (lambda: picture.save(tmp_path / "x.pdf"), r"pictures are .svg or .png"),
        (lambda: picture.save(tmp_path / "no" / "x.svg"), "No such file"),
    ):
        with pytest.raises(errors.UsageError, match=says):
            call()


def test_several_settings_are_asked_apart(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    writer = ResultWriter(file, CampaignRecord(id="x"))
    for runtime_s in (1.0, 2.0):
        writer.write(synthetic.make_result("selector", 10, runtime_s=runtime_s, samples=50))
    writer.close()
    with pytest.raises(errors.UsageError, match="several settings: group= one of 0: "):
        pybench.load(file).plot()
    assert pybench.load(file).plot(group=1)._repr_png_()


def test_compare(path: Path) -> None:
    found = pybench.compare(path, base_func="selector", new_func="c_epoll")
    assert [(c.conns, c.verdict.kind) for c in found if c.verdict] == [
        (10, "faster"), (10_000, "faster")
    ]  # fmt: skip
    assert len(found.to_frame()) == 2 and "faster" in found.table(format="csv")
    Page(found._repr_html_())
    results = pybench.load(path)
    same = pybench.compare(results, results)
    assert "rounds in common, held against themselves" in " ".join(same.notes)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "give new, or base_func and new_func"),
        ({"base_func": "c_epoll", "new_func": "cpp_epoll"}, "are one row of BASE, held against"),
        ({"by": "python"}, "had no two interpreters"),
        ({"by": "machine"}, "only 'python'"),
        ({"base_python": "py3.12"}, "goes with by='python'"),
        ({"metric": "p75", "new_func": "a", "base_func": "b"}, "no metric 'p75'"),
        ({"margin": 3.0}, r"margin 3\.0 is no share"),
        ({"margin": None}, "margin None is no share"),
        ({"margin": "300%"}, "compare: margin: 300% is out of range"),
        ({"noise": 1.0}, r"noise 1\.0 is no share"),
        ({"metric": []}, r"no metric \[\]"),
        ({"base_func": 5, "new_func": "selector"}, "base_func: 5 is no text"),
        ({"new": 5}, "load: 5 is no path"),
        ({"base_func": "selector", "new_func": "gevent"}, "gevent: no such row"),
    ],
)
def test_no_comparison(options: dict[str, Any], says: str, path: Path) -> None:
    with pytest.raises(errors.UsageError, match=says):
        pybench.compare(path, **options)


def test_what_has_another_type_is_one_line(path: Path, tmp_path: Path) -> None:
    results = pybench.load(path)
    assert results.table(["mps", "lat99"]) == results.table("mps,lat99")
    for call, says in (
        (lambda: pybench.load(5), "load: 5 is no path"),
        (lambda: pybench.load([str(path)]), "is no path"),
        (lambda: results.table(5), "table: names: 5 is no text"),
        (lambda: results.table(relative_to=5), "table: relative_to: 5 is no text"),
        (lambda: results.plot(cells=5), "plot: cells: 5 is no text"),
        (lambda: results.plot(group="x"), "plot: group 'x'"),
        (lambda: results.write_page(None), "write_page: None is no path"),
    ):
        with pytest.raises(errors.UsageError, match=says):
            call()


def test_a_race_shows_itself(heats: FakeHeats, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    heats.speeds = {"selector": 40_000}
    found = pybench.race("c_epoll", "selector", budget="9s")
    rows = Page(found._repr_html_()).rows
    assert rows[0][0] == "Contender" and rows[1][0] == "c_epoll" and rows[2][4] == "slower"
    assert found.plot().save(tmp_path / "race.png").stat().st_size > 1000
    assert list(found.to_frame().contender) == ["c_epoll", "selector"]
    assert repr(found).startswith("<RaceResult: selector / c_epoll at 100 connections: 0.7")


def test_an_explanation_shows_itself() -> None:
    found = Explained(read_explanation(DATA / "v0.1" / "explain.json"), Path("explain"))
    assert len(found) > 0 and "System calls per ping" in str(found)
    assert Page(found._repr_html_()).rows[0] == ["Cell", "Calls"]
    with pytest.raises(errors.UsageError, match=r"read explain.json"):
        found.table(format="json")
