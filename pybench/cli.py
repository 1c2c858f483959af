"""The command line: the only file that prints errors and decides the exit status.

0 every cell ok, 1 some cell failed, 2 usage, 130 interrupted. `main` is the script `pybench`.
"""

import argparse
import difflib
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn, TextIO, get_args

import pybench
from pybench import backends
from pybench.backends import plugins
from pybench.errors import PybenchError, UsageError
from pybench.spec import OPTIONS, Campaign

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

Format = Literal["table", "json", "csv", "markdown"]

EPILOG = """\
other commands:
  pybench report FILE...     tables, plots and pages from results files
  pybench compare BASE NEW   is NEW faster or slower than BASE
  pybench serve [OPTION...]  run the load server, for `--server` on another machine
  pybench check SPEC         does a backend of yours keep the contract, and if not, why
  pybench calibrate          learn this machine's noise and limits, for the stamps (half a minute)
  each of them explains itself with --help
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status. argv: without the program's name."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _dispatch(arguments)
        sys.stdout.flush()
    except UsageError as exc:
        return _complain(exc, USAGE)
    except PybenchError as exc:
        return _complain(exc, FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except BrokenPipeError:  # whoever read us has left: nobody is there to be told
        _discard(sys.stdout, sys.stderr)
        return FAILED
    return status


def _complain(what: object, status: int) -> int:
    print(f"pybench: error: {' '.join(str(what).split())}", file=sys.stderr)
    return status


def _warn(text: str) -> None:
    print(f"pybench: {text}", file=sys.stderr, flush=True)


def _discard(*streams: TextIO) -> None:
    """Let the interpreter flush into nothing at its end instead of failing there."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(devnull, stream.fileno())
    os.close(devnull)


def _dispatch(arguments: list[str]) -> int:
    commands: dict[str, Callable[[list[str]], int]] = {
        "run": _run,
        "report": lambda rest: _report("report", rest),
        "compare": lambda rest: _report("compare", rest),
        "serve": _serve,
        "calibrate": _calibrate,
        "check": _check,
    }
    word = arguments[0] if arguments else ""
    if word in commands:
        return commands[word](arguments[1:])
    if word and not word.startswith("-"):
        near = difflib.get_close_matches(word, commands, n=1)
        hint = f", did you mean {near[0]}?" if near else ""
        raise UsageError(f"{word!r} is not a command ({' '.join(commands)}){hint}")
    return _run(arguments)


def _serve(arguments: list[str]) -> int:
    from pybench.driver.loadserver import replace_process

    return replace_process(arguments)


