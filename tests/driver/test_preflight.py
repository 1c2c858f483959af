"""What stands in the way of a cell, said with numbers; the kernel's files are faked."""

import pytest

from pybench.backends.registry import MAPPINGS_PER_THREAD
from pybench.driver import preflight
from pybench.machine import limits
from pybench.spec import Campaign


def obstacles(monkeypatch: pytest.MonkeyPatch, func: str, conns: int, **kernel: int) -> list[str]:
    """Obstacles of a cell on a machine whose files in /proc/sys hold these numbers."""
    real = limits.read_int
    fake = {f"/proc/sys/{name.replace('__', '/')}": value for name, value in kernel.items()}
    fake = {path.replace("threads_max", "threads-max"): value for path, value in fake.items()}
    monkeypatch.setattr(limits, "read_int", lambda path: fake.get(path, real(path)))
    options = {"func": func, "conns": str(conns)}
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
