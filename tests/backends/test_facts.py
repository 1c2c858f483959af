"""What a row says of itself stays true of it under another name."""

from dataclasses import replace

from pybench.backends import find, unavailable


def test_a_renamed_extension_keeps_its_remedy() -> None:
    row = replace(find("x=c_uring"), requires="pybench.c_not_built")
    assert "liburing-dev and a C compiler" in (unavailable(row) or "")


def test_a_renamed_row_keeps_its_facts() -> None:
    mine, thread = find("mine=thread"), find("thread")
    assert mine.threads_per_conn == thread.threads_per_conn == 1
    assert mine.mappings_per_conn == thread.mappings_per_conn >= 2
    assert find("mine=c_th").own_tables and not mine.own_tables
    assert (mine.family, mine.name) == (thread.family, "mine")
