"""`pybench compare`: is NEW faster than BASE, and how sure is that."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, get_args

from pybench.analysis.compare import (
    check_apart,
    compare_groups,
    compare_pythons,
    drift_note,
    environment_notes,
    judge_all,
)
from pybench.analysis.load import Loaded, load_files
from pybench.analysis.model import shared_rounds
from pybench.analysis.verdict import MARGIN, METRICS, Judgement
from pybench.cli.common import FAILED, Format, Parser, complain, warn
from pybench.errors import UsageError

_COMPARE: Final = """\
Ratio of NEW to BASE per cell with a 95% interval and a verdict: faster, slower, equal or undecided.
Without NEW both sides are taken from BASE:
    compare results.jsonl --base-func thread --new-func selector
    compare results.jsonl --by python
Rounds of one interleaved campaign are paired. Two separate campaigns are undecided, because the
machine drifts between them; three a side or more are not. Cells that differ in message size,
warm-up, runtime, think time, load server or machine, and cells of a single round, are not compared.
"""

_STATUS: Final = """\
Exit status: 0, or 1 when a cell is surely below --fail-below (or undecided, with --undecided fail),
2 when nothing could be compared."""


def run(arguments: list[str]) -> int:
    """Print the comparison; 1 when --fail-below is broken, else 0."""
    return _compare(_parser().parse_args(arguments))


def _parser() -> Parser:
    parser = Parser(
        prog="pybench compare",
        description=_COMPARE,
        epilog=_STATUS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
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
        "--metric", choices=METRICS, default="mps", help="what to compare (default mps)"
    )
    parser.add_argument(
        "--margin",
        metavar="SHARE",
        type=_margin,
        default=MARGIN,
        help="equal is what surely differs by less (default 0.03)",
    )
    parser.add_argument(
        "--noise",
        metavar="SHARE",
        type=_share,
        help="something that rounds do not see, as a drift between two campaigns, moved a side by "
        "no more than this: widens every interval, and lets separate campaigns be judged",
    )
    parser.add_argument(
        "--fail-below",
        metavar="RATIO",
        type=_ratio,
        help="exit with status 1 when a cell's whole interval is below RATIO",
    )
    parser.add_argument(
        "--undecided",
        choices=("pass", "fail"),
        help="what a cell is for --fail-below that cannot be told (default pass, with a warning)",
    )
    parser.add_argument(
        "--format", choices=get_args(Format), default="table", help="of standard output"
    )
    parser.add_argument("--server-name", metavar="NAME", help="only results of this load server")
    return parser


def _ratio(text: str) -> float:
    return _number(text, 0.001, 100.0, "ratio: write 0.95")


def _share(text: str) -> float:
    return _number(text, 0.0, 0.99, "share: write 0.05")


def _margin(text: str) -> float:
    return _number(text, 0.0001, 1.0, "share: write 0.03")


def _number(text: str, low: float, high: float, what: str) -> float:
    percent = what.startswith("share") and text.endswith("%")
    try:
        value = float(text[:-1]) / 100 if percent else float(text)
    except ValueError:
        value = -1.0
    if not low <= value <= high:
        raise argparse.ArgumentTypeError(f"{text!r} is no {what}")
    return value


def _check_sides(args: argparse.Namespace) -> None:
    """Raise UsageError unless the options say which two sides are meant."""
    if args.by is None and args.base_python is not None:
        raise UsageError("compare: --base-python goes with --by python")
    if args.by is not None and (args.new or args.base_func or args.new_func):
        raise UsageError("compare --by python takes one file, and neither NEW nor rows")
    if args.undecided is not None and args.fail_below is None:
        raise UsageError("compare: --undecided goes with --fail-below")
    if args.new is None and args.base_func and args.new_func:
        check_apart(args.base_func, args.new_func)
    if args.by is None and args.new is None and not (args.base_func and args.new_func):
        raise UsageError(
            "compare: give NEW, or --base-func and --new-func to compare rows of BASE, "
            "or --by python"
        )


def _first_python(loaded: Loaded) -> str:
    """What the first interpreter of the campaigns is called. Raises UsageError without two."""
    names = [one.name for record in loaded.campaigns for one in record.pythons]
    if len(set(names)) < 2:
        raise UsageError("compare --by python: the campaign had no two interpreters (--python)")
    return names[0]


def _compare(args: argparse.Namespace) -> int:
    """Print the comparison; 1 when --fail-below is broken, else 0."""
    from pybench.report.comparison import write_comparison

    _check_sides(args)
    loaded = load_files([args.base])
    status, twice = complain(loaded.errors), list(loaded.notes)
    base = new = loaded.groups(args.server_name)
    metric = METRICS[args.metric]
    if args.by is not None:
        first = args.base_python or _first_python(loaded)
        comparisons = compare_pythons(
            base, first, metric=metric, margin=args.margin, noise=args.noise
        )
    else:
        if args.new is not None:
            other = load_files([args.new])
            status = max(status, complain(other.errors))
            twice += other.notes
            new = other.groups(args.server_name)
            if (both := shared_rounds(base, new)) and args.base_func is None:
                twice.append(f"BASE and NEW have {both} rounds in common, held against themselves")
        comparisons = compare_groups(
            base,
            new,
            base_func=args.base_func,
            new_func=args.new_func,
            metric=metric,
            margin=args.margin,
            noise=args.noise,
        )
    for note in twice:
        warn(f"warning: {note}")
    demands: list[Judgement | None] = []
    if args.fail_below is not None:
        demands = judge_all(comparisons, args.fail_below, metric=metric)
    notes = [note for note in [drift_note(comparisons)] if note]
    notes += [f"The environments differ: {note}" for note in environment_notes(base, new)]
    write_comparison(comparisons, demands, notes, args.format, sys.stdout, metric)
    if all(c.verdict is None for c in comparisons):
        raise UsageError(f"compare: nothing could be compared: {comparisons[0].refused}")
    return max(status, _status(demands, args))


def _status(demands: Sequence[Judgement | None], args: argparse.Namespace) -> int:
    """What came of --fail-below; who is not told that nothing was decided believes it was kept."""
    outcomes = [one.outcome for one in demands if one is not None]
    if open_ones := outcomes.count("undecided"):
        warn(
            f"warning: --fail-below {args.fail_below:g}: {open_ones} of {len(outcomes)} cells are"
            " undecided, neither below nor surely not"
        )
    failing = "broken" in outcomes or (open_ones and args.undecided == "fail")
    return FAILED if failing else 0
