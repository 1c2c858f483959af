"""Reports: what stands in the tables, in every format, in files, and what is said if it cannot."""

import csv
import io
import itertools
import json
import os
import re
import statistics
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from pybench.analysis.load import load_files
from pybench.analysis.model import (
    Group,
    fastest_first,
    group_rounds,
    memory_values,
    server_name,
)
from pybench.api.results import results_of
from pybench.backends import ROWS
from pybench.backends.names import FAMILY_ORDER, family, row_order
from pybench.cli import main
from pybench.errors import UsageError
from pybench.report import optional
from pybench.report.charts import Charts
from pybench.report.document import Grid
from pybench.report.metrics import METRICS, select_metrics
from pybench.report.plots.single import draw_race, image
from pybench.report.reference import build_reference
from pybench.report.select import parse_cells, select_cells, spread_counts
from pybench.report.sentences import summary_sentences
from pybench.report.style import row_styles
from pybench.report.summary import run_summary
from pybench.report.tables import build_tables
from pybench.report.text import duration_text, letters, rate_text, ratio_text, size_text
from pybench.result import Resident, Result
from pybench.result.file import ResultWriter, read_sections
from pybench.units import count_label
from tests.driver.test_openloop import open_round
from tests.report.test_ranking import contest
from tests.support import DATA, synthetic

SMALL = DATA / "results_small.jsonl"
OLD = DATA / "raw_2016_small.yaml"


def write_results(path: Path, results: Sequence[Result], **campaign: Any) -> Path:
    """A results file of one invocation."""
    writer = ResultWriter(path, campaign)
    for result in results:
        writer.write(result)
    writer.close()
    return path


def one_group(results: Sequence[Result]) -> Group:
    (group,) = group_rounds(synthetic.as_rounds(results))
    return group


@pytest.fixture
def small() -> Group:
    """The fixture file: three rows, two counts, three rounds, one row that failed at 1000."""
    (group,) = load_files([SMALL]).groups()
    return group


# Golden outputs. PYBENCH_UPDATE_GOLDEN=1 writes them anew: look at the difference first.


def check_golden(name: str, found: str) -> str:
    path = DATA / "golden" / name
    if os.environ.get("PYBENCH_UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8")
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("fmt", ["table", "markdown"])
def test_golden_report(capsys: pytest.CaptureFixture[str], fmt: str) -> None:
    argv = ["report", str(SMALL), "--table", "all", "--reference", "2016", "--format", fmt]
    assert main(argv) == 0
    found = capsys.readouterr().out
    assert found == check_golden(f"report.{fmt}.txt", found)


@pytest.mark.parametrize("fmt", ["table", "markdown"])
def test_golden_summary(fmt: Any) -> None:
    file = io.StringIO()
    run_summary(read_sections(SMALL)[0].results, fmt, file)
    found = file.getvalue()
    assert found == check_golden(f"summary.{fmt}.txt", found)


def approximately(value: Any) -> Any:
    """The same structure with every float replaced by one that compares approximately."""
    if isinstance(value, dict):
        return {key: approximately(item) for key, item in value.items()}
    if isinstance(value, list):
        return [approximately(item) for item in value]
    return pytest.approx(value) if isinstance(value, float) else value


def test_golden_report_json(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["report", str(SMALL), "--table", "all", "--reference", "2016", "--format", "json"]
    assert main(argv) == 0
    found = capsys.readouterr().out
    assert json.loads(found) == approximately(json.loads(check_golden("report.json", found)))


def test_golden_summary_json() -> None:
    file = io.StringIO()
    run_summary(read_sections(SMALL)[0].results, "json", file)
    found = file.getvalue()
    assert json.loads(found) == approximately(json.loads(check_golden("summary.json", found)))


@pytest.mark.parametrize("what", ["report", "summary"])
def test_golden_csv(capsys: pytest.CaptureFixture[str], what: str) -> None:
    if what == "report":
        assert main(["report", str(SMALL), "--table", "all", "--format", "csv"]) == 0
    else:
        run_summary(read_sections(SMALL)[0].results, "csv", sys.stdout)
    found = capsys.readouterr().out
    expected = check_golden(f"{what}.csv", found)

    def parsed(text: str) -> list[list[Any]]:
        return [[_number(cell) for cell in line] for line in csv.reader(io.StringIO(text))]

    assert parsed(found) == approximately(parsed(expected))


def _number(cell: str) -> Any:
    try:
        return float(cell)
    except ValueError:
        return cell


# What the numbers are.


def test_json_has_the_documented_shape(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(SMALL), "--format", "json"]) == 0
    tables = json.loads(capsys.readouterr().out)["tables"]
    cell = tables["mps"]["asyncio_proto"]["10"]
    assert set(cell) == {"mean", "median", "stddev", "dev_pct", "n", "ci95", "ties"}
    assert (cell["mean"], cell["median"], cell["stddev"], cell["n"]) == (31000, 31000, 1000, 3)
    assert cell["dev_pct"] == pytest.approx(100 * 2.5 * 1000 / 31000)
    assert cell["ci95"] == pytest.approx([31000 - 2484.14, 31000 + 2484.14], abs=0.01)
    assert {"mps", "rel", "lat50_ns", "lat95_ns", "user_pct", "cpu_us_per_msg"} <= tables.keys()
    assert "1000" not in tables["mps"]["thread"], "a cell that failed is no figure"
    smallest = min(c["mean"] for row in tables["mps"].values() for c in row.values())
    rel = tables["rel"]["c_epoll"]["10"]["mean"]
    assert rel == pytest.approx(126000 / smallest)
    assert min(c["mean"] for row in tables["rel"].values() for c in row.values()) == 1.0


