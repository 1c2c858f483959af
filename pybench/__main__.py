"""`python -m pybench`."""

import sys

from pybench.cli import main

if __name__ == "__main__":
    sys.exit(main())
