"""pybench: how fast is this way of doing network I/O in Python, how far is it from C, and why."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("pybench")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = "0+unknown"