def test_cpu_user_share_and_memory(small: Group) -> None:
    """2.5 s of CPU over 2.5 s of messages: 1e6 / mps us each; half of it in user mode."""
    user = small.summary("asyncio_proto", 10, "user_pct")
    cpu = small.cells["asyncio_proto", 10].values("cpu_us_per_msg")
    memory = small.summary("asyncio_proto", 1000, "rss_kib_per_conn")
    assert user is not None and user.mean == pytest.approx(50)
    assert cpu == pytest.approx([1e6 / 30000, 1e6 / 31000, 1e6 / 32000])
    assert memory is not None and memory.mean == pytest.approx(24.0)


def test_memory_of_connections_is_what_lies_above_none() -> None:
    made = synthetic.make_result("selector", 100)
    assert made.client is not None
    reads = [Resident(before=20_000, idle=20_700, busy=20_950), Resident(idle=9, busy=9), None]
    rounds = [
        structs.replace(made, round=n, client=structs.replace(made.client, rss_kb=read))
        for n, read in enumerate(reads, 1)
    ]
    built = build_tables(one_group(rounds), select_metrics("memory"))
    texts = {table.metric.name: table.text("selector", 100, "---") for table in built.tables}
    assert texts == {
        "idle_memory": "7.0 KiB", "busy_memory": "9.5 KiB", "peak_memory": "186 KiB"
    }  # fmt: skip
    assert size_text(-0.01) == "0.0 KiB"


def test_memory_of_idle_connections_is_not_that_of_busy_ones() -> None:
    read = Resident(before=20_000, idle=23_000, busy=23_500)
    assert memory_values(read, 100, 900) == {"idle_kib_per_conn": 3.0, "busy_kib_per_conn": 8.0}
    assert memory_values(read, 1000) == {"idle_kib_per_conn": 3.0, "busy_kib_per_conn": 3.5}
    unread = Resident(before=20_000, busy=23_500)
    assert memory_values(unread, 100, 900) == {}


def test_one_round_has_no_tilde() -> None:
    results = [synthetic.make_result("selector", 10, mps=90_000.0)]
    built = build_tables(one_group(results), select_metrics("mps"))
    assert built.tables[0].text("selector", 10, "---") == "90k"


def test_report_rounds_relative_speed_to_whole_numbers() -> None:
    results = [
        synthetic.make_result(func, 10, mps=mps)
        for func, mps in [("asyncio", 10_000.0), ("uvloop", 24_900.0), ("c_epoll", 25_100.0)]
    ]
    (table,) = build_tables(one_group(results), select_metrics("rel")).tables
    assert [table.text(row, 10, "") for row in table.rows] == ["1", "2", "3"]


def test_relative_to_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["report", str(SMALL), "--table", "rel", "--format", "json", "--relative-to"]
    assert main([*argv, "cpp_epoll"]) == 0, "an alias names the row as well"
    rel = json.loads(capsys.readouterr().out)["tables"]["rel"]
    assert rel["c_epoll"]["10"]["mean"] == rel["c_epoll"]["1000"]["mean"] == 1.0
    ratios = [30 / 120, 31 / 126, 32 / 132]
    assert rel["asyncio_proto"]["10"]["mean"] == pytest.approx(statistics.geometric_mean(ratios))
    assert main([*argv, "nobody"]) == 2
    assert "no such row; there are asyncio_proto, thread, c_epoll" in capsys.readouterr().err


def test_stamped_cells_differ_and_have_a_legend(small: Group) -> None:
    built = build_tables(small, select_metrics("mps"))
    (table,) = built.tables
    assert [(s.mark, s.code, s.rounds, list(s.cells)) for s in built.stamps] == [
        ("a", "generator_bound", 2, [("c_epoll", 1000)]),
        ("b", "unfair", 1, [("asyncio_proto", 1000)]),
    ]
    assert built.stamps[0].remedy
    assert table.text("c_epoll", 1000, "").rstrip().endswith("!a")
    assert "!" not in table.text("c_epoll", 10, "")
    widths = {
        len(table.text(row, count, "").partition("%")[2])
        for row, count in [("c_epoll", 1000), ("asyncio_proto", 1000)]
    }
    assert widths == {len(" * !a")}
    clean = synthetic.make_result("asyncio", 1000, mps=20_000.0)
    stamped = synthetic.make_result("c_epoll", 1000, warnings=[synthetic.UNFAIR])
    (table,) = build_tables(one_group([clean, stamped]), select_metrics("mps")).tables
    assert table.text("asyncio", 1000, "") == "20k   ", "room where others have a mark"


