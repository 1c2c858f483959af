"""Installed distributions are those of importlib.metadata, which is asked only where it must be."""

import zipfile
from importlib.machinery import PathFinder
from importlib.metadata import MetadataPathFinder, version
from pathlib import Path

import pytest

from pybench.backends.distributions import Distribution, find
from pybench.machine.environment import LIBRARIES

METADATA = "Metadata-Version: 2.1\nName: my-Lib.x\nVersion: 1.0\n"


@pytest.fixture(autouse=True)
def nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One folder on the path, no finders of libraries: not importlib_metadata's either, which takes
    the place of the interpreter's own once something has imported it."""
    own = MetadataPathFinder.find_distributions
    monkeypatch.setattr(PathFinder, "find_distributions", own, raising=False)
    monkeypatch.setattr("sys.meta_path", [PathFinder])
    monkeypatch.setattr("sys.path", [str(tmp_path)])


def _installed(folder: Path, name: str, metadata: str) -> None:
    (folder / name).mkdir(parents=True)
    (folder / name / metadata).write_text(METADATA)


def test_names_of_folders_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _installed(tmp_path, "my_lib_x-1.0.dist-info", "METADATA")
    _installed(tmp_path / "later", "my_lib_x-0.9.dist-info", "METADATA")
    monkeypatch.setattr("sys.path", [str(tmp_path), str(tmp_path / "later"), "/no/such/folder"])
    monkeypatch.setattr("importlib.metadata.distribution", None)
    assert find(["My.lib-X", "my_lib"]) == {"My.lib-X": Distribution("1.0", str(tmp_path))}


@pytest.mark.parametrize(
    ("folder", "metadata", "on_path"),
    [
        ("my_Lib.x.egg-info", "PKG-INFO", ""),
        ("my_Lib.x-1.0-py3.11.egg-info", "PKG-INFO", ""),
        ("my_Lib.x-1.0.egg/EGG-INFO", "PKG-INFO", "my_Lib.x-1.0.egg"),
    ],
)
def test_other_forms_are_asked_for(
    folder: str, metadata: str, on_path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _installed(tmp_path, folder, metadata)
    place = str(tmp_path / on_path) if on_path else str(tmp_path)
    monkeypatch.setattr("sys.path", [place])
    assert find(["my-lib.x", "other"]) == {"my-lib.x": Distribution("1.0", place)}


def test_a_zip_file_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        archive.writestr("my_lib_x-1.0.dist-info/METADATA", METADATA)
    monkeypatch.setattr("sys.path", [str(tmp_path / "mine.zip")])
    assert find(["my-lib-x"])["my-lib-x"].version == "1.0"


def test_what_is_installed_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    found = find([*LIBRARIES, "msgspec", "Rich", "no-such-library"])
    assert found.keys() >= {"msgspec", "Rich"} and "no-such-library" not in found
    assert {name: one.version for name, one in found.items()} == {
        name: version(name) for name in found
    }
