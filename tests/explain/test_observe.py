"""An observed round is the round that measures, with an observer in it."""

import os

import pytest

from pybench.driver.interrupts import Interrupts
from pybench.driver.loadserver import LoadServer
from pybench.driver.round import RoundContext, Timeouts
from pybench.errors import PybenchError
from pybench.explain.observe import observe
from pybench.spec import HostPort
from tests.support.rounds import FREE, cell


class Notes:
    """An observer that writes down what it is told, and whether the process is there then."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def attach(self, pid: int) -> None:
        os.kill(pid, 0)
        self.told.append("attach")

    def begin(self) -> None:
        self.told.append("begin")

    def end(self) -> None:
        self.told.append("end")

    def close(self) -> None:
        self.told.append("close")


def observed(server: HostPort, func: str, notes: Notes, timeouts: Timeouts) -> int:
    with Interrupts() as interrupts:
        context = RoundContext(
            server=server,
            bind="127.0.0.1",
            placement=FREE,
            interrupts=interrupts,
            env={},
            timeouts=timeouts,
        )
        return observe(cell(func, 20), context, notes).messages


def test_an_observer_is_told_of_every_step(load_server: LoadServer) -> None:
    notes = Notes()
    assert observed(load_server.address, "selector", notes, Timeouts()) > 0
    assert notes.told == ["attach", "begin", "end", "close"]


def test_many_threads_may_take_their_time_to_end(load_server: LoadServer) -> None:
    """The end of a round is awaited for longer the more connections there are: here too."""
    patient = Timeouts(finish=0.0, per_conn=1.0)
    assert observed(load_server.address, "thread", Notes(), patient) > 0


def test_an_observed_round_that_fails_is_an_error() -> None:
    notes = Notes()
    with pytest.raises(PybenchError, match="no load server at"):
        observed(HostPort("127.0.0.1", 1), "thread", notes, Timeouts())
    assert notes.told == ["attach", "close"]
