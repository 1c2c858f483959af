"""Nothing sends a reader to the index's project of the name pybench."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pybench.backends import ROWS
from tests.support import ROOT

try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib

OURS = "pybench"  # apart from its verb, so that these lines are not themselves what is looked for

# A verb of installers and, among what follows it on the line, our package's name as a requirement:
# bare, with extras or with a version. `pybench-net`, `pybench/` and `pybench.x` are none.
_TOLD = re.compile(
    r"""\b(?:install|add|inject)\b[^\n|;]*?[\s'"]"""
    rf"""{OURS}(?=\[|[=<>~!]=|\.?(?:[\s'"`),]|$))"""
)
_INSTALLER = re.compile(r"\b(?:pip3?|pipx|uv|poetry|conda|easy_install)\b")
_SKIPPED = {"build", "dist", "__pycache__", "bin"}


def told_to_install(text: str) -> Iterator[str]:
    """Lines that name our package to an installer."""
    for line in text.splitlines():
        if _INSTALLER.search(line) and _TOLD.search(line):
            yield line.strip()


def texts(folder: Path) -> Iterator[tuple[Path, str]]:
    """Every text of the repository but what is built or hidden."""
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".") and path.name not in (".ci", ".github")
        if hidden or path.name in _SKIPPED or path.name.endswith(".egg-info"):
            continue
        if path.is_dir():
            yield from texts(path)
        else:
            try:
                yield path, path.read_text(encoding="utf-8")
            except UnicodeDecodeError:  # an extension module, a picture
                continue


def test_nothing_sends_a_reader_to_the_index() -> None:
    found = {
        str(path.relative_to(ROOT)): lines
        for path, text in texts(ROOT)
        if (lines := list(told_to_install(text)))
    }
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        f"pip install {OURS}",
        f"python -m pip install --upgrade '{OURS}[all]'",
        f"(pip install {OURS}==0.1.0)",
        f"uvloop: not installed (pip install {OURS}[uvloop])",
        f"uv add {OURS}",
        f"pipx install {OURS}.",
    ],
)
def test_a_line_that_does_is_found(line: str) -> None:
    assert list(told_to_install(line)) == [line]


@pytest.mark.parametrize(
    "line",
    [
        "pip install '.[all]'",
        f"pip install {OURS}-net",
        "pip install trio",
        f"pip install ./{OURS}",
        f"pip uninstall {OURS}",
    ],
)
def test_a_line_that_does_not_is_passed(line: str) -> None:
    assert list(told_to_install(line)) == []


def test_the_distribution_is_called_pybench_net() -> None:
    assert project()["name"] == "pybench-net"


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return found


def test_every_library_of_a_row_is_an_extra_of_its_name() -> None:
    """What a missing library is answered with is what the extra would have installed."""
    extras = project()["optional-dependencies"]
    (everything,) = [text for text in extras["all"] if text.startswith("pybench-net[")]
    in_all = everything.removeprefix("pybench-net[").removesuffix("]").split(",")
    by_library = {library: row for row in ROWS.values() for library in row.libraries}
    for library, row in by_library.items():
        (requirement,) = extras[library]
        assert re.match(r"[A-Za-z0-9_.-]+", requirement)[0] == library  # type: ignore[index]
        assert (library in in_all) == (row.glibc_minor is None), (
            "what pip cannot tell is not in all"
        )
        since = f"python_version >= '3.{row.since_minor}'"
        assert (since in requirement) == (row.since_minor > 10), "the list and pip ask for the same"
