"""The supervisor of a program in any language: it stands where the worker does for a Python row.

Started by `driver/workerprocess.py` as `python -m pybench.worker.supervisor SPEC` with the worker's
SPEC, it speaks the worker's words through the same pipe (`protocol.py`). The program and all that
it starts are the system under test; the supervisor sleeps while pings run.

A program serves for ever and does not know when the load is over. The end of standard input says
so, be it that the driver closed it or that the driver is gone: then the usage is taken and the
whole tree of processes ended.
"""

import ctypes
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pybench.backends.plugins import program_words
from pybench.errors import WorkerError
from pybench.worker.process import PR_SET_PDEATHSIG, raise_file_limit
from pybench.worker.protocol import Events

PR_SET_CHILD_SUBREAPER = 36
ESTABLISHED, LISTENING = "01", "0A"
POLL_FIRST_S, POLL_LAST_S = 0.005, 0.05
TERM_S = 1.0  # how long a program may take to end by itself

# Of /proc/PID/stat: ticks of 10 ms, but of the precise sum: one rounding a figure, not one a tick.
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class EndOfLoadError(Exception):
    """Standard input has ended while something else was waited for."""


@dataclass(frozen=True, slots=True)
class TreeUsage:
    """What the processes of a tree have used. max_rss_kb: the sum of their peaks."""

    user_s: float
    sys_s: float
    max_rss_kb: int


def main() -> None:
    """Run the program through one round."""
    spec = json.loads(sys.argv[1])
    _prctl(PR_SET_CHILD_SUBREAPER, 1)  # what a program leaves behind comes to us, and is ended
    events = Events(spec["events_fd"])
    status = 0
    try:
        _run(spec, events)
    except EndOfLoadError:  # the driver has given up, or is gone
        status = 1
    except WorkerError as exc:
        events.failed(exc)
        status = 1
    finally:
        end_tree()
    os._exit(status)


def _run(spec: dict[str, Any], events: Events) -> None:
    port = _free_port(spec["bind"])
    process = _start(spec, port)
    gone = os.pidfd_open(process.pid)
    _await(gone, process, lambda: _connections(port).listeners > 0)
    events.send("listening", port=port, pid=process.pid)
    _await(gone, process, lambda: _all_accepted(port, spec["conns"]))
    before, start_ns = tree_usage(), time.monotonic_ns()
    events.send("ready")
    _sleep_until_over(gone, process)
    after, wall_s = tree_usage(), (time.monotonic_ns() - start_ns) / 1e9
    events.send(
        "done",
        user_s=after.user_s - before.user_s,
        sys_s=after.sys_s - before.sys_s,
        wall_s=wall_s,
        max_rss_kb=after.max_rss_kb,
    )


def _free_port(address: str) -> int:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        try:
            probe.bind((address, 0))
        except OSError as exc:
            raise WorkerError(f"bind {address}: {exc.strerror}") from exc
        return int(probe.getsockname()[1])


def _start(spec: dict[str, Any], port: int) -> "subprocess.Popen[bytes]":
    """The program, on its CPU, with as many files as it may have, killed if we are."""
    values = {"port": port, "host": spec["bind"], "conns": spec["conns"], "msize": spec["msize"]}
    words = program_words(spec["row"]["command"], values)
    cpu = spec["cpu"]
    us = os.getpid()

    def before_exec() -> None:
        _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != us:
            os._exit(1)
        if cpu is not None:
            os.sched_setaffinity(0, {cpu})
        raise_file_limit()

    try:
        return subprocess.Popen(words, stdin=subprocess.DEVNULL, preexec_fn=before_exec)
    except OSError as exc:
        raise WorkerError(f"{words[0]} cannot be started: {exc.strerror}") from exc


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


# ---- waiting --------------------------------------------------------------------------------


def _load_is_over(timeout_s: float, also: int | None = None) -> bool:
    """Wait for the end of standard input, or for `also`; returns whether it was the former."""
    watched = [0] if also is None else [0, also]
    return 0 in select.select(watched, [], [], timeout_s)[0]


def _await(gone: int, process: "subprocess.Popen[bytes]", happened: Callable[[], bool]) -> None:
    """Look again and again: nobody tells when another process listens or has accepted.

    Ever more slowly: with ten thousand connections the kernel's list is long. How long it may take
    is the driver's to decide; it ends us.
    """
    pause_s = POLL_FIRST_S
    while not happened():
        if _load_is_over(pause_s, gone):
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
        raise WorkerError(f"the program was killed by signal {-code} ({_signal_name(-code)})")
    raise WorkerError(f"the program ended with exit status {code} before the load did")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "real-time"


# ---- sockets --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connections:
    """What the kernel knows of a local port. waiting: connections that nobody has accepted yet."""

    listeners: int = 0
    waiting: int = 0
    established: int = 0


def _connections(port: int) -> Connections:
    """Of both address families: a program may listen on `[::]` for IPv4 as well."""
    listeners = waiting = established = 0
    wanted = f":{port:04X}"
    for name in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", name).read_text().splitlines()[1:]
        except FileNotFoundError:  # no IPv6 here
            continue
        for line in lines:
            _, local, _, state, queues, *_ = line.split(maxsplit=5)
            if not local.endswith(wanted):
                continue
            if state == LISTENING:
                listeners += 1
                waiting += int(queues.partition(":")[2], 16)
            elif state == ESTABLISHED:
                established += 1
    return Connections(listeners, waiting, established)


def _all_accepted(port: int, conns: int) -> bool:
    """A listener's receive queue is its queue of connections to be accepted, see proc_net_tcp.

    Looked at once more when all are there: the list is not of one instant, and begins with the
    listeners.
    """
    return _connections(port).established >= conns and _connections(port).waiting == 0


# ---- processes ------------------------------------------------------------------------------


def descendants() -> Iterator[int]:
    """All processes below this one, parents before their children."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended meanwhile
            continue
        children.setdefault(int(fields[1]), []).append(int(path.parent.name))
    todo = list(children.get(os.getpid(), []))
    while todo:
        pid = todo.pop(0)
        yield pid
        todo += children.get(pid, [])


def tree_usage() -> TreeUsage:
    """CPU time so far of all processes below this one, those that have ended included."""
    ours = resource.getrusage(resource.RUSAGE_CHILDREN)
    user_s, sys_s, peak_kb = ours.ru_utime, ours.ru_stime, 0
    for pid in descendants():
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        user, system, ended_user, ended_system = map(int, fields[11:15])
        user_s += (user + ended_user) / TICKS_PER_S
        sys_s += (system + ended_system) / TICKS_PER_S
        peak = status.partition("VmHWM:")[2].split(maxsplit=1)
        peak_kb += int(peak[0]) if peak else 0
    return TreeUsage(user_s, sys_s, peak_kb)


def end_tree() -> None:
    """End all processes below this one: asked first, then killed. None is left on return."""
    deadline = time.monotonic() + TERM_S
    number = signal.SIGTERM
    signal_all(number)
    while _reap():
        if time.monotonic() > deadline:
            number = signal.SIGKILL
            signal_all(number)  # again each time: what it forks in between must go as well
        time.sleep(0.005)


def signal_all(number: signal.Signals) -> None:
    """Send a signal to all processes below this one."""
    for pid in list(descendants()):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _reap() -> bool:
    """Take in what has ended; returns whether a child is left."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True


if __name__ == "__main__":
    main()
