"""The tree keeps its shape. The layers themselves are contracts of `make lint` (pyproject.toml)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import pybench

PACKAGE = Path(pybench.__file__).parent

IMPORT_EACH = """
import contextlib, json, os, sys, traceback
for library in ("scipy.stats", "matplotlib.figure", "plotly.offline"):
    with contextlib.suppress(ImportError):
        __import__(library)
failures = {}
for name in sys.argv[1:]:
    reader, writer = os.pipe()
    if os.fork() == 0:
        try:
            __import__(name)
        except ModuleNotFoundError as exc:
            if (exc.name or "pybench").partition(".")[0] in ("pybench", *sys.modules):
                os.write(writer, traceback.format_exc()[-4000:].encode())
        except BaseException:
            os.write(writer, traceback.format_exc()[-4000:].encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as said:
        text = said.read().decode()
    os.wait()
    if text:
        failures[name] = text
print(json.dumps(failures))
"""
"""A program that has imported nothing of pybench, and imports each module in a copy of itself.

It has imported the libraries that take long, once for all. That one is not installed is no fault of
the module's.
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