def test_failures_are_listed_with_their_reason(small: Group) -> None:
    (failure,) = build_tables(small, select_metrics("mps")).failures
    assert failure.text == "thread at 1k: failed (3 of 3 rounds): can't start new thread"


def test_a_failed_round_stays_in_the_table_of_its_invocation() -> None:
    """A failed round knows no server; it must not open a table of its own."""
    results = [
        synthetic.make_result("selector", 10, 1, server="10.0.0.9:33331"),
        synthetic.make_failure("thread", 10, 1, status="hung", error="no echo for 5 s"),
    ]
    group = one_group(results)
    assert group.setting.server == "10.0.0.9"
    assert group.rows == ["selector", "thread"]


def test_settings_stand_apart() -> None:
    results = [
        synthetic.make_result("selector", 10, 1),
        synthetic.make_result("selector", 10, 1, msize=1024),
        synthetic.make_result("selector", 10, 1, think_us=(5000, 15000)),
        synthetic.make_result("selector", 10, 2),
    ]
    groups = group_rounds(synthetic.as_rounds(results))
    assert [len(group.rounds) for group in groups] == [2, 1, 1]
    assert "1024-byte" in groups[1].title and "think time 5000-15000 us" in groups[2].title


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("127.0.0.1:40001", "local"),
        ("127.9.8.7:1", "local"),
        ("[::1]:33331", "local"),
        ("localhost:33331", "local"),
        ("", "local"),
        ("10.0.0.2:33331", "10.0.0.2"),
        ("[fd00::2]:33331", "fd00::2"),
        ("bench.example:33331", "bench.example"),
    ],
)
def test_server_names(address: str, name: str) -> None:
    assert server_name(address) == name


