"""The subcommands `report` and `compare`: their options, and what they call."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from pybench.analysis.load import Loaded, load_files
from pybench.analysis.model import Group
from pybench.errors import UsageError
from pybench.report.csv import write_csv
from pybench.report.hgrm import write_hgrm
from pybench.report.json import write_json
from pybench.report.markdown import write_markdown
from pybench.report.metrics import METRICS, choose_metrics, default_metrics
from pybench.report.optional import require
from pybench.report.reference import CHOICES, Reference, build_reference
from pybench.report.select import chosen_cells, parse_cells
from pybench.report.tables import build_tables, find_row

FORMATS: Final = ("table", "json", "csv", "markdown")

_REPORT: Final = """\
Tables and pictures from results files: ours (JSON lines) and the raw ones of the 2016 experiment
(YAML). Results of several load servers, message sizes or runtimes stand in tables of their own."""

_COMPARE: Final = """\
Ratio of NEW to BASE per cell with a 95% interval. Without NEW both sides are taken from BASE:
    compare results.jsonl --base-func thread --new-func selector
    compare results.jsonl --by python
Rounds of one interleaved campaign are paired. Cells that differ in message size, warm-up, runtime,
think time, load server or machine, and cells of a single round, are not compared."""


def add_report_parser(subparsers: Any) -> None:
    """Add `report` to the subparsers of an ArgumentParser; its default `handler` runs it."""
    parser = subparsers.add_parser(
        "report",
        help="tables, plots and a page from results files",
        description=_REPORT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="*", metavar="FILE", type=Path, help="results to read")
    parser.add_argument("--format", choices=FORMATS, default="table", help="of standard output")
    parser.add_argument(
        "--syscalls",
        metavar="FILE",
        type=Path,
        help="system calls per ping, 2016 and as --explain found them (its explain.json)",
    )
    parser.add_argument(
        "--table",
        metavar="NAME,...",
        help=f"which tables: {', '.join(METRICS)}, fairness (jain, starved) or all",
    )
    parser.add_argument("--plots", metavar="DIR", type=Path, help="write pictures, SVG and PNG")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write one self-contained page")
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
    parser.set_defaults(handler=_report)


def add_compare_parser(subparsers: Any) -> None:
    """Add `compare` to the subparsers of an ArgumentParser; its default `handler` runs it."""
    parser = subparsers.add_parser(
        "compare",
        help="is NEW faster than BASE, and how sure is that",
        description=_COMPARE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("base", metavar="BASE", type=Path, help="results file")
    parser.add_argument("new", metavar="NEW", type=Path, nargs="?", help="results file")
    parser.add_argument("--base-func", metavar="ROW", help="compare this row of BASE ...")
    parser.add_argument("--new-func", metavar="ROW", help="... with this row of NEW")
    parser.add_argument(
        "--by", choices=("python",), help="compare the interpreters of BASE, row by row"
    )
    parser.add_argument(
        "--base-python",
        metavar="NAME",
        help="the interpreter to hold the others against (default the campaign's first)",
    )
    parser.add_argument(
        "--fail-below",
        metavar="RATIO",
        type=_ratio,
        help="exit with status 1 when a cell's whole interval is below RATIO",
    )
    parser.add_argument(
        "--noise",
        metavar="SHARE",
        type=_share,
        help="a smaller difference is none (default: 0.05, and 0 for paired rounds)",
    )
    parser.add_argument("--format", choices=FORMATS, default="table", help="of standard output")
    parser.add_argument("--server-name", metavar="NAME", help="only results of this load server")
    parser.set_defaults(handler=_compare)


def _ratio(text: str) -> float:
    return _number(text, 0.001, 100.0, "ratio: write 0.95")


def _share(text: str) -> float:
    return _number(text, 0.0, 1.0, "share: write 0.05")


def _number(text: str, low: float, high: float, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is no {what}")
    return value


def _report(args: argparse.Namespace) -> int:
    """Print the tables, then write what was asked for; the paths written go to standard error."""
    if args.syscalls is not None:
        return _report_syscalls(args)
    if not args.files:
        raise UsageError("report: give results files, or --syscalls FILE")
    metrics = None if args.table is None else choose_metrics(args.table)
    wanted = parse_cells(args.cells)
    _require_libraries(args)
    loaded = load_files(args.files)
    groups = loaded.groups(args.server_name)
    references = _references(groups, args)
    relative_to = _check_row(groups, args.relative_to)
    tables = [
        build_tables(
            group,
            metrics or default_metrics(open_loop=group.open_loop),
            relative_to=_if_there(group, relative_to),
        )
        for group in groups
    ]
    if args.format == "table":
        from pybench.report.terminal import print_tables

        print_tables(tables, references, sys.stdout)
    elif args.format == "markdown":
        write_markdown(tables, references, sys.stdout)
    elif args.format == "csv":
        write_csv(tables, sys.stdout)
    else:
        write_json(tables, references, sys.stdout)
    for path in _write_files(args, loaded, groups, references, wanted):
        print(f"wrote {path}", file=sys.stderr)
    return 0


def _report_syscalls(args: argparse.Namespace) -> int:
    """Print the report's list of system calls per ping with ours beside it."""
    from pybench.explain import read_explanation
    from pybench.report.syscalls import write_syscalls

    if args.files:
        raise UsageError("report --syscalls reads what --explain wrote, and no results files")
    write_syscalls(read_explanation(args.syscalls), args.format, sys.stdout)
    return 0


