"""Every warning: raised by what it is for, silent otherwise."""

from typing import Any

import pytest
from msgspec import structs

from pybench.analysis import stamps
from pybench.result import Latency, PerConn, Result

LATENCY = Latency(mean=1_000_000, p50=1, p75=1, p90=1, p95=1, p99=1_000_000, p999=1, max=9_000_000)
FAIR = PerConn(min=90, p5=91, p50=100, p95=109, max=110, jain=0.99, starved=0, lost=0)
CLEAN = Result(
    func="selector",
    conns=100,
    msize=64,
    round=1,
    started_at="2026-01-01T00:00:00+00:00",
    status="ok",
    runtime_s=10.0,
    warmup_s=1.0,
    messages=1_000_000,
    window_s=10.0,
    mps=100_000.0,
    latency_ns=LATENCY,
    per_conn=FAIR,
    env={"placement": {"shared_cpus": []}},
)


def per_conn(**changes: Any) -> Result:
    return structs.replace(CLEAN, per_conn=structs.replace(FAIR, **changes))


def test_a_clean_result_has_no_warning() -> None:
    assert stamps.run(CLEAN) == ()


def test_with_several_pings_in_flight_there_are_so_many_times_as_many() -> None:
    deep = structs.replace(CLEAN, inflight=16, mps=1_600_000.0)
    assert stamps.run(deep) == stamps.run(structs.replace(deep, in_flight=1600.0, idle=9)) == ()
    (warning,) = stamps.run(structs.replace(deep, in_flight=100.0))
    assert warning.text.startswith("100 pings were at work on average, not 1600")


@pytest.mark.parametrize(
    ("code", "number", "result"),
    [
        ("littles_law", "93", structs.replace(CLEAN, mps=93_000.0)),
        ("littles_law", "107", structs.replace(CLEAN, mps=107_000.0)),
        ("littles_law", "200", structs.replace(CLEAN, think_us=(500, 1500))),
        ("littles_law", "1600", structs.replace(CLEAN, inflight=16)),
        ("idle_lost", "2 of 9 idle", structs.replace(CLEAN, idle=9, idle_lost=2)),
        ("lost", "3 of 100", per_conn(lost=3, lost_by={"reset": 2, "closed": 1})),
        ("unfair", "0.850", per_conn(jain=0.85)),
        ("unfair", "1 of 100", per_conn(starved=1)),
        ("short_run", "0.5 s", structs.replace(CLEAN, window_s=0.5)),
        (
            "shared_core",
            "CPU 3",
            structs.replace(CLEAN, env={"placement": {"shared_cpus": [3]}}),
        ),
    ],
)
def test_each_warning_comes_alone_with_its_number_and_a_remedy(
    code: str, number: str, result: Result
) -> None:
    (warning,) = stamps.run(result)
    assert warning.code == code
    assert number in warning.text
    assert warning.remedy


def test_corrupt_echoes_are_lost_connections_too() -> None:
    found = stamps.run(per_conn(lost=1, lost_by={"corrupt": 1}))
    assert [warning.code for warning in found] == ["corrupt", "lost"]


def test_littles_law_of_the_pings_that_were_counted() -> None:
    """Counted pings must be as many as connections, whatever the latency of the answered says."""
    wrong = stamps.littles_law(structs.replace(CLEAN, in_flight=0.94 * CLEAN.conns))
    assert wrong is not None
    assert "count is wrong" in wrong.text
    right = structs.replace(CLEAN, in_flight=0.96 * CLEAN.conns)
    assert stamps.littles_law(right) is None
    starving = stamps.littles_law(structs.replace(right, mps=93_000.0))
    assert starving is not None
    assert "waited too long" in starving.text


def test_littles_law_counts_think_time_and_forgives_the_ends_of_a_short_window() -> None:
    thinking = structs.replace(CLEAN, think_us=(500, 1500), mps=50_000.0)
    assert stamps.littles_law(thinking) is None
    slow = structs.replace(LATENCY, p99=1_000_000_000)
    assert stamps.littles_law(structs.replace(CLEAN, mps=93_000.0, latency_ns=slow)) is None


def test_a_result_without_figures_is_not_judged() -> None:
    bare = structs.replace(CLEAN, latency_ns=None, per_conn=None, env={})
    assert stamps.run(bare) == ()


@pytest.mark.parametrize(
    "changes",
    [
        # Three thirds of a second of thinking in a second of window, all begun at once.
        {"think_us": (300_000, 300_000), "mps": 300.0, "in_flight": 0.3, "window_s": 1.0},
        {"think_us": (3_000_000, 3_000_000), "mps": 100.0, "in_flight": 0.1, "window_s": 1.0},
        {"think_us": (0, 2_000_000), "mps": 20.0, "in_flight": 0.1, "window_s": 1.0},
        {"mps": 50_000.0, "latency_ns": structs.replace(LATENCY, max=5_000_000_000)},
    ],
)
def test_a_window_that_is_too_short_for_the_law_is_called_so(changes: dict[str, Any]) -> None:
    found = stamps.littles_law(structs.replace(CLEAN, **changes))
    assert found is not None
    assert "is too short for Little's law" in found.text
    assert found.remedy.startswith("--runtime of ")


def test_a_load_server_that_is_late_with_think_times_is_not_called_wrong() -> None:
    """Timers are late on a busy machine: the connections are all there."""
    late = structs.replace(CLEAN, think_us=(500, 1500), mps=50_000.0, in_flight=40.0)
    found = stamps.littles_law(late)
    assert found is not None
    assert "thought for 1,200 us on average instead of 1,000" in found.text
    wrong = stamps.littles_law(structs.replace(late, in_flight=60.0))
    assert wrong is not None and "count is wrong" in wrong.text


def test_who_was_to_think_all_the_time_is_not_starved() -> None:
    starved = per_conn(starved=30, jain=0.5)
    busy = structs.replace(starved, think_us=(0, 2_500_000), mps=80.0)
    assert "unfair" in [w.code for w in stamps.run(busy)]
    thinking = structs.replace(starved, think_us=(0, 2_600_000), mps=70.0)
    assert "unfair" not in [w.code for w in stamps.run(thinking)]
