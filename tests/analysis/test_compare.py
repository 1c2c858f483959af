"""Comparisons: verdicts that hold, intervals that cover, refusals with their reason."""

import csv
import io
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pybench.analysis.compare import (
    SEPARATE,
    Comparison,
    compare_cells,
    compare_groups,
    drift_note,
    environment_notes,
    judge_all,
)
from pybench.analysis.model import CellRounds, Group, group_rounds
from pybench.analysis.verdict import METRICS, Verdict
from pybench.cli import main
from pybench.result import Result
from pybench.result.file import ResultWriter
from tests.support import synthetic

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


def verdict_of(c: Comparison) -> Verdict:
    assert c.verdict is not None, c.refused
    return c.verdict


def test_pairs_see_through_a_drift_that_hides_the_difference() -> None:
    base = [100.0, 130.0, 80.0, 110.0, 95.0]
    new = [v * f for v, f in zip(base, (1.05, 1.06, 1.04, 1.05, 1.055), strict=True)]
    assert verdict_of(compare_cells(cell(base, "x"), cell(new, "x"))).kind == "faster"
    apart = compare_cells(cell(base, "x"), cell(new, "y"), noise=0.0)
    assert verdict_of(apart).kind == "undecided"


def test_separate_campaigns_are_undecided_by_nature() -> None:
    """Twice as fast, without any scatter: the machine may have been twice as fast."""
    found = compare_cells(cell([100.0, 101.0, 99.0], "x"), cell([200.0, 201.0, 199.0], "y"))
    verdict = verdict_of(found)
    assert (found.basis, verdict.kind, verdict.reason) == ("separate", "undecided", SEPARATE)
    assert verdict.more_rounds is None, "no number of rounds would help"
    assert verdict.estimate.value == pytest.approx(2.0, rel=0.01)


def test_who_knows_the_drift_has_separate_campaigns_judged() -> None:
    slow, fast = cell([100.0, 101.0, 99.0], "x"), cell([130.0, 131.0, 129.0], "y")
    assert verdict_of(compare_cells(slow, fast, noise=0.1)).kind == "faster"
    assert verdict_of(compare_cells(slow, fast, noise=0.3)).kind == "undecided"
    paired = compare_cells(slow, cell([102.0, 103.0, 101.0], "x"), noise=0.05)
    assert verdict_of(paired).kind == "undecided", "it widens paired intervals too"


def campaigns(means: Sequence[float], names: str) -> CellRounds:
    """Three rounds in each of several campaigns, far closer together than the campaigns are."""
    rounds = [
        one
        for mean, name in zip(means, names, strict=True)
        for one in cell([mean, 1.001 * mean, 0.999 * mean], name).rounds
    ]
    return CellRounds("selector", 10, tuple(rounds))


def test_three_campaigns_a_side_are_the_replicates() -> None:
    base = campaigns([100.0, 110.0, 105.0], "abc")
    same = compare_cells(base, campaigns([101.0, 112.0, 103.0], "def"))
    assert (same.basis, verdict_of(same).kind) == ("campaigns", "undecided")
    assert verdict_of(same).estimate.rounds == 3, "nine rounds are three values"
    faster = compare_cells(base, campaigns([151.0, 162.0, 153.0], "def"))
    assert verdict_of(faster).kind == "faster"
    few = compare_cells(campaigns([100.0, 110.0], "ab"), campaigns([151.0, 162.0, 153.0], "def"))
    assert few.basis == "separate"


def test_comparisons_of_one_call_are_one_family() -> None:
    """A difference that would do by itself, among twenty comparisons."""
    rng = random.Random("family")
    rows = [f"row{i}" for i in range(20)]
    speeds = {row: noisy(rng, 1000, 0.03, 6) for row in rows}
    base = [
        synthetic.make_result(row, 10, n, mps=speeds[row][n - 1], samples=5)
        for row in rows
        for n in range(1, 7)
    ]
    factors = (1.08, 1.02, 1.06, 1.04, 1.09, 1.01)
    new = [
        replace(r, mps=r.mps * (factors[r.round - 1] if r.func == "row0" else rng.gauss(1, 0.03)))
        for r in base
    ]
    before, after = groups(base, "x"), groups(new, "x")
    alone = compare_groups(before, after, base_func="row0", new_func="row0")
    assert [verdict_of(c).kind for c in alone] == ["faster"]
    together = compare_groups(before, after)
    assert not any(verdict_of(c).differs for c in together)


def test_two_campaigns_of_the_same_rows_are_not_called_different() -> None:
    """Whatever the machine did between them."""
    base = groups(synthetic.make_campaign(funcs=ROWS, seed="A", drift=0.1, samples=5), "a")
    new = groups(synthetic.make_campaign(funcs=ROWS, seed="B", drift=0.1, samples=5), "b")
    comparisons = compare_groups(base, new)
    assert len(comparisons) == len(ROWS) * 4
    assert {verdict_of(c).kind for c in comparisons} == {"undecided"}


def test_other_metrics_and_what_is_better_of_them() -> None:
    """CPU per message: less is better; rounds that have none are not compared."""
    base = cell([100.0, 101.0, 99.0], "x")
    client = base_client = synthetic.make_result("selector", 10, mps=100.0).client
    assert client is not None and base_client is not None
    cheap = cell([100.0, 101.0, 99.0], "x", client=replace(client, user_s=0.2, sys_s=0.2))
    metric = METRICS["cpu_us_per_msg"]
    assert verdict_of(compare_cells(base, cheap, metric=metric)).kind == "faster"
    assert verdict_of(compare_cells(base, cheap)).kind == "equal"
    without = cell([100.0, 101.0, 99.0], "x", client=None)
    refused = compare_cells(base, without, metric=metric).refused
    assert refused == "rounds without CPU time per message in NEW"


