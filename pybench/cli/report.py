"""`pybench report`: tables, pictures and pages from results files."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, get_args

from pybench.analysis.load import Loaded, load_files
from pybench.analysis.model import Group
from pybench.cli.common import Format, Parser, complain, warn
from pybench.errors import UsageError
from pybench.report.charts import Charts
from pybench.report.chosen import Choice, Usual, chosen_document, chosen_tables
from pybench.report.document import write_document
from pybench.report.export import EXPORTS, export_names, write_export
from pybench.report.figures import figures
from pybench.report.hgrm import write_hgrm
from pybench.report.metrics import METRICS, Metric, default_metrics
from pybench.report.optional import require
from pybench.report.reference import CHOICES, Reference, build_reference
from pybench.report.select import parse_cells, select_cells
from pybench.report.stepsummary import append_summary, summary_path

_REPORT: Final = """\
Tables and pictures from results files: ours (JSON lines) and the raw ones of the 2016 experiment
(YAML). Results of several load servers, message sizes or runtimes stand in tables of their own.
Races say who is faster instead."""


def run(arguments: list[str]) -> int:
    """Write what was asked for, then print the tables."""
    return _report(_parser().parse_args(arguments))


def _parser() -> Parser:
    parser = Parser(
        prog="pybench report",
        description=_REPORT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("files", nargs="*", metavar="FILE", type=Path, help="results to read")
    parser.add_argument(
        "--format",
        choices=(*get_args(Format), *EXPORTS),
        default="table",
        help="of standard output; the last four are what other programs read",
    )
    parser.add_argument(
        "--syscalls",
        metavar="FILE",
        type=Path,
        help="system calls per ping, 2016 and as --explain found them (its explain.json)",
    )
    parser.add_argument(
        "--history",
        metavar="DIR",
        type=Path,
        help="ratios over time, and where they changed, from the results files in DIR; with --html"
        " a page of them",
    )
    parser.add_argument(
        "--table",
        metavar="NAME,...",
        help=f"which tables: {', '.join(METRICS)}, fairness (jain, starved),"
        " memory (idle_memory, busy_memory, peak_memory), scaling (by workers and loops) or all",
    )
    parser.add_argument("--plots", metavar="DIR", type=Path, help="write pictures, SVG and PNG")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write one self-contained page")
    parser.add_argument(
        "--github-summary",
        action="store_true",
        help="also append it as Markdown to the page of the GitHub job ($GITHUB_STEP_SUMMARY)",
    )
    parser.add_argument(
        "--hgrm", metavar="DIR", type=Path, help="write percentile distributions for HdrHistogram"
    )
    parser.add_argument(
        "--cells",
        metavar="ROW:CONNS,...",
        help="cells of the latency distribution and of --hgrm, as c_epoll:1k, c_epoll or :1k",
    )
    parser.add_argument(
        "--reference", choices=CHOICES, help="set the figures of the 2016 report beside these"
    )
    parser.add_argument(
        "--relative-to", metavar="ROW", help="the row that is 1 in relative figures"
    )
    parser.add_argument("--server-name", metavar="NAME", help="only results of this load server")
    return parser


def _report(args: argparse.Namespace) -> int:
    """Write what was asked for, then print the tables; the paths written go to standard error."""
    _check_export(args)
    summary = summary_path() if args.github_summary else None
    if args.history is not None:
        return _report_history(args, summary)
    if args.syscalls is not None:
        return _report_syscalls(args, summary)
    if not args.files:
        raise UsageError("report: give results files, --syscalls FILE or --history DIR")
    if args.cells is not None and args.plots is None and args.hgrm is None:
        raise UsageError("--cells chooses what --plots and --hgrm show: give one of them")
    choice = Choice(args.table, args.relative_to)
    wanted = parse_cells(args.cells)
    _require_libraries(args)
    loaded = load_files(args.files)
    status = complain(loaded.errors)
    for note in loaded.notes:
        warn(f"warning: {note}")
    groups = loaded.groups(args.server_name) if loaded.rounds else []
    if not groups:
        _check_only_races(args)
    references = _references(groups, args)
    tables = chosen_tables(groups, choice, _usual_of(args.format))
    document = chosen_document(
        groups, tables, choice, contests=loaded.contests, references=references
    )
    written = _write_files(args, loaded, groups, references, wanted)
    if args.format in EXPORTS:
        for failure in (failure for group in tables for failure in group.failures):
            warn(f"warning: not measured, and so not in it: {failure.text}")
        write_export(figures(tables, loaded.contests), args.format, sys.stdout)
    else:
        write_document(document, args.format, sys.stdout)
    if summary is not None:
        append_summary(document, summary)
        written.append(summary)
    for path in written:
        print(f"wrote {path}", file=sys.stderr)
    return status


def _check_export(args: argparse.Namespace) -> None:
    """Raise UsageError for what a format of others has no place for."""
    if args.format in EXPORTS:
        for option in ("syscalls", "history", "reference"):
            if getattr(args, option) is not None:
                raise UsageError(f"--{option} is for tables: --format {args.format} has none")
        if "scaling" in (args.table or "").split(","):
            raise UsageError(f"--table scaling is a table: --format {args.format} has none")


def _usual_of(fmt: str) -> Usual:
    """The tables that nobody named, by the format."""
    if fmt not in EXPORTS:
        return default_metrics

    def of_export(*, open_loop: bool, sized: bool) -> list[Metric]:
        return [METRICS[name] for name in export_names(fmt, open_loop=open_loop)]

    return of_export


def _check_only_races(args: argparse.Namespace) -> None:
    """Raise UsageError for an option that races know nothing of."""
    _refuse(
        args,
        ("table", "hgrm", "cells", "reference", "relative_to", "server_name"),
        "tables: the files hold races, which have none",
    )


def _refuse(args: argparse.Namespace, options: Sequence[str], what: str) -> None:
    """Raise UsageError for an option that would be ignored. what: it is for, and why not here."""
    for option in options:
        if getattr(args, option) is not None:
            raise UsageError(f"--{option.replace('_', '-')} is for {what}")


def _report_syscalls(args: argparse.Namespace, summary: Path | None) -> int:
    """Print the report's list of system calls per ping with ours beside it."""
    from pybench.explain import read_explanation
    from pybench.report.syscalls import syscalls_document

    if args.files:
        raise UsageError("report --syscalls reads what --explain wrote, and no results files")
    _refuse(
        args,
        ("table", "plots", "html", "hgrm", "cells", "reference", "relative_to", "server_name"),
        "results files: --syscalls reads none",
    )
    document = syscalls_document(read_explanation(args.syscalls))
    write_document(document, args.format, sys.stdout)
    if summary is not None:
        append_summary(document, summary)
        print(f"wrote {summary}", file=sys.stderr)
    return 0


