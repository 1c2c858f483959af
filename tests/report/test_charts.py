"""Charts as data: what both renderers are handed."""

import statistics
import subprocess
import sys
from pathlib import Path

import pytest

from pybench.analysis.model import Group, group_rounds
from pybench.analysis.stats import percentile_ns
from pybench.report.charts import Charts
from pybench.result import Result, Series
from pybench.result.file import ResultWriter
from tests.driver.test_openloop import open_round
from tests.support import synthetic


def one_group(results: list[Result]) -> Group:
    (group,) = group_rounds(synthetic.as_rounds(results))
    return group


@pytest.fixture(scope="module")
def charts() -> Charts:
    """Three rows with stamps and a round that hung."""
    funcs = ("asyncio_sock", "thread", "c_epoll")
    results = synthetic.make_campaign(funcs=funcs, rounds=3, stamps=True, samples=300)
    return Charts(one_group(results))


def test_lines_have_what_the_tables_have(charts: Charts) -> None:
    lines = {line.row: line for line in charts.lines["mps"]}
    assert list(lines) == ["asyncio_sock", "thread", "c_epoll"]
    line = lines["c_epoll"]
    assert list(line.x) == list(synthetic.COUNTS) and line.stamped == [False, False, True, True]
    speeds = charts.group.cells["c_epoll", 100].values("mps")
    assert line.y[1] == statistics.fmean(speeds)
    assert line.error[1] == pytest.approx(2.5 * statistics.stdev(speeds))
    assert " ~ " in line.texts[1] and line.intervals[1].endswith(", 3 rounds")
    assert charts.reference == "c_epoll"
    latency = charts.lines["lat95"][0]
    values = charts.group.cells["asyncio_sock", 10].values("lat95_ns")
    assert latency.y[0] == statistics.median(values) and latency.error == ()


def test_a_distribution_climbs_to_the_last_sample(charts: Charts) -> None:
    cell = charts.group.cells["thread", 10]
    line = charts.distributions["thread", 10]
    assert line.x[0] == 1 and line.x[-1] == pytest.approx(900)
    assert list(line.y) == sorted(line.y) and line.y[-1] <= max(cell.values("latmax_ns"))
    for place in (0, len(line.x) // 2, -1):
        assert line.y[place] == percentile_ns(cell.histogram, 1 - 1 / line.x[place])


def test_cpu_and_fairness_of_each_cell(charts: Charts) -> None:
    bar = charts.cpu["c_epoll", 10]
    cpu = charts.group.summary("c_epoll", 10, "cpu_us_per_msg")
    assert cpu is not None and bar.total == pytest.approx(cpu.mean) and bar.user < bar.system
    span = charts.fairness["asyncio_sock", 10_000]
    assert (span.low, span.starved, span.poor, span.stamped) == (0, 38, True, True)
    assert not charts.fairness["thread", 10].poor
    assert charts.shared_counts(charts.cpu) == list(synthetic.COUNTS)
    assert charts.rows_of(charts.cpu) == charts.group.rows


def test_an_open_loop_has_knees_and_columns_to_compare_in() -> None:
    rates = {"selector": (1000, 2000), "c_epoll": (1000, 2000, 4000)}
    results = [
        open_round(rate, func=func, kept=rate <= 1000) for func in rates for rate in rates[func]
    ]
    charts = Charts(one_group(results))
    assert charts.knees == {"selector": 1000, "c_epoll": 1000}
    assert charts.shared_counts(charts.cpu) == [1000, 2000], "nobody stands beside c_epoll at 4000"


BLOCKED = """
import sys
for name in ("matplotlib", "numpy"):
    sys.modules[name] = None
from pybench.cli import main
sys.exit(main(["report", sys.argv[1], "--html", sys.argv[2]]))
"""


def test_the_page_needs_neither_matplotlib_nor_numpy(tmp_path: Path) -> None:
    """Its sentences have their intervals all the same."""
    pytest.importorskip("plotly")
    pytest.importorskip("jinja2")
    writer = ResultWriter(tmp_path / "r.jsonl", {"id": "x"})
    for result in synthetic.make_campaign(rounds=3, samples=100):
        writer.write(result)
    writer.close()
    argv = [str(tmp_path / "r.jsonl"), str(tmp_path / "page.html")]
    done = subprocess.run([sys.executable, "-c", BLOCKED, *argv], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "(95% CI " in (tmp_path / "page.html").read_text()


def test_a_course_is_what_each_slice_had_over_its_own_length() -> None:
    """The last slice of 250 ms is half of one; one without an echo has no latency."""
    series = Series(
        slice_ms=100,
        messages=[10, 0, 10],
        mean_ns=[2_000, 0, 4_000],
        max_ns=[5_000, 0, 6_000],
        cpu_ns=[50_000, 1_000, 80_000],
    )
    result = synthetic.make_result("selector", 10, series=series, window_s=0.25)
    ((course,),) = Charts(one_group([result])).series.values()
    assert list(course.seconds) == pytest.approx([0.05, 0.15, 0.225])
    assert list(course.mps) == pytest.approx([100, 0, 200])
    assert list(course.mean_ns) == [2_000, None, 4_000]
    assert list(course.max_ns) == [5_000, None, 6_000]
    assert list(course.cpu_us) == [5, None, 8]


def test_a_long_window_is_drawn_in_fewer_points_and_nothing_is_lost() -> None:
    result = synthetic.make_result(
        "selector", 10, series=synthetic.make_series(300_000, 1_000, slices=250)
    )
    ((course,),) = Charts(one_group([result])).series.values()
    assert len(course.seconds) == 50 and max(course.seconds) < 2
    assert sum(course.mps) * 2 / 50 == pytest.approx(300_000)


def test_five_rounds_of_a_cell_are_drawn_and_none_of_a_result_without_slices() -> None:
    results = [synthetic.make_result("selector", 10, number) for number in range(1, 8)]
    (found,) = Charts(one_group(results)).series.values()
    assert len(found) == 5
    assert not Charts(one_group([synthetic.make_result("selector", 10, series=None)])).series
