"""`pybench`, or `pybench run`: measure a campaign, show its results, say how it ended."""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import pybench
from pybench import backends
from pybench.backends import plugins
from pybench.cli.common import FAILED, INTERRUPTED, OK, Format, Parser, discard, warn
from pybench.cli.main import COMMANDS
from pybench.errors import UsageError
from pybench.spec import OPTIONS, Campaign


def run(arguments: list[str]) -> int:
    """Measure, show, and observe where that is asked for."""
    options: dict[str, Any] = vars(_parser().parse_args(arguments))
    if options.pop("list", False):
        return _list_rows()
    order, fmt = _read_order(options), options.get("format", "table")
    status = _measure(order, fmt, arguments)
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


def _list_rows() -> int:
    rows = [*backends.ROWS.values(), *plugins.installed()]
    width = max(len(row.name) for row in rows)
    for row in rows:
        reason = backends.unavailable(row)
        if row.source and (row.name in backends.ROWS or row.name in backends.ALIASES):
            reason = "pybench has a row of that name: the distribution must choose another"
        source = f" (plug-in of {row.source})" if row.source else ""
        note = "" if reason is None else f"\n{'':{width}}  unavailable: {reason}"
        print(f"{row.name:{width}}  {row.description}{source}{note}")
    aliases = ", ".join(f"{alias} = {name}" for alias, name in backends.ALIASES.items())
    print(f"\nAlso: all = every row, {aliases}")
    return OK


@dataclass(frozen=True, slots=True)
class _Order:
    """What was asked for: a campaign, the results it already has, and where new ones go."""

    campaign: Campaign
    done: tuple[Any, ...] = ()
    output: Path | None = None
    resumed: bool = False


def _read_order(options: dict[str, Any]) -> _Order:
    from pybench.driver import campaign

    given = {key: value for key, value in options.items() if key in OPTIONS}
    if "resume" in options:
        extra = sorted(key for key in options if key not in ("resume", "format"))
        if extra:
            raise UsageError(
                f"--resume takes everything from its file: without {_option(extra[0])}"
            )
        path = Path(options["resume"])
        resumed, done = campaign.load_unfinished(path)
        return _Order(resumed, tuple(done), path, resumed=True)
    from_file: dict[str, Any] = {}
    file = options.get("campaign")
    if file is not None:
        from_file = campaign.load_file(file)

    def names(key: str) -> str:
        return f"{file}: {key}" if key in from_file and key not in given else _option(key)

    output = Path(options["output"]) if "output" in options else None
    return _Order(Campaign.from_options(from_file | given, names), output=output)


def _option(key: str) -> str:
    return "--" + key.replace("_", "-")


def _measure(order: _Order, fmt: Format, arguments: Sequence[str]) -> int:
    """Run the campaign, show its results, say how it ended."""
    from pybench.driver import campaign
    from pybench.driver.progress import Estimate, make_reporter, short_span
    from pybench.result.file import ResultWriter

    prepared = campaign.prepare(order.campaign, order.done)
    known = campaign.Completed(order.done)
    available = [task for task in prepared.tasks if task.cell not in prepared.unavailable]
    cells = known.expected(available)
    writer = None
    if order.output is not None and prepared.tasks:
        record = campaign.header(order.campaign, ["pybench", *arguments])
        writer = ResultWriter(order.output, record | {"resumed": order.resumed})
    for warning in prepared.warnings:
        warn(f"warning: {warning}")
    expected = known.expected(prepared.tasks)
    about = "about " if order.campaign.rate_auto else ""
    left = f"{about}{len(expected)} round{'' if len(expected) == 1 else 's'}"
    span = short_span(Estimate(cells).left_s)
    warn(f"{left} to measure, about {span} (seed {order.campaign.seed})")
    reporter = make_reporter(expected, order.campaign.rounds, sys.stderr)
    try:
        outcome = campaign.run(prepared, reporter, writer)
    finally:
        if writer is not None:
            writer.close()
    _show(outcome.results, fmt)
    if outcome.interrupted is not None:
        total = "" if about else f" of {len(expected) + len(order.done)}"
        warn(_how_to_go_on(outcome, total, order.output))
        return INTERRUPTED
    return _status(outcome.results, order.campaign)


def _explain(order: _Order, folder: Path, fmt: Format, arguments: Sequence[str]) -> int:
    """Observe the campaign's cells; what programs read is in the folder, not on stdout."""
    from pybench.driver import campaign
    from pybench.explain import explain
    from pybench.report.syscalls import write_explanation

    prepared = campaign.prepare(order.campaign)
    explanation, interrupted = explain(prepared, folder, ["pybench", *arguments], warn)
    if explanation.cells and fmt in ("table", "markdown"):
        write_explanation(explanation, fmt, sys.stdout)
    if interrupted:
        return INTERRUPTED
    return FAILED if any(cell.errors for cell in explanation.cells) else OK


def _show(results: Sequence[Any], fmt: Format) -> None:
    from pybench.report.summary import run_summary

    if not results:
        return
    try:
        run_summary(results, fmt, sys.stdout)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):
        # `| head` is no failure of the measurement; rich answers a broken pipe by SystemExit.
        discard(sys.stdout)


def _how_to_go_on(outcome: Any, total: str, output: Path | None) -> str:
    kept = f"interrupted ({outcome.interrupted}): {len(outcome.results)}{total} rounds measured"
    if output is None:
        return f"{kept}; with --output FILE they could have been resumed"
    return f"{kept}; to go on: pybench --resume {shlex.quote(str(output))}"


def _status(results: Sequence[Any], campaign: Campaign) -> int:
    """Whether every cell is ok. Of `--func all` an unavailable row is only listed."""
    passable = ("ok", "unavailable") if campaign.all_rows else ("ok",)
    return OK if all(result.status in passable for result in results) else FAILED
