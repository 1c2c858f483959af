"""What tests share: peers, faulty backends and servers, rounds made up and rounds run for real."""

import sys
from pathlib import Path

SUPPORT = Path(__file__).parent
TESTS = SUPPORT.parent
ROOT = TESTS.parent
DATA = TESTS / "data"
EXAMPLES = ROOT / "docs" / "examples"

LEAN = ("-p", "no:hypothesispytest", "-p", "no:anyio", "-p", "no:xdist")
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *LEAN)
"""A session of pytest in a test. Plug-ins of libraries that have nothing to do with it stay out:
they import for more than a second of CPU time.
"""

ALONE_MARK = "mark.alone"
"""What a file has in its text that has a test which runs alone (the marker `alone`)."""


def files_alone() -> list[str]:
    """The files of the suite with such tests, as pytest takes them from ROOT."""
    files = sorted(TESTS.rglob("test_*.py"))
    return [str(file.relative_to(ROOT)) for file in files if ALONE_MARK in file.read_text()]
