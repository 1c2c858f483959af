"""Installed rows are found wherever importlib.metadata finds them, and it is asked only there."""

import sys
import zipfile
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from pybench.backends import plugins
from pybench.backends.distributions import found_elsewhere

ENTRIES = "[pybench.backends]\nmine = my_module:serve\n"
METADATA = "Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n"


@pytest.fixture(autouse=True)
def ask_anew() -> Iterator[None]:
    """What is installed is asked once in a process: not so here."""
    plugins.installed.cache_clear()
    yield
    plugins.installed.cache_clear()


@pytest.fixture
def python_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the finders that a library has brought: importlib_metadata puts its own in place."""
    monkeypatch.setattr(sys, "meta_path", [PathFinder])


@pytest.mark.parametrize(
    ("folder", "metadata", "on_path"),
    [
        ("mine-1.0.dist-info", "METADATA", ""),
        ("mine.egg-info", "PKG-INFO", ""),
        ("mine-1.0.egg/EGG-INFO", "PKG-INFO", "mine-1.0.egg"),
    ],
)
def test_folders(
    folder: str, metadata: str, on_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / folder
    info.mkdir(parents=True)
    (info / metadata).write_text(METADATA)
    (info / "entry_points.txt").write_text(ENTRIES)
    monkeypatch.syspath_prepend(tmp_path / on_path)
    assert "mine" in entry_points(group=plugins.GROUP).names
    assert "mine" in {row.name for row in plugins.installed()}


def test_a_zip_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        archive.writestr("mine-1.0.dist-info/METADATA", METADATA)
        archive.writestr("mine-1.0.dist-info/entry_points.txt", ENTRIES)
    monkeypatch.syspath_prepend(tmp_path / "mine.zip")
    assert "mine" in {row.name for row in plugins.installed()}


@pytest.mark.usefixtures("python_alone")
def test_a_finder_of_another_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    class Finder:
        find_distributions = None

    assert not found_elsewhere()
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    assert found_elsewhere()


@pytest.mark.usefixtures("python_alone")
def test_without_any_importlib_metadata_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_text("[console_scripts]\nother = other:main\n")
    (tmp_path / "single.egg-info").write_text(METADATA)
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "gone")])
    monkeypatch.setattr("importlib.metadata.entry_points", None)
    assert plugins.installed() == ()
