"""Ties in tables: from pairs, in every writer, and none where nothing can be said."""

import io
import json
import math
import random
from collections.abc import Sequence
from typing import Any

import pytest

from pybench.analysis.model import Group, group_rounds
from pybench.analysis.ties import column_ties
from pybench.analysis.verdict import METRICS as COMPARED
from pybench.report.document import write_document
from pybench.report.metrics import METRICS
from pybench.report.page.sections import section
from pybench.report.results import report_document
from pybench.report.summary import run_summary
from pybench.report.tables import BEST_LEGEND, build_tables, relative_summary
from pybench.result import Result
from tests.support import synthetic

SPEEDS = {"asyncio": 50_000.0, "selector": 99_500.0, "raw_selector": 100_000.0}


def rounds_of(
    speeds: dict[str, float] = SPEEDS, rounds: int = 5, noise: float = 0.02, **extra: Any
) -> list[Result]:
    """A campaign whose machine drifts by a fifth from round to round."""
    rng = random.Random("ties")
    drifts = [math.exp(rng.gauss(0, 0.2)) for _ in range(rounds)]
    return [
        synthetic.make_result(
            row, 100, n, mps=mps * drift * math.exp(rng.gauss(0, noise)), samples=5, **extra
        )
        for n, drift in enumerate(drifts, 1)
        for row, mps in speeds.items()
    ]


def group_of(results: Sequence[Result], campaign: str = "x") -> Group:
    (group,) = group_rounds(synthetic.as_rounds(results, campaign))
    return group


def test_rows_that_are_not_surely_slower_are_among_the_fastest() -> None:
    """The drift is ten times the difference, and the pairs do not see it."""
    ties = column_ties(group_of(rounds_of()), 100)
    assert ties == {"raw_selector": (0,), "selector": (0,), "asyncio": (1,)}


def test_less_is_better_of_latency() -> None:
    ties = column_ties(group_of(rounds_of()), 100, COMPARED["p50"])
    assert ties["asyncio"] == (1,) and ties["selector"] == (0,)


def test_without_pairs_nothing_is_said() -> None:
    assert column_ties(group_of(rounds_of(), campaign=""), 100) == {}
    assert column_ties(group_of(rounds_of(rounds=1)), 100) == {}
    assert column_ties(group_of(rounds_of({"selector": 1.0})), 100) == {}


def test_invalid_rows_are_not_among_the_best_and_bounds_are_not_surely_worse() -> None:
    unfair = rounds_of({"thread": 2e5}, warnings=[synthetic.UNFAIR])
    assert column_ties(group_of([*rounds_of(), *unfair]), 100).keys() == SPEEDS.keys()
    bound = rounds_of({"c_poll": 8e4}, warnings=[synthetic.GENERATOR_BOUND])
    ties = column_ties(group_of([*rounds_of(), *bound]), 100)
    assert ties["c_poll"] == (0,), "it may be as fast as the fastest"
    assert ties["asyncio"] == (1,), "and is surely faster than this one"


def test_rows_of_another_campaign_than_the_best_are_left_out() -> None:
    rounds = synthetic.as_rounds(rounds_of(), "x") + synthetic.as_rounds(
        rounds_of({"gevent": 9e4, "thread": 8e4}), "y"
    )
    (group,) = group_rounds(rounds)
    assert column_ties(group, 100).keys() == SPEEDS.keys()


# In the writers.


@pytest.mark.parametrize("fmt", ["table", "markdown"])
def test_tables_mark_the_best_and_say_what_that_means(fmt: Any) -> None:
    file = io.StringIO()
    built = build_tables(group_of(rounds_of()), [METRICS["mps"], METRICS["jain"]])
    write_document(report_document([built], [None]), fmt, file)
    text = file.getvalue()
    speeds, rest = text.split("Fairness")
    marked = {line.split("|")[1].strip() for line in speeds.splitlines() if " * " in line}
    assert marked == {"selector", "raw_selector"}
    assert text.count(BEST_LEGEND) == 1 and " * " not in rest.replace(BEST_LEGEND, "")


def test_an_unmarked_table_has_no_legend() -> None:
    file = io.StringIO()
    built = build_tables(group_of(rounds_of(rounds=1)), [METRICS["mps"]])
    write_document(report_document([built], [None]), "table", file)
    assert "*" not in file.getvalue()


def test_json_has_all_groups() -> None:
    file = io.StringIO()
    built = build_tables(group_of(rounds_of()), [METRICS["mps"]])
    write_document(report_document([built], [None]), "json", file)
    cells = json.loads(file.getvalue())["tables"]["mps"]
    assert {row: cells[row]["100"]["ties"] for row in SPEEDS} == {
        "asyncio": [1],
        "selector": [0],
        "raw_selector": [0],
    }


def test_the_page_marks_them_too() -> None:
    group = group_of(rounds_of())
    shown = section(build_tables(group, [METRICS["mps"]]), None, 0, group.rows, {})
    best = {line["row"] for line in shown["tables"]["mps"]["lines"] if line["cells"][0]["best"]}
    assert best == {"selector", "raw_selector"} and shown["best_legend"] == BEST_LEGEND


def test_the_summary_of_a_run_marks_them() -> None:
    """Figures stay under each other, marked or not, stamped or not."""
    results = [
        r
        if r.func != "asyncio"
        else synthetic.make_result(
            "asyncio",
            100,
            r.round,
            mps=r.mps,
            campaign_id="x",
            warnings=[synthetic.UNFAIR],
        )
        for r in rounds_of(campaign_id="x")
    ]
    file = io.StringIO()
    run_summary(results, "table", file)
    lines = [line for line in file.getvalue().splitlines() if line.startswith("|")]
    speeds = {line.split("|")[1].strip(): line.split("|")[3] for line in lines[1:]}
    assert " * " in speeds["selector"] and " * " in speeds["raw_selector"]
    assert len({cell.index("~") for cell in speeds.values()}) == 1
    assert BEST_LEGEND in file.getvalue()


# Relative figures.


def test_a_relative_figure_has_the_base_s_noise_in_its_interval() -> None:
    """A steady row in parts of a noisy one, 200 times: the truth is inside nearly always."""
    rng = random.Random("relative")
    covered = 0
    for _ in range(200):
        results = []
        for n in range(1, 6):
            base = 1000 * math.exp(rng.gauss(0, 0.1))
            results.append(synthetic.make_result("selector", 100, n, mps=base, samples=1))
            results.append(synthetic.make_result("thread", 100, n, mps=2000.0, samples=1))
        group = group_of(results)
        found = relative_summary(group.cells["thread", 100], group.cells["selector", 100], "mps")
        assert found.ci95 is not None
        covered += found.ci95[0] <= 2.0 <= found.ci95[1]
    assert covered >= 180


def test_the_base_is_exactly_one() -> None:
    group = group_of(rounds_of())
    base = group.cells["selector", 100]
    found = relative_summary(base, base, "mps")
    assert (found.mean, found.median, found.stddev, found.ci95) == (1.0, 1.0, 0.0, (1.0, 1.0))
    table = build_tables(group, [METRICS["rel"]], relative_to="selector").tables[0]
    assert table.entries["selector", 100].text == "1.00"


def test_a_single_round_has_a_ratio_and_no_interval() -> None:
    group = group_of(rounds_of(rounds=1))
    found = relative_summary(group.cells["asyncio", 100], group.cells["selector", 100], "mps")
    assert found.mean == pytest.approx(0.5, rel=0.1) and found.ci95 is None
