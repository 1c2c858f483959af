"""`pybench serve`, and the script `pybench-server`: become the load server."""

import sys

from pybench.cli.main import main as command_line
from pybench.driver.loadserver import replace_process


def run(arguments: list[str]) -> int:
    """Replace this process by the load server; its options are its own."""
    return replace_process(arguments)


def main() -> int:
    """The console script `pybench-server`."""
    return command_line(["serve", *sys.argv[1:]])
