"""One worker and its peers, and the steps that scenarios are made of.

The peers are sockets of this process in the load server's place; `scenarios.py` says what they do.
What goes wrong in a step becomes a finding of the check that is being made.
"""

import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from pybench.contract.kernel import Cpu, cpu, held, is_asleep
from pybench.contract.messages import KIB, MIB, check_same, message
from pybench.contract.peers import (
    PeerError,
    StalledError,
    connect,
    exchange,
    push,
    read_to_end,
)
from pybench.contract.plan import Plan
from pybench.contract.printed import printed_error
from pybench.contract.promises import Finding, FoundError, UnlikeError, finding, finding_of
from pybench.contract.tlspeer import client_context, hint_of_tls
from pybench.driver.watch import WORKER_END_S, DeadlineError, Watch
from pybench.errors import WorkerError

JAM_BYTES = 32 * MIB  # more than the kernel's buffers of one connection hold on either side
FITS_BYTES = 2 * MIB  # less than they hold: there is no need to look how far it got before
FILL_MESSAGES = 8  # at a time from there on: less than the kernel takes after the backend is full
LOOKS, LOOK_S = 5, 0.004  # at the kernel's tables, which are long, and between two of them
SETTLE_S = 0.02  # how long a backend must have slept to have done what there was to do
PRINTED_BYTES = 64 * KIB  # how far back a printed traceback is looked for
MAX_BUSY = 0.5  # of the time in which nothing happens
MIN_CPU = 0.1  # below which a process only waited for a CPU that others had
IDLE_TRIES = 3  # a busy loop is busy each time


