"""The tree keeps its shape. The layers themselves are contracts of `make lint` (pyproject.toml)."""

import graphlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pybench
from tests.support import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PACKAGE = Path(pybench.__file__).parent

IMPORT_EACH = """
import contextlib, importlib, json, sys, traceback

def loaded():
    return [name for name in sys.modules if name.partition(".")[0] == "pybench"]

def forget(floor):
    for name in floor.intersection(loaded()):
        package, _, last = name.rpartition(".")
        vars(sys.modules.get(package, sys)).pop(last, None)
        del sys.modules[name]

def alone(name, above):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if (exc.name or "pybench").partition(".")[0] in ("pybench", *sys.modules):
            return traceback.format_exc()[-4000:]
    except BaseException:
        return traceback.format_exc()[-4000:]
    higher = above.intersection(loaded())
    return f"{name} imports {sorted(higher)} of higher floors" if higher else ""

floors = json.loads(sys.argv[1])
above = {name for floor in floors for name in floor}
assert not loaded()
failures = {}
for floor in floors:
    above -= set(floor)
    for name in floor:
        forget(set(floor))
        if said := alone(name, above):
            failures[name] = said
            forget(above)
    for name in floor:
        with contextlib.suppress(BaseException):
            importlib.import_module(name)
print(json.dumps(failures))
"""
"""A program that imports each module as if it were the first, by forgetting its neighbours.

Floor by floor, from the lowest: the floors beneath a module's own stay, which hides no circle, as
none of them has imported anything of its own floor or of those above it. That a library is not
installed is no fault of the module's.
"""


def floors() -> list[list[str]]:
    """Every module of the package by its name, the C modules too: by floors, the lowest first."""
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = next(c["layers"] for c in contract["contracts"] if c["type"] == "layers")
    of = {
        name.strip(): number
        for number, layer in enumerate(reversed(layers), start=1)
        for name in layer.split("|")
    }
    found: list[list[str]] = [[] for _ in range(len(layers) + 1)]
    for name in modules():  # the package itself and the C modules stand beneath all
        found[of.get(name.partition(".")[2].partition(".")[0], 0)].append(name)
    return found


def modules() -> list[str]:
    """Every module of the package by its name, the C modules too."""
    files = [*PACKAGE.rglob("*.py"), *PACKAGE.glob("*.so")]
    names = {file.relative_to(PACKAGE.parent).as_posix().partition(".")[0] for file in files}
    return sorted(name.replace("/", ".").removesuffix(".__init__") for name in names)


def test_every_module_imports_alone() -> None:
    """No circle is hidden by who came first."""
    by_floor = floors()
    names = [name for floor in by_floor for name in floor]
    assert len(names) > 100 and "pybench.c_epoll" in names and "pybench.cli" in names
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EACH, json.dumps(by_floor)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    failures = json.loads(done.stdout.splitlines()[-1])
    assert not failures, "\n".join(failures.values())


@pytest.mark.parametrize("package", ["worker", "gate", "machine"])
def test_a_lean_package_imports_nothing(package: str) -> None:
    """The worker pays for what it carries, every pytest session for the plug-in."""
    code = (
        "import pybench, sys; before = set(sys.modules)\n"
        f"import pybench.{package}\n"
        f"print(sorted(set(sys.modules) - before - {{'pybench.{package}', 'typing'}}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", "import typing; " + code], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_the_package_is_folders() -> None:
    """What stands beside them is for everybody, and little."""
    files = [file.name for file in PACKAGE.iterdir() if file.suffix in (".py", ".typed")]
    assert len(files) <= 6, sorted(files)


@pytest.mark.parametrize("folder", ["server", "ext"])
def test_no_circle_in_c(folder: str) -> None:
    """A subject is a source and its header; none includes one that includes it."""
    includes: dict[str, set[str]] = {}
    for path in (ROOT / folder).glob("*.[ch]"):
        named = re.findall(r'^#include "(\w+)\.h"', path.read_text(), re.MULTILINE)
        includes.setdefault(path.stem, set()).update(set(named) - {path.stem})
    assert len(includes) > 5
    graphlib.TopologicalSorter(includes).prepare()  # a CycleError names the circle
