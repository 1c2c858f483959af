"""A campaign as the library runs it: here or on a cluster, and the races behind it.

As `cli/run.py` for the command line: what that says on standard error is heard as events here, and
what it prints is returned.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path

from pybench.api.alone import Interrupted
from pybench.api.events import EventReporter, Note, OnProgress, RaceEventReporter
from pybench.api.given import path_of
from pybench.api.results import Results, results_of
from pybench.cluster import campaign as on_cluster
from pybench.cluster import pool as pools
from pybench.cluster import race as race_on_cluster
from pybench.driver import campaign as campaigns
from pybench.driver import families, raceplan
from pybench.driver import race as races
from pybench.driver.control import tokens
from pybench.driver.order import Order
from pybench.driver.plan import Plan, make_plan, plan_elsewhere
from pybench.driver.race import Outcome as Raced
from pybench.result.campaign import CampaignRecord
from pybench.result.file import ResultWriter
from pybench.spec.race import Race

_WARNING = "warning: "


class Ears:
    """Who hears what the command line would say. notes: what is to be kept in mind."""

    def __init__(self, tell: OnProgress) -> None:
        self.tell = tell
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """It is heard, and kept."""
        self.notes.append(text)
        self.tell(Note(text))

    def say(self, text: str) -> None:
        """It is heard; a warning is kept."""
        if text.startswith(_WARNING):
            self.note(text.removeprefix(_WARNING))
        else:
            self.tell(Note(text))


def carry_out(
    order: Order, tell: OnProgress, look: Callable[[Plan], object] = lambda plan: None
) -> Results:
    """Measure what is left to do; what was done before is among the results.

    look: sees the plan of this machine before anything starts.
    Raises as `run` does, Interrupted with what there is among them.
    """
    ears = Ears(tell)
    for error in order.errors:
        tell(Note(str(error)))
    header = campaigns.header(order.campaign, (), resumed=order.resumed)
    if order.campaign.cluster is None:
        outcome, raced = _here(order, header, ears, look)
    else:
        outcome, raced = _on_cluster(order, header, ears)
    if outcome.broken is not None:
        ears.note(f"it ended early: {outcome.broken}")
    if raced.broken is not None:
        ears.note(f"the races ended early: {raced.broken}")
    found = results_of(
        outcome.results,
        header,
        ears.notes,
        contests=raced.contests,
        errors=tuple(map(str, order.errors)),
    )
    if (signal_name := outcome.interrupted or raced.interrupted) is not None:
        raise Interrupted(signal_name, found)
    if outcome.unkept is not None:
        outcome.unkept.results = found
        raise outcome.unkept
    return found


_Measured = tuple[campaigns.Outcome, families.Outcome]
"""What came of the campaign, and of the races behind it."""


def _here(
    order: Order, header: CampaignRecord, ears: Ears, look: Callable[[Plan], object]
) -> _Measured:
    tokens(max(1, len(order.campaign.servers)))  # what cannot be one is said before all else
    plan = make_plan(order.campaign, order.done)
    for warning in plan.warnings:
        ears.note(warning)
    look(plan)
    with writer_to(order.output if plan.tasks else None, header) as writer:
        outcome = campaigns.run(plan, EventReporter(ears.tell, plan.expected), writer)
    raced = families.Outcome()
    if order.races_ns is not None and not outcome.cut_short:

        def race(one: Race) -> Raced | None:
            writing = partial(_race_writer, order.output)
            return families.race_here(one, RaceEventReporter(ears.tell), writing, ears.say)

        raced = families.run(plan, outcome.results, order.races_ns, race, ears.say)
    return outcome, raced


def _on_cluster(order: Order, header: CampaignRecord, ears: Ears) -> _Measured:
    plan, scheduler = plan_elsewhere(order.campaign, order.done), order.campaign.cluster
    assert scheduler is not None
    raced = families.Outcome()
    if not plan.tasks:
        return campaigns.Outcome(plan.done), raced
    with pools.DaskPool(scheduler) as pool:
        with writer_to(order.output, header) as writer:
            reporter = EventReporter(ears.tell, plan.expected)
            outcome = on_cluster.run(plan, pool, reporter, writer, ears.say)
        if order.races_ns is not None and not outcome.cut_short:

            def race(one: Race) -> Raced:
                with _race_writer(order.output, one) as writer:
                    return race_elsewhere(one, pool, writer, ears)

            raced = families.run(plan, outcome.results, order.races_ns, race, ears.say)
    return outcome, raced


def race_elsewhere(
    race: Race, pool: pools.DaskPool, writer: ResultWriter | None, ears: Ears
) -> Raced:
    """A race on the machines of a cluster."""
    plan = raceplan.plan_elsewhere(race)
    return race_on_cluster.run(plan, pool, RaceEventReporter(ears.tell), writer, ears.say)


def _race_writer(output: Path | None, race: Race) -> AbstractContextManager[ResultWriter | None]:
    """Where a race behind a campaign goes: into the same file, as a section of its own."""
    return writer_to(output, races.header(race, ()))


@contextmanager
def writer_to(output: str | Path | None, header: CampaignRecord) -> Iterator[ResultWriter | None]:
    """Where results go; nowhere unless asked for."""
    if output is None:
        yield None
        return
    with closing(ResultWriter(path_of("output", output), header)) as writer:
        yield writer