def _calibrate(arguments: list[str]) -> int:
    from pybench.driver import calibrate
    from pybench.machine import calibration
    from pybench.report.calibration import write_calibration

    parser = _Parser(
        prog="pybench calibrate",
        description=calibrate.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--show", action="store_true", help="print what is known, measure nothing")
    options = parser.parse_args(arguments)
    if options.show:
        found = calibration.load()
        if found is None:
            raise UsageError(f"nothing is known of this machine yet ({calibration.path()})")
    else:
        found = calibrate.calibrate(_warn)
        path = calibration.save(found)
        _warn(f"kept in {path}")
    write_calibration(found, sys.stdout)
    return OK


def _check(arguments: list[str]) -> int:
    from pybench import testing
    from pybench.spec import MAX_CONNS
    from pybench.units import NS_PER_S, parse_count, parse_duration_ns

    parser = _Parser(
        prog="pybench check",
        description="Check that a backend keeps the contract (docs/plugins.md), in some seconds. "
        "Exit status 1 when it does not, with what was seen and what to do.",
        allow_abbrev=False,
    )
    parser.add_argument("spec", metavar="SPEC", help="one backend, as --func takes it")
    parser.add_argument("--conns", default=str(testing.MANY), metavar="N", help="(default 50)")
    parser.add_argument(
        "--timeout", default="10s", metavar="TIME", help="when it counts as hung (default 10s)"
    )
    options = parser.parse_args(arguments)
    conns = parse_count(options.conns)
    if not 1 <= conns <= MAX_CONNS:
        raise UsageError(f"--conns: {conns} is out of range: 1 to {MAX_CONNS}")
    timeout_s = parse_duration_ns(options.timeout) / NS_PER_S
    report = testing.examine(options.spec, conns=conns, timeout_s=timeout_s)
    if report.findings:
        print(testing.describe(options.spec, report))
        return FAILED
    print(f"{options.spec} keeps the contract: {' '.join(report.checks)}")
    return OK


def _report(command: str, arguments: list[str]) -> int:
    # Imported here: a run must not pay for, or depend on, the libraries of the reports.
    from pybench.report import cli as report_cli

    parser = _Parser(prog="pybench", allow_abbrev=False)
    subparsers = parser.add_subparsers(required=True)
    report_cli.add_report_parser(subparsers)
    report_cli.add_compare_parser(subparsers)
    options = parser.parse_args([command, *arguments])
    handler: Callable[[argparse.Namespace], int] = options.handler
    return handler(options)


class _Parser(argparse.ArgumentParser):
    """Raises instead of printing a usage page and exiting."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} ({self.prog} --help)")


def _run_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="pybench",
        description="Measure ways of doing network I/O in Python, beside the same in C.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    _add_what(parser)
    _add_where(parser)
    _add_results(parser)
    return parser


def _add_what(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to measure")
    what.add_argument(
        "--func",
        action="append",
        metavar="ROW,...|all",
        help="rows (--list shows them), or your own: module:callable, file.py:callable, "
        "asyncio_proto@module:loop_factory, exec:'COMMAND --port {port}'; NAME=... names one; "
        "may be repeated",
    )
    what.add_argument("--conns", metavar="N,...", help="numbers of connections: 10,1k,10000")
    what.add_argument("--rounds", metavar="R", help="rounds of each cell (default 1)")
    what.add_argument("--runtime", metavar="TIME", help="measured time of a round (default 30s)")
    what.add_argument("--warmup", metavar="TIME", help="pings before that (default 1s)")
    what.add_argument("--msize", metavar="BYTES", help="size of a message (default 64)")
    what.add_argument("--think", metavar="MIN[:MAX]", help="wait between echo and next ping")
    what.add_argument(
        "--rate", metavar="R,...|auto", help="open loop: pings/s over all connections, or a sweep"
    )
    what.add_argument(
        "--env",
        action="append",
        metavar="NAME=VALUE,...",
        help="run each row also with these variables, as a row of its own; may be repeated",
    )
    what.add_argument(
        "--python",
        action="append",
        metavar="[NAME=]PATH",
        help="run the workers under this interpreter, which has a pybench of its own; may be "
        "repeated: every row then runs under each",
    )
    what.add_argument("--seed", metavar="N", help="of the order of cells (default random)")
    what.add_argument("--campaign", metavar="FILE", help="take options from a TOML file")
    what.add_argument("--resume", metavar="FILE", help="run what a results file still lacks")
    what.add_argument(
        "--skip-impossible", action="store_true", help="leave out what this machine cannot run"
    )


def _add_where(parser: argparse.ArgumentParser) -> None:
    where = parser.add_argument_group("where")
    where.add_argument("--server", metavar="HOST:PORT", help="use a running load server")
    where.add_argument("--bind", metavar="ADDR", help="address of the measured side")
    where.add_argument("--server-threads", metavar="N", help="ping threads of the load server")
    where.add_argument("--engine", metavar="NAME", help="of the load server: epoll or uring")
    where.add_argument(
        "--timestamps", metavar="kernel", help="have the kernel note when each echo arrives"
    )
    where.add_argument(
        "--busy-poll",
        metavar="TIME",
        help="how long the load server looks for echoes before it sleeps; auto (default): 200us "
        "where it has CPUs of its own, else 0",
    )
    where.add_argument("--cpu", metavar="N", help="CPU of the worker (default the first)")
    where.add_argument("--server-cpus", metavar="LIST", help="CPUs of the embedded load server")
    where.add_argument("--no-pin", action="store_true", help="pin nothing to CPUs")


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


def _run(arguments: list[str]) -> int:
    options: dict[str, Any] = vars(_run_parser().parse_args(arguments))
    if options.pop("list", False):
        return _list_rows()
    order, fmt = _read_order(options), options.get("format", "table")
    status = _measure(order, fmt, arguments)
    if "explain" in options and status != INTERRUPTED:
        status = max(status, _explain(order, Path(options["explain"]), fmt, arguments))
    return status


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
        _warn(f"warning: {warning}")
    expected = known.expected(prepared.tasks)
    about = "about " if order.campaign.rate_auto else ""
    left = f"{about}{len(expected)} round{'' if len(expected) == 1 else 's'}"
    span = short_span(Estimate(cells).left_s)
    _warn(f"{left} to measure, about {span} (seed {order.campaign.seed})")
    reporter = make_reporter(expected, order.campaign.rounds, sys.stderr)
    try:
        outcome = campaign.run(prepared, reporter, writer)
    finally:
        if writer is not None:
            writer.close()
    _show(outcome.results, fmt)
    if outcome.interrupted is not None:
        total = "" if about else f" of {len(expected) + len(order.done)}"
        _warn(_how_to_go_on(outcome, total, order.output))
        return INTERRUPTED
    return _status(outcome.results, order.campaign)


def _explain(order: _Order, folder: Path, fmt: Format, arguments: Sequence[str]) -> int:
    """Observe the campaign's cells; what programs read is in the folder, not on stdout."""
    from pybench.driver import campaign
    from pybench.explain import explain
    from pybench.report.syscalls import write_explanation

    prepared = campaign.prepare(order.campaign)
    explanation, interrupted = explain(prepared, folder, ["pybench", *arguments], _warn)
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
        _discard(sys.stdout)


def _how_to_go_on(outcome: Any, total: str, output: Path | None) -> str:
    kept = f"interrupted ({outcome.interrupted}): {len(outcome.results)}{total} rounds measured"
    if output is None:
        return f"{kept}; with --output FILE they could have been resumed"
    return f"{kept}; to go on: pybench --resume {shlex.quote(str(output))}"


def _status(results: Sequence[Any], campaign: Campaign) -> int:
    """Whether every cell is ok. Of `--func all` an unavailable row is only listed."""
    passable = ("ok", "unavailable") if campaign.all_rows else ("ok",)
    return OK if all(result.status in passable for result in results) else FAILED
