"""`python -m pybench`."""

import os
import sys

try:
    HERE = os.getcwd()  # noqa: PTH109 - pathlib may be found there
except OSError:  # it has been removed
    HERE = ""
if sys.path[:1] == [HERE]:
    del sys.path[0]  # `-m` puts the current folder before the standard library
    if sys.modules["pybench"].__file__ is None:  # a folder of that name there, without code
        del sys.modules["pybench"]

from pybench.cli import main

if __name__ == "__main__":
    sys.exit(main())
