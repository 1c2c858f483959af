"""The contract of a backend as checks: what `testing.check_backend` runs. Read `SCENARIOS` first.

A scenario is one worker, started for it, with peers of this process in the load server's place. A
hang, a crash or an exit of the backend is so a finding, and never the end of the caller.
"""

import os
import random
import re
import select
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pybench.backends import Row
from pybench.contract.peers import (
    PeerError,
    StalledError,
    connect,
    exchange,
    push,
    read_to_end,
    reset,
)
from pybench.driver.watch import WORKER_END_S, DeadlineError, Watch
from pybench.driver.workerprocess import WorkerProcess
from pybench.errors import WorkerError
from pybench.spec import Cell, EnvSet

KIB, MIB = 1 << 10, 1 << 20
START_S = 60.0  # how long the import may take at least, on a machine that does other things
QUIET_S = 0.3  # how long nothing may happen for it to count as nothing
JAM_BYTES = 32 * MIB  # more than the kernel's buffers of one connection hold on either side
FITS_BYTES = 2 * MIB  # less than they hold: there is no need to look how far it got before
LOOK_S = 0.004  # between two looks at the kernel's tables, which are long
SETTLE_S = 0.02  # between reading and sending in a backend that has the CPU
PRINTED_BYTES = 64 * KIB  # how far back a printed traceback is looked for
TRACEBACK = "Traceback (most recent call last):"
_NAMES_EXCEPTION = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt)\b")
MAX_BUSY = 0.5  # of the time in which nothing happens
MIN_CPU = 0.1  # below which a process only waited for a CPU that others had
IDLE_TRIES = 3  # a busy loop is busy each time


@dataclass(frozen=True, slots=True)
class Check:
    """One promise of the contract. expected: what it says.  hint: the remedy."""

    expected: str
    hint: str


CHECKS = {
    "import": Check(
        "the module is imported and has the callable",
        "import it by hand in the same folder; optional libraries must be installed",
    ),
    "call": Check(
        "serve(listener, conns, msize, ready) runs to its end and returns None",
        "write `def serve(listener, conns, msize, ready):`, a plain function that runs its own "
        "event loop (asyncio.run, trio.run) and returns nothing",
    ),
    "ready": Check(
        "ready() is called once, when the last of `conns` connections is accepted, not before",
        "accept in a loop until there are `conns` connections, then call ready()",
    ),
    "echo": Check(
        "every connection gets its own bytes back, and is not closed",
        "send back to each connection what it sent, all of it, until recv returns b''",
    ),
    "unasked": Check(
        "nothing is written, and nothing closed, that the peer did not cause",
        "send only what has been received: no greeting, no separator, no keep-alive",
    ),
    "idle": Check(
        "no CPU time is used while nothing happens",
        "wait in the selector or event loop without a timeout of 0, and ask for writability only "
        "while there is something to write",
    ),
    "return": Check(
        "serve returns when the last peer has closed its connection, and not before",
        "count connections as they end (recv returned b'' or ConnectionError), and return when "
        "`conns` of them have",
    ),
    "fragments": Check(
        "a message that comes in pieces, of 1 byte or of 7, comes back whole and in order",
        "recv may return any part of a message: send it back, or keep it until the rest is there",
    ),
    "segments": Check(
        "several messages that come at once all come back",
        "one recv may return many messages: send back all that it returned",
    ),
    "large": Check(
        "messages of 1 MiB come back, also to a peer that reads slowly, and only after writing",
        "do not limit what a message may have; send may take a part only, and recv return one",
    ),
    "slow-reader": Check(
        "a peer that reads late still gets every byte, in order",
        "send() may take a part of the data only: keep the rest and send it when the socket is "
        "writable again; on a socket that does not block sendall() is no help",
    ),
    "stall": Check(
        "a peer that does not read delays nobody but itself",
        "never block on one connection: sockets that do not block, a task or a thread for each",
    ),
    "half-close": Check(
        "a peer that has ended its sending side gets all it sent, then the end",
        "on b'' from recv first send what is left, then close; an asyncio streams handler closes "
        "its writer, a Protocol returns None from eof_received",
    ),
    "reset": Check(
        "a peer that resets its connection has closed it, and the others are served on",
        "catch ConnectionError where you recv and send, and close that connection only",
    ),
    "early-close": Check(
        "a peer that closes before ready() counts as accepted",
        "count the connections that were accepted, not those that are open",
    ),
}
"""Every check by its name, in the order in which they are made."""

NOT_OF_PROGRAMS = ("call", "early-close")
"""What cannot be asked of a program in any language: it does not tell what it accepts or ends."""

