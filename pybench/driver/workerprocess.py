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
import tempfile
from dataclasses import dataclass
from typing import Any

from pybench.backends import Row
from pybench.errors import WorkerError
from pybench.spec import Cell

OUTPUT_TAIL_BYTES = 2000
PROGRAM_END_S = 3.0  # how long a supervisor may take to end its program


@dataclass(frozen=True, slots=True)
class Usage:
    """What the worker used from ready to end."""

    user_s: float
    sys_s: float
    wall_s: float
    max_rss_kb: int


class WorkerProcess:
    """One worker of one round. A context manager: leaving it kills what still runs.

    row: the backend.  bind: numeric address to listen on.  cpu: to pin to, or None.
    The cell's variables come into its environment.
    After `receive`: port, python, ready, usage and silent are what it has said so far.
    """

    def __init__(self, row: Row, cell: Cell, *, bind: str, cpu: int | None) -> None:
        self.port: int | None = None
        self.ready = False
        self.usage: Usage | None = None
        self.python: dict[str, Any] = {}
        self.silent = False  # it has closed its end of the pipe
        self._rest = b""
        self._program_pid: int | None = None
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._events, events_fd = os.pipe()
        os.set_blocking(self._events, False)
        spec = {
            "row": dataclasses.asdict(row),
            "conns": cell.conns,
            "msize": cell.msize,
            "bind": bind,
            "cpu": cpu,
            "events_fd": events_fd,
            "parent_pid": os.getpid(),
        }
        module = "pybench.worker.supervisor" if row.command else "pybench.worker"
        executable = sys.executable if cell.python is None else cell.python.path
        try:
            self._process = subprocess.Popen(
                [executable, "-m", module, json.dumps(spec)],
                env={**os.environ, **dict(cell.env)},
                stdin=subprocess.PIPE if row.command else subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                pass_fds=(events_fd,),
                start_new_session=True,  # a Ctrl-C at the terminal is the driver's to handle
            )
            self._pidfd = os.pidfd_open(self._process.pid)
        except OSError as exc:
            raise WorkerError(f"the worker cannot be started: {exc}") from exc
        finally:
            os.close(events_fd)

    def __enter__(self) -> "WorkerProcess":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.kill()
        os.close(self._pidfd)
        os.close(self._events)
        self._output.close()

    @property
    def pid(self) -> int:
        """The process id of what is measured."""
        return self._program_pid or self._process.pid

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
        """Whether the process is gone."""
        return self._process.poll() is not None

    def receive(self) -> None:
        """Take in what the worker has said, without waiting.

        Raises WorkerError when it reported a failure, or has ended without being done.
        """
        ended = self.ended  # asked before reading: what it said before it ended must not be missed
        while data := self._read():
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._take(json.loads(line))
        if ended and self.usage is None:
            raise WorkerError(f"{self._ending()}{self._output_tail()}")

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
        if not self.ended:
            self._process.kill()
        self._process.wait()

    def _read(self) -> bytes:
        try:
            data = os.read(self._events, 1 << 16)
        except BlockingIOError:
            return b""
        self.silent = not data
        return data

    def _take(self, event: dict[str, Any]) -> None:
        match event.pop("event"):
            case "listening":
                self.port = event["port"]
                self._program_pid = event.get("pid")
                self.python = event.get("python", {})
            case "ready":
                self.ready = True
            case "done":
                self.usage = Usage(**event)
            case "failed":
                tail = "" if self._process.stdin is None else self._output_tail()
                raise WorkerError(event["reason"] + tail, details=event["traceback"])

    def _ending(self) -> str:
        code = self._process.returncode
        if code < 0:
            try:
                name = f" ({signal.Signals(-code).name})"
            except ValueError:  # a real-time signal has no name
                name = ""
            return f"worker killed by signal {-code}{name}"
        return f"worker ended with exit status {code} before it was done"

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
