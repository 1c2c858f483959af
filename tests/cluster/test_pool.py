"""Dask from our side, as far as it can be said without a cluster; test_live.py has one."""

import subprocess
import sys

import pytest

from pybench.cli import main


def test_without_the_library(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    asked = ["--func", "c_epoll", "--conns", "5", "--cluster", "tcp://127.0.0.1:9"]
    assert main(asked) == 2
    assert "--cluster: distributed is not there" in capsys.readouterr().err


def test_nothing_of_dask_is_imported_before_it_is_asked_for() -> None:
    code = (
        "import sys, pybench.cli.run, pybench.cli.cluster_check, pybench.cluster.pool,"
        " pybench.cluster.measure, pybench.cluster.survey, pybench.report.cluster,"
        " pybench.cluster.race, pybench.cluster.heat, pybench.api.running\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('distributed', 'dask')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
