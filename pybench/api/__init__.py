"""pybench as a library: what the commands do, as functions that return values.

In: rows, and the options of the command line as keywords. Out: results that tabulate and plot
themselves, in a notebook too. Everything here is to be had as `pybench.NAME` (docs/library.md).

    measuring.py racing.py comparing.py loading.py explaining.py    the functions
    running.py          campaigns and races, here or on a cluster; so do commands
    options.py          keywords into the table of options; signatures and help out of it
    events.py           what `on_progress` hears
    given.py            paths, shares and names, checked
    alone.py            one measurement at a time, and its end by Ctrl-C
    results.py races.py comparisons.py explained.py picture.py    what the functions return
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pybench.api.alone import Interrupted
    from pybench.api.comparing import compare
    from pybench.api.comparisons import Comparisons
    from pybench.api.events import (
        Event,
        LeftOut,
        Looked,
        Note,
        OnProgress,
        Progress,
        RaceRoundFinished,
        RaceRoundStarted,
        RoundFinished,
        RoundStarted,
    )
    from pybench.api.explained import Explained
    from pybench.api.explaining import explain
    from pybench.api.loading import load
    from pybench.api.measuring import measure, run
    from pybench.api.picture import Picture
    from pybench.api.races import RaceResult, RaceVerdict
    from pybench.api.racing import race
    from pybench.api.results import Measured, Results

__all__ = [
    "Comparisons",
    "Event",
    "Explained",
    "Interrupted",
    "LeftOut",
    "Looked",
    "Measured",
    "Note",
    "OnProgress",
    "Picture",
    "Progress",
    "RaceResult",
    "RaceRoundFinished",
    "RaceRoundStarted",
    "RaceVerdict",
    "Results",
    "RoundFinished",
    "RoundStarted",
    "compare",
    "explain",
    "load",
    "measure",
    "race",
    "run",
]

_EVENTS: Final = (
    *("Event", "LeftOut", "Looked", "Note", "OnProgress", "Progress", "RaceRoundFinished"),
    *("RaceRoundStarted", "RoundFinished", "RoundStarted"),
)
_HOMES: Final = {
    "measure": "measuring",
    "run": "measuring",
    "race": "racing",
    "compare": "comparing",
    "load": "loading",
    "explain": "explaining",
    "Interrupted": "alone",
    "Measured": "results",
    "Results": "results",
    "RaceResult": "races",
    "RaceVerdict": "races",
    "Comparisons": "comparisons",
    "Explained": "explained",
    "Picture": "picture",
    **dict.fromkeys(_EVENTS, "events"),
}
"""Name -> its module, imported when it is asked for: who loads a file needs no driver."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