def test_several_load_servers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tables of their own, one chosen by name, a wrong name answered with the right ones."""
    results = [
        synthetic.make_result("selector", 10, server=server, mps=mps)
        for server, mps in [("127.0.0.1:5", 50_000.0), ("10.0.0.2:33331", 70_000.0)]
    ]
    path = str(write_results(tmp_path / "r.jsonl", results))
    assert main(["report", path, "--format", "json", "--table", "mps"]) == 0
    groups = json.loads(capsys.readouterr().out)["groups"]
    assert [g["server"] for g in groups] == ["local", "10.0.0.2"]
    assert main(["report", path, "--format", "json", "--server-name", "10.0.0.2"]) == 0
    chosen = json.loads(capsys.readouterr().out)
    assert chosen["tables"]["mps"]["selector"]["10"]["mean"] == 70_000.0
    assert main(["report", path, "--server-name", "10.0.0.3"]) == 2
    assert "the results are of 10.0.0.2, local" in capsys.readouterr().err


def test_files_are_read_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [
        str(write_results(tmp_path / f"{n}.jsonl", [synthetic.make_result("selector", 10, n)]))
        for n in (1, 2)
    ]
    assert main(["report", *paths, paths[0], "--format", "json", "--table", "mps"]) == 0
    tables = json.loads(capsys.readouterr().out)["tables"]
    assert tables["mps"]["selector"]["10"]["n"] == 2, "a file named twice is read once"


def test_rows_stand_in_the_registry_order_and_unknown_ones_behind() -> None:
    names = ["zebra", "cpp_th", "c_epoll", "trio", "thread", "asyncio_sock", "asyncio"]
    assert sorted(names, key=row_order) == [
        *("asyncio", "asyncio_sock", "thread", "c_epoll", "cpp_th"),
        *("trio", "zebra"),
    ]


@pytest.mark.parametrize("option", ["--html", "--plots", "--table", "--relative-to"])
def test_system_calls_have_no_such_thing(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--syscalls", "explain.json", option, "x"]) == 2
    assert f"{option} is for results files: --syscalls reads none" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--table", "speed"], "--table 'speed': no such table; there are mps, mbps, rel"),
        (["--hgrm", "x", "--cells", "c_epoll:many"], "--cells: 'many' is not a count"),
        (["--hgrm", "x", "--cells", "c_epoll:"], "a cell is ROW, ROW:CONNS or :CONNS"),
        (["--reference", "2015"], "--reference"),
        (["--relative-to", "nobody", "--reference", "2016"], "no such row"),
        (["--hgrm", "{tmp}/h", "--cells", "gevent"], "no such cell has a histogram"),
        (["--html", "{tmp}/file/x.html"], "--html"),
        (["--plots", "{tmp}/file"], "--plots"),
        (["--cells", "c_epoll:10"], "--cells chooses what --plots and --hgrm show: give one"),
        (["--table", "mps,scaling", "--format", "bmf"], "--table scaling is a table"),
    ],
)
def test_bad_options(
    argv: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")
    options = [option.replace("{tmp}", str(tmp_path)) for option in argv]
    assert main(["report", str(SMALL), *options]) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "No such file"),
        ("", "empty"),
        ('{"schema": 1, "campaign": {}}\n', "no rounds in it"),
        ('{"schema": 1, "func"\n{}\n', "r.jsonl:1: not JSON"),
        ("just words\n", "neither result lines nor"),
    ],
)
def test_bad_files(
    text: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.jsonl"
    if text is not None:
        path.write_text(text)
    assert main(["report", str(path)]) == 1
    err = capsys.readouterr().err
    assert words in err and str(path) in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("option", "module", "package"),
    [
        ("--plots", "matplotlib", "matplotlib"),
        ("--html", "plotly", "plotly"),
        ("--html", "jinja2", "jinja2"),
    ],
)
def test_missing_libraries(
    option: str,
    module: str,
    package: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert main(["report", str(SMALL), option, str(tmp_path / "x")]) == 2
    captured = capsys.readouterr()
    expected = f"report {option}: {package} is not installed (pip install {package})"
    assert expected in captured.err
    assert captured.out == "", "nothing is printed before it is known to work"


def test_a_library_that_does_not_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As matplotlib, which refuses a backend of the environment that it has not."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name}: 'nosuch' is not a valid value for backend")

    monkeypatch.setattr(optional, "import_module", refuse)
    assert main(["report", str(SMALL), "--plots", "x"]) == 2
    said = capsys.readouterr().err
    assert "report --plots: matplotlib is installed and does not start: matplotlib: 'nos" in said


def test_pictures_of_names_that_are_long_or_formulas() -> None:
    """A remedy of ours makes a name of a hundred letters; dollars begin no formula."""
    long = "asyncio[GLIBC_TUNABLES=glibc.malloc.mmap_threshold=1048576:glibc.malloc.trim=9999999]"
    names = (long, r"selector[A=$\frac{$]")
    results = [synthetic.make_result(name, 10) for name in names]
    assert image(results_of(results).plot("cpu_per_message").figure, "svg")
    assert image(draw_race(contest(*names)), "svg")


def test_missing_yaml(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert main(["report", str(OLD)]) == 2
    assert "pyyaml is not installed (pip install pyyaml)" in capsys.readouterr().err


# What a finished run prints.


def test_summary_shows_every_cell_and_every_failure() -> None:
    results = [
        *synthetic.make_campaign(funcs=["selector", "c_epoll"], counts=[10, 100], rounds=2),
        synthetic.make_failure("trio", 10, status="unavailable", error="trio: not installed"),
    ]
    for fmt in ("table", "markdown"):
        file = io.StringIO()
        run_summary(results, fmt, file)  # type: ignore[arg-type]
        out = file.getvalue()
        lines = [
            line for line in out.splitlines() if re.match(r"\| +(selector|c_epoll|trio)", line)
        ]
        assert len(lines) == 5
        assert "trio at 10: unavailable: trio: not installed" in out


def test_summary_of_failures_only() -> None:
    for fmt in ("table", "markdown", "csv", "json"):
        file = io.StringIO()
        run_summary([synthetic.make_failure("thread", 10, error="boom")], fmt, file)  # type: ignore[arg-type]
        assert "boom" in file.getvalue()


def test_summary_csv_has_raw_numbers() -> None:
    file = io.StringIO()
    run_summary(read_sections(SMALL)[0].results, "csv", file)
    lines = list(csv.DictReader(io.StringIO(file.getvalue())))
    first = next(line for line in lines if line["func"] == "c_epoll" and line["conns"] == "1000")
    assert float(first["mps"]) == pytest.approx(101_000)
    assert (first["rounds"], first["failed"]) == ("3", "0")
    assert first["warnings"] == "generator_bound"
    failed = next(line for line in lines if line["failed"] == "3")
    assert failed["mps"] == "" and failed["errors"] == "can't start new thread"


def test_narrow_terminal_gets_all_columns_in_parts(small: Group) -> None:
    """Nothing is cut off or folded in 60 columns; every part repeats the rows."""
    from rich.console import Console

    from pybench.report.terminal import print_grid

    heads = ["Test", *map(str, range(100_000, 100_012))]
    body = [[row, *(f"{n}k ~ {n}%" for n in range(10, 22))] for row in ("asyncio", "c_epoll")]
    file = io.StringIO()
    print_grid(Console(file=file, width=60), Grid(title="Title", heads=heads, rows=body))
    out = file.getvalue()
    assert all(len(line) <= 60 for line in out.splitlines())
    assert all(cell in out for cell in [*heads, *body[0]])
    assert out.count("asyncio") == out.count("Test") > 2


# 2016 beside now.


def test_reference_ratios_drop_machine_speed_out() -> None:
    """selector was 230k of 450k at 100 connections with a local server; now 60k of 120k."""
    results = [
        synthetic.make_result("selector", 100, mps=60_000.0),
        synthetic.make_result("c_epoll", 100, mps=120_000.0),
    ]
    reference = build_reference(one_group(results), "2016", None)
    assert (reference.where, reference.relative_to) == ("local", "c_epoll")
    entry = reference.tables[0].entries["selector", 100]
    assert (entry.then, entry.now) == pytest.approx((230 / 450, 0.5))
    assert reference.sentences == [
        "selector was 0.51 of c_epoll at 100 connections in 2016, 0.50 now."
    ]


def test_reference_takes_the_remote_figures_for_a_remote_server() -> None:
    results = [
        synthetic.make_result(func, 100, mps=mps, server="10.0.0.2:33331")
        for func, mps in [("selector", 60_000.0), ("c_epoll", 120_000.0)]
    ]
    reference = build_reference(one_group(results), "2016", None)
    assert reference.where == "remote"
    assert reference.tables[0].entries["selector", 100].then == pytest.approx(290 / 600)
    assert [table.key for table in reference.tables] == ["mps", "lat95_ns"]
    forced = build_reference(one_group(results), "2016-local", "selector")
    assert forced.tables[0].entries["c_epoll", 100].then == pytest.approx(450 / 230)


def test_reference_needs_the_row_that_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    group = one_group([synthetic.make_result("selector", 100)])
    with pytest.raises(UsageError, match="no c_epoll here: give --relative-to, one of selector"):
        build_reference(group, "2016", None)


# Files.


@pytest.fixture(scope="module")
def plots(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """All pictures of a stamped campaign."""
    pytest.importorskip("matplotlib")
    folder = tmp_path_factory.mktemp("plots")
    results = synthetic.make_campaign(rounds=3, stamps=True, samples=300)
    path = write_results(folder / "r.jsonl", results)
    assert main(["report", str(path), "--table", "mps", "--plots", str(folder / "p")]) == 0
    yield folder / "p"


PICTURES = (
    "mps",
    "mps_no_c",
    "lat95",
    "lat50",
    "cpu_per_message",
    "latency_distribution",
    "fairness",
)


def test_every_picture_as_svg_and_png(plots: Path) -> None:
    expected = {f"{name}.{kind}" for name in PICTURES for kind in ("svg", "png")}
    assert {path.name for path in plots.iterdir()} == expected
    for path in plots.glob("*.svg"):
        assert ET.parse(path).getroot().tag.endswith("svg")
    for path in plots.glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG\r\n")


def test_pictures_without_c_have_no_c_colour(plots: Path) -> None:
    light = row_styles(synthetic.SPEEDS)["c_epoll"].light
    assert f"stroke: {light}; stroke-width: 1.7" in (plots / "mps.svg").read_text()
    assert f"stroke: {light}; stroke-width: 1.7" not in (plots / "mps_no_c.svg").read_text()


def test_a_row_has_one_colour_in_every_picture(plots: Path) -> None:
    for row in ("uvloop_proto", "gevent", "thread"):
        light = row_styles(synthetic.SPEEDS)[row].light
        for path in plots.glob("*.svg"):
            assert light in path.read_text(), (row, path.name)


def test_many_rows_stand_in_panels_of_their_families() -> None:
    """Each family with the fastest C row beside it; each row labelled once, not on another."""
    pytest.importorskip("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from pybench.report.plots.speed import speed

    group = one_group(synthetic.make_many(counts=(10, 1000), rounds=2))
    styles = row_styles(group.rows, group.families)
    figure = speed(Charts(group), styles, None)
    assert figure is not None
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.canvas.draw()
    panels = {axis.get_title("left"): axis for axis in figure.axes if axis.get_visible()}
    assert list(panels) == [family for family in FAMILY_ORDER if family != "other"]
    labels = {
        name: [note.get_text() for note in axis.texts if note.get_fontweight() == "bold"]
        for name, axis in panels.items()
    }
    for name, found in labels.items():
        rows = {row for row in group.rows if group.families[row] == name}
        assert set(found) == rows | {"c_uring"} and len(found) == len(set(found)), name
    extents = [words_box(note, renderer) for axis in panels.values() for note in axis.texts]
    assert all(not a.overlaps(b) for a, b in itertools.combinations(extents, 2))
    assert all(box.x1 <= figure.bbox.x1 for box in extents), "nothing is cut off"


@pytest.mark.parametrize("left", [True, False])
def test_ticks_and_rules_do_not_move_the_limits(left: bool) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    from pybench.report.plots.axes import time_axis
    from pybench.report.plots.panel import finish_panel

    axes = Figure().subplots(1, 2, sharey=True)
    axes[0].plot([1, 2], [60e6, 4.1e9])
    time_axis(axes[0])
    before = axes[0].get_xlim(), axes[1].get_ylim()
    for axis in axes:
        finish_panel(axis, left=left)
    assert (axes[0].get_xlim(), axes[1].get_ylim()) == before


def words_box(note: Any, renderer: Any) -> Any:
    """The box of an annotation's words without its arrow, a little smaller."""
    from matplotlib.text import Text

    return Text.get_window_extent(note, renderer).padded(-2)


