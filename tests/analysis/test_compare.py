"""Comparisons: verdicts that hold, intervals that cover, refusals with their reason."""

import csv
import io
import json
import math
import random
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pybench.analysis.model import CellRounds, Group, group_rounds
from pybench.cli import main
from pybench.result import Result
from pybench.result.file import ResultWriter
from tests.support import synthetic

pytest.importorskip("scipy")

from pybench.analysis.compare import (
    Comparison,
    compare_cells,
    compare_groups,
    compare_values,
    drift_note,
    environment_notes,
    surely_below,
)

ROWS = ("asyncio_proto", "uvloop_proto", "selector", "thread", "c_epoll")


def write_results(path: Path, results: Sequence[Result], **campaign: Any) -> Path:
    writer = ResultWriter(path, campaign)
    for result in results:
        writer.write(result)
    writer.close()
    return path


def groups(results: Sequence[Result], campaign: str = "") -> list[Group]:
    return group_rounds(synthetic.as_rounds(results, campaign))


def cell(speeds: Sequence[float], campaign: str = "", **changes: Any) -> CellRounds:
    """A cell of selector at 10 connections with these speeds."""
    results = [
        synthetic.make_result("selector", 10, number, mps=mps, samples=5, **changes)
        for number, mps in enumerate(speeds, 1)
    ]
    (group,) = groups(results, campaign)
    return group.cells["selector", 10]


def noisy(rng: random.Random, mean: float, noise: float, n: int) -> list[float]:
    return [mean * math.exp(rng.gauss(0, noise)) for _ in range(n)]


# Verdicts.


def test_clear_differences() -> None:
    base = [100.0, 101.0, 99.0, 100.5, 99.5]
    faster = compare_values(base, [2 * v for v in base], paired=False)
    assert faster.verdict == "faster"
    assert faster.ratio == pytest.approx(2.0)
    assert 1.9 < faster.low < 2.0 < faster.high < 2.1
    assert faster.p == pytest.approx(2 / 252), "the smallest p of five against five"
    slower = compare_values([2 * v for v in base], base, paired=False)
    assert slower.verdict == "slower" and slower.high < 0.53


def test_the_same_values_are_no_difference() -> None:
    base = [100.0, 101.0, 99.0]
    for paired in (False, True):
        same = compare_values(base, base, paired=paired)
        assert (same.verdict, same.ratio) == ("no difference", 1.0)
        assert same.low <= 1.0 <= same.high


def test_pairs_see_through_a_drift_that_hides_the_difference() -> None:
    base = [100.0, 130.0, 80.0, 110.0, 95.0]
    new = [v * f for v, f in zip(base, (1.05, 1.06, 1.04, 1.05, 1.055), strict=True)]
    assert compare_values(base, new, paired=True).verdict == "faster"
    assert compare_values(base, new, paired=False).verdict == "no difference"


def test_the_noise_allowance() -> None:
    base = [100.0, 100.1, 99.9, 100.05, 99.95]
    new = [1.03 * v for v in base]
    assert compare_values(base, new, paired=False).verdict == "faster"
    assert compare_values(base, new, paired=False, noise=0.05).verdict == "no difference"


def test_two_rounds_of_wide_scatter_decide_nothing() -> None:
    assert compare_values([100.0, 140.0], [150.0, 210.0], paired=False).verdict == "no difference"


def test_comparisons_are_reproducible() -> None:
    rng = random.Random(5)
    base, new = noisy(rng, 100, 0.05, 5), noisy(rng, 104, 0.05, 5)
    assert compare_values(base, new, paired=False) == compare_values(base, new, paired=False)


