"""Ctrl-C and SIGTERM as events that are waited for, so that no line is torn and nothing leaks."""

import os
import signal
import threading
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InterruptError(Exception):
    """The user asked for the end. `signal_name` is how: SIGINT or SIGTERM."""

    def __init__(self, signal_name: str) -> None:
        super().__init__(signal_name)
        self.signal_name = signal_name


class Interrupts:
    """While entered, the first SIGINT or SIGTERM is only remembered; a second one acts at once.

    One that is ignored stays ignored. Whoever waits also waits for `fileno` and then calls
    `check`. In other threads than the main one signals stay as they are, and none is ever seen.
    """

    def __init__(self) -> None:
        self._seen: str | None = None
        self._previous: dict[signal.Signals, signal._HANDLER] = {}
        self._reader, self._writer = os.pipe()

    def __enter__(self) -> "Interrupts":
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is signal.SIG_IGN:  # as in a script's `pybench ... &`
                    continue
                self._previous[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._restore()
        os.close(self._reader)
        os.close(self._writer)

    def fileno(self) -> int:
        """For selectors: readable once a signal has come."""
        return self._reader

    def check(self) -> None:
        """Raise InterruptError when a signal has come."""
        if self._seen is not None:
            raise InterruptError(self._seen)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self._seen = signal.Signals(number).name
        os.write(self._writer, b"x")
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()
