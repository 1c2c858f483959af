"""docs/findings.md and the script that makes its tables know of each other."""

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pybench.result.file import ResultWriter, read_contents
from tests.support import ROOT, synthetic


@pytest.fixture
def docs_data(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(ROOT / "tests" / "bench"), *sys.path])
    import docs_data  # type: ignore[import-not-found]

    assert isinstance(docs_data, ModuleType)
    return docs_data


def test_every_table_of_figures_has_its_experiment(docs_data: ModuleType) -> None:
    page = (ROOT / "docs" / "findings.md").read_text()
    made = {one.name for one in docs_data.EXPERIMENTS}
    assert set(re.findall(r"<!-- data (\w+) -->\n(?s:.*?)<!-- end -->", page)) == made
    assert len(re.findall("<!-- data ", page)) == len(made)


def test_a_table_is_made_of_a_small_file(
    docs_data: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block in the page is replaced, command and file above the figures."""
    monkeypatch.setattr(docs_data, "DATA", tmp_path / "data")
    monkeypatch.setattr(docs_data, "PAGE", tmp_path / "page.md")
    mmap = next(one for one in docs_data.EXPERIMENTS if one.name == "mmap")
    mmap.file.parent.mkdir()
    writer = ResultWriter(mmap.file, {"id": "x"})  # type: ignore[arg-type]
    for number, mps in enumerate((30_000, 33_000), 1):
        whole = synthetic.make_result("asyncio_proto", 100, number, mps=mps)
        writer.write(docs_data.small(whole))
    writer.close()
    assert mmap.file.stat().st_size < 5000
    page = docs_data.with_tables("a\n<!-- data mmap -->\nstale\n<!-- end -->\nz\n")
    assert page.startswith("a\n<!-- data mmap -->\n`pybench --func asyncio_proto,asyncio --conns")
    assert "([data/mmap.jsonl](data/mmap.jsonl)):" in page and "stale" not in page
    assert "| asyncio_proto | 100 | 30k to 33k |" in page
    assert read_contents(mmap.file).sections[0].results[0].series is None
