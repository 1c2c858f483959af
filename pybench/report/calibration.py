"""What `pybench calibrate` prints: a machine in a dozen lines."""

from typing import TextIO

from pybench.machine.calibration import Calibration
from pybench.report.document import Document, Remarks, write_document
from pybench.report.text import duration_text, rate_text


def write_calibration(found: Calibration, file: TextIO) -> None:
    """Write the calibration for people; programs read the file that keeps it."""
    write_document(Document(blocks=[Remarks(calibration_lines(found))]), "table", file)


def calibration_lines(found: Calibration) -> list[str]:
    """The same as lines."""
    ceilings = [f"{engine} {rate_text(mps)}" for engine, mps in found.ceiling_mps.items()]
    ceilings += [f"{engine} not available" for engine in found.unavailable]
    limits = [f"{count} {name}" for name, count in found.limits.items()]
    lines = [
        f"{found.machine}, {found.measured_at}",
        f"noise floor  two runs of one row differ by up to {100 * found.noise_floor:.1f}%"
        f" ({found.noise_of})",
        f"load server  at most, in messages/s: {', '.join(ceilings)}",
        f"costs        empty system call {_cost(found.syscall_ns)}; 64 bytes over loopback:"
        f" send {_cost(found.send_ns)}, receive {_cost(found.recv_ns)}",
        f"limits       {', '.join(limits)}",
        f"meanwhile    other processes had {100 * found.other:.0f}% of the CPU time,"
        f" the hypervisor {100 * found.steal:.0f}%",
    ]
    if found.other + found.steal > 0.05:
        lines.append("             the machine was busy: calibrate again when it is not")
    if found.advice:
        lines.append("")
        lines.append("What could be tuned; nothing was changed:")
        lines += [f"  {line}" for line in found.advice]
    return lines


def _cost(ns: float) -> str:
    return duration_text(round(ns)) if ns < 1000 else f"{ns / 1000:.2f} us"
