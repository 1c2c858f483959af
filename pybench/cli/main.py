"""`pybench`: which commands there are, and what becomes of an error.

0 every cell ok (of a race every pair decided), 1 some cell failed (undecided), 2 usage, 130
interrupted. `main` is the script `pybench`.
"""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from pybench.cli.common import FAILED, INTERRUPTED, OK, USAGE
from pybench.cli.streams import guarded
from pybench.errors import PybenchError, UsageError

COMMANDS = {
    "run": "measure rows; what is done when no command is named",
    "race": "who is faster, by how much: contenders take turns, a minute decides",
    "report": "tables, plots and pages from results files",
    "compare": "is NEW faster or slower than BASE",
    "serve": "run the load server, for `--server` on another machine",
    "check": "does a backend of yours keep the contract, and if not, why",
    "doctor": "is this machine fit to measure, and what would make it so",
    "cluster-check": "are the machines of a Dask cluster fit to measure",
    "calibrate": "learn this machine's noise and limits, for the stamps (half a minute)",
}
"""Each is a module of its name here, `_` for `-`, with `run(arguments) -> exit status`."""

QUESTIONS = {"--list": "rows", "--version": "version"}
"""Options of `run` that, alone, are answered without loading it; modules like the commands."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status. argv: without the program's name."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with guarded() as output:
        try:
            status = _run(arguments)
        except SystemExit:  # --help
            if output.failure() is None:
                raise
            status = OK
        if (reason := output.failure()) is not None:
            return _complain(reason, status or FAILED)
        return status


def _run(arguments: list[str]) -> int:
    try:
        run, rest = _command(arguments)
        return run(rest)
    except UsageError as exc:
        return _complain(exc, USAGE)
    except (PybenchError, OSError) as exc:
        return _complain(exc, FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)


def _command(arguments: list[str]) -> tuple[Callable[[list[str]], int], list[str]]:
    """What the first word asks for, and the words that are left for it."""
    word = arguments[0] if arguments else ""
    if word in COMMANDS:
        return _load(word), arguments[1:]
    if word in QUESTIONS and len(arguments) == 1:
        return _load(QUESTIONS[word]), []
    if word and not word.startswith("-"):
        import difflib  # costs as much as all the rest of this file

        near = difflib.get_close_matches(word, COMMANDS, n=1)
        hint = f", did you mean {near[0]}?" if near else ""
        raise UsageError(f"{word!r} is not a command ({' '.join(COMMANDS)}){hint}")
    return _load("run"), arguments


def _load(command: str) -> Callable[[list[str]], int]:
    """A command is imported when it is asked for: none pays for the libraries of another."""
    run: Callable[[list[str]], int] = import_module(f"pybench.cli.{command.replace('-', '_')}").run
    return run


def _of_folder(exc: OSError) -> str:
    """What an error without a file is about, where the current folder has been removed."""
    from pathlib import Path  # `--version` has no use for it

    try:
        if exc.filename is None:
            Path.cwd()
    except FileNotFoundError:
        return "the current folder has been removed: cd to one that is there"
    return ""


def _complain(what: object, status: int) -> int:
    if isinstance(what, OSError) and what.strerror:
        where = "" if what.filename is None else f"{what.filename}: "
        what = _of_folder(what) or where + what.strerror
    print(f"pybench: error: {' '.join(str(what).split())}", file=sys.stderr)
    return status
