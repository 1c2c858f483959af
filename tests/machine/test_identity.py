"""A machine has one name, and one measurement at a time."""

import subprocess
import sys
from pathlib import Path

import pytest

from pybench.machine import environment
from pybench.machine.identity import machine_id, measuring_alone, this_machine

HOLD = """
import sys
from pathlib import Path
from pybench.machine.identity import measuring_alone
with measuring_alone(folder=Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


class SeenEnoughError(Exception):
    """Of whoever waited."""


def test_the_same_machine_is_the_same_and_its_secret_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PYBENCH_MACHINE", raising=False)
    assert machine_id() == machine_id()
    for name in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id"):
        if Path(name).is_file():
            assert machine_id() not in Path(name).read_text().replace("-", "")
    monkeypatch.setenv("PYBENCH_MACHINE", "node7")
    found = this_machine(environment.collect())
    assert found.name == "node7" and found.id == machine_id()
    monkeypatch.setenv("PYBENCH_MACHINE", "node8")
    assert machine_id() != found.id


def test_one_at_a_time_even_when_it_is_killed(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    tries = iter(range(3))

    def enough() -> None:
        if next(tries, None) is None:
            raise SeenEnoughError

    with pytest.raises(SeenEnoughError), measuring_alone(enough, tmp_path):
        raise AssertionError("two at once")
    holder.kill()
    holder.communicate()
    with measuring_alone(folder=tmp_path):
        assert len(list(tmp_path.iterdir())) == 1


def test_machines_do_not_wait_for_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYBENCH_MACHINE", "one")
    with measuring_alone(folder=tmp_path):
        monkeypatch.setenv("PYBENCH_MACHINE", "two")
        with measuring_alone(folder=tmp_path):
            assert len(list(tmp_path.iterdir())) == 2