def _report_history(args: argparse.Namespace, summary: Path | None) -> int:
    """Print the series of a folder of results files, and write their page."""
    from pybench.analysis.history import read_history
    from pybench.report.history import history_document

    if args.files:
        raise UsageError("report --history reads a folder, and no results files beside it")
    _refuse(
        args,
        ("syscalls", "table", "plots", "hgrm", "cells", "reference", "server_name"),
        "one results file: --history has ratios of many",
    )
    require("report --history", "ruptures", *(["jinja2"] if args.html is not None else []))
    history = read_history(args.history, args.relative_to)
    document = history_document(history)
    status = complain(history.errors)
    for note in history.notes:
        warn(f"warning: {note}")
    if args.html is not None:
        from pybench.report.page.history import write_history

        words = ["pybench", "report", "--history", str(args.history), "--html", str(args.html)]
        write_history(history, args.html, words)
    write_document(document, args.format, sys.stdout)
    if summary is not None:
        append_summary(document, summary)
    for path in filter(None, (args.html, summary)):
        print(f"wrote {path}", file=sys.stderr)
    return status


def _require_libraries(args: argparse.Namespace) -> None:
    """Miss an optional library before anything is printed."""
    if args.plots is not None:
        require("report --plots", "matplotlib")
    if args.html is not None:
        require("report --html", "plotly", "jinja2")


def _references(groups: Sequence[Group], args: argparse.Namespace) -> list[Reference | None]:
    if args.reference is None:
        return [None] * len(groups)
    return [
        None if group.open_loop else build_reference(group, args.reference, args.relative_to)
        for group in groups
    ]


def _write_files(
    args: argparse.Namespace,
    loaded: Loaded,
    groups: Sequence[Group],
    references: Sequence[Reference | None],
    wanted: Any,
) -> list[Path]:
    """Pictures, page and distributions, as far as they were asked for; the paths written."""
    written: list[Path] = []
    charts = [Charts(group) for group in groups]
    if args.plots is not None:
        from pybench.report.plots.write import write_plots

        written += write_plots(charts, args.plots, wanted=wanted, contests=loaded.contests)
    if args.html is not None:
        from pybench.report.page.write import write_page

        write_page(
            charts,
            references,
            loaded.campaigns,
            args.html,
            command=_command(args),
            contests=loaded.contests,
        )
        written.append(args.html)
    if args.hgrm is not None:
        written += _write_distributions(groups, args.hgrm, wanted)
    return written


def _command(args: argparse.Namespace) -> list[str]:
    """The words that make the page again, for the page."""
    words = ["python", "-m", "pybench", "report", *map(str, args.files), "--html", str(args.html)]
    for option in ("reference", "relative_to", "server_name"):
        value = getattr(args, option)
        if value is not None:
            words += [f"--{option.replace('_', '-')}", value]
    return words


def _write_distributions(groups: Sequence[Group], folder: Path, wanted: Any) -> list[Path]:
    """One file per wanted cell with a histogram, of all cells without a wish."""
    written: list[Path] = []
    for number, group in enumerate(groups, 1):
        suffix = f"-{number}-{group.setting.server}" if len(groups) > 1 else ""
        cells = select_cells(group, wanted or (lambda _func, _conns: True))
        written += write_hgrm(cells, folder, suffix)
    if not written:
        raise UsageError(f"--hgrm {folder}: no such cell has a histogram")
    return written