def test_a_program_is_not_the_fastest_python_row() -> None:
    rows = (("asyncio", "asyncio", 30_000.0), ("selector", "selectors", 60_000.0))
    results = [
        synthetic.make_result(row, 100, mps=mps, family=family)
        for row, family, mps in [*rows, ("go", "programs", 90_000.0), ("mine", "C", 95_000.0)]
    ]
    first = summary_sentences(one_group(results))[0]
    assert first.startswith("selector serves 2.0x asyncio") and "; mine 1.58x that" in first


def test_a_sentence_says_how_sure_its_ratio_is() -> None:
    """The interval of the pairs; one round has none, and apart from each other none decide."""

    def sentence(rounds: int, faster: float, campaign: str = "x", swing: float = 1.0) -> str:
        speeds = [30_000.0, 31_000.0, 32_500.0, 30_000.0][:rounds]
        swings = {"asyncio_proto": 1.0, "uvloop_proto": swing}
        results = [
            synthetic.make_result(row, 100, n, mps=factor * mps * swings[row] ** (-1) ** n)
            for row, factor in (("asyncio_proto", 1.0), ("uvloop_proto", faster))
            for n, mps in enumerate(speeds, 1)
        ]
        (group,) = group_rounds(synthetic.as_rounds(results, campaign))
        return summary_sentences(group)[0]

    serves = "uvloop_proto serves 3.0x asyncio_proto at 100 connections"
    assert sentence(4, 3.0) == f"{serves} (95% CI 3.0 to 3.0)."
    assert sentence(4, 3.0, campaign="").endswith(": undecided).")
    assert sentence(4, 1.01).endswith("(95% CI 1.01 to 1.01: equal within 3%).")
    assert sentence(4, 1.01, swing=1.1).endswith(": undecided).")
    assert sentence(1, 3.0).endswith("(one round: no interval).")


