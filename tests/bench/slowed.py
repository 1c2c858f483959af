"""The selector row slowed on purpose, for tests/bench/races.py and gate_power.py.

`slowed` works for SLOWED_NS more in the callback of each message. `plain` looks at the clock as
often, and does not work: so nothing else is between the two.
"""

import os
import socket
import time
from collections.abc import Callable

from pybench.backends.rows import selector

SLOWED_NS = int(os.environ.get("SLOWED_NS", "0"))


class _Plain(selector._Connection):
    """Works for a while that nobody needs, then reads."""

    extra_ns = 0

    def readable(self) -> None:
        end = time.perf_counter_ns() + self.extra_ns
        while time.perf_counter_ns() < end:
            pass
        super().readable()


class _Slowed(_Plain):
    extra_ns = SLOWED_NS


def plain(listener: socket.socket, conns: int, msize: int, ready: Callable[[], None], /) -> None:
    """See `contract.Serve`."""
    selector._Connection = _Plain  # type: ignore[misc]
    selector.serve(listener, conns, msize, ready)


def slowed(listener: socket.socket, conns: int, msize: int, ready: Callable[[], None], /) -> None:
    """See `contract.Serve`."""
    selector._Connection = _Slowed  # type: ignore[misc]
    selector.serve(listener, conns, msize, ready)
