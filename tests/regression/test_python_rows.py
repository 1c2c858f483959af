"""Python rows against C rows: how far each may fall behind.

Run by `make regression`. CPU time per message is compared, because the load server is the
bottleneck of a C row on few CPUs, which makes a bound of its messages/s and not of that. The bounds
are about double of what was measured, at 100 connections on a machine with two cores and CPython
3.11; a row above one has become half as fast, whatever the machine. Ratios cannot tell that C has
become slower as well: the C rows are held against each other last.
"""

import pytest

pytestmark = pytest.mark.pybench(metric="cpu_us_per_msg")


@pytest.mark.parametrize(
    ("row", "at_most"),
    [
        ("selector", 2.4),
        ("raw_selector", 2.1),
        ("asyncio", 9.0),
        ("asyncio_proto", 7.0),
        ("uvloop_proto", 2.4),
        ("gevent", 4.5),
        ("thread", 4.0),
    ],
)
def test_row_against_c(pybench, row: str, at_most: float) -> None:
    pybench.ratio(row, "c_epoll", conns=100).require(at_most=at_most)


def test_uvloop_against_asyncio(pybench) -> None:
    pybench.ratio("uvloop", "asyncio", conns=100).require(at_most=0.67)


def test_poll_against_epoll_with_few_connections(pybench) -> None:
    pybench.ratio("c_poll", "c_epoll", conns=10).require(at_most=2.0)
