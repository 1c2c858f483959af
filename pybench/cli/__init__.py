"""The command line: argv into a call, what comes of it into an exit status.

In: the words of a person. Out: 0 every cell ok, 1 some cell failed, 2 usage, 130 interrupted. Only
this folder prints errors. One file a command; `main` is the list of them.
"""

from pybench.cli.common import FAILED, INTERRUPTED, OK, USAGE
from pybench.cli.main import main

__all__ = ["FAILED", "INTERRUPTED", "OK", "USAGE", "main"]