def test_many_rows_of_an_open_loop_are_summed_up_together() -> None:
    results = [
        open_round(rate, func=f"row{number:02}", kept=rate <= knee)
        for number, knee in enumerate([*[1000] * 9, *[2000] * 5, 500])
        for rate in (1000, 2000, 4000)
    ]
    first, listed, cost = summary_sentences(one_group(results))
    assert first == "5 of 15 rows keep up to 2.0k messages/s, the most of all."
    assert "; 1.0k messages/s by row00, row01," in listed
    assert listed.endswith("; none of the rates by row14.")
    assert "(the least and the most of 5 rows)" not in cost, "five are told one by one"
    few = [result for result in results if result.func < "row03"]
    assert len(summary_sentences(one_group(few))) == 4


def test_bars_of_many_rows_stand_under_their_families() -> None:
    pytest.importorskip("matplotlib")
    from pybench.report.plots.bars import bar_places

    group = one_group(synthetic.make_many(counts=(10,), rounds=2))
    places, heads = bar_places(group.rows, group.families)
    assert set(places) == set(group.rows)
    for row, place in places.items():
        above = max((top for top in heads.items() if top[1] < place), key=lambda top: top[1])
        assert above[0] == group.families[row]
    few = one_group(synthetic.make_campaign(funcs=["thread", "c_epoll"], counts=(10,), rounds=1))
    assert bar_places(few.rows, few.families) == ({"thread": 0, "c_epoll": 1}, {})


def test_pictures_of_the_2016_file(tmp_path: Path) -> None:
    """No histograms, no Jain, a row with one count: what is there is drawn, the rest left out."""
    pytest.importorskip("matplotlib")
    argv = ["report", str(OLD), "--server-name", "10.0.0.2", "--plots", str(tmp_path)]
    assert main(argv) == 0
    names = {path.stem for path in tmp_path.glob("*.png")}
    assert names == set(PICTURES) - {"latency_distribution"}


