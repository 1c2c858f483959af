"""What connections cost the worker in memory, read from outside: without any, with all of them open
and idle, and with all of them busy. What lies between is theirs."""

import time
from collections.abc import Sequence
from typing import Final

from pybench.machine.memory import is_asleep, resident_kib
from pybench.result import Resident

LONGEST_S: Final = 0.1
"""How long a worker that is still at something is waited for; a busy machine may keep it from
its end."""
_LOOK_S: Final = 0.001
_QUIET: Final = 2  # looks one after another that must find it asleep


class MemoryGauge:
    """Reads three times. runtime_ns: of the window, whose end is the mark with that time.

    workers: how many processes are measured.  loops: threads of each that run a row besides the
    main thread; 1: the main thread does.
    """

    def __init__(self, runtime_ns: int = 0, workers: int = 1, loops: int = 1) -> None:
        self._runtime_ns = runtime_ns
        self._workers = workers
        self._threads = loops + 1 if loops > 1 else 1
        self._pids: Sequence[int] = ()
        self._before: int | None = None
        self._idle: int | None = None
        self._busy: int | None = None

    def before(self, pids: Sequence[int]) -> None:
        """They listen and nobody has connected. pids: measured processes first, and those below.

        What it does on its way to its first wait, making its event loop, is no connection's.
        """
        self._wait_until_asleep(pids)
        self._before = resident_kib(pids)

    def idle(self, pids: Sequence[int]) -> None:
        """All connections are open and nothing has been sent on them."""
        self._pids = pids
        self._wait_until_asleep(pids)
        self._idle = resident_kib(pids)

    def mark(self, t_ns: int) -> None:
        """A mark has come. The window's end is in a hurry: the connections close behind it."""
        if self._pids and self._busy is None and t_ns >= self._runtime_ns:
            self.busy()

    def busy(self) -> None:
        """Pings have been answered on all of them for a while."""
        self._busy = resident_kib(self._pids)

    @property
    def resident(self) -> Resident | None:
        """What was read; None where nothing was."""
        if (self._before, self._idle, self._busy) == (None, None, None):
            return None
        return Resident(before=self._before, idle=self._idle, busy=self._busy)

    def _wait_until_asleep(self, pids: Sequence[int]) -> None:
        deadline = time.monotonic() + LONGEST_S
        quiet = 0
        while quiet < _QUIET and time.monotonic() < deadline:
            asleep = all(is_asleep(pid, self._threads) for pid in pids[: self._workers])
            quiet = quiet + 1 if asleep else 0
            time.sleep(_LOOK_S)
