"""`pybench race`: who is faster, and by how much, decided in a minute on a noisy machine."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from pybench.cli.common import FAILED, INTERRUPTED, OK, Format, Parser, warn
from pybench.cli.terminal import Terminal
from pybench.errors import UsageError
from pybench.spec import OPTIONS, Option
from pybench.spec.race import ELSEWHERE, FACTORS, RACE_OPTIONS, SHARED, Race

if TYPE_CHECKING:
    from pybench.driver.race import MeasureHeat, Outcome

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
    from pybench.api.running import carry_out_race

    command = ["pybench", "race", *arguments]
    output = Path(options["output"]) if "output" in options else None
    outcome = carry_out_race(
        race, Terminal(arguments), output=output, command=command, measure_heat=measure_heat
    )
    if outcome.results:
        _show(race, outcome, options, command)
    return _status(outcome)


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
