"""Words and options into contenders: what sets each apart, and what is no race."""

import sys
from typing import Any

import pytest

from pybench.errors import UsageError
from pybench.spec.race import Race


def race(*words: str, **given: Any) -> Race:
    return Race.from_options(words, given, lambda name: f"--{name}")


def labels(*words: str, **given: Any) -> list[str]:
    return [one.label for one in race(*words, **given).contenders]


def test_rows_are_contenders_in_order_and_the_defaults_decide_in_a_minute() -> None:
    one = race("c_epoll", "mine=selector")
    assert [c.label for c in one.contenders] == ["c_epoll", "mine"]
    assert (one.metric, one.precision, one.margin, one.budget_ns) == ("mps", 0.03, 0.03, 60 * 10**9)
    assert one.campaign.conns == (100,)


def test_a_row_may_race_against_itself() -> None:
    assert labels("c_epoll", "c_epoll", "c_epoll") == ["c_epoll", "c_epoll#2", "c_epoll#3"]


def test_a_list_of_a_factor_multiplies_contenders_and_a_single_value_does_not_name_them() -> None:
    assert labels("c_epoll", engine="epoll,uring") == [
        "c_epoll[engine=epoll]",
        "c_epoll[engine=uring]",
    ]
    assert labels("c_epoll", busy_poll="0,auto,50us") == [
        "c_epoll[busy_poll=0]",
        "c_epoll[busy_poll=auto]",
        "c_epoll[busy_poll=50us]",
    ]
    assert labels("c_epoll", workers="1,2", loops="3") == [
        "c_epoll[workers=1]",
        "c_epoll[workers=2]",
    ]
    assert labels("c_epoll", "selector", engine="uring", busy_poll="0") == ["c_epoll", "selector"]
    assert labels("c_epoll", idle="0,10k", inflight="16") == [
        "c_epoll[idle=0]",
        "c_epoll[idle=10k]",
    ]
    assert labels("c_epoll", inflight="1,16") == ["c_epoll[inflight=1]", "c_epoll[inflight=16]"]
    assert labels("asyncio", env=["A=1", "A=2,B=3"]) == [
        "asyncio", "asyncio[A=1]", "asyncio[A=2,B=3]",
    ]  # fmt: skip


def test_a_contender_may_have_an_interpreter_of_its_own() -> None:
    one = race(f"main=asyncio_proto@python:{sys.executable}", "mine=asyncio_proto")
    main, mine = one.contenders
    assert (main.label, mine.label) == ("main", "mine")
    assert main.python is not None and main.python.path == sys.executable and mine.python is None
    assert main.row.spec == "main=asyncio_proto"


def test_one_without_a_name_is_called_after_its_interpreter() -> None:
    found = labels(f"selector@python:{sys.executable}", "selector")
    minor = ".".join(map(str, sys.version_info[:2]))
    assert found == [f"selector[py{minor}]", "selector"]


def test_an_interpreter_for_all_spares_those_that_have_one() -> None:
    one = race("selector", f"mine=selector@python:{sys.executable}", python=[f"x={sys.executable}"])
    assert [c.label for c in one.contenders] == ["selector[x]", "mine"]


def test_a_race_is_decided_for_each_number_of_connections_and_size() -> None:
    one = race("c_epoll", "selector", conns="10,1k", msize="64,16KiB")
    assert one.fields == ((10, 64), (10, 16384), (1000, 64), (1000, 16384))
    assert one.cell(one.contenders[0], 10, 16384).msize == 16384


def test_a_cell_has_what_its_contender_is_asked_with() -> None:
    one = race("c_epoll", "selector", engine="uring", msize="100", rate="5k", metric="due99")
    cell = one.cell(one.contenders[1], 10, 100)
    assert (cell.row.name, cell.conns, cell.engine, cell.msize) == ("selector", 10, "uring", 100)
    assert (cell.rate, cell.warmup_ns) == (5000, 0)
    one = race("c_epoll", "selector", inflight="16", idle="0,9")
    cells = [one.cell(contender, 10, 64) for contender in one.contenders]
    assert [(cell.inflight, cell.idle) for cell in cells] == [(16, 0), (16, 9), (16, 0), (16, 9)]


@pytest.mark.parametrize(
    "text, share", [("3%", 0.03), ("0.03", 0.03), ("1.5 %", None), (".1", 0.1)]
)
def test_shares_as_people_write_them(text: str, share: float | None) -> None:
    if share is None:
        with pytest.raises(UsageError, match="is not a share"):
            race("c_epoll", "c_epoll", precision=text)
    else:
        assert race("c_epoll", "c_epoll", precision=text).precision == pytest.approx(share)


@pytest.mark.parametrize(
    "words, given, what",
    [
        (["c_epoll"], {}, "a race needs two contenders"),
        (["c_epoll", "selectr"], {}, "no row is called 'selectr'"),
        (["c_epoll", "x=c_epoll", "x=selector"], {}, "two rows would be called 'x'"),
        (["c_epoll", "selector@python:"], {}, "write ROW@python:PATH"),
        (["c_epoll", "selector"], {"rate": "1k,2k", "metric": "p99"}, "--rate: a race has one"),
        (["c_epoll", "selector"], {"metric": "due99"}, "give --rate"),
        (["c_epoll", "selector"], {"rate": "1k"}, "--rate sets the messages/s"),
        (["c_epoll", "selector"], {"engine": "epoll,urin"}, "--engine: 'urin' is not one of"),
        (["c_epoll", "selector"], {"precision": "90%"}, "--precision: 90% is out of range"),
        (["c_epoll", "selector"], {"budget": "1ms"}, "--budget: 1ms is out of range"),
    ],
)  # fmt: skip
def test_what_is_no_race(words: list[str], given: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        race(*words, **given)


def test_workers_and_loops_of_a_contender_are_those_of_its_cell() -> None:
    one = race("selector", workers="1,2", loops="3")
    cells = [one.cell(contender, 10, 64) for contender in one.contenders]
    assert [(cell.workers, cell.loops) for cell in cells] == [(1, 3), (2, 3)]
    assert (one.campaign.workers, one.campaign.loops) == ((1, 2), (3,))
