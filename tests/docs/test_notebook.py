"""The notebooks of docs/examples run from top to bottom, and show what they are to show."""

from pathlib import Path
from typing import Any

import pytest

from tests.docs import name
from tests.support import EXAMPLES

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def kinds(cell: Any) -> set[str]:
    """What the outputs of a cell are."""
    return {kind for output in cell.outputs for kind in output.get("data", ())}


@pytest.mark.timeout(300)  # a kernel starts, and imports what draws
@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    """In an empty folder. An exception in any cell is raised here, with the cell."""
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells), "figures of another day"
    where = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, timeout=90, kernel_name="python3", resources=where).execute()
    shown = {cell.source.splitlines()[-1]: kinds(cell) for cell in cells if cell.outputs}
    assert "text/html" in shown["one"] and "text/html" in shown["results"]
    assert "text/html" in shown["race"]
    assert "image/png" in shown['results.plot("mps")'] and "image/png" in shown["race.plot()"]
    (status,) = [cell.outputs for cell in cells if cell.source.endswith("result.status")]
    assert status[0]["data"]["text/plain"] == "'ok'"
