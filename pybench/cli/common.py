"""What commands share: exit statuses, a parser that raises, words to standard error."""

import argparse
import sys
from collections.abc import Iterable
from typing import Literal, NoReturn

from pybench.errors import UsageError

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

Format = Literal["table", "json", "csv", "markdown"]


class Parser(argparse.ArgumentParser):
    """Raises instead of printing a usage page and exiting."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} ({self.prog} --help)")


def warn(text: str) -> None:
    """A line on standard error."""
    print(f"pybench: {text}", file=sys.stderr, flush=True)


def complain(errors: Iterable[object]) -> int:
    """A line on standard error for each; the exit status that they leave."""
    status = OK
    for error in errors:
        warn(f"error: {error}")
        status = FAILED
    return status
