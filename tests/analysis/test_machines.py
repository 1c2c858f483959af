"""Ratios within machines and over them; figures of machines of two kinds stay apart."""

import io
import json
import math
import random
import re
import statistics
from collections.abc import Sequence
from pathlib import Path

import pytest

from pybench.analysis.compare import compare_cells
from pybench.analysis.machines import by_machine, combined, heterogeneity
from pybench.analysis.model import CellRounds, Group, group_rounds, rounds_of_section
from pybench.analysis.ratio import Estimate, estimate_from, estimate_of_logs
from pybench.analysis.ties import column_ties
from pybench.analysis.verdict import remedy_words
from pybench.report.summary import run_summary
from pybench.result import Machine, Result
from tests.support import synthetic

BCG = (
    (4, 119, 11, 128), (6, 300, 29, 274), (3, 228, 11, 209), (62, 13536, 248, 12619),
    (33, 5036, 47, 5761), (180, 1361, 372, 1079), (8, 2537, 10, 619), (505, 87886, 499, 87892),
    (29, 7470, 45, 7232), (17, 1699, 65, 1600), (186, 50448, 141, 27197), (5, 2493, 3, 2338),
    (27, 16886, 29, 17825),
)  # fmt: skip
"""Thirteen trials of a vaccine, the example of many a textbook: cases and others, with and without.
G. Colditz et al., JAMA 271, 1994."""


def of_trial(a: int, b: int, c: int, d: int) -> Estimate:
    log = math.log(a / (a + b) / (c / (c + d)))
    error = math.sqrt(1 / a - 1 / (a + b) + 1 / c - 1 / (c + d))
    return estimate_from(log, error, 100, 1, True, 0.95)


def test_a_published_example() -> None:
    """The figures that R's metafor prints of it, `rma(method="DL")`: tau^2 and the mean. Its
    interval with Hartung-Knapp is that of REML, whose tau^2 is 0.313: -1.108 to -0.321."""
    trials = [of_trial(*trial) for trial in BCG]
    logs, errors = [t.log for t in trials], [t.error for t in trials]
    assert heterogeneity(logs, errors) == pytest.approx(0.3088, abs=1e-4)
    found = combined(trials)
    assert found.log == pytest.approx(-0.7141, abs=1e-4)
    assert math.log(found.low) == pytest.approx(-1.108, abs=0.005)
    assert math.log(found.high) == pytest.approx(-0.321, abs=0.005)
    assert (found.rounds, found.df, found.level) == (13, 12, "machine")


@pytest.mark.parametrize("rounds", [6, 2])
@pytest.mark.parametrize("between", [0.05, 0.0])
def test_the_interval_holds_the_truth_as_often_as_it_says(rounds: int, between: float) -> None:
    draw, held, runs = random.Random(7), 0, 300
    for _ in range(runs):
        each = []
        for _ in range(5):
            of_machine = draw.gauss(0.1, between)
            each.append(estimate_of_logs([draw.gauss(of_machine, 0.03) for _ in range(rounds)]))
        found = combined(each)
        held += found.low <= math.exp(0.1) <= found.high
    assert 0.92 <= held / runs <= (0.99 if between else 1)


def test_a_single_machine_says_what_it_says() -> None:
    one = estimate_of_logs([0.1, 0.2])
    assert combined([one]) == one


def test_of_machines_with_a_single_round_each_counts_alike() -> None:
    logs = [0.1, 0.2, 0.4]
    found = combined([estimate_of_logs([log]) for log in logs])
    assert found.log == pytest.approx(statistics.fmean(logs))
    assert found.error == pytest.approx(statistics.stdev(logs) / math.sqrt(3))


def test_a_stray_round_weighs_less_than_many() -> None:
    """Of a machine that was taken away after one; how rounds scatter is known of the other."""
    many = estimate_of_logs([0.1 + 0.05 * (-1) ** i for i in range(10)])
    stray = estimate_of_logs([0.16])
    found = combined([many, stray])
    assert 0.1 < found.log < 0.12


def measured(machines: Sequence[tuple[str, str, float, float]], rounds: int = 4) -> list[Result]:
    """machines: name, kind, messages/s of `selector`, times that of `c_epoll`."""
    found, number = [], 0
    for name, kind, mps, ratio in machines:
        of = Machine(id=f"{name}-id", name=name, kind=kind)
        for _ in range(rounds):
            number += 1
            drift = 1 + 0.3 * math.sin(number)  # of the hour: both rows have it
            for func, speed in (("selector", mps), ("c_epoll", mps * ratio)):
                wobble = 1 + 0.01 * math.cos(3 * number + len(func))
                found.append(
                    synthetic.make_result(
                        func, 10, number, mps=speed * drift * wobble, machine=of, campaign_id="c"
                    )
                )
    return found


def cells(results: Sequence[Result]) -> tuple[Group, CellRounds, CellRounds]:
    (group,) = group_rounds(rounds_of_section(results))
    return group, group.cells["selector", 10], group.cells["c_epoll", 10]


ALIKE = [("a", "K", 1000.0, 2.0), ("b", "K", 1000.0, 2.1), ("c", "K", 1000.0, 2.2)]