def test_pictures_of_several_groups_do_not_overwrite_each_other(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert main(["report", str(OLD), "--plots", str(tmp_path)]) == 0
    assert {"mps-1-10.0.0.2.svg", "mps-2-local.svg"} <= {p.name for p in tmp_path.iterdir()}


def test_colours_are_the_same_whatever_else_is_shown() -> None:
    alone = {name: row_styles([name])[name].light for name in ("thread", "mycode", "trio")}
    together = row_styles([*synthetic.SPEEDS, *alone])
    assert {name: together[name].light for name in alone} == alone


def test_no_two_rows_of_a_report_have_one_colour() -> None:
    """Twelve unknown rows are certain to meet in a hash of twelve slots; each gets a free one."""
    names = [*synthetic.SPEEDS, *(f"plugin{i}" for i in range(12))]
    styles = row_styles(names)
    assert len({style.light for style in styles.values()}) == len(names)
    assert len({style.dark for style in styles.values()}) == len(names)


def test_aliases_look_like_their_row() -> None:
    assert row_styles(["cpp_epoll"])["cpp_epoll"] == row_styles(["c_epoll"])["c_epoll"]


def test_one_line_style_per_family() -> None:
    styles = row_styles(synthetic.SPEEDS)
    dashes = {(style.family, style.dash) for style in styles.values()}
    assert len(dashes) == len({family for family, _ in dashes}) == 6
    assert len({dash for _, dash in dashes}) == 6


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("trio", "trio"),
        ("asyncio[X=1]", "asyncio"),
        ("gevent", "greenlets"),
        ("cpp_epoll", "C"),
        ("c_newer", "C"),
        ("asyncio_newer", "asyncio"),
        ("asyncio_proto@rloop", "other loops"),
        ("exec:my-echo", "programs"),
        ("mine.py:serve", "plug-ins"),
        ("mine", "other"),
    ],
)
def test_families(row: str, expected: str) -> None:
    assert family(row) == expected and expected in FAMILY_ORDER


@pytest.mark.parametrize(
    ("row", "recorded", "expected"),
    [
        ("fastecho", "plug-ins", "plug-ins"),
        ("c-echo", "programs", "programs"),
        ("trio", "frameworks", "frameworks"),
        ("gevent", "gevent", "greenlets"),
        ("mine", "a family of tomorrow", "other"),
        ("uvloop", "", "uvloop"),
    ],
)
def test_the_family_is_what_the_results_say(row: str, recorded: str, expected: str) -> None:
    """Of rows that this machine does not know, of newer versions, and in files of older ones."""
    group = one_group(
        [synthetic.make_failure(row, 10), synthetic.make_result(row, 10, 2, family=recorded)]
    )
    assert group.families == {row: expected}
    assert row_styles(group.rows, group.families)[row].family == expected


def test_every_registered_row_has_a_colour_of_its_own_that_can_be_seen() -> None:
    """At least 3:1 on the page's light and dark grounds; so have the rows from the reserve."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        red, green, blue = (
            p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts
        )
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    names = [*ROWS, *(f"mine:{i}" for i in range(36))]
    styles = row_styles(names)
    for shade in ("light", "dark"):
        assert len({getattr(styles[name], shade) for name in names}) == len(names)
    for name, style in styles.items():
        assert 1.05 / (luminance(style.light) + 0.05) >= 3, name
        assert (luminance(style.dark) + 0.05) / (luminance("#11151b") + 0.05) >= 3, name


def test_the_fastest_first() -> None:
    """By the share of the fastest in each column, so that no column counts more than another."""
    rates = {"asyncio": (1000.0, 10.0), "uvloop": (800.0, 100.0), "selector": (0.0, 90.0)}
    results = [
        synthetic.make_result(row, conns, mps=mps)
        for row, speeds in rates.items()
        for conns, mps in zip((10, 100), speeds, strict=True)
        if mps
    ]
    group = one_group([*results, synthetic.make_failure("thread", 10)])
    assert fastest_first([group]) == ["uvloop", "asyncio", "selector"]


def test_labels_keep_their_distance_and_their_order() -> None:
    pytest.importorskip("matplotlib")
    from pybench.report.plots.labels import spread

    wanted = [3.0, 3.0, 4.0, 50.0, 51.0, 99.0]
    places = spread(wanted, 10.0, 0.0, 100.0)
    assert all(b - a >= 10 - 1e-9 for a, b in itertools.pairwise(places))
    assert places[0] >= 5 and places[-1] <= 95
    assert spread([20.0, 80.0], 10.0, 0.0, 100.0) == [20.0, 80.0]
    crowded = spread([50.0] * 40, 10.0, 0.0, 100.0)
    assert crowded == sorted(crowded) and crowded[0] >= 0 and crowded[-1] <= 100


def parse_hgrm(path: Path) -> tuple[list[tuple[float, float, int, float]], str]:
    """The lines as HdrHistogram's plotter splits them: four words, not a comment."""
    text = path.read_text()
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    body = [line for line in lines if len(line) == 4 and line[0] != "Value"]
    return [(float(a), float(b), int(c), float(d)) for a, b, c, d in body], text


