"""What a worker says to the driver: one JSON object a line, through a pipe of its own.

`listening` with its port, `ready`, then `done` with its usage or `failed` with a reason.
"""

import importlib
import json
import os
import resource
import time
import traceback
from pathlib import Path
from typing import Any

from pybench.backends import loading
from pybench.errors import PybenchError

_HERE = str(Path(__file__).parent) + os.sep


class Events:
    """The pipe to the driver, and the usage between `ready` and `done`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._start: tuple[int, resource.struct_rusage] | None = None
        self._ready_calls = 0

    def ready(self) -> None:
        """The backend's callback: all connections are accepted. Usage is counted from here."""
        self._ready_calls += 1
        self._check_ready_calls()
        self._start = (time.monotonic_ns(), resource.getrusage(resource.RUSAGE_SELF))
        self.send("ready")

    def done(self) -> None:
        """Send what was used since `ready`."""
        now_ns, usage = time.monotonic_ns(), resource.getrusage(resource.RUSAGE_SELF)
        if self._start is None:
            raise RuntimeError("the backend returned without having called ready()")
        self._check_ready_calls()  # an event loop may only have logged what was raised then
        start_ns, before = self._start
        self.send(
            "done",
            user_s=usage.ru_utime - before.ru_utime,
            sys_s=usage.ru_stime - before.ru_stime,
            wall_s=(now_ns - start_ns) / 1e9,
            max_rss_kb=peak_rss_kb(),
        )

    def _check_ready_calls(self) -> None:
        if self._ready_calls > 1:
            raise RuntimeError("the backend called ready() twice")

    def failed(self, exc: BaseException) -> None:
        """Send why the backend could not do its work."""
        said = str(exc) if isinstance(exc, PybenchError) else last_line(exc)
        reason = " ".join(said.split())
        self.send("failed", reason=reason, traceback=own_traceback(exc))

    def send(self, event: str, **values: Any) -> None:
        """Write one event, whole."""
        line = json.dumps({"event": event, **values}).encode() + b"\n"
        while line:
            line = line[os.write(self._fd, line) :]


def last_line(exc: BaseException) -> str:
    """How a traceback ends: type and message."""
    return traceback.format_exception_only(type(exc), exc)[-1]


def own_traceback(exc: BaseException) -> str:
    """The traceback from where the backend's own code begins; of pybench's frames there is no news.

    Empty when the backend's code is not in it.
    """
    frames = exc.__traceback__
    while frames is not None and _is_machinery(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    if frames is None:  # a file that cannot be parsed has not run, but its line is known
        return "".join(traceback.format_exception_only(exc)) if isinstance(exc, SyntaxError) else ""
    return "".join(traceback.format_exception(type(exc), exc, frames))


def _is_machinery(filename: str) -> bool:
    """Whether a frame belongs to the worker, to loading, or to the import system."""
    machinery = (loading.__file__, importlib.__file__)
    return filename in machinery or filename.startswith((_HERE, "<frozen importlib"))


def peak_rss_kb() -> int:
    """The most memory this process ever had resident, in KiB.

    From VmHWM and not from ru_maxrss, which survives exec: it would never be below the driver's.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
