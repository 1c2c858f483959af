"""A campaign: every cell, R rounds, in an order that lets slow drift of the machine hit all alike.

`run` is the way through: round after round of a plan, each result written when it is there. What
is to be done is in `plan.py`; one round is `round.py`.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from msgspec import structs

from pybench.driver import assemble
from pybench.driver import round as one_round
from pybench.driver.control import lacks_slices
from pybench.driver.interrupts import InterruptError, Interrupts
from pybench.driver.loadserver import ServerKeeper
from pybench.driver.plan import Completed, Plan, Task, make_plan
from pybench.driver.progress import Reporter
from pybench.driver.round import OnProgress, RoundContext
from pybench.errors import OutputError, ResultFormatError, ServerError, UsageError
from pybench.machine import calibration, environment
from pybench.machine.placement import Placement
from pybench.result import Result
from pybench.result.campaign import CampaignRecord
from pybench.result.file import ResultWriter, read_contents
from pybench.spec import Campaign, Cell

Measure = Callable[[Cell, int, dict[str, Any], OnProgress], Result]
"""One round: its cell and number, the environment to record, who hears of progress."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it, and what ended it early, if anything.

    interrupted: the signal.  unkept: why its file takes no more; the round that found out is in the
    results.  broken: why nothing more can be measured: no load server, or no cluster.
    """

    results: tuple[Result, ...]
    interrupted: str | None = None
    unkept: OutputError | None = None
    broken: str | None = None

    @property
    def cut_short(self) -> bool:
        """Whether it ended early."""
        return any(why is not None for why in (self.interrupted, self.unkept, self.broken))


def run(
    plan: Plan,
    reporter: Reporter,
    writer: ResultWriter | None,
    measure: Measure | None = None,
) -> Outcome:
    """Run what is left to do. Results come in the order in which they were measured.

    measure: makes each round; for real unless told.
    A round that fails is a result. Raises ServerError when no load server can be started for the
    first one; later that ends the campaign.
    """
    results, completed = list(plan.done), Completed(plan.done)
    with ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        stack.enter_context(reporter)
        measure = measure or stack.enter_context(measuring(plan, interrupts))
        env = environment_of(plan.placement)
        for place, task in enumerate(plan.tasks):
            while (cell := completed.next_cell(task)) is not None:
                try:
                    interrupts.check()
                    reporter.round_started(cell, task.number)
                    result = structs.replace(
                        _run_cell(cell, task, plan, env, measure, reporter.live),
                        campaign_id=plan.campaign.id,
                    )
                except InterruptError as exc:
                    return Outcome(tuple(results), exc.signal_name)
                except ServerError as exc:
                    if not results:
                        raise
                    return Outcome(tuple(results), broken=str(exc))
                results.append(result)
                completed.add(result)
                unkept = keep(writer, result)
                reporter.round_finished(result)
                if unkept is not None:
                    return Outcome(tuple(results), unkept=unkept)
                if cell.rate_auto:
                    reporter.expect(completed.expected(plan.tasks[place:]))
                if not result.ok:
                    break
    return Outcome(tuple(results))


def keep(writer: ResultWriter | None, result: Result) -> OutputError | None:
    """Write a result where results go; why that cannot be done, or None."""
    try:
        if writer is not None:
            writer.write(result)
    except OutputError as exc:
        return exc
    return None


@contextmanager
def measuring(plan: Plan, interrupts: Interrupts) -> Iterator[Measure]:
    """What makes the rounds of a plan for real, while its load server is kept."""
    placement = plan.placement
    keeper = ServerKeeper(plan.campaign.server, bind=plan.bind, cpus=placement.server_cpus)
    slices = True
    with keeper as server:

        def measure(
            cell: Cell, number: int, env: dict[str, Any], on_progress: OnProgress
        ) -> Result:
            nonlocal slices
            context = RoundContext(
                server=server.address(),
                bind=plan.bind,
                placement=placement.for_cell(cell),
                interrupts=interrupts,
                env=env,
                slices=slices,
                more_servers=plan.campaign.more_servers,
            )
            result = one_round.run(cell, number, context, on_progress)
            if slices and lacks_slices(result.error):
                slices = False
                return measure(cell, number, env, on_progress)
            died = None if result.ok else server.exit_reason()
            return result if died is None else assemble.failed(result, died)

        yield measure


def run_alone(campaign: Campaign, cell: Cell, number: int, interrupts: Interrupts) -> Result:
    """One round of one cell of a campaign, which is checked against this machine first.

    number: of the round, from 1.  Raises UsageError, PreflightError among them, ServerError when
    there is no load server, and InterruptError.
    """
    only = dataclasses.replace(
        campaign, rows=(cell.row,), conns=(cell.conns,), msize=(cell.msize,),
        rate=(cell.rate,) if cell.rate else (),
    )  # fmt: skip
    plan = make_plan(only)
    env = environment_of(plan.placement)
    with measuring(plan, interrupts) as measure:
        result = _run_cell(cell, Task(number, cell), plan, env, measure, lambda progress: None)
    return structs.replace(result, campaign_id=campaign.id)


def environment_of(placement: Placement) -> dict[str, Any]:
    """What every result records of where it ran."""
    env = environment.collect() | {"placement": placement.to_record()}
    if (calibrated := calibration.load()) is not None:
        env["calibration"] = calibrated.to_env()
    return env


def _run_cell(
    cell: Cell,
    task: Task,
    plan: Plan,
    env: dict[str, Any],
    measure: Measure,
    on_progress: OnProgress,
) -> Result:
    """One round, or the record that it cannot be. cell: the task's, or a step of its sweep."""
    env = env | {"load_average": environment.load_average()}
    if "placement" in env:  # of this cell: another may have more workers
        env["placement"] = plan.placement.for_cell(cell).to_record()
    reason = plan.unavailable.get(task.cell)
    if reason is None:
        return measure(cell, task.number, env, on_progress)
    now = datetime.now(timezone.utc).astimezone().isoformat(timespec="milliseconds")
    blank = assemble.empty_result(cell, task.number, now, env)
    return assemble.failed(blank, reason, status="unavailable")


def load_unfinished(
    path: Path,
    on_error: Callable[[ResultFormatError], object] = lambda error: None,
    called: str = "--resume",
) -> tuple[Campaign, list[Result]]:
    """The campaign that a results file began with, and what is done of it.

    on_error: hears of each line that cannot be read.  called: the option, for messages.
    A round counts as done when it is ok or unavailable, which a plan looks at again; other rounds
    are run again.
    Raises UsageError when the file is not one that can be resumed.
    """
    try:
        contents = read_contents(path)
        sections = contents.sections
        if not sections or sections[0].campaign is None:
            for error in contents.errors:
                raise error
            raise ResultFormatError("its first line does not record a campaign")
        if sections[0].campaign.race is not None:
            raise ResultFormatError("a race is not resumed: its rounds are short, run it again")
        campaign = Campaign.from_record(sections[0].campaign)
    except ResultFormatError as exc:
        raise UsageError(f"{called} {path}: {exc}") from exc
    done = [
        result
        for section in sections
        for result in section.results
        if section.campaign_of(result) == campaign.id and result.status in ("ok", "unavailable")
    ]
    for error in contents.errors:
        on_error(error)
    return campaign, done


def header(campaign: Campaign, command: Sequence[str], *, resumed: bool = False) -> CampaignRecord:
    """The header line's record: the campaign, the command that asked for it, and where it ran."""
    return structs.replace(
        campaign.to_record(),
        command=tuple(command),
        started_at=datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds"),
        env=environment.collect(),
        resumed=resumed,
    )
