"""Changes within a window, modes of a cell's rounds, and the stamps that say so."""

import math
import random
from collections.abc import Sequence

import pytest
from msgspec import structs

from pybench.analysis import stamps
from pybench.analysis.model import CellRounds, group_rounds, rounds_of_section
from pybench.analysis.steadiness import change, modes
from pybench.report.metrics import METRICS
from pybench.report.tables import build_tables
from pybench.result import Result, Series
from tests.support.synthetic import make_result


def scattered(speeds: Sequence[float], noise: float, rng: random.Random) -> list[int]:
    return [round(speed * math.exp(rng.gauss(0, noise))) for speed in speeds]


@pytest.mark.parametrize("heavy", [False, True])
def test_slices_that_only_scatter_are_hardly_ever_called_a_change(heavy: bool) -> None:
    """However much they scatter: 30 windows of 3000 would be one of a hundred."""
    rng = random.Random(5)
    found = 0
    for _ in range(400):
        noise = 0.3 * (5 if heavy and rng.random() < 0.1 else 1)
        found += change(scattered([5000] * 10, noise, rng)) is not None
        found += change(scattered([5000] * 30, noise, rng)) is not None
    assert found <= 12  # 800 windows, 1.5%


@pytest.mark.parametrize(
    ("speeds", "at"),
    [
        ([5000] * 6 + [9000] * 14, 6),
        ([5000] * 20 + [4000] * 10, 20),
        ([5000 + 150 * i for i in range(30)], 12),  # a trend is cut about its middle
    ],
)
def test_a_jump_and_a_trend_are_found(speeds: list[float], at: int) -> None:
    found = change(scattered(speeds, 0.03, random.Random(1)))
    assert found is not None and abs(found.at - at) <= 5
    assert (found.after > found.before) == (speeds[-1] > speeds[0])


@pytest.mark.parametrize(
    "messages",
    [
        [5000] * 9,
        [5000] * 5 + [9000] * 4,  # too few slices to tell
        [5000] * 10 + [0] + [5000] * 9,  # a stall
        [5000] * 10 + [5400] * 10,  # steady, but not by what a reader would mind
        [0] * 20,
        [1, 0, 1, 1, 0, 1, 0, 0, 1, 1, 1, 0],
    ],
)
def test_no_change(messages: list[int]) -> None:
    assert change(messages) is None


def with_series(messages: list[int], **changes: object) -> Result:
    """A result of a window of as many slices of 100 ms, and half of one."""
    none = [0] * (len(messages) + 1)
    series = Series(slice_ms=100, messages=[*messages, 1], mean_ns=none, max_ns=none)
    window_s = 0.1 * len(messages) + 0.05
    return make_result("selector", 10, series=series, window_s=window_s, **changes)


def test_unsteady_names_both_speeds_and_the_time() -> None:
    stamp = stamps.unsteady(with_series([5000] * 6 + [9000] * 14))
    assert stamp is not None and stamp.code == "unsteady"
    assert "50,000 messages/s until 0.6 s" in stamp.text and "90,000 after" in stamp.text
    assert stamps.unsteady(with_series([5000] * 20)) is None  # the last is shorter, not slower
    assert stamps.unsteady(with_series([5000] * 6 + [9000] * 14, rate=5)) is None
    assert stamps.unsteady(make_result("selector", 10)) is None


@pytest.mark.parametrize(("faults", "stamped"), [(None, False), (40_000, False), (60_000, True)])
def test_page_faults(faults: int | None, stamped: bool) -> None:
    result = make_result("asyncio_proto", 10)
    assert result.client is not None
    client = structs.replace(result.client, messages=100_000, minor_faults=faults)
    stamp = stamps.page_faults(structs.replace(result, client=client))
    assert (stamp is not None) == stamped
    assert stamp is None or (
        "0.6 page faults per message" in stamp.text and "GLIBC" in stamp.remedy
    )


# ---- modes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("speeds", "groups"),
    [
        ([132, 130, 56, 134, 131], [(56, 1), (131.5, 4)]),
        ([56, 144, 58, 149, 60], [(58, 3), (146.5, 2)]),
        ([132, 130, 56, 134], None),  # four rounds can be anything
        ([100, 101, 109, 108, 100.5], None),  # apart, but by less than 10%
        ([56, 70, 90, 110, 144], None),  # one broad mode
        ([100] * 6 + [101, 99, 100, 102] * 2 + [50], None),  # one of 15 is an outlier
        ([100, 100, 100, 50, 50], [(50, 2), (100, 3)]),
        ([0, 100, 100, 50, 50], None),
        ([], None),
    ],
)
def test_modes(speeds: list[float], groups: list[tuple[float, int]] | None) -> None:
    found = modes(speeds)
    said = found and [(pytest.approx(mode.speed, rel=1e-3), mode.rounds) for mode in found]
    assert said == groups


@pytest.mark.parametrize("rounds", [5, 6, 7, 8, 9, 10, 14, 20])
def test_rounds_of_one_mode_are_hardly_ever_called_two(rounds: int) -> None:
    rng = random.Random(rounds)
    cells = [[math.exp(rng.gauss(0, 0.3)) for _ in range(rounds)] for _ in range(1000)]
    assert sum(modes(cell) is not None for cell in cells) <= 20  # 2%; 1% is meant


def test_a_cell_with_modes_shows_them_instead_of_a_mean() -> None:
    speeds = [132e3, 130e3, 56e3, 134e3, 131e3]
    results = [make_result("asyncio_proto", 10, i, mps=v) for i, v in enumerate(speeds, 1)]
    (group,) = group_rounds(rounds_of_section(results))
    (cell,) = group.cells.values()
    assert isinstance(cell, CellRounds) and cell.codes == ("modes",)
    tables = build_tables(group, [METRICS["mps"], METRICS["cpu"]])
    assert tables.tables[0].text("asyncio_proto", 10, "---") == "130k x4, 56k x1 !a"
    assert tables.tables[1].text("asyncio_proto", 10, "---").endswith(" !a")
    (note,) = tables.stamps
    assert note.rounds == 5 and "1 of about 56,000 messages/s, 4 of about 131,500" in note.text
