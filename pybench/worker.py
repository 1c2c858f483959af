"""The worker: a fresh process that runs one backend once. The system under test.

Started by `workerprocess.py` as `python -m pybench.worker SPEC`, SPEC being JSON:
`{"row": {...}, "conns":, "msize":, "bind":, "cpu":, "events_fd":, "parent_pid":}`. It speaks only
through the pipe `events_fd`, one JSON object a line: `listening` with its port, `ready`, then
`done` with its usage or `failed` with a reason. Standard output and error belong to the backend.

Nothing but the backend runs between `ready` and `done`: no timer, no thread, no progress.
"""

import ctypes
import importlib
import inspect
import json
import os
import resource
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pybench import backends
from pybench.backends import loading
from pybench.backends.interpreters import describe_self
from pybench.errors import PybenchError

PR_SET_PDEATHSIG = 1
MAX_BACKLOG = 65535  # the kernel lowers it to net.core.somaxconn


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when the driver ends, however it ends.

    parent_pid: the driver; when it has ended already, so does this process.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent_pid:  # it ended before prctl took effect
        os._exit(1)


def raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def listen(address: str) -> socket.socket:
    """A listening socket on a port that the kernel chooses. address: numeric IPv4 or IPv6."""
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        listener.bind((address, 0))
        listener.listen(MAX_BACKLOG)
    except OSError as exc:
        listener.close()
        raise OSError(exc.errno, f"bind {address}: {os.strerror(exc.errno or 0)}") from exc
    return listener


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
    machinery = (__file__, loading.__file__, importlib.__file__)
    return filename in machinery or filename.startswith("<frozen importlib")


def peak_rss_kb() -> int:
    """The most memory this process ever had resident, in KiB.

    From VmHWM and not from ru_maxrss, which survives exec: it would never be below the driver's.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run(spec: dict[str, Any], events: Events) -> None:
    """Do what the spec says; the backend is imported on the CPU it will run on."""
    if spec["cpu"] is not None:
        os.sched_setaffinity(0, {spec["cpu"]})
    raise_file_limit()
    row = backends.Row(**spec["row"])
    serve: Callable[..., object] = backends.load(row)
    listener = listen(spec["bind"])
    events.send("listening", port=listener.getsockname()[1], python=describe_self(row.extra))
    check_returned(serve(listener, spec["conns"], spec["msize"], events.ready))
    events.done()


def check_returned(value: object) -> None:
    """A backend returns None when all is over. Raises TypeError for the usual misunderstanding."""
    if inspect.iscoroutine(value):
        value.close()
        raise TypeError("the backend is a coroutine function: it must run its own event loop")
    if value is not None:
        raise TypeError(f"the backend returned a {type(value).__name__} instead of None")


def main() -> None:
    """Run, report, and leave at once: ten thousand objects need not be torn down one by one."""
    spec = json.loads(sys.argv[1])
    die_with_parent(spec["parent_pid"])
    events = Events(spec["events_fd"])
    status = 0
    try:
        run(spec, events)
    except BaseException as exc:  # whatever it is, the driver must hear of it
        events.failed(exc)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
