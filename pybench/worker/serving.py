"""One call of `serve`: what it owes besides echoing, and what it uses from ready to its end.

Several at once are in `loops.py`.
"""

import inspect
import resource
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from socket import socket
from typing import TYPE_CHECKING, Any

from pybench.errors import WorkerError
from pybench.worker.failure import last_line
from pybench.worker.process import peak_rss_kb
from pybench.worker.protocol import Done, Event, Ready, Usage
from pybench.worker.tree import TreeUsage, tree_usage

if TYPE_CHECKING:
    from pybench.backends.tls import TlsContext


def serve_once(
    serve: Callable[..., object],
    listener: socket,
    conns: int,
    msize: int,
    send: Callable[[Event], None],
    *,
    tls: "TlsContext | None" = None,
) -> None:
    """Call serve, and send Ready when it says so, Done when it has returned.

    tls: handed on where there is one.
    Raises WorkerError, whose code says which promise was broken, and whatever serve raises.
    """
    span = Span(send)
    call(with_tls(serve, tls), (listener, conns, msize, span.ready))
    send(Done(span.usage()))


def with_tls(serve: Callable[..., object], tls: "TlsContext | None") -> Callable[..., object]:
    """The callable with its context, where there is one. Raises WorkerError where it takes none."""
    if tls is None:
        return serve
    if not takes_tls(serve):
        raise WorkerError(
            "the backend serves no TLS: its serve takes no `tls` (docs/plugins.md)", code="no_tls"
        )
    return partial(serve, tls=tls)


def call(serve: Callable[..., object], arguments: tuple[Any, ...]) -> None:
    """Call serve, which shall take these arguments and return None.

    Raises WorkerError where it does not, and whatever it raises itself.
    """
    try:
        value = serve(*arguments)
    except TypeError as exc:
        if _is_of_the_call(exc, serve, arguments):
            raise WorkerError(last_line(exc), code="signature") from exc
        raise
    check_returned(value)


def gil_is_on() -> bool:
    """Whether this process runs under a global interpreter lock now. Its build may have none, and a
    module that was imported since may have switched it on."""
    return bool(getattr(sys, "_is_gil_enabled", lambda: True)())


class Span:
    """From `ready` to the end of the call. calls: how many there are, each of which says ready."""

    def __init__(self, send: Callable[[Event], None], calls: int = 1) -> None:
        self._send = send
        self._start: tuple[int, TreeUsage, resource.struct_rusage] | None = None
        self._lock = threading.Lock()  # calls are in threads of their own
        self._ready_calls = [0] * calls

    def ready(self, call: int = 0) -> None:
        """The backend's callback: all connections are accepted. Usage is counted from here.

        call: which of several, from 0; the last that is ready makes all of them so.
        """
        with self._lock:
            self._ready_calls[call] += 1
            self._check_ready_calls()
            if all(self._ready_calls):
                self._begin()

    def _begin(self) -> None:
        tree = tree_usage()
        self._start = (time.monotonic_ns(), tree, resource.getrusage(resource.RUSAGE_SELF))
        self._send(Ready())

    def usage(self) -> Usage:
        """What was used since `ready`, by the processes that the backend started too.

        Raises WorkerError when it was not called, or twice.
        """
        now_ns, usage = time.monotonic_ns(), resource.getrusage(resource.RUSAGE_SELF)
        tree = tree_usage()
        if self._start is None:
            raise WorkerError(
                "the backend returned without having called ready()", code="ready_never"
            )
        self._check_ready_calls()  # an event loop may only have logged what was raised then
        start_ns, tree_before, before = self._start
        return Usage(
            user_s=usage.ru_utime - before.ru_utime + tree.user_s - tree_before.user_s,
            sys_s=usage.ru_stime - before.ru_stime + tree.sys_s - tree_before.sys_s,
            wall_s=(now_ns - start_ns) / 1e9,
            max_rss_kb=peak_rss_kb() + tree.max_rss_kb,
            minor_faults=usage.ru_minflt
            - before.ru_minflt
            + tree.minor_faults
            - tree_before.minor_faults,
            voluntary_switches=usage.ru_nvcsw
            - before.ru_nvcsw
            + tree.voluntary_switches
            - tree_before.voluntary_switches,
            involuntary_switches=usage.ru_nivcsw
            - before.ru_nivcsw
            + tree.involuntary_switches
            - tree_before.involuntary_switches,
            gil=gil_is_on(),
        )

    def _check_ready_calls(self) -> None:
        if max(self._ready_calls) > 1:
            raise WorkerError("the backend called ready() twice", code="ready_twice")


def takes_tls(serve: Callable[..., object]) -> bool:
    """Whether it serves TLS: its parameters say so."""
    try:
        parameters = inspect.signature(serve).parameters
    except (TypeError, ValueError):  # C code that does not say what it takes
        return False
    return "tls" in parameters


def check_returned(value: object) -> None:
    """A backend returns None when all is over. Raises WorkerError for what it mostly is instead."""
    if inspect.iscoroutine(value):
        value.close()
        raise WorkerError(
            "the backend is a coroutine function: it must run its own event loop", code="coroutine"
        )
    if value is not None:
        raise WorkerError(
            f"the backend returned a {type(value).__name__} instead of None", code="returned_value"
        )


def _is_of_the_call(exc: TypeError, serve: Callable[..., object], arguments: Any) -> bool:
    """Whether serve does not take these arguments, and nothing of it has run."""
    if exc.__traceback__ is None or exc.__traceback__.tb_next is not None:
        return False
    try:
        inspect.signature(serve).bind(*arguments)
    except TypeError:
        return True
    except ValueError:  # C code that does not say what it takes
        return False
    return False
