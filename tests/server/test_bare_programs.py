"""The bare programs of tests/bench/bare: each generator drives each echo, and both end.

What limits.py makes of them is measured by hand; that they still build and run is a test.
"""

import os
import re
import shlex
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.wire import TIMEOUT_S, server_program

BARE = ROOT / "tests" / "bench" / "bare"
CC = shlex.split(os.environ.get("CC", "cc"))
CONNS = 20


@pytest.fixture(scope="module")
def programs(tmp_path_factory) -> dict[str, Path]:
    """Name -> program; those on io_uring where the load server has it too."""
    folder = tmp_path_factory.mktemp("bare")
    asked = [server_program(), "--engine", "uring", "--version"]
    have_uring = subprocess.run(asked, capture_output=True).returncode == 0
    made = {}
    for source in sorted(BARE.glob("bare_*.c")):
        uring = source.stem.endswith("_uring")
        if uring and not have_uring:
            continue
        made[source.stem] = folder / source.stem
        subprocess.run(
            [*CC, "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", str(source),
             *(["-luring"] if uring else []), "-o", str(made[source.stem])],
            check=True,
        )  # fmt: skip
    return made


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_listening(port: int) -> None:
    """Looks into the kernel's list: connecting would use up an accept."""
    deadline = time.monotonic() + TIMEOUT_S
    while f"0100007F:{port:04X} 00000000:0000 0A" not in Path("/proc/net/tcp").read_text():
        assert time.monotonic() < deadline, f"nothing listens on port {port}"
        time.sleep(0.01)


@pytest.mark.parametrize("echo", ["epoll", "uring"])
@pytest.mark.parametrize("load", ["epoll", "uring"])
def test_a_bare_pair(programs, load, echo):
    if f"bare_load_{load}" not in programs or f"bare_echo_{echo}" not in programs:
        pytest.skip("the load server has no engine uring here: see pybench-server --engine uring")
    port = free_port()
    words = [str(port), str(CONNS)]
    with subprocess.Popen([programs[f"bare_echo_{echo}"], *words]) as server:
        try:
            await_listening(port)
            done = subprocess.run(
                [programs[f"bare_load_{load}"], *words, "0.1", "0.3"],
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
            )
            assert server.wait(TIMEOUT_S) == 0  # all its connections were closed
        finally:
            server.kill()
    assert done.returncode == 0, done.stderr
    rate, cpu_ns = re.fullmatch(r"mps (\d+) cpu_ns (\d+)\n", done.stdout).groups()
    assert int(rate) > 0
    assert 0 <= int(cpu_ns) * int(rate) < 1.5e9  # it has one thread
