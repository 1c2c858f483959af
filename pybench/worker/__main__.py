"""The worker: a fresh process that runs one backend once. The system under test.

Started by `driver/workerprocess.py` as `python -m pybench.worker SPEC`, SPEC being JSON:
`{"row": {...}, "conns":, "msize":, "bind":, "cpu":, "events_fd":, "parent_pid":}`. It speaks only
through the pipe `events_fd`, in the words of `protocol.py`. Standard output and error belong to the
backend.

Nothing but the backend runs between `ready` and `done`: no timer, no thread, no progress.
"""

import inspect
import json
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from pybench import backends
from pybench.backends.interpreters import describe_self
from pybench.worker.process import die_with_parent, raise_file_limit
from pybench.worker.protocol import Events

MAX_BACKLOG = 65535  # the kernel lowers it to net.core.somaxconn


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