@pytest.mark.parametrize("paired", [False, True])
def test_a_against_a_is_rarely_called_a_difference(
    paired: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five rounds, 200 A/A cells without any noise allowance: at most 1 in 10 may be wrong, and
    the interval holds the true ratio in at least 9 of 10."""
    monkeypatch.setattr("pybench.analysis.compare.RESAMPLES", 999)
    rng = random.Random(f"a/a {paired}")
    wrong = covered = 0
    for _ in range(200):
        drift = noisy(rng, 1, 0.1, 5) if paired else [1.0] * 5
        base = [v * d for v, d in zip(noisy(rng, 1000, 0.04, 5), drift, strict=True)]
        new = [v * d for v, d in zip(noisy(rng, 1000, 0.04, 5), drift, strict=True)]
        found = compare_values(base, new, paired=paired)
        wrong += found.verdict != "no difference"
        covered += found.low <= 1 <= found.high
    assert wrong <= 20
    assert covered >= 180


def test_a_real_difference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """15% at 3% noise, five rounds, with the allowance of separate campaigns."""
    monkeypatch.setattr("pybench.analysis.compare.RESAMPLES", 999)
    rng = random.Random("power")
    found = [
        compare_values(
            noisy(rng, 1000, 0.03, 5), noisy(rng, 1150, 0.03, 5), paired=False, noise=0.05
        )
        for _ in range(60)
    ]
    assert sum(f.verdict == "faster" for f in found) >= 54


def test_two_campaigns_of_the_same_rows_are_no_different() -> None:
    """The acceptance figure: at least 9 of 10 cells, five rounds, drift between the campaigns."""
    base = groups(synthetic.make_campaign(funcs=ROWS, seed="A", drift=0.03, samples=5), "a")
    new = groups(synthetic.make_campaign(funcs=ROWS, seed="B", drift=0.03, samples=5), "b")
    comparisons = compare_groups(base, new)
    assert len(comparisons) == len(ROWS) * 4
    same = sum(c.ratio is not None and c.ratio.verdict == "no difference" for c in comparisons)
    assert same >= 0.9 * len(comparisons)


# Pairing.


def test_rounds_of_one_campaign_are_paired_and_others_are_not() -> None:
    speeds = [100.0, 101.0, 99.0]
    one = compare_cells(cell(speeds, "x"), cell(speeds, "x"))
    two = compare_cells(cell(speeds, "x"), cell(speeds, "y"))
    none = compare_cells(cell(speeds), cell(speeds))
    assert [c.ratio.paired for c in (one, two, none) if c.ratio] == [True, False, False]


def test_only_rounds_that_both_have_are_paired() -> None:
    """A round that is missing on one side drops out instead of shifting the others."""
    base = [synthetic.make_result("selector", 10, n, mps=100.0 * n) for n in (1, 2, 3, 4)]
    new = [synthetic.make_result("thread", 10, n, mps=200.0 * n) for n in (1, 3, 4)]
    found = compare_groups(
        groups([*base, *new], "x"),
        groups([*base, *new], "x"),
        base_func="selector",
        new_func="thread",
    )
    (only,) = found
    assert only.ratio is not None and only.ratio.paired
    assert only.ratio.ratio == pytest.approx(2.0)
    assert only.base is not None and (only.base.n, only.base.mean) == (3, pytest.approx(800 / 3))


# Refusals.


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"msize": 1024}, "message size 64 against 1024"),
        ({"warmup_s": 5.0}, "warm-up 0.5 s against 5 s"),
        ({"runtime_s": 30.0}, "runtime 2 s against 30 s"),
        ({"think_us": (10, 20)}, "think time 0-0 us against 10-20 us"),
        ({"server": "10.0.0.2:1"}, "load server local against 10.0.0.2"),
        (
            {"env": {"cpu_model": "Other CPU", "cpus": 8}},
            "machine Example CPU 3000 @ 3.40GHz, 4 CPUs against Other CPU, 8 CPUs",
        ),
    ],
)
def test_what_cannot_be_compared(changes: dict[str, Any], reason: str) -> None:
    found = compare_cells(cell([1.0, 2.0, 3.0]), cell([1.0, 2.0, 3.0], **changes))
    assert found.ratio is None and found.refused == reason


def test_single_and_failed_rounds_cannot_be_compared() -> None:
    good = cell([1.0, 2.0])
    single = compare_cells(good, cell([1.0]))
    assert "a single round in NEW has no spread" in single.refused
    failed = CellRounds(
        "selector", 10, tuple(synthetic.as_rounds([synthetic.make_failure("selector", 10)]))
    )
    same = CellRounds(
        "selector", 10, tuple(synthetic.as_rounds([synthetic.make_failure("selector", 10)]))
    )
    assert compare_cells(failed, same).refused.startswith("no good round in BASE: accept: Too many")


# Through the command line.


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """BASE, and NEW in which thread runs at 0.7 of its speed."""
    made = [
        write_results(
            tmp_path / f"{name}.jsonl",
            synthetic.make_campaign(
                funcs=ROWS, counts=(10, 1000), noise=0.015, drift=0.005, seed=name, speed=speed
            ),
            id=name,
        )
        for name, speed in [("base", {}), ("new", {"thread": 0.7})]
    ]
    return str(made[0]), str(made[1])


def test_compare_two_files(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", *files]) == 0
    out = capsys.readouterr().out
    lines = {tuple(line.split()[1:4:2]): line for line in out.splitlines() if " to " in line}
    assert "slower" in lines["thread", "10"] and "slower" in lines["thread", "1k"]
    assert sum("no difference" in line for line in lines.values()) == 8
    assert "Not paired" in out


def test_fail_below(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """0.7 is surely below 0.95; a row that did not change is not, and neither is a limit of 0.6."""
    assert main(["compare", *files, "--fail-below", "0.95", "--format", "json"]) == 1
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert {c["name"] for c in cells if c["below_limit"]} == {"thread"}
    assert main(["compare", *files, "--fail-below", "0.6"]) == 0
    assert main(["compare", files[1], files[0], "--fail-below", "0.95"]) == 0


def test_below_means_the_whole_interval() -> None:
    base, new = [100.0, 104.0, 96.0, 101.0, 99.0], [93.0, 97.0, 90.0, 92.0, 94.0]
    ratio = compare_values(base, new, paired=False)
    assert ratio.ratio < 0.95 < ratio.high
    found = [Comparison("a", "a", 10, ratio=ratio)]
    assert surely_below(found, 0.95) == []
    assert surely_below(found, ratio.high + 0.001) == found


def test_compare_two_rows_of_one_file(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["compare", files[0], "--base-func", "thread", "--new-func", "selector"]
    assert main([*argv, "--format", "csv"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(x["base_func"], x["new_func"], x["conns"]) for x in lines] == [
        ("thread", "selector", "10"),
        ("thread", "selector", "1000"),
    ]
    assert lines[1]["verdict"] == "faster" and lines[1]["paired"] == "1"
    assert float(lines[1]["ratio"]) == pytest.approx(93 / 60, rel=0.05)


def test_two_files_of_one_row_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """selector against thread, each measured alone: no option is needed to say what is meant."""
    paths = [
        str(
            write_results(
                tmp_path / f"{row}.jsonl", synthetic.make_campaign(funcs=[row], counts=[1000])
            )
        )
        for row in ("selector", "thread")
    ]
    assert main(["compare", *paths, "--format", "markdown"]) == 0
    out = capsys.readouterr().out
    assert "| selector -> thread |" in out and "slower" in out


def test_refused_cells_are_shown_beside_good_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = synthetic.make_campaign(funcs=["selector"], counts=[10], rounds=3)
    single = [synthetic.make_result("thread", 10)]
    base = str(write_results(tmp_path / "a.jsonl", [*one, *single]))
    new = str(write_results(tmp_path / "b.jsonl", [*one, *single]))
    assert main(["compare", base, new]) == 0
    out = capsys.readouterr().out
    assert "not compared" in out and "Not compared: thread at 10: a single round in BASE" in out


def test_rounds_with_and_without_a_busy_poll_are_not_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slept = synthetic.make_campaign(funcs=["selector"], counts=[10], rounds=3)
    polled = [
        replace(result, server=replace(result.server, busy_poll_us=200))
        for result in slept
        if result.server is not None
    ]
    base = str(write_results(tmp_path / "a.jsonl", slept))
    new = str(write_results(tmp_path / "b.jsonl", polled))
    assert main(["compare", base, new]) == 2
    assert "busy poll of the load server 0 us against 200 us" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["{base}"], "give NEW, or --base-func and --new-func"),
        (["{base}", "{new}", "--base-func", "gevent"], "--base-func gevent: no such row"),
        (["{base}", "{new}", "--fail-below", "lots"], "'lots' is no ratio"),
        (["{base}", "{new}", "--noise", "-1"], "'-1' is no share"),
        (["{base}", "{old}"], "no row at the same number of connections"),
        (["{base}", "{new}", "--server-name", "mars"], "the results are of local"),
    ],
)
def test_bad_comparisons(
    argv: list[str], words: str, files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    results = [synthetic.make_result("gevent", 31_000), synthetic.make_result("thread", 31_000)]
    old = write_results(Path(files[0]).parent / "old.jsonl", results)
    names = {"base": files[0], "new": files[1], "old": str(old)}
    assert main(["compare", *(word.format(**names) for word in argv)]) == 2
    err = capsys.readouterr().err
    assert words in err and err.count("\n") == 1


def test_nothing_comparable_is_an_error_that_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = str(write_results(tmp_path / "a.jsonl", [synthetic.make_result("thread", 10)]))
    assert main(["compare", base, base]) == 2
    assert "nothing could be compared: a single round in BASE" in capsys.readouterr().err


# Notes.


def test_a_shift_of_everything_is_pointed_out() -> None:
    base = groups(synthetic.make_campaign(funcs=ROWS, drift=0, noise=0.01, seed=1, samples=5), "a")
    factor = dict.fromkeys(ROWS, 0.9)
    new = groups(
        synthetic.make_campaign(funcs=ROWS, drift=0, noise=0.01, seed=2, samples=5, speed=factor),
        "b",
    )
    assert "20 of 20 cells moved to the same side, by 0.90" in drift_note(compare_groups(base, new))
    assert drift_note(compare_groups(base, base)) == ""


def test_differing_environments_are_pointed_out() -> None:
    newer = synthetic.ENV | {"python": "3.12.1", "libraries": {"uvloop": "0.22.0"}}
    base = groups([synthetic.make_result("selector", 10)])
    new = groups([synthetic.make_result("selector", 10, env=newer | {"load_average": 9.0})])
    assert environment_notes(base, new) == [
        "libraries.uvloop: 0.21.0 -> 0.22.0",
        "python: 3.11.7 -> 3.12.1",
    ]


def test_thousands_of_rounds_are_compared_in_little_memory() -> None:
    rng = random.Random("many")
    base, new = ([rng.gauss(mean, 0.02) for _ in range(2000)] for mean in (1.0, 1.1))
    tracemalloc.start()
    found = compare_values(base, new, paired=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found.ratio == pytest.approx(1.1, abs=0.005)
    assert peak < 150e6, "resamples of 2000 rounds are 160 MB, with their indices twice that"
