"""`make server`: the load server alone, on a machine that has a C compiler and no Python."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import pybench
from tests.support import ROOT
from tests.support.wire import Peer, load_server

VERSION = pybench.__version__


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The checkout as far as `make server` needs it, and nothing that was built."""
    copy = tmp_path / "clone"
    shutil.copytree(ROOT / "server", copy / "server")
    (copy / "pybench").mkdir()
    for name in "Makefile", "pybench/__init__.py":
        shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture
def without_python(tmp_path: Path) -> str:
    """A PATH that has every program of this one but Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for directory in os.get_exec_path():
        for program in Path(directory).glob("*"):
            if not re.match(r"python|pip|pydoc", program.name) and program.is_file():
                link = folder / program.name
                if not link.is_symlink():
                    link.symlink_to(program)
    assert shutil.which("python3", path=str(folder)) is None
    return str(folder)


def make_server(clone: Path, path: str, *variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["make", "server", *variables],
        cwd=clone,
        env={k: v for k, v in os.environ.items() if k != "MAKEFLAGS"} | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=100,
    )


def test_it_builds_and_serves_without_python(clone, without_python, monkeypatch):
    done = make_server(clone, without_python)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    monkeypatch.setenv("PYBENCH_SERVER", str(clone / "build" / "pybench-server"))
    with load_server() as server, Peer() as peer:
        answer = server.run(peer.port)
    assert answer.count("messages") > 0
    assert answer.words("result")["version"] == VERSION
    again = make_server(clone, without_python)
    assert "Nothing to be done" in again.stdout


def test_missing_libraries_are_said_with_their_remedy(clone, without_python, tmp_path, monkeypatch):
    compiler = tmp_path / "cc-without-libraries"
    compiler.write_text('#!/bin/sh\ncase "$*" in *-luring*|*-lssl*) exit 1 ;; esac\nexec cc "$@"\n')
    compiler.chmod(0o755)
    done = make_server(clone, without_python, f"CC={compiler}", "CFLAGS=-O0")
    assert done.returncode == 0, done.stderr
    assert "install liburing-dev, then make -B server" in done.stdout
    assert "install libssl-dev, then make -B server" in done.stdout
    program = clone / "build" / "pybench-server"
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[1] == "engines: epoll null; transports: tcp unix"
    asked = subprocess.run([program, "--engine", "uring"], capture_output=True, text=True)
    assert asked.returncode == 2
    assert "built without liburing" in asked.stderr
    monkeypatch.setenv("PYBENCH_SERVER", str(program))
    with load_server() as server:
        (line,) = server.run(9, transport="tls", pin="0" * 64)
    assert line.startswith("error code=unsupported ")
    assert "built without OpenSSL 3; install it (Debian: libssl-dev)" in line


def test_it_builds_with_musl(clone, tmp_path, monkeypatch):
    """The musllinux wheels' C library. A paced round waits by a call it has no function for."""
    if shutil.which("musl-gcc") is None:
        pytest.skip("no musl-gcc")
    kernel = tmp_path / "kernel"  # its headers are with the system's own, which are glibc's
    kernel.mkdir()
    multiarch = subprocess.check_output(["gcc", "-print-multiarch"], text=True).strip()
    for name in "linux", "asm-generic", f"{multiarch}/asm":
        (kernel / Path(name).name).symlink_to(Path("/usr/include", name))
    flags = f"CFLAGS=-O0 -isystem {kernel} -Werror -Wno-error=cpp -static -no-pie"
    done = make_server(clone, os.environ["PATH"], "CC=musl-gcc", flags)
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("PYBENCH_SERVER", str(clone / "build" / "pybench-server"))
    with load_server() as server, Peer() as peer:
        answer = server.run(peer.port, rate=2000)
    assert answer.count("messages") > 0


def test_a_missing_compiler_is_said(clone, without_python):
    done = make_server(clone, without_python, "CC=no-such-compiler")
    assert done.returncode != 0
    assert "gcc libc6-dev" in done.stderr


def test_the_package_is_built_with_the_same_flags():
    """setup.py and the Makefile have neither flags nor version of their own."""
    for name in "setup.py", "Makefile":
        text = (ROOT / name).read_text()
        assert "server/cflags" in text
        assert "server/probe/liburing.c" in text
        assert "server/probe/openssl.c" in text
        assert "-std=gnu11 -O2" not in text
        assert VERSION not in text
