"""What `make test` says at its end is true: all parts counted, each test once, and those named that
passed only at a second try.
"""

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from tests import conftest
from tests.__main__ import ALONE, BESIDE, MOST_AGAIN, Case, read_cases, run_suite, summary, tally
from tests.support import LEAN, PYTEST


@pytest.fixture(autouse=True)
def _lean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(LEAN))


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
    subprocess.run(
        [*PYTEST, "-q", "--junit-xml=r.xml"], cwd=folder, stdout=subprocess.DEVNULL, check=False
    )
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


FAILS_AT_FIRST = """
from pathlib import Path
def first_time(name):
    try:
        Path(name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
def test_disturbed(): assert not first_time("disturbed")
def test_alone_disturbed(): assert not first_time("alone")
def test_broken(): assert False
def test_good(): assert first_time("good"), "runs once"
"""
TWO_PARTS = {part: ("-k", words) for part, words in {BESIDE: "not alone", ALONE: "alone"}.items()}


def test_what_failed_has_a_second_try_and_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "test_it.py").write_text(FAILS_AT_FIRST)
    cases, broken = run_suite(tmp_path, TWO_PARTS)
    assert not broken
    assert tally(cases) == "3 passed, 1 failed, 0 skipped"
    assert summary(cases, 0, 1.0) == [
        "failed beside others, passed alone: test_it::test_disturbed",
        "failed, passed at a second try: test_it::test_alone_disturbed",
        "FAILED test_it::test_broken",
        "1 s in all",
    ]
    assert capfd.readouterr().out.count("def test_disturbed(): assert not") == 1, "how it failed"


def test_a_suite_that_is_broken_has_no_second_try(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = f"""
import pytest
@pytest.mark.parametrize("n", range({MOST_AGAIN + 1}))
def test_broken(n): assert False
"""
    (tmp_path / "test_it.py").write_text(text)
    cases, broken = run_suite(tmp_path, {ALONE: ()})
    assert (tally(cases), broken) == (f"0 passed, {MOST_AGAIN + 1} failed, 0 skipped", [])
    assert "once more" not in capfd.readouterr().out


def test_a_part_that_ran_nothing_is_told(tmp_path: Path) -> None:
    _, [line] = run_suite(tmp_path, {ALONE: ()})
    assert line == "the part that runs alone ended with status 5"


@pytest.mark.parametrize(("text", "refused"), [("@pytest.mark.alone", False), ("@ALONE", True)])
def test_a_test_that_no_part_would_find_is_refused(
    text: str, refused: bool, tmp_path: Path
) -> None:
    path = tmp_path / "test_it.py"
    path.write_text(text)
    item = SimpleNamespace(nodeid="it", path=path, get_closest_marker=lambda name: name)
    try:
        conftest.pytest_collection_modifyitems([cast(pytest.Item, item)])
    except pytest.UsageError as exc:
        assert refused and "it: mark it in its file" in str(exc)
    else:
        assert not refused