def test_hgrm_is_what_the_plotter_reads(tmp_path: Path, small: Group) -> None:
    argv = ["report", str(SMALL), "--hgrm", str(tmp_path), "--cells", ":10"]
    assert main(argv) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"asyncio_proto-10.hgrm", "c_epoll-10.hgrm", "thread-10.hgrm"}
    lines, text = parse_hgrm(tmp_path / "c_epoll-10.hgrm")
    assert text.splitlines()[0].split() == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    values, levels, counts, inverse = zip(*lines, strict=True)
    assert list(values) == sorted(values) and list(counts) == sorted(counts)
    assert counts[-1] == 180 and levels[-1] == 1.0 and inverse[-1] == float("inf")
    assert all(i == pytest.approx(1 / (1 - p), abs=0.01) for _, p, _, i in lines[:-1])
    assert levels[:7] == pytest.approx((0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.55))
    largest = max(small.cells["c_epoll", 10].values("latmax_ns")) / 1e6
    assert values[-1] == pytest.approx(largest, abs=1e-6)
    assert re.search(r"^#\[Mean +=.*StdDeviation +=", text, re.M)
    assert re.search(r"^#\[Max +=.*Total count +=", text, re.M)
    assert re.search(r"^#\[Buckets +=.*SubBuckets +=", text, re.M)


def test_names_that_are_one_file_name_are_two_files(tmp_path: Path) -> None:
    rows = ("selector[A=/x]", "selector[A=_x]")
    path = write_results(tmp_path / "r.jsonl", [synthetic.make_result(r, 10) for r in rows])
    assert main(["report", str(path), "--hgrm", str(tmp_path / "h")]) == 0
    assert len({one.read_bytes() for one in (tmp_path / "h").iterdir()}) == 2


def test_hgrm_counts_are_those_at_or_below_the_value(tmp_path: Path, small: Group) -> None:
    assert main(["report", str(SMALL), "--hgrm", str(tmp_path), "--cells", "c_epoll:10"]) == 0
    histogram = small.cells["c_epoll", 10].histogram
    for value, level, count, _ in parse_hgrm(tmp_path / "c_epoll-10.hgrm")[0]:
        assert count == sum(n for lower, n in histogram.items() if lower <= value * 1e6 + 0.5)
        assert count >= level * 180


def test_hgrm_files_climb_one_ladder(tmp_path: Path) -> None:
    """The plotter lays files over each other line by line."""
    assert main(["report", str(SMALL), "--hgrm", str(tmp_path)]) == 0
    ladders = [[line[1] for line in parse_hgrm(p)[0][:-1]] for p in tmp_path.iterdir()]
    assert len(ladders) == 5
    assert all(ladder == max(ladders, key=len)[: len(ladder)] for ladder in ladders)


# Small parts.


def test_choosing_cells(small: Group) -> None:
    def names(words: str | None) -> list[tuple[str, int]]:
        return [(cell.func, cell.column) for cell in select_cells(small, parse_cells(words))]

    assert names("c_epoll") == names("cpp_epoll") == [("c_epoll", 10), ("c_epoll", 1000)]
    assert names("thread:10, asyncio_proto:1k") == [("asyncio_proto", 1000), ("thread", 10)]
    assert {conns for _, conns in names(None)} == {10}, "the count that most rows have"
    assert names("gevent") == []


def test_spread_counts() -> None:
    assert spread_counts([1, 2, 3], 4) == [1, 2, 3]
    assert spread_counts([1, 2, 3, 4, 5, 6, 7], 4) == [1, 3, 5, 7]
    assert spread_counts([1, 2, 3], 1) == [3]


def test_all_tables_can_be_named() -> None:
    assert select_metrics("all") == list(METRICS.values())
    assert [m.name for m in select_metrics("lat95_ns,fairness")] == ["lat95", "jain", "starved"]


def test_numbers_as_text() -> None:
    assert [count_label(n) for n in (10, 316, 1000, 2500, 10_000, 31_000, 1234)] == [
        *("10", "316", "1k", "2.5k", "10k", "31k", "1234")
    ]
    assert [rate_text(v) for v in (18_259, 99_600, 616_135, 1_240_000, 7_700, 850, 3.14)] == [
        *("18k", "100k", "620k", "1.2M", "7.7k", "850", "3.1")
    ]
    assert [duration_text(v) for v in (850, 8_400, 46_200, 999_700, 2_440_000, 1.2e9)] == [
        *("850 ns", "8.4 us", "46 us", "1.0 ms", "2.4 ms", "1.2 s")
    ]
    assert [ratio_text(v) for v in (0.6, 3.14, 17.71, 123.4)] == ["0.60", "3.14", "17.7", "123"]
    assert [letters(i) for i in (0, 25, 26, 27)] == ["a", "z", "aa", "ab"]
