"""CPUs of several workers and loops, and what is said where they are too few."""

import os
from typing import Any

import pytest

from pybench.errors import UsageError
from pybench.machine import placement
from pybench.machine.placement import Placement
from pybench.spec import Campaign


def campaign(**given: Any) -> Campaign:
    return Campaign.from_options({"func": "selector", "conns": "10"} | given, lambda k: f"--{k}")


@pytest.fixture(autouse=True)
def no_siblings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "smt_siblings", lambda cpu: frozenset({cpu}))


def on(monkeypatch: pytest.MonkeyPatch, cpus: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(cpus)))


def of_cells(asked: Campaign) -> list[Placement]:
    placed = placement.place(asked)
    return [placed.for_cell(cell) for cell in asked.cells]


def test_each_has_a_cpu_and_the_server_the_rest_in_every_cell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on(monkeypatch, 8)
    asked = campaign(workers="1,2,4")
    one, two, four = of_cells(asked)
    assert [p.worker_cpus for p in (one, two, four)] == [(0,), (0, 1), (0, 1, 2, 3)]
    assert {p.server_cpus for p in (one, two, four)} == {(4, 5, 6, 7)}
    assert {p.shared_cpus for p in (one, two, four)} == {()}
    assert [two.cpus_of(0, 1), two.cpus_of(1, 1)] == [0, 1]
    assert all(placement.too_few(placement.place(asked), cell) is None for cell in asked.cells)


def test_loops_run_where_their_process_may(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, 8)
    (placed,) = of_cells(campaign(workers="2", loops="2"))
    assert [placed.cpus_of(0, 2), placed.cpus_of(1, 2)] == [(0, 1), (2, 3)]


def test_two_cpus_for_two_workers_and_a_server_are_shared_and_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on(monkeypatch, 2)
    asked = campaign(workers="1,2", loops="1,2")
    placed = placement.place(asked)
    one, loops, workers, both = of_cells(asked)
    assert (one.worker_cpus, one.server_cpus, one.shared_cpus) == ((0,), (1,), ())
    assert workers.worker_cpus == loops.worker_cpus == (0, 1) and workers.shared_cpus == (1,)
    assert not workers.doubled and both.worker_cpus == (0, 1, 0, 1) and both.doubled
    assert both.cpus_of(1, 2) == (0, 1)
    assert one.busy_poll_us == workers.busy_poll_us == 0, "the same for all, or K=1 gains by it"
    said = [placement.too_few(placed, cell) for cell in asked.cells]
    assert said[0] is None
    assert said[2] == "2 workers on CPU 0,1 share it with the load server"
    assert said[3] and said[3].endswith("share it with each other and the load server")
    assert "worker_cpus" not in one.to_record() and workers.to_record()["worker_cpus"] == (0, 1)


def test_a_list_of_cpus_is_taken_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, 8)
    (placed,) = of_cells(campaign(workers="3", cpu="5,2"))
    assert (placed.worker_cpu, placed.worker_cpus) == (2, (2, 5, 2))
    assert placed.server_cpus == (0, 1, 3, 4, 6, 7)
    with pytest.raises(UsageError, match="--cpu: CPU 9 is not one"):
        placement.place(campaign(cpu="2,9"))


def test_siblings_come_after_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, 8)
    monkeypatch.setattr(placement, "smt_siblings", lambda cpu: frozenset({cpu, cpu ^ 1}))
    (placed,) = of_cells(campaign(workers="2"))
    assert (placed.worker_cpus, placed.server_cpus) == ((0, 2), (4, 5, 6, 7))


def test_nothing_is_pinned_when_not_wanted() -> None:
    (placed,) = of_cells(campaign(workers="2", no_pin=True))
    assert placed.cpus_of(1, 1) is None and placed.worker_cpus == ()
