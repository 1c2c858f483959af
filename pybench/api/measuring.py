"""`measure` one round, `run` a campaign."""

from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from pybench.api.alone import Interrupted, alone, not_in_worker
from pybench.api.events import EventReporter, Note, OnProgress, heard_by
from pybench.api.options import OF_MEASURE, OF_RUN, RowLike, campaign_of, takes
from pybench.api.results import Measured, Results, results_of
from pybench.driver import campaign as campaigns
from pybench.driver.control import token
from pybench.driver.plan import Plan, make_plan
from pybench.errors import PybenchError, UsageError, WorkerError
from pybench.result import Result
from pybench.result.campaign import CampaignRecord
from pybench.result.file import ResultWriter
from pybench.spec import Campaign


@takes(OF_MEASURE)
def measure(
    row: RowLike,
    *,
    on_progress: OnProgress | None = None,
    output: str | Path | None = None,
    **options: Any,
) -> Measured:
    """One round of one row: its speed, latencies, CPU time and stamps.

    row: as `--func` takes it, `"asyncio_proto"`, `"my_echo.py:serve"`, or a function that serves
    and that a worker can import.  on_progress: hears events, see `pybench.api.events`.
    output: a results file to append to.  Times without a unit are seconds; the window is 30 s
    unless told: `runtime="1s"`.
    Returns a `pybench.result.Result`: `mps` in messages/s, `latency_ns` in ns, ...
    Raises UsageError for what cannot be asked for, PreflightError for what this machine cannot
    run, WorkerError or PybenchError when the round fails, Interrupted on Ctrl-C, and what
    `on_progress` raises. A measurement waits until no other of this process runs.
    """
    not_in_worker("measure")
    campaign = campaign_of("measure", row, options, OF_MEASURE)
    if len(campaign.cells) != 1 or campaign.rate_auto:
        names = ", ".join(map(str, campaign.cells))
        raise UsageError(f"measure: these are several cells, which run takes: {names}")
    with alone("measure"):
        tell = heard_by(on_progress)
        plan = _plan(campaign, tell)
        for cell, reason in plan.unavailable.items():
            raise UsageError(f"measure: {cell.label}: {reason}")
        results = _run(plan, campaign, tell, output)
    (result,) = results.records
    if not result.ok:
        raise _failure(result)
    return Measured(**{name: getattr(result, name) for name in Result.__struct_fields__})


@takes(OF_RUN)
def run(
    rows: RowLike | Iterable[RowLike],
    *,
    on_progress: OnProgress | None = None,
    output: str | Path | None = None,
    **options: Any,
) -> Results:
    """A campaign: every row at every number of connections and size, R rounds, shuffled.

    rows: one as `measure` takes it, or several; `"all"` is every row of ours.
    on_progress, output, options: as for `measure`; `conns=[10, "1k"]`, `rounds=5`, `seed=1`.
    Returns `Results`. A round that fails is one of them: see `.ok`.
    Raises as `measure`, but for rounds that fail; and ServerError when no load server starts.
    Interrupted has what had been measured by then.
    """
    not_in_worker("run")
    campaign = campaign_of("run", rows, options, OF_RUN)
    with alone("run"):
        tell = heard_by(on_progress)
        return _run(_plan(campaign, tell), campaign, tell, output)


def _plan(campaign: Campaign, tell: OnProgress) -> Plan:
    """What is to be done; its warnings are told."""
    token()  # what cannot be one is said before anything starts
    plan = make_plan(campaign)
    for warning in plan.warnings:
        tell(Note(warning))
    return plan


def _run(plan: Plan, campaign: Campaign, tell: OnProgress, output: str | Path | None) -> Results:
    """Measure all of it. Raises Interrupted with what there is."""
    header = campaigns.header(campaign, ())
    with writer_to(output, header) as writer:
        outcome = campaigns.run(plan, EventReporter(tell, plan.expected), writer)
    results = results_of(outcome.results, header, plan.warnings)
    if outcome.interrupted is not None:
        raise Interrupted(outcome.interrupted, results)
    return results


@contextmanager
def writer_to(output: str | Path | None, header: CampaignRecord) -> Iterator[ResultWriter | None]:
    """Where results go; nowhere unless asked for."""
    if output is None:
        yield None
        return
    with closing(ResultWriter(Path(output), header)) as writer:
        yield writer


def _failure(result: Result) -> PybenchError:
    """What became of a round, as the exception that says it."""
    text = f"{result.func}, {result.conns} connections: {result.error}"
    if result.status == "hung" or result.details:
        return WorkerError(text, hung=result.status == "hung", details=result.details)
    return PybenchError(text)
