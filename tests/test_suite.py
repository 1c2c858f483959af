"""What `make test` says at its end is true: both parts counted, each test once."""

import subprocess
import sys
from pathlib import Path

from tests.__main__ import Case, read_cases, summary, tally

TESTS = """
import pytest
def test_passes(): pass
def test_fails(): assert False
@pytest.fixture
def breaks():
    yield
    raise ValueError
def test_passes_and_breaks(breaks): pass
def test_fails_and_breaks(breaks): assert False
@pytest.mark.parametrize("n", [1, 2])
def test_is_skipped(n): pytest.skip("no such tool")
@pytest.mark.xfail(reason="known")
def test_fails_as_known(): assert False
"""


def record_of(folder: Path, text: str) -> list[Case]:
    """What is read from pytest's record of a file with that text."""
    (folder / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junit-xml=r.xml"]
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=False)
    return read_cases(folder / "r.xml")


def test_each_test_is_counted_once(tmp_path: Path) -> None:
    cases = record_of(tmp_path, TESTS)
    assert tally(cases) == "1 passed, 3 failed, 3 skipped"
    assert {case.name for case in cases if case.outcome == "failed"} == {
        "test_it::test_fails",
        "test_it::test_passes_and_breaks",
        "test_it::test_fails_and_breaks",
    }


def test_a_file_that_is_skipped_or_cannot_be_read_is_counted(tmp_path: Path) -> None:
    (skipped,) = record_of(tmp_path, "import pytest\npytest.importorskip('no_such_module')\n")
    assert (skipped.outcome, "no_such_module" in skipped.reason) == ("skipped", True)
    assert not skipped.reason.startswith("(")
    assert tally(record_of(tmp_path, "import no_such_module\n")) == "0 passed, 1 failed, 0 skipped"


def test_skips_are_grouped_by_their_reason() -> None:
    cases = [
        Case("tests.a::one[1]", "skipped", 0.0, "no such tool"),
        Case("tests.b::two", "skipped", 0.0, "no such tool"),
        Case("tests.a::three", "skipped", 0.0, "not root"),
        Case("tests.a::four", "passed", 2.0),
        Case("tests.a::five", "failed", 3.0),
    ]
    assert summary(cases, 1, 62.4) == [
        "the 1 slowest tests:",
        "    3.0 s  tests.a::five",
        "skipped, and why:",
        "      2    no such tool (tests.a, tests.b)",
        "      1    not root (tests.a)",
        "FAILED tests.a::five",
        "62 s in all",
    ]
