"""`race`: who is faster, and by how much."""

from pathlib import Path
from typing import Any

from pybench.analysis.race import Contest
from pybench.api.alone import Interrupted, alone, not_in_worker
from pybench.api.events import EventListener, OnProgress, heard_by
from pybench.api.given import path_of
from pybench.api.options import OF_RACE, RowLike, race_of, takes
from pybench.api.races import RaceResult
from pybench.api.running import carry_out_race
from pybench.driver.course import record


@takes(OF_RACE)
def race(
    *rows: RowLike,
    on_progress: OnProgress | None = None,
    output: str | Path | None = None,
    **options: Any,
) -> RaceResult:
    """Contenders that take turns, until every ratio is known as well as asked, or time is over.

    rows: two or more, `[NAME=]ROW[@python:PATH]` or a function that serves; one twice races
    against itself. The others are set against the first.
    on_progress, output: as for `measure`.  budget: 60 s unless told, `budget="10s"`.
    precision, margin: shares, `0.03` or `"3%"`.
    Returns a `RaceResult`; what is open at the end of the budget is undecided.
    Raises UsageError, PreflightError when this machine cannot run it, ServerError when no load
    server starts, OutputError when the file takes no more and Interrupted on Ctrl-C, both with what
    there is, and what `on_progress` raises.
    """
    not_in_worker("race")
    asked, listener = race_of("race", rows, options), EventListener(heard_by(on_progress))
    with alone("race"):
        path = None if output is None else path_of("output", output)
        outcome = carry_out_race(asked, listener, output=path)
    if outcome.broken is not None:
        listener.note(f"it ended early: {outcome.broken}")
    contest = Contest.of(asked.campaign.id, record(asked), outcome.results)
    found = RaceResult(contest, listener.notes)
    if outcome.interrupted is not None:
        raise Interrupted(outcome.interrupted, found)
    if outcome.unkept is not None:
        outcome.unkept.results = found
        raise outcome.unkept
    return found
