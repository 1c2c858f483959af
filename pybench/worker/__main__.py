"""The worker: a fresh process that runs one backend once. The system under test.

Started by `driver/workerprocess.py` with one argument, SPEC in JSON:
`{"row": {...}, "conns":, "msize":, "bind":, "cpu":, "events_fd":, "lifeline_fd":}`. It speaks only
through the pipe `events_fd`, in the words of `protocol.py`. Standard output and error belong to the
backend.

Nothing but the backend runs between `ready` and `done`: no timer, no thread, no progress.
"""

import json
import os
import socket
import sys
from typing import Any

from pybench import backends
from pybench.backends.interpreters import describe_self
from pybench.worker.failure import failed
from pybench.worker.process import (
    PR_SET_CHILD_SUBREAPER,
    cannot_bind,
    die_with_driver,
    pin,
    prctl,
    raise_file_limit,
)
from pybench.worker.protocol import Code, Done, Event, Listening, Writer
from pybench.worker.serving import serve_once
from pybench.worker.tree import end_tree

MAX_BACKLOG = 65535  # the kernel lowers it to net.core.somaxconn


def listen(address: str) -> socket.socket:
    """A listening socket on a port that the kernel chooses. address: numeric IPv4 or IPv6."""
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    try:
        listener.bind((address, 0))
        listener.listen(MAX_BACKLOG)
    except OSError as exc:
        listener.close()
        raise cannot_bind(address, exc) from exc
    return listener


def run(spec: dict[str, Any], writer: Writer) -> int:
    """Do what the spec says; the backend is imported on the CPU it will run on.

    Returns the exit status. Whatever goes wrong, the driver hears of it.
    """
    step: Code = "setup"

    def send(event: Event) -> None:
        if isinstance(event, Done):
            end_tree()  # before anybody hears of the end, and ends us
        writer.send(event)

    try:
        prctl(PR_SET_CHILD_SUBREAPER, 1)  # what a backend forks is counted, and ended, with it
        pin(spec["cpu"])
        raise_file_limit()
        row = backends.Row(**spec["row"])
        step = "import"
        serve = backends.load(row)
        step = "setup"
        listener = listen(spec["bind"])
        writer.send(Listening(listener.getsockname()[1], describe_self(row.libraries)))
        step = "raised"
        serve_once(serve, listener, spec["conns"], spec["msize"], send)
    except BaseException as exc:
        end_tree()
        writer.send(failed(exc, step))
        return 1
    return 0


def main() -> None:
    """Run, and leave at once: ten thousand objects need not be torn down one by one."""
    spec = json.loads(sys.argv[1])
    die_with_driver(spec["lifeline_fd"])
    status = run(spec, Writer(spec["events_fd"]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
