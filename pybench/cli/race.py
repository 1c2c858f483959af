"""`pybench race`: who is faster, and by how much, decided in a minute on a noisy machine."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from pybench.cli.common import FAILED, INTERRUPTED, OK, Format, Parser, warn
from pybench.errors import UsageError
from pybench.spec import OPTIONS, Option
from pybench.spec.race import ELSEWHERE, FACTORS, RACE_OPTIONS, SHARED, Race
from pybench.units import NS_PER_S

if TYPE_CHECKING:
    from pybench.driver.race import MeasureHeat, Outcome
    from pybench.driver.raceplan import RacePlan
    from pybench.result.file import ResultWriter

    Writing = Callable[[], AbstractContextManager[ResultWriter | None]]

_RACE: Final = """\
Who is faster, and by how much. All contenders are alive at once and take turns of some tens of
milliseconds, so that the machine's drift cancels in their ratios; every round has fresh workers.
    pybench race asyncio_proto uvloop_proto c_epoll --conns 10,100,1k
    pybench race main=asyncio_proto@python:main/bin/python mine=asyncio_proto@python:mine/bin/python
The verdict on each ratio to the first contender: faster, slower, equal within the margin, or
undecided at the end of the budget (exit status 1)."""

_HELP: Final = {
    "conns": "numbers of connections: 10,100,1k (default 100)",
    "env": "each contender also with these variables, as one of its own; may be repeated",
    "python": "each contender under this interpreter, which has a pybench of its own; may be"
    " repeated",
    "seed": "of the order of turns (default random)",
    "cluster": "on the machines of a Dask cluster, by its scheduler: each round on one of them",
    "rate": "open loop: pings/s over all connections, for latencies",
    "engine": "of the load server, epoll or uring; of several, each contender with each",
    "transport": "what connections are made of: tcp, unix, tls; of several, each contender over"
    " each",
    "workers": "worker processes of each contender; of several numbers, each contender with each",
    "loops": "threads of a worker that each run the row; of several numbers, each contender with"
    " each",
    "busy_poll": "how long the load server looks before it sleeps, or auto; of several, each"
    " contender with each: 0,auto",
}
"""What an option means here, where that is not what it means for a campaign."""


def run(arguments: list[str], measure_heat: "MeasureHeat | None" = None) -> int:
    """Race, show the ranking, say how it ended. measure_heat: makes each round of a heat, as in
    `driver.race.run`; for real unless told."""
    options: dict[str, Any] = vars(_parser().parse_args(arguments))
    race = Race.from_options(options.pop("rows"), options, _option)
    if "html" in options:
        from pybench.report.optional import require

        require("race --html", "jinja2")
    return _run(race, options, arguments, measure_heat)


def _parser() -> Parser:
    parser = Parser(
        prog="pybench race",
        description=_RACE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument(
        "rows", nargs="*", metavar="ROW", default=[], help="[NAME=]ROW[@python:PATH], two or more"
    )
    for option in RACE_OPTIONS.values():
        _add(parser, option)
    what = parser.add_argument_group("what to measure")
    where = parser.add_argument_group("where")
    for name in (*SHARED, *ELSEWHERE, *FACTORS):
        _add(what if OPTIONS[name].group == "what" else where, OPTIONS[name])
    out = parser.add_argument_group("results")
    out.add_argument("--output", metavar="FILE", help="append every round as lines of JSON")
    out.add_argument("--format", choices=get_args(Format), help="on stdout (default table)")
    out.add_argument("--html", metavar="FILE", help="write one self-contained page")
    return parser


def _add(group: argparse._ActionsContainer, option: Option) -> None:
    """An option as it is written on a command line."""
    default = f" (default {option.default})" if option.default and not option.flag else ""
    how: dict[str, Any] = {"action": "store_true"}
    if not option.flag:
        how = {"action": "append" if option.many else "store", "metavar": option.metavar}
    text = _HELP.get(option.name, option.help + default)
    group.add_argument(_option(option.name), help=text.replace("%", "%%"), **how)


def _option(key: str) -> str:
    return "--" + key.replace("_", "-")


def _run(
    race: Race,
    options: dict[str, Any],
    arguments: Sequence[str],
    measure_heat: "MeasureHeat | None",
) -> int:
    command = ["pybench", "race", *arguments]
    output = Path(options["output"]) if "output" in options else None
    writing = partial(_writer, race, output, command)
    if race.campaign.cluster is None:
        outcome = _race_here(race, writing, measure_heat)
    else:
        outcome = _race_on_cluster(race, race.campaign.cluster, writing)
    if outcome.results:
        _show(race, outcome, options, command)
    return _status(outcome)


def _race_here(race: Race, writing: "Writing", measure_heat: "MeasureHeat | None") -> "Outcome":
    """On this machine."""
    from pybench.driver import race as races
    from pybench.driver.control import token
    from pybench.driver.raceplan import make_plan
    from pybench.driver.raceprogress import make_race_reporter

    token()  # what cannot be one is said before anything starts
    plan = make_plan(race)
    with writing() as writer:
        _announce(plan)
        reporter = make_race_reporter(race.budget_ns / NS_PER_S, sys.stderr)
        return races.run(plan, reporter, writer, measure_heat)


def _race_on_cluster(race: Race, scheduler: str, writing: "Writing") -> "Outcome":
    """On the machines of a cluster, which check by themselves what they can do."""
    from pybench.cluster import race as on_cluster
    from pybench.cluster.pool import DaskPool
    from pybench.driver.raceplan import plan_elsewhere
    from pybench.driver.raceprogress import ClusterRaceReporter

    plan = plan_elsewhere(race)
    with DaskPool(scheduler) as pool, writing() as writer:
        _announce(plan, machines=len(pool.workers()))
        return on_cluster.run(plan, pool, ClusterRaceReporter(sys.stderr), writer, warn)


@contextmanager
def _writer(
    race: Race, output: Path | None, command: Sequence[str]
) -> "Iterator[ResultWriter | None]":
    """Where results go; nowhere unless asked for."""
    from pybench.driver import race as races
    from pybench.result.file import ResultWriter

    if output is None:
        yield None
        return
    with closing(ResultWriter(output, races.header(race, command))) as writer:
        yield writer


def _announce(plan: "RacePlan", machines: int = 0) -> None:
    """What is to come, before it does. machines: Dask workers, if any."""
    from pybench.driver.progress import short_span
    from pybench.units import count_label

    for warning in plan.warnings:
        warn(f"warning: {warning}")
    race = plan.race
    counts = ",".join(map(count_label, race.campaign.conns))
    sizes = ",".join(map(count_label, race.campaign.msize))
    several = f" with messages of {sizes} bytes" if len(race.campaign.msize) > 1 else ""
    span = short_span(race.budget_ns / NS_PER_S)
    known = f"{100 * race.precision:g}%"
    on = ""
    if race.campaign.cluster is not None:
        on = f" on {machines} worker{'' if machines == 1 else 's'} of {race.campaign.cluster}"
    warn(
        f"{len(race.contenders)} contenders at {counts} connections{several}{on}, until their"
        f" ratios are known within {known} or for {span} (seed {race.campaign.seed})"
    )


def _show(race: Race, outcome: "Outcome", options: dict[str, Any], command: Sequence[str]) -> None:
    from pybench.analysis.race import Contest
    from pybench.driver import race as races
    from pybench.driver.course import record
    from pybench.report.ranking import write_ranking

    contest = Contest.of(race.campaign.id, record(race), outcome.results)
    write_ranking([contest], options.get("format", "table"), sys.stdout)
    if "html" in options:
        from pybench.report.page.write import write_page

        path = Path(options["html"])
        write_page([], [], [races.header(race, command)], path, contests=[contest])
        warn(f"wrote {path}")


def _status(outcome: "Outcome") -> int:
    """Whether every pair is decided; whatever ended the race early is said."""
    if outcome.interrupted is not None:
        rounds = len({(r.conns, r.msize, r.round) for r in outcome.results})
        warn(f"interrupted ({outcome.interrupted}): {rounds} rounds measured")
        return INTERRUPTED
    if (why := outcome.broken or outcome.unkept) is not None:
        warn(f"error: {why}")
        return FAILED
    if not outcome.standings:
        raise UsageError("nothing was measured")
    return OK if all(one.decided for one in outcome.standings) else FAILED
