"""The library with rounds that nobody measured."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from pybench.driver import campaign, race
from tests.support.fakeheats import FakeHeats
from tests.support.fakerounds import FakeRounds


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> FakeRounds:
    """What makes the rounds of `measure` and `run`."""
    made = FakeRounds()

    @contextmanager
    def measuring(*_: Any) -> Iterator[FakeRounds]:
        yield made

    monkeypatch.setattr(campaign, "measuring", measuring)
    return made


@pytest.fixture
def heats(monkeypatch: pytest.MonkeyPatch) -> FakeHeats:
    """What makes the rounds of `race`; the budget is counted by their clock."""
    made = FakeHeats()

    @contextmanager
    def measuring(*_: Any) -> Iterator[FakeHeats]:
        yield made

    monkeypatch.setattr(race, "measuring", measuring)
    monkeypatch.setattr(race, "run", partial(race.run, clock=made.clock))
    return made
