"""Python rows against C rows: how far each may fall behind.

Run by `make regression`. The bounds are about half of what was measured, at 100 connections with

    pytest tests/regression --pybench-rounds 9

in rounds of one window on a machine with two cores and CPython 3.11; a row below one has become
half as fast, whatever the machine. Ratios cannot tell that C has become slower as well: the C rows
are held against each other last.
"""

import pytest

pytestmark = pytest.mark.pybench(budget="15s")


@pytest.mark.parametrize(
    ("row", "at_least"),
    [
        ("selector", 0.4),
        ("raw_selector", 0.45),
        ("asyncio", 0.08),
        ("asyncio_proto", 0.1),
        ("uvloop_proto", 0.4),
        ("gevent", 0.2),
        ("thread", 0.25),
    ],
)
def test_row_against_c(pybench, row: str, at_least: float) -> None:
    pybench.ratio(row, "c_epoll", conns=100).require(at_least=at_least)


def test_uvloop_against_asyncio(pybench) -> None:
    pybench.ratio("uvloop", "asyncio", conns=100).require(at_least=1.5)


def test_poll_against_epoll_with_few_connections(pybench) -> None:
    pybench.ratio("c_poll", "c_epoll", conns=10).require(at_least=0.5)
