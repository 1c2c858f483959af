"""What the window took of a worker, from readings at the load server's marks."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pybench.driver.meter import Meter, Reading, usage_of
from pybench.machine.cputime import CpuTime, cpu_time
from pybench.units import NS_PER_MS, NS_PER_S
from pybench.worker.protocol import Usage

WHOLE = Usage(user_s=3.0, sys_s=1.0, wall_s=5.0, max_rss_kb=1)
SLICE_NS = 100 * NS_PER_MS
STARTED_NS = 7_000 * NS_PER_S  # by the driver's clock


def reading(t_ms: int, cpu_ms: float, *, late_ms: float = 0.0, **used: int) -> Reading:
    """At a mark, late by what it took to come here."""
    at_ns = STARTED_NS + round((t_ms + late_ms) * NS_PER_MS)
    ticks = {"user_ticks": 0, "system_ticks": 0, "minor_faults": 0} | used
    return Reading(t_ms * NS_PER_MS, at_ns, CpuTime(round(cpu_ms * NS_PER_MS), **ticks))


def slices_ms(readings: list[Reading], window_ms: int) -> list[float]:
    found = usage_of(readings, window_ms * NS_PER_MS, SLICE_NS, WHOLE)
    assert found is not None
    assert sum(found.slices_ns) == found.cpu_ns
    assert found.user_s + found.sys_s == pytest.approx(found.cpu_ns / NS_PER_S)
    return [one / NS_PER_MS for one in found.slices_ns]


def test_each_slice_has_what_was_used_between_its_marks() -> None:
    readings = [reading(0, 40), reading(100, 120), reading(200, 130), reading(250, 170)]
    assert slices_ms(readings, 250) == [80, 10, 40]


def test_a_late_mark_moves_nothing() -> None:
    """It is read late, with more CPU time on the clock, by what the others say of the clocks."""
    readings = [
        reading(0, 0.8 * 5, late_ms=5),
        reading(100, 0.8 * 100),
        reading(200, 0.8 * 230, late_ms=30),
        reading(300, 0.8 * 310, late_ms=10),
    ]
    assert slices_ms(readings, 300) == pytest.approx([80, 80, 80])


def test_a_mark_that_did_not_come_is_between_its_neighbours() -> None:
    assert slices_ms([reading(0, 0), reading(300, 90)], 300) == pytest.approx([30, 30, 30])


@pytest.mark.parametrize(
    "readings",
    [
        [],
        [reading(0, 1)],
        [reading(0, 1), reading(100, 2)],  # the worker was gone at the end
        [reading(100, 1), reading(200, 2)],
    ],
)
def test_without_both_ends_the_window_is_not_known(readings: list[Reading]) -> None:
    assert usage_of(readings, 200 * NS_PER_MS, SLICE_NS, WHOLE) is None


def test_much_cpu_time_divides_as_the_kernel_says_and_little_as_the_whole() -> None:
    used = {"user_ticks": 90, "system_ticks": 10, "minor_faults": 7}
    much = usage_of([reading(0, 0), reading(200, 100, **used)], 2 * SLICE_NS, SLICE_NS, WHOLE)
    assert much and much.user_s == pytest.approx(0.09) and much.minor_faults == 7
    used = {"user_ticks": 9, "system_ticks": 1}
    little = usage_of([reading(0, 0), reading(200, 100, **used)], 2 * SLICE_NS, SLICE_NS, WHOLE)
    assert little and little.user_s == pytest.approx(0.075)


# ---- another process, as the kernel accounts it --------------------------------------------

BURNS = """
import os, sys
if os.fork() == 0:
    sum(range(3_000_000))
    os._exit(0)
os.wait()
pages = []
for line in sys.stdin:
    pages.append(bytearray(1 << 22))
    pages[-1][::4096] = bytes([1]) * 1024
    sum(range(1_000_000))
    print("done", flush=True)
"""


@pytest.fixture
def burner() -> Iterator["subprocess.Popen[str]"]:
    """Takes CPU time and 4 MiB for every line it is sent, and answers."""
    command = [sys.executable, "-c", BURNS]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def burn(process: "subprocess.Popen[str]") -> None:
    assert process.stdin and process.stdout
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "done\n"


def test_time_and_pages_of_another_process(burner: "subprocess.Popen[str]") -> None:
    burn(burner)
    before = cpu_time(burner.pid)
    burn(burner)
    after = cpu_time(burner.pid)
    assert after.cpu_ns - before.cpu_ns > NS_PER_MS
    assert after.minor_faults > before.minor_faults


def test_a_child_that_has_ended_counts(burner: "subprocess.Popen[str]") -> None:
    """Once it was waited for, as in the usage that a worker tells of itself."""
    burn(burner)
    stat = Path(f"/proc/{burner.pid}/stat").read_text()
    ended = sum(map(int, stat.rpartition(")")[2].split()[13:15]))
    assert ended > 0
    assert cpu_time(burner.pid).cpu_ns > ended * NS_PER_S / os.sysconf("SC_CLK_TCK")


def test_one_that_has_ended_can_still_be_asked(burner: "subprocess.Popen[str]") -> None:
    """Until its parent has waited for it, which the driver puts off."""
    burn(burner)
    used = cpu_time(burner.pid, 1 << 22)  # no such process: it counts with its parent
    burner.kill()
    os.waitid(os.P_PID, burner.pid, os.WEXITED | os.WNOWAIT)
    assert cpu_time(burner.pid).cpu_ns >= used.cpu_ns


def test_who_cannot_look_leaves_no_reading(
    burner: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = Meter(lambda: [burner.pid])
    meter.begin()
    meter.mark(0)

    def no_files(path: Path) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Path, "read_text", no_files)
    meter.mark(200 * NS_PER_MS)
    assert meter.usage(200 * NS_PER_MS, SLICE_NS, WHOLE) is None


def test_a_worker_that_is_gone_leaves_no_reading(burner: "subprocess.Popen[str]") -> None:
    meter = Meter(lambda: [burner.pid])
    meter.begin()
    meter.mark(0)
    burner.kill()
    burner.wait()
    meter.mark(200 * NS_PER_MS)
    assert meter.usage(200 * NS_PER_MS, SLICE_NS, WHOLE) is None
