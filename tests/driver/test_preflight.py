"""What stands in the way of a cell, said with numbers; the kernel's files are faked."""

import resource
from dataclasses import replace
from pathlib import Path

import pytest

from pybench.backends.registry import MAPPINGS_PER_THREAD
from pybench.driver import preflight
from pybench.machine import limits, procfs
from pybench.machine.placement import Placement
from pybench.spec import Campaign


def obstacles(
    monkeypatch: pytest.MonkeyPatch, func: str, conns: int, idle: int = 0, **kernel: int
) -> list[str]:
    """Obstacles of a cell on a machine whose files in /proc/sys hold these numbers."""
    real = limits.read_int
    fake = {f"/proc/sys/{name.replace('__', '/')}": value for name, value in kernel.items()}
    fake = {path.replace("threads_max", "threads-max"): value for path, value in fake.items()}
    monkeypatch.setattr(limits, "read_int", lambda path: fake.get(path, real(path)))
    options = {"func": func, "conns": str(conns), "idle": str(idle)}
    campaign = Campaign.from_options(options, str)
    return [str(obstacle) for obstacle in preflight.obstacles(campaign, "127.0.0.1")]


@pytest.mark.parametrize(
    ("func", "kernel", "says"),
    [
        ("thread", {"kernel__pid_max": 500}, "kernel.pid_max"),
        ("c_th", {"kernel__threads_max": 500}, "kernel.threads-max"),
        (
            "thread",
            {"vm__max_map_count": 2000},
            f"{MAPPINGS_PER_THREAD * 1000 + 1000} memory mappings",
        ),
    ],
)
def test_limits_of_threads(
    func: str, kernel: dict[str, int], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (obstacle,) = obstacles(monkeypatch, func, 1000, **kernel)
    assert says in obstacle and "sysctl -w" in obstacle
    assert obstacles(monkeypatch, "selector", 1000, **kernel) == []


def test_a_missing_proc_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(procfs, "SELF", tmp_path / "self" / "status")
    (obstacle,) = obstacles(monkeypatch, "selector", 5)
    assert "/proc is not mounted" in obstacle and "mount -t proc" in obstacle


def test_c_threads_need_no_mappings_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert obstacles(monkeypatch, "c_th", 1000, vm__max_map_count=2000) == []


@pytest.mark.parametrize("func", ["mine=thread", "mine=socketserver", "mine=c_th"])
def test_a_row_under_another_name_has_the_same_needs(
    func: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (obstacle,) = obstacles(monkeypatch, func, 1000, kernel__threads_max=500)
    assert obstacle.startswith("mine x 1000: 1064 threads needed")


def test_a_firewall_that_tracks_connections_has_room_for_so_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = {"net__netfilter__nf_conntrack_max": 1100, "net__netfilter__nf_conntrack_count": 90}
    (obstacle,) = obstacles(monkeypatch, "selector", 1000, **table)
    assert "1016 tracked connections of the firewall needed, 1010 available" in obstacle
    assert "sysctl -w net.netfilter.nf_conntrack_max=262144" in obstacle
    assert obstacles(monkeypatch, "selector", 990, **table) == []
    idle = table | {"net__netfilter__nf_conntrack_count": 0}
    assert obstacles(monkeypatch, "selector", 5000, **idle) == []


@pytest.fixture
def few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hard limit of open files is 20,000; nothing limits threads."""
    real = resource.getrlimit
    few = {resource.RLIMIT_NOFILE: (1024, 20_000)}
    monkeypatch.setattr(resource, "getrlimit", lambda what: few.get(what) or real(what))
    monkeypatch.setattr(limits, "threads", lambda: iter(()))


def of(func: str, conns: int, **options: str) -> list[preflight.Obstacle]:
    campaign = Campaign.from_options({"func": func, "conns": str(conns), **options}, str)
    return preflight.obstacles(campaign, "127.0.0.1")


@pytest.mark.usefixtures("few_files")
@pytest.mark.parametrize("func", ["selector", "asyncio_proto", "c_epoll", "c_poll", "gevent"])
def test_a_row_with_one_table_has_the_limit_of_open_files(func: str) -> None:
    (obstacle,) = of(func, 60_000)
    assert "60064 open files needed, 20000 available" in str(obstacle)
    for remedy in ("ulimit -Hn", "fewer connections", "guest"):
        assert remedy in obstacle.text
    assert obstacle.of_row
    assert of(func, 19_936) == []


@pytest.mark.usefixtures("few_files")
def test_idle_connections_count_too() -> None:
    (obstacle,) = of("selector", 100, idle="0,30k")
    assert str(obstacle).startswith("selector (30k idle) x 100: 30164 open files needed")
    assert of("selector", 100, idle="19k") == []


def test_idle_connections_have_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert obstacles(monkeypatch, "thread", 100, kernel__threads_max=900) == []
    (obstacle,) = obstacles(monkeypatch, "thread", 100, kernel__threads_max=900, idle=1000)
    assert "threads needed" in obstacle


@pytest.mark.usefixtures("few_files")
@pytest.mark.parametrize("func", ["c_th", "c_uring", "mine=c_uring"])
def test_rows_with_a_table_for_each_share_have_not(func: str) -> None:
    assert of(func, 60_000) == []
    (obstacle,) = of(func, 60_000, server_threads="3")
    assert "4 tables of open files for the load server needed, 3 available" in obstacle.text
    assert "--server-threads" in obstacle.text and not obstacle.of_row
    assert of(func, 60_000, server_threads="4") == []


@pytest.mark.usefixtures("few_files")
def test_the_load_server_has_as_many_threads_as_it_needs() -> None:
    chosen = Placement(
        worker_cpu=0, server_cpus=(1,), server_threads=1, shared_cpus=(), busy_poll_us=200
    )
    assert chosen.for_conns(19_936) == chosen
    four = chosen.for_conns(60_000)
    assert (four.server_threads, four.busy_poll_us) == (4, 0)
    asked = replace(chosen, threads_asked=True)
    assert asked.for_conns(60_000) == asked
    polling = replace(chosen, busy_poll_asked=True)
    assert polling.for_conns(60_000).busy_poll_us == 200
    elsewhere = replace(chosen, server_cpus=None, server_threads=None)
    assert elsewhere.for_conns(60_000) == elsewhere


@pytest.mark.usefixtures("few_files")
def test_each_worker_has_files_for_its_part() -> None:
    (obstacle,) = of("selector", 30_000, loops="2")
    assert "open files" in obstacle.text
    assert of("selector", 30_000, workers="2") == []
    assert of("mine=selector", 30_000, workers="2", loops="2") == []
