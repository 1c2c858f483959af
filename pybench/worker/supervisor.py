"""The supervisor of a program in any language: it stands where the worker does for a Python row.

Started by `driver/workerprocess.py` with the worker's SPEC as its argument, it speaks the worker's
words through the same pipe (`protocol.py`). The program and all that it starts are the system under
test; the supervisor sleeps while pings run.

A program serves for ever and does not know when the load is over. The end of standard input says
so, be it that the driver closed it or that the driver is gone: then the usage is taken and the
whole tree of processes ended.
"""

import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pybench.backends.plugins import program_words
from pybench.errors import WorkerError
from pybench.worker.failure import failed
from pybench.worker.process import (
    PR_SET_CHILD_SUBREAPER,
    cannot_bind,
    die_with_parent,
    pin,
    prctl,
    raise_file_limit,
    signal_name,
)
from pybench.worker.protocol import Done, Listening, Ready, Usage, Writer
from pybench.worker.tcptable import all_accepted, is_listening
from pybench.worker.tree import TERM_S, end_tree, has_children, tree_usage

POLL_FIRST_S, POLL_LAST_S = 0.005, 0.05
POLL_SHARE = 0.2  # of the CPU: a look through a long list is followed by a longer pause


class EndOfLoadError(Exception):
    """Standard input has ended while something else was waited for."""


def main() -> None:
    """Run the program through one round."""
    spec = json.loads(sys.argv[1])
    writer = Writer(spec["events_fd"])
    status = 1
    try:
        prctl(PR_SET_CHILD_SUBREAPER, 1)  # what a program leaves behind comes to us, and is ended
        _run(spec, writer)
        status = 0
    except EndOfLoadError:  # the driver has given up, or is gone
        pass
    except Exception as exc:
        writer.send(failed(exc, "setup"))
    finally:
        end_tree()
    os._exit(status)


def _run(spec: dict[str, Any], writer: Writer) -> None:
    port = _free_port(spec["bind"])
    process = _start(spec, port)
    gone = os.pidfd_open(process.pid)
    _await(gone, process, lambda: is_listening(port))
    writer.send(Listening(port, pid=process.pid))
    _await(gone, process, lambda: all_accepted(port, spec["conns"]))
    before, start_ns = tree_usage(), time.monotonic_ns()
    writer.send(Ready())
    _sleep_until_over(gone, process)
    after, wall_s = tree_usage(), (time.monotonic_ns() - start_ns) / 1e9
    writer.send(
        Done(
            Usage(
                user_s=after.user_s - before.user_s,
                sys_s=after.sys_s - before.sys_s,
                wall_s=wall_s,
                max_rss_kb=after.max_rss_kb,
                minor_faults=after.minor_faults - before.minor_faults,
                voluntary_switches=after.voluntary_switches - before.voluntary_switches,
                involuntary_switches=after.involuntary_switches - before.involuntary_switches,
            )
        )
    )


def _free_port(address: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        try:
            probe.bind((address, 0))
        except OSError as exc:
            raise cannot_bind(address, exc) from exc
        return int(probe.getsockname()[1])


def _start(spec: dict[str, Any], port: int) -> "subprocess.Popen[bytes]":
    """The program, on its CPU, with as many files as it may have, killed if we are."""
    values = {"port": port, "host": spec["bind"], "conns": spec["conns"], "msize": spec["msize"]}
    words = program_words(spec["row"]["command"], values)
    raise_file_limit()
    with _pinned(spec["cpu"]):
        try:
            return subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                preexec_fn=partial(die_with_parent, os.getpid()),
            )
        except OSError as exc:
            raise WorkerError(
                f"{words[0]} cannot be started: {exc.strerror}", code="start"
            ) from exc


@contextlib.contextmanager
def _pinned(cpu: int | None) -> Iterator[None]:
    """What is started meanwhile runs on that CPU; we ourselves do not, afterwards."""
    before = os.sched_getaffinity(0)
    pin(cpu)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# ---- waiting --------------------------------------------------------------------------------


def _load_is_over(timeout_s: float, also: int | None = None) -> bool:
    """Wait for the end of standard input, or for `also`; returns whether it was the former."""
    watched = [0] if also is None else [0, also]
    return 0 in select.select(watched, [], [], timeout_s)[0]


def _await(gone: int, process: "subprocess.Popen[bytes]", happened: Callable[[], bool]) -> None:
    """Look again and again: nobody tells when another process listens or has accepted.

    Ever more slowly, and never for more than a share of the CPU: with ten thousand connections the
    kernel's list is long, and whoever listens wants that CPU. How long it may take
    is the driver's to decide; it ends us.
    """
    pause_s, used_s = POLL_FIRST_S, time.process_time()
    while not happened():
        looked_s, used_s = time.process_time() - used_s, time.process_time()
        if _load_is_over(max(pause_s, looked_s / POLL_SHARE), gone):
            raise EndOfLoadError
        _check_alive(process)
        pause_s = min(POLL_LAST_S, 1.3 * pause_s)


def _sleep_until_over(gone: int, process: "subprocess.Popen[bytes]") -> None:
    """Until the load is over. A program may end by itself then, and not before.

    Raises WorkerError when it ended too early, or not well: then its connections ended with it.
    """
    ready, _, _ = select.select([0, gone], [], [])
    # Its connections may have ended just before it did, and the driver is about to say so.
    too_early = 0 not in ready and not _load_is_over(TERM_S)
    if too_early or process.poll():
        _check_alive(process)


def _check_alive(process: "subprocess.Popen[bytes]") -> None:
    code = process.poll()
    if code is None:
        return
    if code < 0:
        raise WorkerError(f"the program was killed by {signal_name(-code)}", code="killed")
    left = " and left processes behind" if has_children() else ""
    hint = ": it must stay in the foreground, not become a daemon" if code == 0 else ""
    raise WorkerError(
        f"the program ended with exit status {code}{left} before the load did{hint}", code="exited"
    )


if __name__ == "__main__":
    main()
