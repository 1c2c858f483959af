"""The selector row as it is and slowed on purpose, for tests/bench/races.py.

`slowed` works for SLOWED_NS more in the callback of each message.
"""

import os
import socket
import time
from collections.abc import Callable

from pybench.backends.rows import selector

SLOWED_NS = int(os.environ.get("SLOWED_NS", "0"))


class _Slowed(selector._Connection):
    """Reads, then works for a while that nobody needs."""

    def readable(self) -> None:
        end = time.perf_counter_ns() + SLOWED_NS
        while time.perf_counter_ns() < end:
            pass
        super().readable()


def plain(listener: socket.socket, conns: int, msize: int, ready: Callable[[], None], /) -> None:
    """See `contract.Serve`."""
    selector.serve(listener, conns, msize, ready)


def slowed(listener: socket.socket, conns: int, msize: int, ready: Callable[[], None], /) -> None:
    """See `contract.Serve`."""
    selector._Connection = _Slowed  # type: ignore[misc]
    selector.serve(listener, conns, msize, ready)
