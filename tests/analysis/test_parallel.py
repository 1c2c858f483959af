"""Several workers and loops: how busy they can be, and the stamps that are about them."""

from typing import Any

import pytest
from msgspec import structs

from pybench.analysis import stamps
from pybench.analysis.parallel import client_cpus
from pybench.machine.interference import Monitor
from pybench.machine.placement import Placement
from pybench.result import ListenerShare, Result
from tests.analysis.test_stamps import FULL, IDLE, TICK_S, monitored, stat

assert FULL.client


def several(
    *, workers: int = 1, loops: int = 1, cpus: tuple[int, ...] = (), **client: Any
) -> Result:
    return structs.replace(
        FULL,
        workers=workers,
        loops=loops,
        env={"placement": {"worker_cpus": list(cpus)}},
        client=structs.replace(FULL.client, **client),
    )


@pytest.mark.parametrize(
    ("cpus", "result"),
    [
        (1, FULL),
        (4, several(workers=4)),
        (1, several(loops=4, gil=True)),
        (4, several(loops=4, gil=False)),
        (8, several(workers=2, loops=4, gil=False)),
        (2, several(workers=4, cpus=(0, 1, 0, 1))),
        (3, several(loops=4, gil=True, user_s=20.0, sys_s=10.0, wall_s=11.2)),  # C rows release it
        (2, several(loops=2, gil=True, user_s=30.0, sys_s=10.0, wall_s=11.2)),
    ],
)
def test_cpus_that_the_row_can_be_busy_on(cpus: int, result: Result) -> None:
    assert client_cpus(result) == cpus


def test_two_workers_that_use_one_cpu_are_idle_and_two_loops_under_a_gil_are_not() -> None:
    assert "2 CPUs of the workers were busy for 5" in idle(several(workers=2))
    assert not idle(several(workers=2, user_s=11.0, sys_s=10.0))
    assert not idle(several(loops=2, gil=True))
    assert "2 CPUs" in idle(several(loops=2, gil=False))


def test_what_the_load_server_took_of_the_workers_cpus_was_not_to_be_had() -> None:
    result = several(workers=2, user_s=8.0, sys_s=8.0, cpus=(0, 1))
    assert FULL.server and "busy for 73%" in idle(result)
    placement = {"worker_cpus": [0, 1], "server_cpus": [1], "shared_cpus": [1]}
    shared = structs.replace(result, env={"placement": placement})
    assert not idle(shared), "5.5 of the 22 s on both were the load server's"


def idle(result: Result) -> str:
    found = stamps.client_idle(result)
    return "" if found is None else found.text


def test_workers_that_share_cpus_are_stamped() -> None:
    assert stamps.few_cpus(several(workers=2, cpus=(0, 1))) is None
    found = stamps.few_cpus(several(workers=4, cpus=(0, 1, 0, 1)))
    assert found and found.text.startswith("4 loops had 2 CPUs")


@pytest.mark.parametrize(
    ("messages", "said"),
    [((50, 50), ""), ((62, 38), ""), ((63, 37), "worker 1 had 63%"), ((1, 99), "worker 2 had 99%")],
)
def test_uneven_workers_are_stamped(messages: tuple[int, int], said: str) -> None:
    shares = tuple(
        ListenerShare(worker=n, loop=1, conns=5, messages=count)
        for n, count in enumerate(messages, 1)
    )
    found = stamps.uneven(several(workers=2, shares=shares))
    assert (found is not None) == bool(said) and (found is None or found.text.startswith(said))


@pytest.mark.parametrize(
    ("build", "gil", "stamped"),
    [(True, True, True), (True, False, False), (False, True, False), (True, None, False)],
)
def test_a_gil_that_was_switched_on_again_is_stamped(
    build: bool, gil: bool | None, stamped: bool
) -> None:
    python = {"gil_disabled_build": build, "library": "gevent 26.4.0"}
    found = stamps.gil_on(structs.replace(several(gil=gil), python=python))
    assert (found is not None) == stamped
    assert found is None or "gevent 26.4.0" in found.text


def test_what_others_took_of_several_workers_cpus(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Of 1000 ticks CPU 0 was busy 900 and CPU 1 wholly: workers 1100 of these, the server 500,
    which shares CPU 1 with the second worker; CPU 2 is nobody's."""
    after = stat((400, 0, 500, 100, 0, 0, 0, 0), (400, 0, 600, 0, 0, 0, 0, 0), (1000, *IDLE[1:]))
    monitor: Monitor = monitored(
        monkeypatch,
        tmp_path,
        stat(IDLE, IDLE, IDLE),
        after,
        worker_cpus=(0, 1),
        server_cpus=(1,),
    )
    found = monitor.disturbance(worker_s=1100 * TICK_S, server_share=0.5)
    assert found is not None
    assert found.other == pytest.approx(0.15, abs=0.01), "300 of the 2000 ticks"
    assert found.taken == pytest.approx(0.15, abs=0.01)


def test_a_placement_without_a_list_has_its_one_cpu() -> None:
    one = Placement(worker_cpu=3, server_cpus=None, server_threads=None, shared_cpus=())
    assert one.all_worker_cpus == (3,) and one.cpus_of(0, 1) == 3
