"""setup.py: what needs a compiler, what it is told, and what the built server is hardened with."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pybench
from pybench.driver.loadserver import executable
from tests.support import ROOT

VERSION = pybench.__version__


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """What an sdist has, as far as a build needs it, and nothing that was built."""
    copy = tmp_path / "source"
    for folder in "server", "ext":
        shutil.copytree(ROOT / folder, copy / folder)
    (copy / "pybench").mkdir()
    for name in "setup.py", "pyproject.toml", "README.md", "LICENSE", "pybench/__init__.py":
        shutil.copy(ROOT / name, copy / name)
    return copy


def setup(source: Path, *arguments: str, **env: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "setup.py", "-q", *arguments],
        cwd=source,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.fixture
def without_compiler(tmp_path: Path) -> str:
    """A PATH that has no program at all."""
    folder = tmp_path / "empty"
    folder.mkdir()
    return str(folder)


@pytest.mark.parametrize("command", [["--version"], ["egg_info"], ["sdist"], ["clean"]])
def test_what_compiles_nothing_needs_no_compiler(
    source: Path, without_compiler: str, command: list[str]
) -> None:
    done = setup(source, *command, PATH=without_compiler, CC="")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    if command == ["--version"]:
        assert done.stdout.strip() == VERSION
    if command == ["sdist"]:
        assert len(list((source / "dist").iterdir())) == 1


@pytest.mark.parametrize("command", ["build", "build_ext", "build_server"])
@pytest.mark.parametrize(
    ("cc", "said"), [("", "there is no cc"), ("no-such -m64", "CC=no-such -m64 is not there")]
)
def test_a_missing_compiler_is_said(
    source: Path, without_compiler: str, command: str, cc: str, said: str
) -> None:
    done = setup(source, command, PATH=without_compiler, CC=cc)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"error: {said}: pybench needs a C compiler")
    assert "gcc libc6-dev" in last


def test_the_environment_reaches_the_question_and_the_build(source: Path, tmp_path: Path) -> None:
    """A liburing that only these flags find is found."""
    compiler, calls = tmp_path / "compiler", tmp_path / "calls"
    compiler.write_text(f'#!/bin/sh\necho "$*" >>{calls}\nexec cc "$@"\n')
    compiler.chmod(0o755)
    flags = {"CPPFLAGS": "-DCPP=1", "CFLAGS": "-O0", "LDFLAGS": f"-L{tmp_path}"}
    done = setup(source, "build_server", CC=str(compiler), **flags)
    assert done.returncode == 0, done.stderr
    *probes, program = calls.read_text().splitlines()
    assert len(probes) == 2 and "server/main.c" in program
    for name in "liburing", "openssl":
        assert any(f"server/probe/{name}.c" in call for call in probes)
    for call in (*probes, program):
        words = call.split()
        assert set(flags.values()) <= set(words)
    (built,) = source.glob("build/lib*/pybench/bin/pybench-server")
    shown = subprocess.run([built, "--version"], capture_output=True, text=True, check=True)
    assert VERSION in shown.stdout


def test_code_that_does_not_compile_ends_the_build(source: Path) -> None:
    (source / "server" / "main.c").write_text("int main(void) { return }\n")
    done = setup(source, "build_server", CFLAGS="-fsyntax-only")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "could not compile the load server" in done.stderr.strip().splitlines()[-1]


def test_private_names_of_setuptools_are_not_used() -> None:
    assert "_distutils" not in (ROOT / "setup.py").read_text()


def hardening(program: Path) -> set[str]:
    """What is found in a program: pie, relro, now, stack protector, fortify."""
    readelf = shutil.which("readelf")
    if readelf is None:
        pytest.skip("needs readelf")
    command = [readelf, "-W", "-h", "-l", "-d", "--dyn-syms", str(program)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    marks = {
        "pie": "DYN (Position-Independent Executable file)",
        "relro": "GNU_RELRO",
        "now": "BIND_NOW",
        "stack protector": "__stack_chk_fail",
        "fortify": "_chk@GLIBC",
    }
    return {name for name, mark in marks.items() if mark in text}


ALL_HARDENING = {"pie", "relro", "now", "stack protector", "fortify"}


@pytest.mark.skipif("PYBENCH_SANITIZE" in os.environ, reason="a sanitizer replaces the checks")
def test_the_installed_server_is_hardened() -> None:
    assert hardening(Path(executable())) == ALL_HARDENING


def test_make_server_hardens_too(source: Path) -> None:
    shutil.copy(ROOT / "Makefile", source)
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "PYBENCH_SANITIZE")}
    subprocess.run(["make", "server"], cwd=source, env=env, check=True, capture_output=True)
    assert hardening(source / "build" / "pybench-server") == ALL_HARDENING