def _require_libraries(args: argparse.Namespace) -> None:
    """Miss an optional library before anything is printed."""
    if args.plots is not None:
        require("report --plots", "matplotlib", "numpy")
    if args.html is not None:
        require("report --html", "plotly", "jinja2", "numpy", "scipy", "matplotlib")


def _references(groups: Sequence[Group], args: argparse.Namespace) -> list[Reference | None]:
    if args.reference is None:
        return [None] * len(groups)
    return [
        None if group.open_loop else build_reference(group, args.reference, args.relative_to)
        for group in groups
    ]


def _check_row(groups: Sequence[Group], row: str | None) -> str | None:
    """The row, once some group has it; UsageError when none has."""
    if row is not None and not any(_if_there(group, row) for group in groups):
        find_row(groups[0], row)
    return row


def _if_there(group: Group, row: str | None) -> str | None:
    """The group's own name of the row; None when it has no such row."""
    try:
        return None if row is None else find_row(group, row)
    except UsageError:
        return None


def _write_files(
    args: argparse.Namespace,
    loaded: Loaded,
    groups: Sequence[Group],
    references: Sequence[Reference | None],
    wanted: Any,
) -> list[Path]:
    """Pictures, page and distributions, as far as they were asked for; the paths written."""
    written: list[Path] = []
    if args.plots is not None:
        from pybench.report.plots.draw import write_plots

        written += write_plots(groups, args.plots, wanted=wanted)
    if args.html is not None:
        from pybench.report.page.write import write_page

        write_page(groups, references, loaded.campaigns, args.html, command=_command(args))
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
        cells = chosen_cells(group, wanted or (lambda _func, _conns: True))
        written += write_hgrm(cells, folder, suffix)
    if not written:
        raise UsageError(f"--hgrm {folder}: no such cell has a histogram")
    return written


def _check_sides(args: argparse.Namespace) -> None:
    """Raise UsageError unless the options say which two sides are meant."""
    if args.by is None and args.base_python is not None:
        raise UsageError("compare: --base-python goes with --by python")
    if args.by is not None and (args.new or args.base_func or args.new_func):
        raise UsageError("compare --by python takes one file, and neither NEW nor rows")
    if args.by is None and args.new is None and not (args.base_func and args.new_func):
        raise UsageError(
            "compare: give NEW, or --base-func and --new-func to compare rows of BASE, "
            "or --by python"
        )


def _first_python(loaded: Loaded) -> str:
    """What the first interpreter of the campaigns is called. Raises UsageError without two."""
    names = [one["name"] for record in loaded.campaigns for one in record.get("pythons", ())]
    if len(set(names)) < 2:
        raise UsageError("compare --by python: the campaign had no two interpreters (--python)")
    return str(names[0])


def _compare(args: argparse.Namespace) -> int:
    """Print the comparison; 1 when a cell is surely below --fail-below, else 0."""
    require("compare", "numpy", "scipy")
    from pybench.analysis.compare import (
        compare_groups,
        compare_pythons,
        drift_note,
        environment_notes,
        surely_below,
    )
    from pybench.report.comparison import write_comparison

    _check_sides(args)
    loaded = load_files([args.base])
    base = new = loaded.groups(args.server_name)
    if args.by is not None:
        first = args.base_python or _first_python(loaded)
        comparisons = compare_pythons(base, first, noise=args.noise)
    else:
        if args.new is not None:
            new = load_files([args.new]).groups(args.server_name)
        comparisons = compare_groups(
            base, new, base_func=args.base_func, new_func=args.new_func, noise=args.noise
        )
    below = [] if args.fail_below is None else surely_below(comparisons, args.fail_below)
    notes = [note for note in [drift_note(comparisons)] if note]
    notes += [f"The environments differ: {note}" for note in environment_notes(base, new)]
    write_comparison(comparisons, below, notes, args.format, sys.stdout)
    if all(c.ratio is None for c in comparisons):
        raise UsageError(f"compare: nothing could be compared: {comparisons[0].refused}")
    return 1 if below else 0
