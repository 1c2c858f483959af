"""The worker as the driver sees it: started, heard, and surely gone at the end.

A row that is a program in any language has its supervisor (`worker/supervisor.py`) in the worker's
place, which says the same.

Not in the data path. What the process says comes through a pipe; that it ended, through a pidfd.
"""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from typing import IO, Any

from pybench.backends.start import python_command
from pybench.driver.certificate import certificate
from pybench.driver.scratch import scratch_file
from pybench.errors import WorkerError
from pybench.spec import Cell
from pybench.worker.process import signal_name
from pybench.worker.protocol import Done, Event, Failed, Listening, Reader, Ready, Usage
from pybench.worker.tree import descendants

__all__ = ["Usage", "WorkerProcess"]

WORKER = "worker"
"""What the only worker of a round is called."""

OUTPUT_TAIL_BYTES = 2000
PROGRAM_END_S = 3.0  # how long a supervisor may take to end its program


class WorkerProcess:
    """One worker of one round. A context manager: leaving it kills what still runs.

    cell: its row, connections, transport, loops and variables; its connections are those of this
    worker.  bind: numeric address to listen on.  cpu: to pin to, several for its loops, or None.
    called: in what is said of it, `worker 2 of 4`.
    After `receive`: port, ports, python, takes_tls, ready, usage and silent are what it has said so
    far.  addr: where it listens, in the words of a request; on Unix sockets once it has ports,
    which are 0 then.  pin: the fingerprint of its certificate, or empty.
    Raises WorkerError when it cannot be started.
    """

    def __init__(
        self, cell: Cell, *, bind: str, cpu: int | Sequence[int] | None, called: str = WORKER
    ) -> None:
        self.called = called
        self.port: int | None = None
        self.addr = bind
        of_run = certificate() if cell.transport == "tls" else None
        self.pin = "" if of_run is None else of_run.pin
        self.takes_tls = False
        self.ports: tuple[int, ...] = ()
        self._loops = cell.loops
        self.ready = False
        self.usage: Usage | None = None
        self.python: dict[str, Any] = {}
        self._program_pid: int | None = None
        with contextlib.ExitStack() as stack:
            self._output = stack.enter_context(scratch_file())
            self._events, events_fd = os.pipe()
            stack.callback(os.close, self._events)
            os.set_blocking(self._events, False)
            self._reader = Reader(self._events)
            lifeline_fd, ours = os.pipe()  # the kernel closes our end when we end, however we do
            stack.callback(os.close, ours)
            try:
                fds = _Descriptors(
                    events=events_fd,
                    lifeline=lifeline_fd,
                    certificate=None if of_run is None else of_run.fd,
                )
                self._process = _start(cell, bind, cpu, fds, self._output)
                stack.callback(self.kill)
                self._pidfd = os.pidfd_open(self._process.pid)
            except OSError as exc:
                raise WorkerError(f"the worker cannot be started: {exc}", code="start") from exc
            finally:
                os.close(events_fd)
                os.close(lifeline_fd)
            stack.callback(os.close, self._pidfd)
            self._stack = stack.pop_all()

    def __enter__(self) -> "WorkerProcess":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    @property
    def pid(self) -> int:
        """The process id of what is measured."""
        return self._program_pid or self._process.pid

    def pids(self) -> list[int]:
        """The process and all that it has started, which takes some milliseconds to find out.

        A supervisor is one of them: it sleeps while pings run.
        """
        return [self._process.pid, *descendants(self._process.pid)]

    def measured_pids(self, pids: Iterable[int] | None = None) -> list[int]:
        """What is measured and all that it has started, without a supervisor.

        pids: as `pids` gave them, where that is known already.
        """
        below = descendants(self.pid) if pids is None else pids
        return [self.pid, *(pid for pid in below if pid not in (self.pid, self._process.pid))]

    @property
    def silent(self) -> bool:
        """Whether it has closed its end of the pipe."""
        return self._reader.silent

    @property
    def events_fd(self) -> int:
        """For selectors: readable when it has said something."""
        return self._events

    @property
    def exit_fd(self) -> int:
        """For selectors: readable when it has ended."""
        return self._pidfd

    @property
    def ended(self) -> bool:
        """Whether the process has ended. It is not reaped: what it has used can still be asked."""
        if self._process.returncode is not None:
            return True
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, how) is not None

    def receive(self) -> None:
        """Take in what the worker has said, without waiting.

        Raises WorkerError when it reported a failure, or has ended without being done.
        """
        ended = self.ended  # asked before reading: what it said before it ended must not be missed
        for event in self._reader.events():
            self._take(event)
        if ended and self.usage is None:
            raise self._ending()

    def finish(self) -> None:
        """Say that the load is over. A backend has noticed; a program serves for ever unless told.

        May be called again.
        """
        if self._process.stdin is not None:
            self._process.stdin.close()

    def kill(self) -> None:
        """End the process if it still runs, and reap it."""
        if self._process.stdin is not None and not self.ended:
            self.finish()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(PROGRAM_END_S)
        below: list[int] = []
        if not self.ended:
            below = list(descendants(self._process.pid))
            self._process.kill()
        self._process.wait()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)  # what it has forked, if it left any
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _take(self, event: Event) -> None:
        match event:
            case Listening():
                self.port, self.python = event.port, event.python
                self.ports = event.ports or (event.port,)
                self.takes_tls = event.takes_tls
                if event.names:
                    self.addr = ",".join(f"unix:@{name}" for name in event.names)
                self._program_pid = event.pid
                self._check_loops()
            case Ready():
                self.ready = True
            case Done():
                self.usage = event.usage
            case Failed():
                who = "" if self.called == WORKER else f"{self.called}: "
                tail = "" if self._process.stdin is None else self._output_tail()
                raise WorkerError(
                    who + event.reason + tail,
                    code=event.code,
                    exceptions=event.exceptions,
                    details=event.traceback,
                )

    def _check_loops(self) -> None:
        if len(self.ports) != self._loops:
            raise WorkerError(
                f"{self.called} has one loop and not {self._loops}: the pybench of its Python is"
                " older and knows no --loops",
                code="setup",
            )

    def _ending(self) -> WorkerError:
        status, tail = self._process.wait(), self._output_tail()
        if status < 0:
            return WorkerError(
                f"{self.called} killed by {signal_name(-status)}{tail}", code="killed"
            )
        return WorkerError(
            f"{self.called} ended with exit status {status} before it was done{tail}", code="exited"
        )

    def printed(self, size: int) -> str:
        """What the backend printed, the last `size` bytes of it. For a process that has ended."""
        end = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, end - size))
        return self._output.read().decode(errors="replace")

    def _output_tail(self) -> str:
        """The last line of what the backend printed, for the error line."""
        lines = self.printed(OUTPUT_TAIL_BYTES).split("\n")
        last = [line.strip() for line in lines if line.strip()][-1:]
        return f"; it last printed: {last[0]}" if last else ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class _Descriptors:
    """What the process inherits. certificate: None where it needs none."""

    events: int
    lifeline: int
    certificate: int | None


def _start(
    cell: Cell,
    bind: str,
    cpu: int | Sequence[int] | None,
    fds: _Descriptors,
    output: IO[bytes],
) -> "subprocess.Popen[bytes]":
    """The worker's process, or its supervisor's. Raises OSError."""
    row = cell.row
    spec = {
        "row": dataclasses.asdict(row),
        "conns": cell.all_conns,
        "msize": cell.msize,
        "transport": cell.transport,
        "bind": bind,
        "cpu": cpu,
        "certificate_fd": fds.certificate,
        "events_fd": fds.events,
        "lifeline_fd": fds.lifeline,
    }
    if cell.loops > 1:
        spec["loops"] = cell.loops
    module = "pybench.worker.supervisor" if row.command else "pybench.worker.__main__"
    executable = sys.executable if cell.python is None else cell.python.path
    command = python_command(executable, module, ours=cell.python is None)
    return subprocess.Popen(
        [*command, json.dumps(spec)],
        env={**os.environ, **dict(cell.env)},
        stdin=subprocess.PIPE if row.command else subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        pass_fds=[fd for fd in dataclasses.astuple(fds) if fd is not None],
        start_new_session=True,  # a Ctrl-C at the terminal is the driver's to handle
    )
