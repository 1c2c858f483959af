"""`measure` one round, `run` a campaign."""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pybench.api.alone import Interrupted, alone, not_in_worker
from pybench.api.events import EventListener, Note, OnProgress, heard_by
from pybench.api.options import OF_MEASURE, OF_RUN, RowLike, order_of, takes
from pybench.api.results import Measured, Results, results_of
from pybench.api.running import carry_out
from pybench.driver import campaign as campaigns
from pybench.driver.order import Order
from pybench.driver.plan import Plan
from pybench.errors import PybenchError, ServerError, UsageError, WorkerError
from pybench.result import Result


@takes(OF_MEASURE)
def measure(
    row: RowLike | None = None,
    *,
    campaign: str | Path | None = None,
    on_progress: OnProgress | None = None,
    output: str | Path | None = None,
    **options: Any,
) -> Measured:
    """One round of one row: its speed, latencies, CPU time and stamps.

    row: as `--func` takes it, `"asyncio_proto"`, `"my_echo.py:serve"`, or a function that serves
    and that a worker can import.  campaign: a TOML file of options, as `--campaign` takes it; what
    is given here counts instead of what is there.  on_progress: hears events, see
    `pybench.api.events`.
    output: a results file to append to.  Times without a unit are seconds; the window is 30 s
    unless told: `runtime="1s"`.
    Returns a `pybench.result.Result`: `mps` in messages/s, `latency_ns` in ns, ...
    Raises UsageError for what cannot be asked for, PreflightError for what this machine cannot
    run, WorkerError or PybenchError when the round fails, OutputError with `.results` when it is
    measured and the file takes no more, Interrupted on Ctrl-C, and what `on_progress` raises. A
    measurement waits until no other of this process runs.
    """
    not_in_worker("measure")
    order = order_of("measure", row, options, OF_MEASURE, campaign=campaign, output=output)
    _check_single(order)
    asked = dataclasses.replace(order.campaign, skip_impossible=False)
    with alone("measure"):
        order = dataclasses.replace(order, campaign=asked)
        found = _carried_out(order, heard_by(on_progress), _look)
    if not found.records:
        raise ServerError("unreachable", found.notes[-1])
    (result,) = found.records
    if not result.ok:
        raise _failure(result)
    return Measured(**{name: getattr(result, name) for name in Result.__struct_fields__})


def _check_single(order: Order) -> None:
    """Raise UsageError for what is more than a round of a cell."""
    campaign = order.campaign
    if len(campaign.cells) != 1 or campaign.rate_auto:
        names = ", ".join(map(str, campaign.cells))
        raise UsageError(f"measure: these are several cells, which run takes: {names}")
    if campaign.rounds != 1 or order.races_ns is not None:
        what = "races" if order.races_ns is not None else f"{campaign.rounds} rounds"
        raise UsageError(f"measure: the campaign file asks for {what}, which run takes")


def _look(plan: Plan) -> None:
    """Raise UsageError where the cell cannot run."""
    for cell, reason in plan.unavailable.items():
        raise UsageError(f"measure: {cell.label}: {reason}")


@takes(OF_RUN)
def run(
    rows: RowLike | Iterable[RowLike] | None = None,
    *,
    campaign: str | Path | None = None,
    resume: str | Path | None = None,
    races: str | float | None = None,
    on_progress: OnProgress | None = None,
    output: str | Path | None = None,
    **options: Any,
) -> Results:
    """A campaign: every row at every number of connections and size, R rounds, shuffled.

    rows: one as `measure` takes it, or several; `"all"` is every row of ours.
    campaign: a TOML file of options, or `"quick"`; what is given here counts instead of what is
    there.  resume: a results file, whose campaign is gone on with: what it lacks is measured and
    appended; nothing else but `cluster` and `on_progress` goes with it.
    races: then the rows of each family race each other, for so long in all.
    on_progress, output, options: as for `measure`; `conns=[10, "1k"]`, `rounds=5`, `seed=1`.
    Returns `Results`, of a file that is resumed also what it had; races are in `.races`. A round
    that fails is one of them: see `.ok`.
    Raises as `measure`, but for rounds that fail; and ServerError when no load server starts. What
    ends it later, a load server or a cluster that has gone, is in `.notes`. Interrupted has what
    had been measured by then.
    """
    not_in_worker("run")
    own = {"campaign": campaign, "resume": resume, "races": races, "output": output}
    order = order_of("run", rows, options, OF_RUN, **own)
    with alone("run"):
        return _carried_out(order, heard_by(on_progress))


def _carried_out(
    order: Order, tell: OnProgress, look: Callable[[Plan], object] = lambda plan: None
) -> Results:
    """Raises as `run` does, Interrupted and OutputError with what there is. look: as there."""
    listener = EventListener(tell)
    for error in order.errors:
        tell(Note(str(error)))
    done = carry_out(order, listener, look=look)
    outcome, raced = done.outcome, done.raced
    if outcome.broken is not None:
        listener.note(f"it ended early: {outcome.broken}")
    if raced.broken is not None:
        listener.note(f"the races ended early: {raced.broken}")
    found = results_of(
        outcome.results,
        campaigns.header(order.campaign, (), resumed=order.resumed),
        listener.notes,
        contests=raced.contests,
        errors=tuple(map(str, order.errors)),
    )
    if (signal_name := outcome.interrupted or raced.interrupted) is not None:
        raise Interrupted(signal_name, found)
    if outcome.unkept is not None:
        outcome.unkept.results = found
        raise outcome.unkept
    return found


def _failure(result: Result) -> PybenchError:
    """What became of a round, as the exception that says it."""
    text = f"{result.func}, {result.conns} connections: {result.error}"
    if result.status == "hung" or result.details:
        return WorkerError(text, hung=result.status == "hung", details=result.details)
    return PybenchError(text)
