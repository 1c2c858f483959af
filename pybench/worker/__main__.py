"""The worker: a fresh process that runs one backend once. The system under test.

Started by `driver/workerprocess.py` with one argument, SPEC in JSON:
`{"row": {...}, "conns":, "msize":, "transport":, "bind":, "cpu":, "certificate_fd":, "events_fd":,
"lifeline_fd":}`; with several loops also `"loops":`, their number, and `"cpu":` may be a list. It
speaks only through the pipe `events_fd`, in the words of `protocol.py`. Standard output and error
belong to the backend.

Nothing but the backend runs between `ready` and `done`: no timer, no thread, no progress.
"""

import json
import os
import socket
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pybench import backends
from pybench.backends.interpreters import describe_self
from pybench.worker.failure import failed
from pybench.worker.loops import LoopError, serve_in_threads
from pybench.worker.process import (
    PR_SET_CHILD_SUBREAPER,
    cannot_bind,
    die_with_driver,
    pin,
    prctl,
    raise_file_limit,
)
from pybench.worker.protocol import Code, Done, Event, Listening, Writer
from pybench.worker.serving import serve_once, takes_tls
from pybench.worker.tree import end_tree

if TYPE_CHECKING:
    from pybench.backends.tls import TlsContext

is_this_process = False
"""Whether this process is a worker: others may have imported this."""

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


def listen_unix() -> socket.socket:
    """A listening Unix socket with an abstract name that the kernel chooses: no file is left."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("")
    listener.listen(MAX_BACKLOG)
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
        tls = _tls_context(spec["certificate_fd"])
        over_unix = spec["transport"] == "unix"
        loops = range(spec.get("loops", 1))
        listeners = [listen_unix() if over_unix else listen(spec["bind"]) for _ in loops]
        ports = tuple(0 if over_unix else one.getsockname()[1] for one in listeners)
        writer.send(
            Listening(
                ports[0],
                describe_self(row.libraries),
                ports=ports,
                names=tuple(map(_abstract_name, listeners)) if over_unix else (),
                takes_tls=takes_tls(serve),
            )
        )
        step = "raised"
        if len(listeners) == 1:
            serve_once(serve, listeners[0], spec["conns"], spec["msize"], send, tls=tls)
        else:
            serve_in_threads(serve, listeners, spec["conns"], spec["msize"], send, tls=tls)
    except LoopError as exc:
        end_tree()
        event = failed(exc.__cause__ or exc, step)
        writer.send(replace(event, reason=f"{exc.who}: {event.reason}"))
        return 1
    except BaseException as exc:
        end_tree()
        writer.send(failed(exc, step))
        return 1
    return 0


def _tls_context(certificate_fd: int | None) -> "TlsContext | None":
    """The context for the certificate that was inherited, if one was."""
    if certificate_fd is None:
        return None
    from pybench.backends.tls import server_context  # others need not carry ssl

    return server_context(f"/proc/self/fd/{certificate_fd}")


def _abstract_name(listener: socket.socket) -> str:
    """Of a Unix socket, without its leading zero byte."""
    if listener.family != socket.AF_UNIX:
        return ""
    return bytes(listener.getsockname()[1:]).decode("ascii")


def main() -> None:
    """Run, and leave at once: ten thousand objects need not be torn down one by one."""
    global is_this_process
    is_this_process = True
    spec = json.loads(sys.argv[1])
    die_with_driver(spec["lifeline_fd"])
    status = run(spec, Writer(spec["events_fd"]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
