"""`pybench`, or `pybench run`: measure a campaign, show its results, say how it ended."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pybench
from pybench.cli import rows
from pybench.cli.common import FAILED, INTERRUPTED, OK, Format, Parser, complain, warn
from pybench.cli.main import COMMANDS
from pybench.cli.terminal import Terminal
from pybench.errors import UsageError
from pybench.spec import OPTIONS
from pybench.spec.race import RACES

if TYPE_CHECKING:
    from pybench.analysis.race import Contest
    from pybench.driver import families
    from pybench.driver.campaign import Measure, Outcome
    from pybench.driver.order import Order
    from pybench.driver.plan import Plan
    from pybench.driver.race import MeasureHeat


def run(
    arguments: list[str],
    measure: "Measure | None" = None,
    measure_heat: "MeasureHeat | None" = None,
) -> int:
    """Measure, show, and observe where that is asked for. measure, measure_heat: make the rounds,
    as in `driver.campaign.run` and `driver.race.run`; for real unless told."""
    options: dict[str, Any] = vars(_parser().parse_args(arguments))
    if options.pop("list", False):
        return rows.run([])
    order, fmt = _read_order(options), options.get("format", "table")
    complain(order.errors)
    status = _measure(order, fmt, arguments, measure, measure_heat)
    if "explain" in options and status != INTERRUPTED:
        status = max(status, _explain(order, Path(options["explain"]), fmt, arguments))
    return status


def _epilog() -> str:
    others = [(name, what) for name, what in COMMANDS.items() if name != "run"]
    width = max(len(name) for name, _ in others)
    lines = [f"  pybench {name:{width}}  {what}" for name, what in others]
    return "\n".join(["other commands:", *lines, "  each of them explains itself with --help"])


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="pybench",
        description="Measure ways of doing network I/O in Python, beside the same in C.",
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    what = parser.add_argument_group("what to measure")
    _add_group(what, "what")
    what.add_argument("--campaign", metavar="FILE", help="take options from a TOML file")
    what.add_argument(_option(RACES.name), metavar=RACES.metavar, help=RACES.help)
    what.add_argument("--resume", metavar="FILE", help="run what a results file still lacks")
    _add_group(parser.add_argument_group("where"), "where")
    _add_results(parser)
    return parser


def _add_group(group: argparse._ArgumentGroup, name: str) -> None:
    """The options of one group of the table, each as it is written on a command line."""
    for option in OPTIONS.values():
        if option.group != name:
            continue
        default = f" (default {option.default})" if option.default and not option.flag else ""
        how: dict[str, Any] = {"action": "store_true"}
        if not option.flag:
            how = {"action": "append" if option.many else "store", "metavar": option.metavar}
        group.add_argument(_option(option.name), help=option.help + default, **how)


def _add_results(parser: argparse.ArgumentParser) -> None:
    out = parser.add_argument_group("results")
    out.add_argument("--output", metavar="FILE", help="append every round as a line of JSON")
    out.add_argument("--format", choices=get_args(Format), help="on stdout (default table)")
    out.add_argument(
        "--explain",
        nargs="?",
        const="explain",
        metavar="DIR",
        help="then observe each cell: system calls per ping, CPU time by layer (default ./explain)",
    )
    out.add_argument("--list", action="store_true", help="show all rows and leave")
    out.add_argument("--version", action="version", version=f"pybench {pybench.__version__}")


def _read_order(options: dict[str, Any]) -> "Order":
    from pybench.driver.order import read_order

    order = read_order(options, _option)
    asked = order.campaign
    if "explain" in options and (max(asked.workers) > 1 or max(asked.loops) > 1):
        raise UsageError("--explain observes one worker of one loop: without --workers and --loops")
    if "explain" in options and asked.cluster is not None:
        raise UsageError(
            "--explain and --cluster exclude each other: a cluster measures, and does not observe"
        )
    return order


def _option(key: str) -> str:
    return "--" + key.replace("_", "-")


def _measure(
    order: "Order",
    fmt: Format,
    arguments: Sequence[str],
    measure: "Measure | None",
    measure_heat: "MeasureHeat | None",
) -> int:
    """Run the campaign, show its results, say how it ended."""
    from pybench.api.running import carry_out

    done = carry_out(
        order,
        Terminal(arguments),
        command=["pybench", *arguments],
        measure=measure,
        measure_heat=measure_heat,
    )
    _show(done.outcome.results, done.raced.contests, fmt)
    if (early := _ended_early(done.outcome, done.plan, order.output)) is not None:
        return early
    return max(
        _status(order, done.outcome.results), _status_of_races(done.raced), _kept(done.outcome)
    )


def _explain(order: "Order", folder: Path, fmt: Format, arguments: Sequence[str]) -> int:
    """Observe the campaign's cells; what programs read is in the folder, not on stdout."""
    from pybench.driver.plan import make_plan
    from pybench.explain import explain
    from pybench.report.syscalls import write_explanation

    plan = make_plan(order.campaign)
    explanation, interrupted = explain(plan, folder, ["pybench", *arguments], warn)
    if explanation.cells and fmt in ("table", "markdown"):
        write_explanation(explanation, fmt, sys.stdout)
    if interrupted:
        return INTERRUPTED
    return FAILED if any(cell.errors for cell in explanation.cells) else OK


def _show(results: Sequence[Any], contests: "Sequence[Contest]", fmt: Format) -> None:
    from pybench.report.summary import run_summary

    if results:
        run_summary(results, fmt, sys.stdout, contests)


def _kept(outcome: "Outcome") -> int:
    """Whether the file took every round; said where it did not."""
    if outcome.unkept is None:
        return OK
    return complain([f"{outcome.unkept}; when there is room again, --resume goes on"])


def _ended_early(outcome: "Outcome", plan: "Plan", output: Path | None) -> int | None:
    """The exit status of a campaign that was interrupted or can measure no more, which is said with
    how to go on; None of one that came to its end."""
    why = outcome.interrupted or outcome.broken
    if why is None:
        return None
    warn(_how_to_go_on(outcome, plan, output, why))
    return INTERRUPTED if outcome.interrupted is not None else FAILED


def _how_to_go_on(outcome: "Outcome", plan: "Plan", output: Path | None, why: str) -> str:
    total = "" if plan.campaign.rate_auto else f" of {len(plan.expected) + len(plan.done)}"
    kept = f"interrupted ({why}): {len(outcome.results)}{total} rounds measured"
    if output is None:
        return f"{kept}; with --output FILE they could have been resumed"
    return f"{kept}; to go on: pybench --resume {shlex.quote(str(output))}"


def _status(order: "Order", results: Sequence[Any]) -> int:
    """Whether every cell is ok, and every line of a resumed file could be read. Of `--func all` an
    unavailable row is only listed."""
    passable = ("ok", "unavailable") if order.campaign.all_rows else ("ok",)
    every = all(result.status in passable for result in results)
    return FAILED if order.errors or not every else OK


def _status_of_races(raced: "families.Outcome") -> int:
    """Whatever ended them early is said."""
    if raced.interrupted is not None:
        warn(f"interrupted ({raced.interrupted}): the races are not at their end")
        return INTERRUPTED
    if raced.broken is not None:
        warn(f"error: {raced.broken}")
        return FAILED
    return OK
