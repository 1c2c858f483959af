"""`load`: results from files."""

from pathlib import Path

from pybench.analysis.load import load_files
from pybench.api.given import path_of
from pybench.api.results import Results
from pybench.errors import UsageError


def load(*paths: str | Path) -> Results:
    """What results files hold: ours, with races or without, and the raw ones of 2016.

    A round that stands there twice counts once, which `.notes` says; lines that cannot be read are
    in `.errors`.
    Raises ResultFormatError for a file that is no results file, or holds no round at all, and
    UsageError for what is no path.
    """
    if not paths:
        raise UsageError("load: give one results file or more")
    return Results(load_files([path_of("load", path) for path in paths], keep_records=True))
