"""Compile and run the C unit tests, and hold the Python half of a format against the same data."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from pybench.analysis.stats import bucket_width_ns, percentile_ns
from tests.support import DATA, ROOT
from tests.support.wire import server_program

HERE = Path(__file__).parent
SERVER = ROOT / "server"
GOLDEN = DATA / "buckets.txt"

PINGER = (
    *("pinger.c", "pipeline.c", "pipelines.c", "arrivals.c", "timers.c", "message.c"),
    *("histogram.c", "transport_tls.c"),
)

WIRE = ("request.c", "targets.c", "command.c", "reply.c", "words.c")

# sources beside the test itself, and arguments
UNITS: dict[str, tuple[list[str], list[str]]] = {
    "test_histogram": (["histogram.c"], [str(GOLDEN)]),
    "test_address": (["address.c"], []),
    "test_outcome": ([], []),
    "test_timers": (["timers.c"], []),
    "test_arrivals": (["arrivals.c"], []),
    "test_pinger": ([*PINGER], []),
    "test_pipeline": ([*PINGER], []),
    "test_message": (["message.c"], []),
    "test_connect": (
        ["connect.c", "sources.c", "failure.c", "address.c", "transport_tls.c"],
        [],
    ),
    "test_control": ([*WIRE, "histogram.c", "failure.c", "address.c"], []),
}


def openssl() -> list[str]:
    """What compiles with TLS, where the server is built with it."""
    shown = subprocess.run([server_program(), "--version"], capture_output=True, text=True)
    return ["-DHAVE_OPENSSL", "-lssl", "-lcrypto"] if " tls (" in shown.stdout else []


@pytest.mark.parametrize("name", UNITS)
def test_c_unit(name, tmp_path):
    sources, arguments = UNITS[name]
    program = tmp_path / name
    sanitize = os.environ.get("PYBENCH_SANITIZE")
    flags = [f"-fsanitize={sanitize}", "-fno-sanitize-recover=all"] if sanitize else []
    subprocess.run(
        [*shlex.split(os.environ.get("CC", "cc")), "-std=gnu11", "-g", "-O1", "-Wall", "-Wextra",
         *flags, f"-I{SERVER}", str(HERE / "c" / f"{name}.c"), *(str(SERVER / s) for s in sources),
         *(openssl() if "transport_tls.c" in sources else []), "-lm", "-o", str(program)],
        check=True,
    )  # fmt: skip
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_python_has_the_same_buckets():
    rows = [tuple(map(int, line.split())) for line in GOLDEN.read_text().splitlines()]
    for value, lower, upper in rows:
        width = bucket_width_ns(lower)
        assert lower <= value < lower + width
        assert lower + width - 1 == upper
        assert percentile_ns({lower: 1}, 0.5) == upper
