"""What the pages list is what there is: rows, stamps, folders."""

import re

from pybench.analysis import stamps
from pybench.backends import ROWS
from tests.docs import fenced
from tests.support import ROOT

README = (ROOT / "README.md").read_text()
NUMBERS = (ROOT / "docs" / "numbers.md").read_text()


def section(text: str, heading: str) -> str:
    """What stands under a heading of the second level."""
    found = re.search(
        rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    assert found, f"no section {heading!r}"
    return found[1]


def first_column(text: str) -> list[str]:
    """The code spans in the first column of a table."""
    return [
        name
        for line in re.findall(r"^\|((?: `\w+`)+) \|", text, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", line)
    ]


def test_the_page_of_rows_lists_every_row_once() -> None:
    assert sorted(first_column((ROOT / "docs" / "rows.md").read_text())) == sorted(ROWS)


def test_every_stamp_is_explained() -> None:
    """On the page all of them, in the README those to know."""
    known = {check.__name__ for check in (*stamps.CHECKS, stamps.modes)}
    listed = first_column(section(NUMBERS, "Stamps"))
    assert len(listed) == len(known) and set(listed) == known
    named = set(re.findall(r"`(\w+)`", section(README, "Stamps")))
    assert named and named <= known


def test_the_map_has_every_folder_of_the_package() -> None:
    """In the README; the package's docstring has the same one."""
    (drawn,) = fenced(section(README, "The map"), "")
    inside = re.findall(r"^  (\w+)/ ", drawn, re.MULTILINE)
    package = ROOT / "pybench"
    there = {path.parent.name for path in package.glob("*/__init__.py")}
    assert set(inside) == there and len(inside) == len(there)
    for top in re.findall(r"^(\w+)/", drawn, re.MULTILINE):
        assert (ROOT / top).is_dir(), top
