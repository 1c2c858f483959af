"""An option without a key of its own in results is recorded, told in headings, and sets apart."""

from dataclasses import dataclass, fields
from typing import Any

import pytest

from pybench.analysis import compare, model
from pybench.driver import assemble
from pybench.driver.control import request_line
from pybench.result import Result
from pybench.spec import OPTIONS, Campaign, Cell
from pybench.spec.options import Option, RoundOptions
from pybench.units import parse_count
from tests.support import synthetic

NEW = Option(
    name="burst", parse=parse_count, metavar="N", help="pings at once", default="1", key="burst",
    wire=lambda value: {"burst": value} if value != 1 else {}, words="burst", field="burst",
    of_round=True,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class NewCell(Cell):
    """A cell of the version that has the option."""

    burst: int = 1


(PLAIN,) = Campaign.from_options({"func": "selector", "conns": "9"}, str).cells


@pytest.fixture
def burst(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table with one row more."""
    words: tuple[Any, ...] = (model.OPTION_WORDS, compare._SETTING_WORDS)
    for table in words:
        monkeypatch.setitem(table, "burst", NEW.words)
    table: Any = OPTIONS
    monkeypatch.setitem(table, "burst", NEW)


def cell(value: int) -> NewCell:
    return NewCell(**{f.name: getattr(PLAIN, f.name) for f in fields(PLAIN)}, burst=value)


def result_of(value: int) -> Result:
    blank = assemble.empty_result(cell(value), 1, "2026-01-01T00:00:00+00:00", {})
    return synthetic.make_result("selector", 9, options=blank.options)


@pytest.mark.usefixtures("burst")
def test_the_load_server_is_told_where_it_is_unusual() -> None:
    assert b" burst=" not in request_line("::1", 80, cell(1))
    assert b" burst=4\n" in request_line("::1", 80, cell(4))


@pytest.mark.usefixtures("burst")
def test_a_round_records_what_is_unusual_and_stands_apart_by_it() -> None:
    assert result_of(1).options == {}
    assert result_of(4).options == {"burst": 4}
    groups = model.group_rounds(synthetic.as_rounds([result_of(1), result_of(4)]))
    assert len(groups) == 2
    assert groups[1].title.endswith("burst 4")
    assert compare.setting_differences(groups[0].setting, groups[1].setting) == [
        "burst as usual against 4"
    ]


def test_every_option_of_a_round_is_marked() -> None:
    marked = {option.field for option in OPTIONS.values() if option.of_round}
    assert marked == {f.name for f in fields(RoundOptions)}
    assert NEW.usual == 1
