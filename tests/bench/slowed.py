"""The selector row slowed on purpose, for tests/bench/races.py and gate_power.py.

`slowed` goes round an idle loop in the callback of each message, SLOWED_STEPS times; `plain` goes
round the same loop not once, so nothing else is between the two. A loop of fixed work, not of fixed
time: a clock that is looked at until a deadline costs as much as is to be planted.
`steps_for` measures how many steps a percentage is.
"""

import os
import socket
from collections.abc import Callable
from pathlib import Path

from pybench.backends.rows import selector

SLOWED_STEPS = "SLOWED_STEPS"
PLAIN = f"plain={Path(__file__)}:plain"
SLOWED = f"slowed={Path(__file__)}:slowed"

_TRIED_STEPS = 100
"""Enough to be seen in seconds, few enough to leave a message a message."""


class _Plain(selector._Connection):
    """Goes round its loop, then reads."""

    steps = 0

    def readable(self) -> None:
        for _ in range(self.steps):
            pass
        super().readable()


class _Slowed(_Plain):
    steps = int(os.environ.get(SLOWED_STEPS, "0"))


def plain(listener: socket.socket, conns: int, msize: int, ready: Callable[[], None], /) -> None:
    """See `contract.Serve`."""
    selector._Connection = _Plain  # type: ignore[misc]
    selector.serve(listener, conns, msize, ready)


def slowed(listener: socket.socket, conns: int, msize: int, ready: Callable[[], None], /) -> None:
    """See `contract.Serve`."""
    selector._Connection = _Slowed  # type: ignore[misc]
    selector.serve(listener, conns, msize, ready)


def steps_for(percents: list[float], conns: int | str) -> list[int]:
    """How many steps add so much to the CPU time of a message, from a race with many of them."""
    import pybench

    os.environ[SLOWED_STEPS] = str(_TRIED_STEPS)
    asked = {"conns": conns, "metric": "cpu_us_per_msg", "budget": "30s", "precision": "1%"}
    (verdict,) = pybench.race(PLAIN, SLOWED, **asked)
    if verdict.ratio is None or verdict.ratio <= 1:
        raise SystemExit(f"{_TRIED_STEPS} steps cannot be seen on this machine: {verdict}")
    return [round(_TRIED_STEPS * p / 100 / (verdict.ratio - 1)) for p in percents]
