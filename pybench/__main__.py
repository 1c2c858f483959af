"""`python -m pybench`."""

import os
import sys

if sys.path[:1] == [os.path.abspath(".")]:  # noqa: PTH100 - pathlib may be found there
    del sys.path[0]  # `-m` puts the current folder before the standard library
    if sys.modules["pybench"].__file__ is None:  # a folder of that name there, without code
        del sys.modules["pybench"]

from pybench.cli import main

if __name__ == "__main__":
    sys.exit(main())