def test_machines_are_the_level_that_is_replicated() -> None:
    """A hundred rounds of two machines do not make two machines more."""
    _, base, new = cells(measured(ALIKE))
    few = compare_cells(base, new).verdict
    _, base, new = cells(measured(ALIKE, rounds=40))
    many = compare_cells(base, new).verdict
    assert few is not None and many is not None
    assert few.estimate.rounds == many.estimate.rounds == 3
    assert few.estimate.value == pytest.approx(2.1, rel=0.02)
    assert many.estimate.half_width > 0.1  # t of 2 degrees times 0.048 / sqrt(3)
    assert many.kind == "faster"


def test_what_would_decide_are_machines() -> None:
    apart = [("a", "K", 1000.0, 0.9), ("b", "K", 1000.0, 1.2), ("c", "K", 1000.0, 1.3)]
    group, base, new = cells(measured(apart))
    verdict = compare_cells(base, new).verdict
    assert verdict is not None and not verdict.decided
    assert "more machines would decide" in remedy_words(verdict)
    ties = column_ties(group, 10)
    assert set(ties["selector"]) & set(ties["c_epoll"]), "nor do ties count rounds"


def test_rounds_of_two_machines_are_no_pair() -> None:
    """A worker went in mid-block: the other row of its round was measured elsewhere."""
    results = measured([("a", "K", 1000.0, 2.0)])
    (cell,) = by_machine_of(results + measured([("b", "K", 500.0, 2.0)], rounds=2))
    assert {name: found.rounds for name, found in cell.items()} == {"a (a-id)": 4, "b (b-id)": 2}
    stray = [r for r in measured([("b", "K", 10.0, 1.0)], rounds=1) if r.func == "c_epoll"]
    moved = [r for r in results if (r.func, r.round) != ("c_epoll", 1)] + stray
    assert by_machine_of(moved)[0].keys() == {"a (a-id)"}
    assert by_machine_of(moved)[0]["a (a-id)"].rounds == 3


def by_machine_of(results: Sequence[Result]) -> list[dict[str, Estimate]]:
    (found,) = by_machine(group_rounds(rounds_of_section(results)), "selector")
    return [dict(ratio.each) for ratio in found.ratios]


KINDS = [("a", "Old, 2 CPUs", 1000.0, 2.0), ("b", "New, 64 CPUs", 9000.0, 2.2),
         ("c", "New, 64 CPUs", 9100.0, 2.1)]  # fmt: skip


def test_kinds_have_tables_of_their_own_and_ratios_together() -> None:
    groups = group_rounds(rounds_of_section(measured(KINDS)))
    assert [group.setting.machine for group in groups] == ["Old, 2 CPUs", "New, 64 CPUs"]
    assert groups[0].cells["selector", 10].summary("mps").n == 4  # type: ignore[union-attr]
    (found,) = by_machine(groups)
    assert found.base == "c_epoll"
    (ratio,) = found.ratios
    assert set(ratio.each) == {"a (a-id)", "b (b-id)", "c (c-id)"}
    assert ratio.each["a (a-id)"].value == pytest.approx(1 / 2, rel=0.02)
    assert ratio.verdict.estimate.rounds == 3 and ratio.verdict.kind == "slower"


def written(results: Sequence[Result], fmt: str) -> str:
    file = io.StringIO()
    run_summary(results, fmt, file)  # type: ignore[arg-type]
    return file.getvalue()


def test_the_table_shows_each_machine_and_all() -> None:
    text = written(measured(KINDS), "markdown")
    assert "Old, 2 CPUs" in text and "New, 64 CPUs" in text
    rows = [[word.strip() for word in line.split("|")[1:-1]] for line in text.splitlines()]
    lines = [row for row in rows if row[:2] == ["selector", "10"] and len(row) == 7]
    assert [line[2] for line in lines] == ["a (a-id)", "b (b-id)", "c (c-id)", "all 3"]
    assert [line[3] for line in lines] == ["4", "4", "4", "3"]
    assert [line[-1] for line in lines] == ["---", "---", "---", "slower"]
    assert "DerSimonian-Laird" in text


def test_programs_read_the_same() -> None:
    (found,) = json.loads(written(measured(KINDS), "json"))["by_machine"]
    (ratio,) = found["ratios"]
    assert (found["relative_to"], ratio["func"], ratio["conns"]) == ("c_epoll", "selector", 10)
    assert ratio["machines"].keys() == {"a (a-id)", "b (b-id)", "c (c-id)"}
    assert ratio["all"]["n"] == 3 and ratio["verdict"] == "slower"


def test_one_machine_has_no_such_table() -> None:
    assert "machine by machine" not in written(measured([ALIKE[0]]), "markdown")
    assert "by_machine" not in json.loads(written(measured([ALIKE[0]]), "json"))


def test_the_page_has_the_table(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    pytest.importorskip("plotly")
    from pybench.api.results import results_of

    page = results_of(measured(KINDS)).write_page(tmp_path / "x.html").read_text()
    assert "Messages/s, relative to c_epoll, machine by machine</h2>" in page
    rows = re.findall(r"<tr[^>]*><th scope=\"row\">selector</th>(.*?)</tr>", page)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]
    assert [row[1] for row in cells if len(row) == 6] == [
        "a (a-id)", "b (b-id)", "c (c-id)", "all 3"
    ]  # fmt: skip
    alone = results_of(measured([ALIKE[0]])).write_page(tmp_path / "y.html").read_text()
    assert "machine by machine" not in alone
