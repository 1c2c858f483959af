"""Heats that nobody measured: what `measure_heat=` of a race takes, so that rounds, budgets, files,
verdicts and exit status are tested without a process."""

import math
import os
import random
import signal
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from pybench.cli import main
from pybench.cli import race as command
from pybench.driver.heat import Entrant, turn_order
from pybench.errors import ServerError
from pybench.result import Resident, Result, Stamp, Turn, Turns
from tests.support import synthetic

WINDOW_NS = 40_000_000


@dataclass
class FakeHeats:
    """Makes up a round of each heat it is asked for, two blocks long.

    speeds: label -> messages/s, 50,000 unless told.  noise: between processes, drift: between
    blocks; standard deviations of logarithms.  fails: labels whose rounds fail, after that many
    rounds.  stamps: label -> codes.  takes_s: how long a heat takes by `clock`.
    kib_per_conn: label -> memory that a busy connection takes; it is not read unless told.
    interrupted_in, server_dies_in: SIGINT, or the load server's end, during that round.
    asked: round, heat and labels, in the order of asking.
    """

    speeds: Mapping[str, float] = field(default_factory=dict)
    noise: float = 0.02
    drift: float = 0.3
    fails: Mapping[str, int] = field(default_factory=dict)
    starves: Collection[str] = ()
    stamps: Mapping[str, Sequence[str]] = field(default_factory=dict)
    kib_per_conn: Mapping[str, int] = field(default_factory=dict)
    takes_s: float = 1.0
    interrupted_in: int = 0
    server_dies_in: int = 0
    asked: list[tuple[int, int, int, tuple[str, ...]]] = field(default_factory=list)
    now_s: float = 0.0

    def clock(self) -> float:
        return self.now_s

    def __call__(
        self, entrants: Sequence[Entrant], number: int, heat: int, env: dict[str, Any]
    ) -> list[Result]:
        labels = tuple(one.label for one in entrants)
        conns, msize = entrants[0].cell.conns, entrants[0].cell.msize
        self.asked.append((conns, number, heat, labels))
        self.now_s += self.takes_s
        if number == self.server_dies_in:
            raise ServerError("unreachable", "load server killed by signal 9 (SIGKILL)")
        if number == self.interrupted_in:
            os.kill(os.getpid(), signal.SIGINT)
        rng = random.Random(f"{conns}/{number}/{heat}" + (f"/{msize}" if msize != 64 else ""))
        passes = 4 if len(entrants) == 2 else 2
        order = list(turn_order(len(entrants), passes, rng))
        machine = [math.exp(rng.gauss(0, self.drift)) for _ in range(2)]
        return [
            self._result(i, one, number, heat, order, machine) for i, one in enumerate(entrants)
        ]

    def _result(
        self,
        index: int,
        one: Entrant,
        number: int,
        heat: int,
        order: Sequence[tuple[int, Sequence[int]]],
        machine: Sequence[float],
    ) -> Result:
        conns, label = one.cell.conns, one.label
        turns = Turns(heat=heat, settle_us=8000, window_us=40_000)
        if number > self.fails.get(label, math.inf):
            failure = synthetic.make_failure(label, conns, number, error="worker killed by SIGKILL")
            return structs.replace(failure, turns=turns, msize=one.cell.msize)
        rng = random.Random(f"{label}/{conns}/{number}/{heat}")
        process = self.speeds.get(label, 50_000.0) * math.exp(rng.gauss(0, self.noise))
        each = tuple(
            self._turn(process * machine[block - 1], block, place, starved=label in self.starves)
            for block, places in order
            for place, who in enumerate(places, 1)
            if who == index
        )
        mps = sum(t.messages for t in each) / sum(t.window_ns for t in each) * 1e9
        codes = [Stamp(code=code, text="so it is") for code in self.stamps.get(label, ())]
        made = synthetic.make_result(label, conns, number, mps=mps, warnings=codes, samples=50)
        if label in self.kib_per_conn and made.client is not None:
            kib = self.kib_per_conn[label] * conns
            read = Resident(before=20_000, idle=20_000 + kib // 2, busy=20_000 + kib)
            made = structs.replace(made, client=structs.replace(made.client, rss_kb=read))
        return structs.replace(
            made,
            turns=structs.replace(turns, each=each),
            msize=one.cell.msize,
            transport=one.cell.transport,
        )

    @staticmethod
    def _turn(mps: float, block: int, place: int, *, starved: bool) -> Turn:
        messages = round(mps * WINDOW_NS / 1e9)
        return Turn(
            block=block,
            place=place,
            messages=messages,
            window_ns=WINDOW_NS,
            latency_sum_ns=messages,
            total=2 * messages,
            cpu_ns=round(2 * messages * 1e9 / mps),
            unanswered=7 if starved else 0,
        )


@dataclass(frozen=True)
class Raced:
    """How an invocation ended."""

    returncode: int
    stdout: str
    stderr: str
    heats: FakeHeats


Invoke = Callable[..., Raced]


@pytest.fixture
def race(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Invoke]:
    """Runs `pybench race` in this process, in an empty folder, with heats made up.

    The budget is counted by the clock of the heats.
    """
    from pybench.driver import race as races

    monkeypatch.chdir(tmp_path)
    whole, through = command.run, races.run

    def call(*arguments: str, heats: FakeHeats | None = None) -> Raced:
        made = heats or FakeHeats()
        monkeypatch.setattr(races, "run", partial(through, clock=made.clock))
        monkeypatch.setattr(command, "run", partial(whole, measure_heat=made))
        status = main(["race", *arguments])
        return Raced(status, *capsys.readouterr(), made)

    yield call