class Session:
    """One worker and its peers. A context manager; leaving it ends all of them.

    findings: those after which it went on.  takes_tls: whether its callable has a parameter for it.
    """

    def __init__(self, plan: Plan, conns: int, msize: int) -> None:
        self.conns, self.msize = conns, msize
        self.findings: list[Finding] = []
        self.takes_tls = False
        self.is_program = plan.row.command is not None
        self.timeout_s = plan.timeout_s
        self._plan = plan
        self._stack = ExitStack()
        self._peers = ExitStack()
        self._connected = 0
        self._tls = client_context() if plan.transport == "tls" else None

    def __enter__(self) -> "Session":
        with ExitStack() as stack:
            self._worker = stack.enter_context(self._plan.start(self._plan, self.conns, self.msize))
            self._watch = stack.enter_context(Watch(self._worker, None))
            stack.enter_context(self._peers)
            start_s = max(self._plan.start_s, self.timeout_s)
            with self.check("import"):
                self._await(
                    lambda: self._worker.port is not None,
                    f"it did not come to its call within {start_s:g} s",
                    start_s,
                )
            self.takes_tls = self._worker.takes_tls
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    # ---- findings ----

    @contextmanager
    def check(self, name: str, *, go_on: bool = False) -> Iterator[None]:
        """What goes wrong in this block is a finding of that check.

        go_on: the scenario continues after it, unless the backend is gone. Raises FoundError.
        """
        try:
            yield
        except (WorkerError, PeerError, UnlikeError, OSError) as exc:
            error = exc if isinstance(exc, WorkerError) else self._last_words()
            if error is not None:
                was_called = name == "import" and self._worker.port is not None
                raise FoundError(finding_of("call" if was_called else name, error)) from exc
            found = finding(name, self._described(exc), hint=hint_of_tls(exc))
            if not go_on:
                raise FoundError(found) from exc
            self.findings.append(found)

    def _last_words(self) -> WorkerError | None:
        """What the worker says of its end, if what the peers saw was that."""
        try:
            self._watch.until(lambda: self._worker.ended, WORKER_END_S)
            self._worker.receive()
        except DeadlineError:
            return None
        except WorkerError as exc:
            return exc
        return None

    def _described(self, exc: Exception) -> str:
        text = (exc.strerror or str(exc)) if isinstance(exc, OSError) else str(exc)
        if isinstance(exc, StalledError):
            text += f", and nothing more within {self.timeout_s:g} s"
        if self._worker.usage is not None and not isinstance(exc, UnlikeError):
            text += "; serve had returned"
        return text

    # ---- waiting ----

    def _await(
        self, happened: Callable[[], bool], otherwise: str, timeout_s: float | None = None
    ) -> None:
        try:
            self._watch.until(happened, self.timeout_s if timeout_s is None else timeout_s)
        except DeadlineError:
            raise UnlikeError(otherwise) from None

    def _happens(self, happened: Callable[[], bool], within_s: float) -> bool:
        with suppress(DeadlineError):
            self._watch.until(happened, within_s)
        return happened()

    def _pass(self, seconds: float) -> None:
        """Hear what the worker says meanwhile."""
        self._happens(lambda: False, seconds)

    def settle(self) -> None:
        """Until the backend has done what there was to do, and sleeps.

        One that never sleeps has had quiet_s of a CPU by then: on a busy machine that takes longer.
        """
        first = before = cpu(self._worker.pid)
        deadline = time.monotonic() + self.timeout_s
        while time.monotonic() < deadline:
            self._pass(SETTLE_S)
            now = cpu(self._worker.pid)
            if now == before and is_asleep(self._worker.pid):
                return
            if now.since(first).ran_s > self._plan.quiet_s:
                return
            before = now

    # ---- steps: connecting and ending ----

    def connect(self, count: int) -> list[socket.socket]:
        """So many more peers, all at once."""
        assert self._worker.port is not None
        name = self._worker.addr.removeprefix("unix:@")
        is_unix = name != self._worker.addr
        address = f"\0{name}" if is_unix else ("127.0.0.1", self._worker.port)
        socks = connect(address, count, timeout_s=self.timeout_s, tls=self._tls)
        self._connected += count
        return [self._peers.enter_context(sock) for sock in socks]

    def connect_all(self, check: str = "ready") -> list[socket.socket]:
        """All that are still to come, and ready."""
        with self.check(check):
            socks = self.connect(self.conns - self._connected)
        self.await_ready(check)
        return socks

    def not_ready_yet(self) -> None:
        """A program does not call ready() itself."""
        with self.check("call"):
            self.settle()
        with self.check("ready", go_on=True):
            if self._worker.ready and not self.is_program:
                raise UnlikeError(
                    f"ready() was called with {self._connected} of {self.conns} connected"
                )

    def await_ready(self, check: str = "ready") -> None:
        """All are accepted."""
        with self.check(check):
            self._await(
                lambda: self._worker.ready,
                f"no ready() within {self.timeout_s:g} s of the last of {self.conns} connections",
            )

    def still_serving(self) -> None:
        """serve has not returned."""
        if self._happens(lambda: self._worker.usage is not None, 0.0):
            raise UnlikeError("serve returned while peers were connected")

    def ends(self, check: str, *, all_gone: bool = False) -> None:
        """All peers close, or have closed, and serve returns."""
        if not all_gone:
            with self.check("return"):
                self.still_serving()
        with self.check(check):
            self._peers.close()
            self._worker.finish()
            self._await(
                lambda: self._worker.usage is not None,
                f"serve had not returned {self.timeout_s:g} s after the last peer had closed",
            )
            self._check_printed()

    def _check_printed(self) -> None:
        """No thread and no task ended by an exception that only a log has seen."""
        if self.is_program or not self._happens(lambda: self._worker.ended, self.timeout_s):
            return
        error = printed_error(self._worker.printed(PRINTED_BYTES))
        if error is not None:
            raise error

    # ---- steps: talking ----

    def echoes(
        self,
        socks: Sequence[socket.socket],
        *,
        size: int | None = None,
        piece: int = MIB,
        pause_s: float = 0.0,
        half_close: bool = False,
    ) -> None:
        """Each sends its own message, of msize or of size bytes, and gets it back."""
        messages = [message(i, self.msize if size is None else size) for i in range(len(socks))]
        got = exchange(
            socks, messages, piece=piece, pause_s=pause_s, half_close=half_close,
            timeout_s=self.timeout_s,
        )  # fmt: skip
        for number, (sent, back) in enumerate(zip(messages, got, strict=True)):
            check_same(sent, back, number)

    def jam(self, sock: socket.socket) -> int:
        """Send without reading until nothing is taken; how many bytes went out."""
        return self._push(sock, 0, JAM_BYTES)

    def push_one(self, sock: socket.socket) -> int:
        """Send one message without reading, as far as it is taken; how many bytes went out."""
        return self._push(sock, 0, self.msize)

    def drain(self, sock: socket.socket, sent: int, *, pause_s: float = 0.0) -> None:
        """Read what was jammed, sending on to the end of a message meanwhile."""
        total = -(-sent // self.msize) * self.msize
        data = message(0, JAM_BYTES)
        [back] = exchange(
            [sock], [data[sent:total]], expected=total, pause_s=pause_s, timeout_s=self.timeout_s
        )
        check_same(data[:total], back, 0)

    def fill(self, sock: socket.socket) -> int:
        """Send whole messages without reading, until the backend itself holds a part of them.

        Its connection has more to send then than the kernel takes, and nothing to read. A backend
        that reads no more than it can send holds nothing: that one is only jammed.
        """
        sent, step = 0, FITS_BYTES
        while sent < JAM_BYTES:
            now = self._push(sock, sent, step)
            sent += now
            if now < step or self._is_stuck(sock, sent):
                break
            step = FILL_MESSAGES * self.msize
        return sent

    def _push(self, sock: socket.socket, start: int, count: int) -> int:
        """Send so many bytes from there on; fewer when nothing is taken any more.

        That nothing is taken is the backend's doing only if it has something: a busy machine may
        not have delivered yet.
        """
        data = memoryview(message(0, JAM_BYTES))[start : start + count]
        deadline = time.monotonic() + self.timeout_s
        sent = push(sock, data, SETTLE_S)
        while sent < count and time.monotonic() < deadline:
            self.settle()
            more = push(sock, data[sent:], SETTLE_S)
            if not more and held(sock, start + sent).is_at_backend:
                break
            sent += more
        return sent

    def _is_stuck(self, sock: socket.socket, sent: int) -> bool:
        """The backend holds a part of what was sent, or reads no more.

        What the other side has and has not acknowledged yet, for up to 40 ms, is still in the
        peer's queue: that holds up nothing, and the backend may have sent back all of it.
        """
        for _ in range(LOOKS):
            if held(sock, sent).is_nothing:
                return False
            time.sleep(LOOK_S)
        self.settle()  # it may only have been on its way
        return held(sock, sent).is_at_backend

    def comes_to_its_end(self, sock: socket.socket) -> None:
        """Nothing more comes, and the other side closes."""
        more = read_to_end(sock, self.timeout_s)
        if more:
            raise UnlikeError(f"{len(more)} bytes more than were sent came back")

    # ---- steps: nothing happens ----

    def is_quiet(self, socks: Sequence[socket.socket]) -> None:
        """While no peer does anything, nothing is written, nothing closed, and no CPU used."""
        before, start = cpu(self._worker.pid), time.monotonic()
        with self.check("unasked"):
            self._nothing_comes(socks)
        used = cpu(self._worker.pid).since(before)
        if _is_busy(used, time.monotonic() - start) or not is_asleep(self._worker.pid):
            with self.check("idle", go_on=True):
                self.is_idle()

    def _nothing_comes(self, socks: Sequence[socket.socket]) -> None:
        poll = select.poll()
        by_fd = {sock.fileno(): sock for sock in socks}
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        ready = poll.poll(1000 * self._plan.quiet_s)
        if not ready:
            return
        data, closed = _available([by_fd[fd] for fd, _ in ready])
        if data:
            raise UnlikeError(f"{len(ready)} of {len(socks)} connections got bytes: {data[:40]!r}")
        if closed:
            raise UnlikeError(f"{closed} of {len(socks)} connections were closed")

    def is_idle(self) -> None:
        """The worker sleeps.

        One that wants to run and is not let, on a busy machine, is looked at for longer.
        """
        first, start = cpu(self._worker.pid), time.monotonic()
        tries = 0
        while tries < IDLE_TRIES and time.monotonic() - start < self.timeout_s:
            before, at = cpu(self._worker.pid), time.monotonic()
            self._pass(self._plan.quiet_s)
            if _is_busy(cpu(self._worker.pid).since(before), time.monotonic() - at):
                tries += 1
            elif is_asleep(self._worker.pid):
                return
        used, wall_s = cpu(self._worker.pid).since(first), time.monotonic() - start
        share = min(1.0, (used.ran_s + used.waited_s) / wall_s)
        if share >= MAX_BUSY:
            raise UnlikeError(f"it ran, or wanted to run, for {100 * share:.0f}% of the time")


def _is_busy(used: Cpu, wall_s: float) -> bool:
    return used.ran_s >= MIN_CPU * wall_s and used.ran_s + used.waited_s >= MAX_BUSY * wall_s


def _available(socks: Sequence[socket.socket]) -> tuple[bytes, int]:
    """What there is to read now, and is then out of the way; and how many have ended.

    TLS also carries what is for nobody to read.
    """
    found, closed = b"", 0
    for sock in socks:
        try:
            while data := sock.recv(64 * KIB):
                found += data
            closed += 1
        except BlockingIOError:
            continue
        except OSError:
            closed += 1
    return found, closed
