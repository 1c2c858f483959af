"""pybench: how fast is this way of doing network I/O in Python, how far is it from C, and why."""

from importlib.metadata import PackageNotFoundError, version

UNKNOWN_VERSION = "0+unknown"

try:
    __version__ = version("pybench")
except PackageNotFoundError:  # run from a source tree that was never installed
    __version__ = UNKNOWN_VERSION
