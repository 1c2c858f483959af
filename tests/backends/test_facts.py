"""What a row says of itself stays true of it under another name."""

import ast
from dataclasses import replace

import pytest

from pybench.backends import ROWS, find, unavailable
from tests.support import ROOT


def test_a_renamed_extension_keeps_its_remedy() -> None:
    row = replace(find("x=c_uring"), requires="pybench.c_not_built")
    assert "liburing-dev and a C compiler" in (unavailable(row) or "")


def test_a_renamed_row_keeps_its_facts() -> None:
    mine, thread = find("mine=thread"), find("thread")
    assert mine.threads_per_conn == thread.threads_per_conn == 1
    assert mine.mappings_per_conn == thread.mappings_per_conn >= 2
    assert find("mine=c_th").own_tables and not mine.own_tables
    assert (mine.family, mine.name) == (thread.family, "mine")


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if not row.no_tls])
def test_who_is_said_to_serve_tls_takes_it(name: str) -> None:
    """Read, not imported: most have a library of their own."""
    module = ROWS[name].target.partition(":")[0]
    tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text())
    taking = {
        node.name
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and "tls" in [a.arg for a in node.args.kwonlyargs]
    }
    assert taking & {"serve", "serve_epoll"}
