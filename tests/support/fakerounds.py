"""Rounds that nobody measured: what `measure=` of a campaign takes, so that order, files, formats
and exit status are tested without a process."""

import os
import signal
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pybench.cli import main
from pybench.cli import run as command
from pybench.driver.round import OnProgress
from pybench.errors import ServerError
from pybench.result import Result
from pybench.spec import Cell, axes
from tests.support import synthetic


class FakeRounds:
    """Makes up a good round of each cell it is asked for.

    fails: rows whose rounds fail.  interrupted_after: SIGINT comes during that round, from 1.
    no_server_after: behind that round, from 1, there is no load server any more; 0: from the start.
    asked: every cell with its round's number, in the order of asking.
    """

    def __init__(
        self,
        fails: Collection[str] = (),
        interrupted_after: int = 0,
        no_server_after: int | None = None,
    ) -> None:
        self.asked: list[tuple[Cell, int]] = []
        self._fails = fails
        self._interrupted_after = interrupted_after
        self._no_server_after = no_server_after

    def __call__(
        self, cell: Cell, number: int, env: dict[str, Any], on_progress: OnProgress
    ) -> Result:
        if self._no_server_after == len(self.asked):
            raise ServerError("unreachable", "load server did not start")
        self.asked.append((cell, number))
        if len(self.asked) == self._interrupted_after:
            os.kill(os.getpid(), signal.SIGINT)
        if cell.row.name in self._fails:
            return synthetic.make_failure(cell.label, cell.conns, number, msize=cell.msize)
        return synthetic.make_result(
            cell.label,
            cell.conns,
            number,
            env=env,
            rate=cell.rate,
            msize=cell.msize,
            **axes.point(cell),
        )


@dataclass(frozen=True)
class Done:
    """How an invocation ended."""

    returncode: int
    stdout: str
    stderr: str
    rounds: FakeRounds


Invoke = Callable[..., Done]


@pytest.fixture
def invoke(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Invoke]:
    """Runs the command line in this process, in an empty folder, with rounds made up."""
    monkeypatch.chdir(tmp_path)
    run = command.run

    def call(*arguments: str, rounds: FakeRounds | None = None) -> Done:
        made = rounds or FakeRounds()
        monkeypatch.setattr(command, "run", partial(run, measure=made))
        status = main(arguments)
        return Done(status, *capsys.readouterr(), made)

    return call
