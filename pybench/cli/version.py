"""`pybench --version`."""

from pybench import __version__
from pybench.cli.common import OK


def run(arguments: list[str]) -> int:
    """Print the version. arguments: none."""
    print(f"pybench {__version__}")
    return OK
