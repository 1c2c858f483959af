"""What a worker asks of the kernel for its process: its CPU, its files, its end with the driver."""

import contextlib
import ctypes
import fcntl
import os
import resource
import select
import signal
from collections.abc import Sequence
from functools import partial
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
    """Have the kernel kill this process when the driver ends, however it ends, with its children.

    lifeline_fd: of a pipe whose other end the driver has, and nobody else. Its end is a signal, so
    that nothing here waits for it; the parent's own (`die_with_parent`) is that of the thread that
    started this process. When it has ended already, so does this process.

    The signal goes to the process group, which is this process's own, and so to whatever it starts.
    Who may leave the group, a child that Python forks, asks for a signal of its own; a program that
    is both executed and put into another session is out of reach.
    """
    os.set_inheritable(lifeline_fd, False)
    leads = os.getpgrp() == os.getpid()
    _kill_at_end_of(lifeline_fd, -os.getpid() if leads else os.getpid())
    os.register_at_fork(after_in_child=partial(_die_with_driver_too, lifeline_fd))


def _die_with_driver_too(lifeline_fd: int) -> None:
    """In a child: through an opening of the pipe of its own, each of which has one owner."""
    with contextlib.suppress(OSError):  # it has closed what it does not know, or sees no /proc
        own = os.open(f"/proc/self/fd/{lifeline_fd}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        _kill_at_end_of(own, os.getpid())


def _kill_at_end_of(pipe_fd: int, whom: int) -> None:
    """SIGKILL when the last writer of the pipe is gone. whom: a process; negative: its group."""
    fcntl.fcntl(pipe_fd, fcntl.F_SETOWN, whom)
    fcntl.fcntl(pipe_fd, fcntl.F_SETSIG, signal.SIGKILL)
    flags = fcntl.fcntl(pipe_fd, fcntl.F_GETFL)
    fcntl.fcntl(pipe_fd, fcntl.F_SETFL, flags | os.O_ASYNC)
    if select.select([pipe_fd], [], [], 0)[0]:  # it ended before that took effect
        os._exit(1)


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when the thread that started it ends, however it ends.

    When its process it has ended already, so does this process.
    """
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it ended before prctl took effect
        os._exit(1)


def pin(cpu: int | Sequence[int] | None) -> None:
    """Run on that CPU only, or on those; None: where it may. Raises WorkerError when this process
    may not."""
    if cpu is None:
        return
    cpus = (cpu,) if isinstance(cpu, int) else cpu
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as exc:
        shown = ",".join(map(str, cpus))
        raise WorkerError(f"pin to CPU {shown}: {exc.strerror}", code="setup") from exc


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
