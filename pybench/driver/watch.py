"""Waits for everything a round can bring, at once and never for ever.

The worker's pipe, the worker's end, the control connection and the user's Ctrl-C are watched
together: whichever speaks first is heard first, so a death in mid-run is noticed at once.
"""

import selectors
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from pybench.driver.interrupts import Interrupts
from pybench.errors import ServerError

WORKER_END_S = 0.5  # how long a dying worker may take to be seen dead after its sockets closed


class DeadlineError(Exception):
    """What was waited for did not come in time."""


class Watched(Protocol):
    """What can be watched; `WorkerProcess` is.

    events_fd: readable when it has said something.  exit_fd: when it has ended.  silent: it will
    say nothing more.
    """

    @property
    def events_fd(self) -> int: ...
    @property
    def exit_fd(self) -> int: ...
    @property
    def silent(self) -> bool: ...
    def receive(self) -> None: ...


class Talking(Protocol):
    """A load server, or several: `ControlConnection` is, and `Servers`.

    fileno: readable when `receive` has something to take.  measurement: None until it is whole.
    """

    def fileno(self) -> int: ...
    def receive(self) -> None: ...
    @property
    def measurement(self) -> object: ...


class Watch:
    """The eyes of one round. A context manager. The load server is watched from `add` on.

    interrupts: None leaves signals to whoever else handles them.
    """

    def __init__(self, worker: Watched, interrupts: Interrupts | None) -> None:
        self._workers: list[Watched] = []
        self._selector = selectors.EpollSelector()
        self.also(worker)
        if interrupts is not None:
            self._selector.register(interrupts, selectors.EVENT_READ, interrupts.check)

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._selector.close()

    def also(self, worker: Watched) -> None:
        """One more worker of the round."""
        self._workers.append(worker)
        for fd, hear in ((worker.exit_fd, self._on_exit), (worker.events_fd, self._on_words)):
            self._selector.register(fd, selectors.EVENT_READ, partial(hear, worker))

    def add(self, control: Talking) -> None:
        """Hear the load server too, from now on."""

        def receive() -> None:
            control.receive()
            if control.measurement is not None:  # nothing follows but its end, for ever readable
                self._selector.unregister(control)

        self._selector.register(control, selectors.EVENT_READ, receive)

    def fileno(self) -> int:
        """For selectors: readable when `receive` has something to take."""
        return self._selector.fileno()

    def receive(self) -> None:
        """Take in what has arrived, without waiting. Raises as `until` does, but for the deadline.

        Whoever waits for several rounds at once watches their watches.
        """
        self._take(0.0)

    def until(self, happened: Callable[[], bool], timeout_s: float) -> None:
        """Receive until happened() is true.

        Raises DeadlineError; WorkerError when the worker failed or ended; ServerError and
        ProtocolError from the control connection; InterruptError on Ctrl-C.
        """
        deadline = time.monotonic() + timeout_s
        while not happened():
            if time.monotonic() > deadline:
                raise DeadlineError
            self._take(max(0.0, deadline - time.monotonic()))

    def _take(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            self._receive(key.data)

    def _receive(self, receive: Callable[[], None]) -> None:
        try:
            receive()
        except ServerError:
            # A server may only be telling what a dying worker did to it: let the worker speak.
            self._await_worker_end()
            raise

    def _await_worker_end(self) -> None:
        with selectors.DefaultSelector() as selector:
            for worker in self._workers:
                selector.register(worker.exit_fd, selectors.EVENT_READ)
            selector.select(WORKER_END_S)
        for worker in self._workers:
            worker.receive()

    def _on_exit(self, worker: Watched) -> None:
        worker.receive()
        self._selector.unregister(worker.exit_fd)

    def _on_words(self, worker: Watched) -> None:
        worker.receive()
        if worker.silent:  # its end follows; until then the pipe would stay readable
            self._selector.unregister(worker.events_fd)
