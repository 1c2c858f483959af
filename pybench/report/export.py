"""Formats of others: which there are, and what each is written by."""

from collections.abc import Sequence
from importlib import import_module
from typing import Final, Literal, TextIO, get_args

from pybench.errors import UsageError
from pybench.report.figures import Figure

ExportFormat = Literal["pyperf", "github", "bmf", "openmetrics"]

EXPORTS: Final[tuple[str, ...]] = get_args(ExportFormat)
"""Each is a module of its name beside this one, with `write(figures, file)`."""


def export_names(fmt: str, *, open_loop: bool) -> tuple[str, ...]:
    """Which tables are exported when none were asked for; a file of `github` has one direction."""
    if fmt == "github":
        return ("due99",) if open_loop else ("mps",)
    return ("mps", "due50", "due99", "cpu") if open_loop else ("mps", "lat50", "lat99", "cpu")


def write_export(figures: Sequence[Figure], fmt: str, file: TextIO) -> None:
    """Write them in a format of `EXPORTS`.

    Raises UsageError when there is nothing that the format can hold.
    """
    if not figures:
        raise UsageError(f"--format {fmt}: no figure was measured")
    import_module(f"pybench.report.{fmt}").write(figures, file)
