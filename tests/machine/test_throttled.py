"""A group that has used up its share of the CPU: seen where it happens, not in made-up counters."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pybench.machine import cgroup
from pybench.result.file import read_sections
from tests.conftest import Running
from tests.support import processes

PERIOD_US = 100_000


class Group:
    """A control group, at first without a limit."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def limit(self, quota_us: int | None) -> None:
        """How much CPU time all in it may use in each period; None: no limit."""
        if (self.folder / "cpu.cfs_quota_us").exists():  # version 1
            (self.folder / "cpu.cfs_period_us").write_text(str(PERIOD_US))
            (self.folder / "cpu.cfs_quota_us").write_text(str(quota_us or -1))
        else:
            (self.folder / "cpu.max").write_text(f"{quota_us or 'max'} {PERIOD_US}")

    def take(self, pid: int) -> None:
        """Put a process into it."""
        (self.folder / "cgroup.procs").write_text(str(pid))

    @property
    def throttled_s(self) -> float:
        found = cgroup._throttled(self.folder)
        assert found is not None
        return found[1]


@pytest.fixture
def group() -> Iterator[Group]:
    """A control group of our own, below the one that we are in."""
    folder = next(cgroup.folders("cpu"), None)
    if folder is None or not (folder / "cgroup.procs").exists():
        pytest.skip("no control group for the CPU")
    made = folder / f"pybench-test-{os.getpid()}"
    try:
        made.mkdir()
    except OSError as exc:
        pytest.skip(f"no control groups of our own here: {exc.strerror}")
    try:
        found = Group(made)
        try:
            found.limit(None)
        except OSError as exc:
            pytest.skip(f"no limits in control groups here: {exc.strerror}")
        yield found
    finally:
        with contextlib.suppress(OSError):
            made.rmdir()


def test_a_quota_is_read(group: Group) -> None:
    assert cgroup._quota(group.folder) is None
    group.limit(PERIOD_US * 3 // 2)
    assert cgroup._quota(group.folder) == 1.5


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "250000 100000\n"}, 2.5),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.cfs_quota_us": "50000\n", "cpu.cfs_period_us": "100000\n"}, 0.5),
        ({}, None),
    ],
)
def test_the_tightest_quota_counts(
    files: dict[str, str], cpus: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    for name, text in files.items():
        (inner / name).write_text(text)
    (tmp_path / "cpu.max").write_text("400000 100000")
    monkeypatch.setattr(cgroup, "folders", lambda controller: iter([inner, tmp_path]))
    assert cgroup.quota_cpus() == (4.0 if cpus is None else cpus)


def ticks(pid: int) -> int:
    """CPU time of a process, in 1/100 s."""
    return sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))


def test_a_throttled_round_is_stamped(
    group: Group, start: Callable[..., Running], tmp_path: Path
) -> None:
    """Next to nothing is allowed until the kernel has stopped it for long enough."""
    words = ["--func", "c_epoll", "--conns", "50", "--runtime", "2s", "--warmup", "0"]
    driver = start(*words, "--output", "r.jsonl", conns=50)
    group.take(driver.process.pid)  # and so what it starts
    driver.await_pings()
    used = ticks(driver.worker)
    processes.wait_for("the window", lambda: ticks(driver.worker) > used + 1)
    group.take(driver.worker)  # it may have been started before
    group.take(driver.server)
    group.limit(1000)
    processes.wait_for("a group that is stopped", lambda: group.throttled_s > 0.2)
    group.limit(None)
    status, _, err = driver.finish()
    assert status == 0, err
    (result,) = read_sections(tmp_path / "r.jsonl")[0].results
    codes = {stamp.code for stamp in result.warnings}
    assert "throttled" in codes and "client_idle" not in codes
    assert result.disturbance and result.disturbance.throttled_times > 0
