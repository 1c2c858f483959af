"""The gallery's page and the README's table are what its files say, and its files are small."""

import gzip
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pybench.spec import race
from tests.support import ROOT

RACE = ROOT / "docs" / "data" / "race.jsonl.gz"


@pytest.fixture
def gallery(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(sys, "path", [str(ROOT / "tests" / "bench"), *sys.path])
    import gallery  # type: ignore[import-not-found]

    assert isinstance(gallery, ModuleType)
    return gallery


REMEDY = "run: python tests/bench/gallery.py --write"


def test_the_readme_has_the_table_of_the_files(gallery: ModuleType) -> None:
    races = gallery.kept_races()
    assert races, "make gallery makes the files"
    text = (ROOT / "README.md").read_text()
    assert text == gallery.with_table(text, races), REMEDY
    assert text.count("<!-- gallery -->\n| ") == 1


def test_the_page_is_that_of_the_files(gallery: ModuleType) -> None:
    assert (ROOT / "docs" / "gallery.md").read_text() == gallery.page(gallery.kept_races()), REMEDY


def test_files_are_small_and_tell_nothing_of_folders(gallery: ModuleType) -> None:
    for path in gallery.FILES.glob("*.jsonl.gz"):
        text = gzip.decompress(path.read_bytes()).decode()
        assert path.stat().st_size < 150_000, path.name
        assert '"histogram":{}' in text or '"histogram"' not in text
        assert "/bin/" not in text and "/home/" not in text and '"executable"' not in text


def test_a_table_of_several_files(gallery: ModuleType, tmp_path: Path) -> None:
    """Columns in order, rows by the first; the letters and bounds are those of the ranking."""
    for name in ("3.13-unix", "3.12-tcp", "3.13t-tcp"):
        shutil.copy(RACE, tmp_path / f"{name}.jsonl.gz")
    races = gallery.kept_races(tmp_path)
    head, _, *lines = gallery.table(races)
    assert head == "|  | 3.12 tcp | 3.13t tcp | 3.13 unix |"
    assert lines[0] == "| `c_epoll` | 1 a | 1 a | 1 a |"
    assert lines[3] == "| `gevent` | ≤ 0.46 c | ≤ 0.46 c | ≤ 0.46 c |"
    page = gallery.page(races)
    assert "## CPython 3.13 without the GIL, tcp" in page
    assert "asyncio --python py3.13=python3.13 --conns 100 --transport unix --budget" in page
    text = gallery.with_table("a\n<!-- gallery -->\nstale\n<!-- end -->\nb\n", races)
    assert text.startswith("a\n<!-- gallery -->\n|  | 3.12") and text.endswith("<!-- end -->\nb\n")
    assert "stale" not in text


def test_what_is_kept_of_a_file_ranks_as_the_whole(gallery: ModuleType, tmp_path: Path) -> None:
    raw = tmp_path / "3.12-tcp.jsonl"
    raw.write_bytes(gzip.decompress(RACE.read_bytes()))
    gallery.keep(raw, tmp_path / "kept" / "3.12-tcp.jsonl.gz")
    shutil.copy(RACE, tmp_path / "3.12-tcp.jsonl.gz")
    assert gallery.table(gallery.kept_races(tmp_path / "kept")) == gallery.table(
        gallery.kept_races(tmp_path)
    )
    assert (tmp_path / "kept" / "3.12-tcp.jsonl.gz").stat().st_size < RACE.stat().st_size / 2


def test_cells_are_those_that_can_be_measured(
    gallery: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery, "SHARED", ("conns",))
    cells = [cell.name for cell in gallery.cells_of(["3.12", "3.13"], None)]
    assert cells == ["3.12-tcp", "3.13-tcp"]
    monkeypatch.setattr(gallery, "SHARED", (*race.SHARED, "transport"))
    cells = [cell.name for cell in gallery.cells_of(["3.12", "3.13"], None)]
    assert cells == ["3.12-tcp", "3.13-tcp", "3.13-unix", "3.13-tls"]
    asked = [cell.name for cell in gallery.cells_of(["3.12"], "tls")]
    assert asked == ["3.12-tls"]


def test_interpreters_that_are_missing_are_left_out(
    gallery: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest of pyenv's; the free-threaded one by its variable; what is given alone."""
    for version in ("3.12.1", "3.12.10", "3.12.2"):
        python = tmp_path / "versions" / version / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.touch()
    free = tmp_path / "free"
    free.touch()
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PYBENCH_FREETHREADED", str(free))
    found = gallery.interpreters([])
    assert list(found) == ["3.12", "3.13t"] and "3.12.10" in str(found["3.12"])
    monkeypatch.setenv("PYBENCH_FREETHREADED", str(tmp_path / "none"))
    assert list(gallery.interpreters([])) == ["3.12"]
    assert gallery.interpreters(["3.11=/x"]) == {"3.11": Path("/x")}
