"""Dask from our side, as far as it can be said without a cluster; test_live.py has one."""

import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType
from typing import Any, ClassVar

import pytest

from pybench.cli import main
from pybench.cluster.dispatch import Answer
from pybench.cluster.heatunit import HeatUnit
from pybench.cluster.pool import DaskPool
from pybench.cluster.remote import MachineError, UnfitError
from pybench.spec.race import Race


def test_without_the_library(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    asked = ["--func", "c_epoll", "--conns", "5", "--cluster", "tcp://127.0.0.1:9"]
    assert main(asked) == 2
    assert "--cluster: distributed is not there" in capsys.readouterr().err


class Ended:
    """A task of Dask that raised an exception at once."""

    status = "error"

    def __init__(self, error: Exception) -> None:
        self._error = error

    def exception(self, timeout: float) -> Exception:
        return self._error

    def cancel(self) -> None: ...


class Client:
    """Of a scheduler whose workers raise what is next in `errors`."""

    status = "running"
    errors: ClassVar[list[Exception]] = []

    def __init__(self, *_: Any, **options: Any) -> None: ...

    def submit(self, *_: Any, **options: Any) -> Ended:
        return Ended(self.errors.pop(0))

    def as_current(self) -> AbstractContextManager[None]:
        return nullcontext()

    def close(self, timeout: float) -> None: ...


def test_a_machine_that_cannot_is_told_from_a_round_that_has_no_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dask = ModuleType("distributed")
    vars(dask).update(
        Client=Client, TimeoutError=TimeoutError, CancelledError=LookupError,
        wait=lambda futures, **options: None,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "distributed", dask)
    monkeypatch.setattr(Client, "errors", [
        UnfitError("no uvloop here"), MachineError("no load server"), KeyError("x")
    ])  # fmt: skip
    race = Race.from_options(("c_epoll", "selector"), {}, str)
    units = [HeatUnit.of(race, ["c_epoll", "selector"], (100, 64), number) for number in (1, 2, 3)]
    with DaskPool("tcp://a:1") as pool:
        for unit in units:
            pool.start(unit, "w")
        assert pool.answers(1) == [
            Answer(units[0].name, error="no uvloop here", unfit=True),
            Answer(units[1].name, error="no load server"),
            Answer(units[2].name, error="KeyError('x')"),
        ]


def test_nothing_of_dask_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, pybench.cli.run, pybench.cli.cluster_check, pybench.cluster.pool,"
        " pybench.cluster.measure, pybench.cluster.survey, pybench.report.cluster,"
        " pybench.cluster.race, pybench.cluster.heat, pybench.api.running\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('distributed', 'dask')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
