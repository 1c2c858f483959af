"""What a worker asks of the kernel for its process: its CPU, its files, its end with the driver."""

import ctypes
import fcntl
import os
import resource
import select
import signal
from pathlib import Path

from pybench.errors import WorkerError

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def prctl(option: int, value: int) -> None:
    """Raises OSError when the kernel refuses."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


def die_with_driver(lifeline_fd: int) -> None:
    """Have the kernel kill this process when the driver ends, however it ends.

    lifeline_fd: of a pipe whose other end the driver has, and nobody else. Its end is a signal, so
    that nothing here waits for it; the parent's own (`die_with_parent`) is that of the thread that
    started this process. When it has ended already, so does this process.
    """
    os.set_inheritable(lifeline_fd, False)
    fcntl.fcntl(lifeline_fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline_fd, fcntl.F_SETSIG, signal.SIGKILL)
    flags = fcntl.fcntl(lifeline_fd, fcntl.F_GETFL)
    fcntl.fcntl(lifeline_fd, fcntl.F_SETFL, flags | os.O_ASYNC)
    if select.select([lifeline_fd], [], [], 0)[0]:  # it ended before that took effect
        os._exit(1)


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when the thread that started it ends, however it ends.

    When its process it has ended already, so does this process.
    """
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it ended before prctl took effect
        os._exit(1)


def pin(cpu: int | None) -> None:
    """Run on that CPU only; None: where it may. Raises WorkerError when this process may not."""
    if cpu is None:
        return
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError as exc:
        raise WorkerError(f"pin to CPU {cpu}: {exc.strerror}", code="setup") from exc


def raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def cannot_bind(address: str, exc: OSError) -> WorkerError:
    """How both kinds of worker say that an address is not theirs."""
    return WorkerError(f"bind {address}: {os.strerror(exc.errno or 0)}", code="bind")


def signal_name(number: int) -> str:
    """`signal 11 (SIGSEGV)`; a real-time signal has no name."""
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"


def peak_rss_kb() -> int:
    """The most memory this process ever had resident, in KiB.

    From VmHWM and not from ru_maxrss, which survives exec: it would never be below the driver's.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