_CHECK_OF_REASON = (
    ("called ready() twice", "ready"),
    ("without having called ready()", "ready"),
    ("is a coroutine function", "call"),
    ("instead of None", "call"),
    ("ConnectionResetError", "reset"),
    ("BrokenPipeError", "reset"),
)
_HINT_OF_REASON = (
    (
        "BlockingIOError",
        "the socket was not ready: keep what is left to send, and wait until it is writable",
    ),
    ("LimitOverrunError", "give the stream a `limit` above msize, or read without a separator"),
)


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong. check: its name.  seen: what happened instead.  details: own traceback."""

    check: str
    expected: str
    seen: str
    hint: str
    details: str = ""


class FoundError(Exception):
    """A finding after which its scenario cannot go on."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.seen)
        self.finding = finding


class _UnlikeError(Exception):
    """Something that the contract does not allow was seen; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is checked. conns: of the scenario with many.  env: the worker's variables.

    timeout_s: how long any one thing may take before it counts as hung.
    """

    row: Row
    conns: int
    timeout_s: float
    env: EnvSet


class Session:
    """One worker and its peers. A context manager; leaving it ends all of them.

    findings: those after which it went on.
    """

    def __init__(self, plan: Plan, conns: int, msize: int) -> None:
        self.conns, self.msize = conns, msize
        self.findings: list[Finding] = []
        self.is_program = plan.row.command is not None
        self.timeout_s = plan.timeout_s
        self._plan = plan
        self._stack = ExitStack()
        self._peers = ExitStack()
        self._connected = 0

    def __enter__(self) -> "Session":
        plan = self._plan
        cell = Cell(
            row=plan.row, conns=self.conns, msize=self.msize, runtime_ns=0,
            warmup_ns=0, env=plan.env,
        )  # fmt: skip
        with ExitStack() as stack:
            self._worker = WorkerProcess(plan.row, cell, bind="127.0.0.1", cpu=None)
            stack.enter_context(self._worker)
            self._watch = stack.enter_context(Watch(self._worker, None))
            stack.enter_context(self._peers)
            with self.check("import"):
                self._await(
                    lambda: self._worker.port is not None,
                    f"it did not come to its call within {max(START_S, self.timeout_s):g} s",
                    max(START_S, self.timeout_s),
                )
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
        except (WorkerError, PeerError, _UnlikeError, OSError) as exc:
            error = exc if isinstance(exc, WorkerError) else self._last_words()
            if error is not None:
                was_called = name == "import" and self._worker.port is not None
                raise FoundError(_of_worker("call" if was_called else name, error)) from exc
            finding = _finding(name, self._described(exc))
            if not go_on:
                raise FoundError(finding) from exc
            self.findings.append(finding)

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
        if self._worker.usage is not None and not isinstance(exc, _UnlikeError):
            text += "; serve had returned"
        return text

    def _await(
        self, happened: Callable[[], bool], otherwise: str, timeout_s: float | None = None
    ) -> None:
        try:
            self._watch.until(happened, self.timeout_s if timeout_s is None else timeout_s)
        except DeadlineError:
            raise _UnlikeError(otherwise) from None

    def _happens(self, happened: Callable[[], bool], within_s: float) -> bool:
        with suppress(DeadlineError):
            self._watch.until(happened, within_s)
        return happened()

    # ---- steps of scenarios ----

    def connect(self, count: int) -> list[socket.socket]:
        """So many more peers, all at once."""
        assert self._worker.port is not None
        address = ("127.0.0.1", self._worker.port)
        socks = connect(address, count, timeout_s=self.timeout_s)
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
            early = self._happens(lambda: self._worker.ready, QUIET_S)
        with self.check("ready", go_on=True):
            if early and not self.is_program:
                raise _UnlikeError(
                    f"ready() was called with {self._connected} of {self.conns} connected"
                )

    def await_ready(self, check: str = "ready") -> None:
        with self.check(check):
            self._await(
                lambda: self._worker.ready,
                f"no ready() within {self.timeout_s:g} s of the last of {self.conns} connections",
            )

    def still_serving(self, for_s: float = 0.0) -> None:
        """serve has not returned, and does not so soon."""
        if self._happens(lambda: self._worker.usage is not None, for_s):
            raise _UnlikeError("serve returned while peers were connected")

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
        messages = [_data(i, self.msize if size is None else size) for i in range(len(socks))]
        got = exchange(
            socks, messages, piece=piece, pause_s=pause_s, half_close=half_close,
            timeout_s=self.timeout_s,
        )  # fmt: skip
        for number, (message, back) in enumerate(zip(messages, got, strict=True)):
            _same(message, back, number)

    def jam(self, sock: socket.socket) -> int:
        """Send without reading until nothing is taken; how many bytes went out."""
        return push(sock, _data(0, JAM_BYTES), QUIET_S)

    def drain(self, sock: socket.socket, sent: int) -> None:
        """Read what was jammed, sending on to the end of a message meanwhile."""
        total = -(-sent // self.msize) * self.msize
        data = _data(0, JAM_BYTES)
        [back] = exchange([sock], [data[sent:total]], expected=total, timeout_s=self.timeout_s)
        _same(data[:total], back, 0)

    def fill(self, sock: socket.socket) -> int:
        """Send whole messages without reading, until the backend itself holds a part of them.

        Its connection has more to send then than the kernel takes, and nothing to read. A backend
        that reads no more than it can send holds nothing: that one is only jammed.
        """
        data = _data(0, JAM_BYTES)
        sent, step = 0, FITS_BYTES
        while sent < JAM_BYTES:
            now = push(sock, data[sent : sent + step], QUIET_S)
            sent += now
            if now < step or self._is_stuck(sock, sent):
                break
            step = self.msize
        return sent

    def _is_stuck(self, sock: socket.socket, sent: int) -> bool:
        """The backend holds a part of what was sent, or reads no more."""
        deadline = time.monotonic() + QUIET_S
        while not (unread := _held(sock, sent)).is_read:
            if time.monotonic() > deadline:
                return True
            time.sleep(LOOK_S)
        if unread.by_backend <= 0:
            return False
        time.sleep(SETTLE_S)  # it may only have been on its way
        return _held(sock, sent).by_backend > 0

    def nothing_comes(self, socks: Sequence[socket.socket], seconds: float) -> None:
        """Nothing is written and nothing is closed while no peer does anything."""
        deadline = time.monotonic() + seconds
        poll = select.poll()
        by_fd = {sock.fileno(): sock for sock in socks}
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        ready = poll.poll(1000 * max(0.0, deadline - time.monotonic()))
        if not ready:
            return
        data = _available([by_fd[fd] for fd, _ in ready])
        if not data:
            raise _UnlikeError(f"{len(ready)} of {len(socks)} connections were closed")
        raise _UnlikeError(f"{len(ready)} of {len(socks)} connections got bytes: {data[:40]!r}")

    def is_idle(self) -> None:
        """The worker sleeps."""
        for _ in range(IDLE_TRIES):
            before, start = _cpu(self._worker.pid), time.monotonic()
            self._happens(lambda: False, QUIET_S)
            ran, waited = _cpu(self._worker.pid).since(before)
            wall = time.monotonic() - start
            if ran < MIN_CPU * wall or ran + waited < MAX_BUSY * wall:
                return
        raise _UnlikeError(
            f"it ran, or wanted to run, for {100 * min(1.0, (ran + waited) / wall):.0f}% of the"
            " time"
        )

    def ends(self, check: str, *, all_gone: bool = False) -> None:
        """All peers close, or have closed, and serve returns."""
        with self.check(check):
            if not all_gone:
                self.still_serving()
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
        _, found, last = self._worker.printed(PRINTED_BYTES).rpartition(TRACEBACK)
        if found:  # the last one: those of threads that die together are mixed up before it
            lines = last.rstrip().splitlines()
            reason = next((line for line in lines if _NAMES_EXCEPTION.match(line)), lines[-1])
            details = "\n".join([TRACEBACK, *lines[1:]])
            raise WorkerError(f"a traceback was printed, {reason}", details=details)


def _finding(check: str, seen: str, *, hint: str = "", details: str = "") -> Finding:
    return Finding(check, CHECKS[check].expected, seen, hint or CHECKS[check].hint, details)


def _of_worker(check: str, error: WorkerError) -> Finding:
    """The finding in a worker's end, which may belong to another check than was being made."""
    reason, details = str(error), error.details
    if check == "import":
        return _finding(check, reason, details=details)
    if not details and reason.startswith("TypeError") and "argument" in reason:
        return _finding("call", reason)
    for text, other in _CHECK_OF_REASON:
        if text in reason:
            return _finding(other, reason, details=details)
    hints = [hint for text, hint in _HINT_OF_REASON if text in reason]
    if details and not hints:
        hints = ["look where it is raised, in the traceback"]
    return _finding(check, reason, hint=hints[0] if hints else "", details=details)


# ---- data and processes ----


@cache
def _pattern(seed: int) -> bytes:
    """Random bytes whose length is no power of two, so that a lost block shows."""
    return random.Random(seed).randbytes(MIB + 7)


def _data(seed: int, size: int) -> bytes:
    """A different message for each connection, so that mixed-up ones show."""
    if size <= 64 * KIB:
        return random.Random(seed).randbytes(size)
    return (_pattern(seed) * (size // MIB + 1))[:size]


def _same(sent: bytes, back: bytes, number: int) -> None:
    if sent == back:
        return
    if back.startswith(sent):
        raise _UnlikeError(f"{len(back) - len(sent)} bytes more than were sent came back")
    at = next(i for i, (a, b) in enumerate(zip(sent, back, strict=False)) if a != b)
    raise _UnlikeError(
        f"connection {number} of those that sent got other bytes, from byte {at} of {len(sent)} "
        f"on: {back[at : at + 8]!r} instead of {sent[at : at + 8]!r}"
    )


def _available(socks: Sequence[socket.socket]) -> bytes:
    """What there is to read now, and is then out of the way."""
    found = b""
    for sock in socks:
        with suppress(OSError):
            while data := sock.recv(64 * KIB):
                found += data
    return found


@dataclass(frozen=True, slots=True)
class _Cpu:
    """What the threads of a process have run, and waited for a CPU to run on, in seconds."""

    ran_s: float
    waited_s: float

    def since(self, before: "_Cpu") -> tuple[float, float]:
        return self.ran_s - before.ran_s, self.waited_s - before.waited_s


def _cpu(pid: int) -> _Cpu:
    """Source: /proc/PID/task/TID/schedstat, sched-stats in the kernel's documentation.

    A kernel without it gives the times of proc_pid_stat(5), which know of no waiting.
    """
    ran_ns = waited_ns = 0
    try:
        for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            with suppress(OSError):  # a thread that has ended
                ran, waited, _ = map(int, path.read_text().split())
                ran_ns, waited_ns = ran_ns + ran, waited_ns + waited
        if ran_ns:
            return _Cpu(ran_ns / 1e9, waited_ns / 1e9)
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return _Cpu((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), 0.0)
    except OSError:
        return _Cpu(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class _Held:
    """is_read: the backend has read all.  by_backend: bytes that are in no queue of the kernel."""

    is_read: bool
    by_backend: int


def _held(sock: socket.socket, sent: int) -> _Held:
    """Where the bytes are that a peer has sent. Source: proc_net_tcp, tx_queue and rx_queue."""
    here, there = (f":{address[1]:04X}" for address in (sock.getsockname(), sock.getpeername()))
    queued = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split(maxsplit=5)
        ends = (local[-5:], remote[-5:])
        if ends in ((here, there), (there, here)):
            queued[ends] = [int(queue, 16) for queue in queues.split(":")]
    to_send, to_read = queued.get((here, there), [0, 0])
    its_to_send, its_to_read = queued.get((there, here), [0, 0])
    is_read = to_send == its_to_read == 0
    return _Held(is_read, sent - its_to_send - to_read if is_read else 0)


# ---- scenarios ----


def _basics(session: Session) -> None:
    """A backend that fails here cannot be asked for more."""
    session.not_ready_yet()
    with session.check("ready"):
        socks = session.connect(session.conns - 1)
    if socks:
        session.not_ready_yet()
    socks += session.connect_all()
    with session.check("unasked"):
        session.nothing_comes(socks, QUIET_S)
    with session.check("echo"):
        for _ in range(3):
            session.echoes(socks)
    with session.check("unasked"):
        session.nothing_comes(socks, QUIET_S)
    with session.check("idle", go_on=True):
        session.is_idle()
    session.ends("return")


def _returns_with_the_last(session: Session) -> None:
    *first, last = session.connect_all()
    for sock in first:
        sock.close()
    with session.check("return"):
        session.still_serving(QUIET_S)
        session.echoes([last])
    session.ends("return")


def _fragments(session: Session) -> None:
    socks = session.connect_all()
    with session.check("fragments"):
        session.echoes(socks, piece=1, pause_s=0.001)
        session.echoes(socks, size=10 * session.msize, piece=7, pause_s=0.001)
    session.ends("fragments")


def _segments(session: Session) -> None:
    socks = session.connect_all()
    with session.check("segments"):
        session.echoes(socks, size=20 * session.msize)
    session.ends("segments")


def _large(session: Session) -> None:
    socks = session.connect_all()
    with session.check("large"):
        session.echoes(socks)
        sent = push(socks[0], _data(0, session.msize), QUIET_S)
        [back] = exchange(
            socks, [_data(0, session.msize)[sent:]], expected=session.msize, pause_s=0.002,
            timeout_s=session.timeout_s,
        )  # fmt: skip
        _same(_data(0, session.msize), back, 0)
    session.ends("large")


def _slow_reader(session: Session) -> None:
    slow, *others = session.connect_all()
    with session.check("slow-reader"):
        sent = session.jam(slow)
    with session.check("idle", go_on=True):
        session.is_idle()
    with session.check("stall", go_on=True):
        session.echoes(others)
    with session.check("slow-reader"):
        session.drain(slow, sent)
    session.ends("slow-reader")


def _half_close(session: Session) -> None:
    brief, other, long = session.connect_all()
    with session.check("half-close"):
        session.echoes([brief], half_close=True)
        _ended(session, brief)
        session.echoes([other])
        _half_closes_with_much_to_come(session, long)
    session.ends("half-close")


def _half_closes_with_much_to_come(session: Session, sock: socket.socket) -> None:
    sent = session.fill(sock)
    if sent % session.msize == 0:
        sock.shutdown(socket.SHUT_WR)
        time.sleep(QUIET_S)  # it can see the end now, and cannot send
    session.drain(sock, sent)
    if sent % session.msize:
        sock.shutdown(socket.SHUT_WR)
    _ended(session, sock)


def _ended(session: Session, sock: socket.socket) -> None:
    more = read_to_end(sock, session.timeout_s)
    if more:
        raise _UnlikeError(f"{len(more)} bytes more than were sent came back")


def _resets(session: Session) -> None:
    """Idle, with an echo on the way, and jammed."""
    idle, busy, jammed, *others = session.connect_all()
    with session.check("reset"):
        busy.send(_data(0, session.msize))
        session.jam(jammed)
        for sock in (idle, busy, jammed):
            reset(sock)
        session.echoes(others)
    session.ends("reset")


def _closes_early(session: Session) -> None:
    with session.check("early-close"):
        session.connect(1)[0].close()
        reset(session.connect(1)[0])
    socks = session.connect_all("early-close")
    with session.check("early-close"):
        session.echoes(socks)
    session.ends("early-close")


def _all_leave_at_once(session: Session) -> None:
    with session.check("early-close"):
        for sock in session.connect(session.conns):
            sock.close()
    session.await_ready("early-close")
    session.ends("early-close", all_gone=True)


@dataclass(frozen=True, slots=True)
class Scenario:
    """conns: None for as many as the caller wants.  needed: without it the others make no sense.

    programs: whether it can be asked of a program in any language.
    """

    body: Callable[[Session], None]
    conns: int | None
    msize: int = 64
    needed: bool = False
    programs: bool = True


SCENARIOS = (
    Scenario(_basics, 1, needed=True),
    Scenario(_basics, None, needed=True),
    Scenario(_returns_with_the_last, 5),
    Scenario(_fragments, 3),
    Scenario(_segments, 2),
    Scenario(_large, 1, msize=MIB),
    Scenario(_slow_reader, 3, msize=64 * KIB),
    Scenario(_half_close, 3, msize=64 * KIB),
    Scenario(_resets, 5),
    Scenario(_closes_early, 4, programs=False),
    Scenario(_all_leave_at_once, 3, programs=False),
)


@dataclass(frozen=True, slots=True)
class Report:
    """findings: at most one of each check.  checks: their names, as far as they apply.

    complete: whether all of them were made.
    """

    findings: tuple[Finding, ...]
    checks: tuple[str, ...]
    complete: bool


def examine(plan: Plan) -> Report:
    """Run every scenario, or stop after one that the others need."""
    is_program = plan.row.command is not None
    checks = tuple(name for name in CHECKS if not (is_program and name in NOT_OF_PROGRAMS))
    found: dict[str, Finding] = {}
    complete = True
    for scenario in SCENARIOS:
        if is_program and not scenario.programs:
            continue
        findings, ended_early = _play(scenario, plan)
        for finding in findings:
            found.setdefault(finding.check, finding)
        if ended_early and scenario.needed:
            complete = False
            break
    return Report(tuple(found[name] for name in CHECKS if name in found), checks, complete)


def _play(scenario: Scenario, plan: Plan) -> tuple[list[Finding], bool]:
    """The findings of a scenario, and whether one of them ended it."""
    conns = plan.conns if scenario.conns is None else scenario.conns
    session = Session(plan, conns, scenario.msize)
    try:
        with session:
            scenario.body(session)
    except FoundError as exc:
        return [*session.findings, exc.finding], True
    return session.findings, False