def test_stamps_decide_by_their_class() -> None:
    base = cell([100.0, 101.0, 99.0], "x")
    bound = cell([80.0, 81.0, 79.0], "x", warnings=(synthetic.GENERATOR_BOUND,))
    slower = compare_cells(base, bound)
    assert slower.new_stamps == ("generator_bound",)
    assert verdict_of(slower).kind == "undecided" and verdict_of(slower).estimate.high == math.inf
    assert verdict_of(compare_cells(bound, base)).kind == "undecided"
    unfair = cell([180.0, 181.0, 179.0], "x", warnings=(synthetic.UNFAIR,))
    assert verdict_of(compare_cells(base, unfair)).reason == "NEW is stamped unfair"


# Pairing.


def test_rounds_of_one_campaign_are_paired_and_others_are_not() -> None:
    speeds = [100.0, 101.0, 99.0]
    one = compare_cells(cell(speeds, "x"), cell(speeds, "x"))
    two = compare_cells(cell(speeds, "x"), cell(speeds, "y"))
    none = compare_cells(cell(speeds), cell(speeds))
    assert [c.basis for c in (one, two, none)] == ["rounds", "separate", "separate"]


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
    assert only.basis == "rounds"
    assert verdict_of(only).estimate.value == pytest.approx(2.0)
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
    assert found.verdict is None and found.refused == reason


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
    """Undecided, with the reason and the command that would decide."""
    assert main(["compare", *files]) == 0
    out = capsys.readouterr().out
    lines = [line for line in out.splitlines() if " to " in line and line.startswith("|")]
    assert len(lines) == 10 and all("undecided" in line for line in lines)
    assert f"and 6 more: {SEPARATE}" in out
    row = "python:{}/bin/python"
    assert (
        f"To decide: pybench race base=asyncio_proto@{row.format('BASE')}"
        f" new=asyncio_proto@{row.format('NEW')} --conns 10,1k" in out
    )
    assert main(["compare", *files, "--noise", "0.05"]) == 0
    found = [line for line in capsys.readouterr().out.splitlines() if "slower" in line]
    assert [line.split()[1] for line in found] == ["thread", "thread"]


def test_fail_below(files: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    """0.7 is surely below 0.95, for who knows how far campaigns drift; a row that did not change
    is not, and neither is a limit of 0.6."""
    argv = ["compare", *files, "--noise", "0.03", "--format", "json"]
    assert main([*argv, "--fail-below", "0.9"]) == 1
    cells = json.loads(capsys.readouterr().out)["cells"]
    assert {c["name"] for c in cells if c["demand"] == "broken"} == {"thread"}
    assert main([*argv, "--fail-below", "0.6"]) == 0
    assert main(["compare", files[1], files[0], "--noise", "0.03", "--fail-below", "0.9"]) == 0


def test_fail_below_of_separate_campaigns_says_that_it_cannot_tell(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["compare", *files, "--fail-below", "0.95"]
    assert main(argv) == 0
    assert "--fail-below 0.95: 10 of 10 cells are undecided" in capsys.readouterr().err
    assert main([*argv, "--undecided", "fail"]) == 1


def test_an_invalid_side_is_below_every_limit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Faster by half, and unfair: in one campaign and in separate ones."""
    results = [synthetic.make_result("thread", 10, n, mps=1000.0 + n) for n in (1, 2, 3)]
    results += [
        synthetic.make_result("selector", 10, n, mps=1500.0 + n, warnings=[synthetic.UNFAIR])
        for n in (1, 2, 3)
    ]
    paths = [str(write_results(tmp_path / f"{name}.jsonl", results, id=name)) for name in "ab"]
    rows = ["--base-func", "thread", "--new-func", "selector", "--fail-below", "0.5"]
    for files in (paths[:1], paths):
        assert main(["compare", *files, *rows]) == 1
        assert "Below the limit whatever its figure: thread -> selector at 10: NEW is stamped" in (
            capsys.readouterr().out
        )


def test_below_means_the_whole_interval() -> None:
    base, new = [100.0, 104.0, 96.0, 101.0, 99.0], [93.0, 97.0, 90.0, 92.0, 94.0]
    found = compare_cells(cell(base, "x"), cell(new, "x"))
    estimate = verdict_of(found).estimate
    assert estimate.value < 0.94 < estimate.high
    outcomes = [
        one.outcome
        for limit in (0.94, estimate.high + 0.001, estimate.low - 0.001)
        for one in judge_all([found], limit)
        if one
    ]
    assert outcomes == ["undecided", "broken", "kept"]


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
    assert lines[1]["verdict"] == "faster" and lines[1]["basis"] == "rounds"
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
    assert "| selector -> thread |" in out and "undecided" in out
    assert "To decide: pybench race selector thread --conns 1k" in out


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
        (["{base}", "{new}", "--undecided", "fail"], "--undecided goes with --fail-below"),
        (["{base}", "--base-func", "thread", "--new-func", "thread"], "are one row of BASE"),
        (["{base}", "{new}", "--margin", "0"], "'0' is no share"),
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
