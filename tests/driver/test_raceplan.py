"""What this machine allows of a race, and so its heats."""

from collections.abc import Iterator

import pytest

from pybench.driver import raceplan
from pybench.driver.raceplan import make_plan
from pybench.errors import PreflightError
from pybench.machine import limits
from pybench.machine.limits import Limit
from pybench.spec.race import Race


def race(*words: str, **given: str) -> Race:
    return Race.from_options(words, given, str)


def labels(one: Race, conns: int = 100) -> list[list[str]]:
    return [[entrant.label for entrant in heat] for heat in make_plan(one).heats[conns, 64]]


def allow(monkeypatch: pytest.MonkeyPatch, what: str, available: int) -> None:
    """As if the machine had so many of it."""

    def found() -> Iterator[Limit]:
        yield Limit(available, "things", "get more")

    monkeypatch.setattr(limits, what, found)


ROWS = ("c_epoll", "selector", "thread", "c_th")


def test_all_are_alive_together_where_there_is_room() -> None:
    assert labels(race(*ROWS)) == [list(ROWS)]


@pytest.mark.parametrize("what, available", [("tracked_connections", 350), ("memory", 3 * 45_000)])
def test_a_race_that_is_too_large_runs_in_heats_that_share_the_first(
    what: str, available: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch, what, available)
    plan = make_plan(race(*ROWS))
    heats = [[entrant.label for entrant in heat] for heat in plan.heats[100, 64]]
    assert len(heats) > 1 and {heat[0] for heat in heats} == {"c_epoll"}
    assert sorted(label for heat in heats for label in heat[1:]) == sorted(ROWS[1:])
    assert any("by way of which their ratios connect" in warning for warning in plan.warnings)


def test_threads_of_all_rows_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, "threads", 400)
    assert labels(race(*ROWS)) == [["c_epoll", "selector", "thread"], ["c_epoll", "c_th"]]


def test_not_even_two_at_once_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, "tracked_connections", 200)
    with pytest.raises(PreflightError, match="c_epoll and selector x 100 at once: 216 things"):
        make_plan(race("c_epoll", "selector"))


def test_open_files_are_each_process_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as one worker takes are enough for all: nobody has the connections of two."""
    allow(monkeypatch, "open_files", 100 + limits.SPARE_FILES)
    assert labels(race(*ROWS)) == [list(ROWS)]


def test_a_row_that_cannot_run_is_refused_with_its_reason() -> None:
    with pytest.raises(PreflightError, match=r"no_such_file\.py: no such file"):
        make_plan(race("c_epoll", "./no_such_file.py:serve"))


def test_each_contender_has_the_busy_poll_it_was_given() -> None:
    (heat,) = make_plan(race("c_epoll", busy_poll="0,50us")).heats[100, 64]
    assert [entrant.placement.busy_poll_us for entrant in heat] == [0, 50]


def test_limits_of_memory_are_told() -> None:
    found = list(limits.memory())
    assert found and all(limit.available > 0 and "memory" in limit.what for limit in found)
    assert raceplan.WORKER_KIB > 0
