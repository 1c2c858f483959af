"""The tree keeps its shape. The layers themselves are contracts of `make lint` (pyproject.toml)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import pybench

PACKAGE = Path(pybench.__file__).parent

IMPORT_EACH = """
import contextlib, gc, importlib, json, os, sys, traceback

def in_a_copy(work):
    reader, writer = os.pipe()
    if os.fork() == 0:
        said = work()
        with os.fdopen(writer, "w") as pipe:
            pipe.write(said)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.wait()
    return said

def libraries():
    for name in sys.argv[1:]:
        with contextlib.suppress(BaseException):
            importlib.import_module(name)
    return " ".join(name for name in sys.modules if name.partition(".")[0] != "pybench")

def alone(name):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if (exc.name or "pybench").partition(".")[0] in ("pybench", *sys.modules):
            return traceback.format_exc()[-4000:]
    except BaseException:
        return traceback.format_exc()[-4000:]
    return ""

for library in in_a_copy(libraries).split():
    with contextlib.suppress(Exception):
        importlib.import_module(library)
assert not [name for name in sys.modules if name.partition(".")[0] == "pybench"]
gc.freeze()
failures = {name: said for name in sys.argv[1:] if (said := in_a_copy(lambda: alone(name)))}
print(json.dumps(failures))
"""
"""A program that has imported nothing of pybench, and imports each module in a copy of itself.

The libraries that any of them uses it has imported, once for all. That one is not installed is no
fault of the module's.
"""


def modules() -> list[str]:
    """Every module of the package by its name, the C modules too."""
    files = [*PACKAGE.rglob("*.py"), *PACKAGE.glob("*.so")]
    names = {file.relative_to(PACKAGE.parent).as_posix().partition(".")[0] for file in files}
    return sorted(name.replace("/", ".").removesuffix(".__init__") for name in names)


def test_every_module_imports_alone() -> None:
    """In an interpreter of its own: no circle is hidden by who came first."""
    names = modules()
    assert len(names) > 100 and "pybench.c_epoll" in names and "pybench.cli" in names
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EACH, *names], capture_output=True, text=True, check=True
    )
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
