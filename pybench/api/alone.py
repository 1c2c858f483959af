"""One measurement at a time, for two would disturb each other; and what ends one early."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pybench.errors import UsageError

if TYPE_CHECKING:
    from pybench.api.explained import Explained
    from pybench.api.races import RaceResult
    from pybench.api.results import Results


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, or SIGTERM, during a measurement. `results`: what had been measured by then.

    Only the main thread of a program is interrupted; in another thread signals stay as they are.
    """

    def __init__(self, signal_name: str, results: "Results | RaceResult | Explained") -> None:
        super().__init__(signal_name)
        self.signal_name = signal_name
        self.results = results


_LOCK: Final = threading.Lock()
_owner: int | None = None


def not_in_worker(called: str) -> None:
    """Raise UsageError in a worker, which imports its row's file and would start another worker."""
    if getattr(sys.modules.get("pybench.worker.__main__"), "is_this_process", False):
        raise UsageError(
            f"{called}: a worker imports this file for the row in it: call it below"
            " if __name__ == '__main__':"
        )


@contextmanager
def alone(called: str) -> Iterator[None]:
    """Meanwhile no other measurement of this process runs: it waits for its turn.

    called: the function, for the message.  Raises UsageError when it is called by `on_progress`,
    inside a measurement, which would wait for itself.
    """
    global _owner
    if _owner == threading.get_ident():
        raise UsageError(f"{called}: a measurement is under way, whose on_progress this is")
    with _LOCK:
        _owner = threading.get_ident()
        try:
            yield
        finally:
            _owner = None
