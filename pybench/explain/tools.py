"""perf and strace as observers: started, heard, stopped in time; and what to do where they fail.

What they write is read in `syscalls.py` and `stacks.py`.
"""

import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pybench.driver.round import Observer
from pybench.errors import PybenchError

ATTACH_TIMEOUT_S: Final = 30.0
END_TIMEOUT_S: Final = 60.0  # perf closes one tracepoint after the other, some 30 ms each

_PACKAGES: Final = {
    "perf": "linux-perf on Debian, linux-tools-generic on Ubuntu, perf elsewhere",
    "strace": "the package strace",
}
PERF_REMEDY: Final = (
    "run as root, or give CAP_PERFMON; without it `sysctl -w kernel.perf_event_paranoid=-1`,"
    " for system calls also a readable /sys/kernel/tracing"
)
_REMEDIES: Final = {
    "perf": PERF_REMEDY,
    "strace": "run as root, or `sysctl -w kernel.yama.ptrace_scope=0`",
}


class ToolError(PybenchError):
    """A tool is missing, forbidden or has failed; the message says what to install or set."""


class Tool:
    """A tool's process: started with a control pipe where it takes one, ended within limits."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._stderr = b""

    def start(self, argv: Sequence[str], pass_fds: Sequence[int] = ()) -> None:
        """Start it. Raises ToolError when there is no such program."""
        program = shutil.which(self.name)
        if program is None:
            raise ToolError(f"{self.name} is not installed: {_PACKAGES[self.name]}")
        self._process = subprocess.Popen(
            [program, *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=tuple(pass_fds),
            env={**os.environ, "LC_ALL": "C"},
            start_new_session=True,  # a Ctrl-C at the terminal is the driver's to handle
        )
        self._pidfd = os.pidfd_open(self._process.pid)
        os.set_blocking(self._stderr_fd, False)

    @property
    def _stderr_fd(self) -> int:
        assert self._process is not None
        assert self._process.stderr is not None
        return self._process.stderr.fileno()

    def await_word(self, word: bytes, fd: int | None = None) -> None:
        """Return when the tool has written word to fd, or to its standard error without one.

        Raises ToolError when it ends before, or does not say so in time.
        """
        seen = b""
        deadline = time.monotonic() + ATTACH_TIMEOUT_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._pidfd, selectors.EVENT_READ)
            selector.register(self._stderr_fd, selectors.EVENT_READ)
            if fd is not None:
                selector.register(fd, selectors.EVENT_READ)
            while word not in (self._stderr if fd is None else seen):
                events = selector.select(max(0.0, deadline - time.monotonic()))
                if not events:
                    raise self._failure(f"did not start within {ATTACH_TIMEOUT_S:g} s")
                ready = {key.fd for key, _ in events}
                if fd in ready:
                    seen += os.read(fd, 4096)
                if self._stderr_fd in ready and not self._hear():
                    selector.unregister(self._stderr_fd)
                if ready == {self._pidfd}:
                    raise self._failure("ended at once")

    def finish(self) -> None:
        """Have it write down what it has and end. Raises ToolError when it does not."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            _, rest = self._process.communicate(timeout=END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise self._failure(f"did not end within {END_TIMEOUT_S:g} s") from None
        self._stderr += rest or b""

    def close(self) -> None:
        """Kill and reap it if it still runs."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stderr is not None:
            self._process.stderr.close()
        os.close(self._pidfd)
        self._process = None

    def _hear(self) -> bool:
        data = os.read(self._stderr_fd, 65536)
        self._stderr += data
        return bool(data)

    def _failure(self, what: str) -> ToolError:
        said = [line.strip() for line in self._stderr.decode(errors="replace").splitlines()]
        words = next((line for line in said if _TELLING.search(line)), said[0] if said else "")
        reason = words.removeprefix(f"{self.name}: ").rstrip(".:") or what
        return ToolError(f"{self.name}: {reason} ({_REMEDIES[self.name]})")


_TELLING: Final = re.compile(
    r"permission|permitted|denied|not supported|access|invalid|cannot|can't|failed", re.IGNORECASE
)


class PerfObserver:
    """`perf stat` or `perf record` on a process, silent until `begin`. `output` is what it wrote.

    pid: of the process, once attached.
    arguments: the subcommand and its options, without target and output. Attached while the
    process has one thread, its counters are inherited by those that come later.
    cpu: where the process is pinned; then that CPU is observed, and who else runs there has to be
    left out when reading. Events of a process are started and stopped at each switch of threads,
    which in a virtual machine costs more than the switch: a hundred threads took 20 us for a
    message instead of 6. Those of a CPU just run.
    """

    def __init__(self, *arguments: str, cpu: int | None = None) -> None:
        self._arguments = arguments
        self._cpu = cpu
        self._tool = Tool("perf")
        self._folder = tempfile.TemporaryDirectory(prefix="pybench-")
        self._fds: list[int] = []
        self.pid: int | None = None
        self.output = Path(self._folder.name, "perf.out")

    def attach(self, pid: int) -> None:
        """See Observer."""
        self.pid = pid
        take, self._command = os.pipe()
        self._answer, give = os.pipe()
        self._fds = [take, self._command, self._answer, give]
        control = ["-D", "-1", "--control", f"fd:{take},{give}"]
        target = ["-p", str(pid)] if self._cpu is None else ["-C", str(self._cpu)]
        output = ["-o", str(self.output)]
        self._tool.start([*self._arguments, *control, *target, *output], (take, give))
        self._ask(b"ping")

    def begin(self) -> None:
        """See Observer."""
        self._ask(b"enable")

    def end(self) -> None:
        """See Observer."""
        self._tool.finish()

    def close(self) -> None:
        """See Observer."""
        self._tool.close()
        for fd in self._fds:
            os.close(fd)
        self._fds = []

    def discard(self) -> None:
        """Remove the output. Called once it has been read."""
        self._folder.cleanup()

    def _ask(self, command: bytes) -> None:
        os.write(self._command, command + b"\n")
        self._tool.await_word(b"ack", self._answer)


class StraceObserver:
    """`strace -c` on all threads of a process. `output` is its table."""

    def __init__(self) -> None:
        self._tool = Tool("strace")
        self._folder = tempfile.TemporaryDirectory(prefix="pybench-")
        self._pid = 0
        self.output = Path(self._folder.name, "strace.out")

    def attach(self, pid: int) -> None:
        """See Observer. Only remembers: strace could not be silent until it is to begin."""
        self._pid = pid

    def begin(self) -> None:
        """See Observer."""
        self._tool.start(["-c", "-f", "-o", str(self.output), "-p", str(self._pid)])
        self._tool.await_word(b" attached")

    def end(self) -> None:
        """See Observer."""
        self._tool.finish()

    def close(self) -> None:
        """See Observer."""
        self._tool.close()

    def discard(self) -> None:
        """Remove the output. Called once it has been read."""
        self._folder.cleanup()


def try_out(observer: Observer) -> None:
    """Observe a process that does nothing but wait and end. Raises ToolError when that fails."""
    try:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
            try:
                observer.attach(process.pid)
                observer.begin()
                process.communicate(b"\n")
                observer.end()
            finally:
                process.kill()
    finally:
        observer.close()
