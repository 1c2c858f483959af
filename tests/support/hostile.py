"""Sessions with a load server in which whoever is on the wire misbehaves, drawn from a seed.

A `Plan` says what will happen: how the request is cut into segments, at which step the control
client leaves and how, and what each data connection does beside echoing. `play` makes it happen
and holds what the server says against `server/control.h`. The same plan is tried again with the
same seed; what the scheduler makes of it is not in our hands.
"""

import contextlib
import random
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from tests.support.processes import wait_for
from tests.support.wire import TIMEOUT_S, Answer, Peer, ServerProcess

Step = Literal[
    "accepted",  # nothing has been sent
    "request",  # a part of the request has
    "connecting",  # the request is whole
    "connected",
    "command",  # a part of `ready` has been sent
    "warm-up",  # `ready` has
    "window",  # echoes have come back
    "result",  # a part of the result has been read
    "end",  # all of it: nobody leaves
]
Cut = Literal["close", "half", "reset"]
Deed = Literal["echo", "split", "close", "reset", "corrupt", "extra", "short", "swallow"]

STEPS: tuple[Step, ...] = get_args(Step)
CUTS: tuple[Cut, ...] = get_args(Cut)
ENDING: tuple[Deed, ...] = ("close", "reset", "corrupt", "extra", "short")
"""What ends a connection: `short` echoes a part of a message and closes."""

DRAIN_S = 2.0
"""How long the server waits for what is out when the window has ended."""

CAUSES = ("reset", "closed", "corrupt", "error")
CODES = {
    "bad_request", "unsupported", "forbidden", "busy", "refused", "timeout", "unreachable",
    "no_ports", "no_files", "stopped", "internal",
}  # fmt: skip
_ERROR = re.compile(r'error code=(\w+) (?:\w+=(?:"(?:[^"\\]|\\["\\])*"|[^\s"]*) )*msg="[ -~]+"')
_LINGER_NOT = b"\1\0\0\0\0\0\0\0"  # struct linger: close sends RST


@dataclass(frozen=True, slots=True)
class Fault:
    """What a connection does with its nth message, from 0; before that it echoes."""

    deed: Deed
    at_message: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One session. seed: of what is drawn while it is played. faults: one for each connection."""

    seed: str
    version: int
    conns: int
    msize: int
    threads: int
    stop: bool
    step: Step
    cut: Cut
    faults: tuple[Fault, ...]


def make_plan(seed: str, *, step: Step | None = None, patient: bool = False) -> Plan:
    """What the seed says. step: where the client leaves, when that is not to be drawn.

    patient: also what costs seconds: version 1 to its end, echoes that are awaited in vain.
    """
    rng = random.Random(seed)
    step = step or rng.choice(STEPS)
    late = step in ("result", "end")
    deeds: Sequence[Deed] = (*ENDING, "swallow") if patient or not late else ENDING
    conns = rng.choice((1, 2, 3, 7, 20))
    first_version = step not in ("connected", "command") and (patient or not late)
    return Plan(
        seed=seed,
        version=1 if first_version and rng.random() < 0.2 else 2,
        conns=conns,
        msize=rng.choice((1, 2, 17, 64, 1000, 70_000)),
        threads=rng.choice((1, 1, 2, 3)),
        stop=rng.random() < 0.3,
        step=step,
        cut=rng.choice(CUTS),
        faults=tuple(
            Fault(rng.choice(deeds) if rng.random() < 0.4 else rng.choice(("echo", "split")),
                  rng.choice((0, 0, 1, 5)))
            for _ in range(conns)
        ),
    )  # fmt: skip


class HostilePeer(Peer):
    """A client under test whose connections do as the plan says.

    done: how many connections have ended by each deed.  echoed: messages that went back.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.done: Counter[str] = Counter()
        self.echoed = 0
        self.heard = threading.Condition()
        self._rng = random.Random(f"{plan.seed}/peer")
        self._faults: dict[socket.socket, Fault] = {}
        self._held: dict[socket.socket, bytes] = {}
        self._count: Counter[socket.socket] = Counter()
        super().__init__(HostilePeer._treat, on_accept=HostilePeer._assign)

    def await_echoes(self, count: int) -> bool:
        """Whether that many messages have gone back; not when no connection can any more."""
        with self.heard:
            self.heard.wait_for(lambda: self.echoed >= count or self._is_mute(), TIMEOUT_S)
            return self.echoed >= count

    def _is_mute(self) -> bool:
        ended = sum(self.done.values())
        return ended >= self.plan.conns or self.closed >= self.plan.conns

    def drop(self, connection: socket.socket, *, reset: bool = False) -> None:
        super().drop(connection, reset=reset)
        with self.heard:
            self.heard.notify_all()

    def _assign(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._faults[connection] = self.plan.faults[(self.accepted - 1) % self.plan.conns]

    def _treat(self, connection: socket.socket, data: bytes) -> None:
        """Whole messages are what deeds are done to: what has come of one is kept until then."""
        held = self._held.get(connection, b"") + data
        while len(held) >= self.plan.msize and connection.fileno() >= 0:
            message, held = held[: self.plan.msize], held[self.plan.msize :]
            self._answer(connection, message)
        self._held[connection] = held

    def _answer(self, connection: socket.socket, message: bytes) -> None:
        fault = self._faults[connection]
        number = self._count[connection]
        self._count[connection] += 1
        if fault.deed == "split":
            self._send_split(connection, message)
        elif fault.deed == "echo" or number < fault.at_message:
            self.echo(connection, message)
        else:
            self._do(fault.deed, connection, message)
            return
        with self.heard:
            self.echoed += 1
            self.heard.notify_all()

    def _send_split(self, connection: socket.socket, message: bytes) -> None:
        """In segments of random lengths, each on its way before the next."""
        while message and connection.fileno() >= 0:
            length = self._rng.randint(1, max(1, len(message) // 2))
            self.echo(connection, message[:length])
            message = message[length:]

    def _do(self, deed: Deed, connection: socket.socket, message: bytes) -> None:
        with self.heard:  # before the server can know
            self.done[deed] += 1
            self.heard.notify_all()
        if deed == "corrupt":
            at = self._rng.randrange(len(message))
            self.echo(connection, message[:at] + bytes([message[at] ^ 1]) + message[at + 1 :])
        elif deed == "extra":
            self.echo(connection, message + b"?")
        elif deed == "short":
            self.echo(connection, message[: self._rng.randrange(len(message))])
            self.drop(connection)
        elif deed != "swallow":
            self.drop(connection, reset=deed == "reset")


class _Left(Exception):
    """The control client has left, as planned."""


class _Client:
    """The control connection of one session, until the plan says that it leaves."""

    def __init__(self, plan: Plan, server: ServerProcess) -> None:
        self.plan = plan
        self.text = b""
        self.whole = False  # the server has closed its side, and nobody else
        self._rng = random.Random(f"{plan.seed}/client")
        self._socket = socket.create_connection(server.address, TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def play(self, port: int, peer: HostilePeer) -> None:
        """All steps, up to the one where the client leaves."""
        with self._socket, contextlib.suppress(_Left):
            self._leave_at("accepted")
            self._send(self._request(port), "request")
            self._leave_at("connecting")
            if self.plan.version == 2:
                if not self._read_until(b"\n").startswith(b"connected"):
                    self._read_to_end()
                    return
                self._leave_at("connected")
                self._send(b"ready\n", "command")
            self._leave_at("warm-up")
            if peer.await_echoes(self._rng.randint(1, 3 * self.plan.conns)):
                self._leave_at("window")
            if self.plan.stop and self.plan.version == 2:
                self._send(b"stop\n", "")
            if self.plan.step == "result":
                self._read_until(b"result" if self.plan.version == 2 else b"1.07")
                self._leave_at("result")
            self._read_to_end()

    def _request(self, port: int) -> bytes:
        plan = self.plan
        if plan.version == 1:
            return f"127.0.0.1 {port} {plan.conns} 1 0 0 {plan.msize}".encode()
        return (
            f"test v=2 addr=127.0.0.1 port={port} conns={plan.conns} msize={plan.msize}"
            f" warmup_ms=10 runtime_ms=40 threads={plan.threads}\n"
        ).encode()

    def _send(self, data: bytes, step: str) -> None:
        """In random segments; only a part of it when that is where the client leaves.

        A request of version 1 is one segment. Who is thrown out meanwhile reads why.
        """
        if self.plan.step == step:
            data = data[: self._rng.randrange(1, len(data))]
        one = self.plan.version == 1
        with contextlib.suppress(ConnectionError):
            while data:
                length = len(data) if one else self._rng.randint(1, len(data))
                self._socket.sendall(data[:length])
                data = data[length:]
        self._leave_at(step)

    def _leave_at(self, step: str) -> None:
        if self.plan.step != step:
            return
        if self.plan.cut == "half":
            with contextlib.suppress(OSError):  # whoever was thrown out is not connected any more
                self._socket.shutdown(socket.SHUT_WR)
            self._read_to_end()
            self.whole = False
        elif self.plan.cut == "reset":
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        raise _Left

    def _read_until(self, mark: bytes) -> bytes:
        while mark not in self.text and (data := self._socket.recv(4096)):
            self.text += data
        return self.text

    def _read_to_end(self) -> None:
        with contextlib.suppress(ConnectionError):
            while data := self._socket.recv(1 << 16):
                self.text += data
            self.whole = True


def play(plan: Plan, server: ServerProcess, files: int, *, strict: bool = True) -> Answer:
    """Play one session; returns the lines that came. AssertionError says what is wrong with them.

    files: descriptors of the server at its start; it has as many when this returns.  strict: what
    it says is looked at; not when its own calls fail.
    """
    with HostilePeer(plan) as peer:
        client = _Client(plan, server)
        began = time.monotonic()
        with contextlib.nullcontext() if strict else contextlib.suppress(ConnectionError):
            client.play(peer.port, peer)
        prompt = time.monotonic() - began < DRAIN_S
        wait_for("everything closed", lambda: open_files(server) == files, TIMEOUT_S)
        done = dict(peer.done)
    if not strict:
        return Answer()
    if plan.version == 1:
        if client.whole:
            _check_first_version(client.text)
        return Answer()
    answer = Answer(client.text.decode("ascii").splitlines())
    if client.whole:
        assert client.text.endswith(b"\n") or not answer, answer
        _check_answer(plan, answer, done, prompt)
    return answer


def open_files(server: ServerProcess) -> int:
    """How many descriptors the server has."""
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def _check_first_version(text: bytes) -> None:
    words = text.decode("ascii").split(" ")
    buckets = int(words[2])
    assert len(words) == 3 + 2 * buckets + 20, text
    assert int(words[0]) == sum(map(int, words[4 : 3 + 2 * buckets : 2])), text


def _check_answer(plan: Plan, answer: Answer, done: dict[str, int], prompt: bool) -> None:
    """A whole answer: one error line that is as described, or a result whose figures agree.

    prompt: the server has not given up waiting for a peer that a busy machine held up.
    """
    assert answer, "no answer"
    if answer[-1] != "end":
        match = _ERROR.fullmatch(answer[-1])
        assert match, answer[-1]
        assert match[1] in CODES, answer[-1]
        return
    lost = {cause: answer.count(f"lost_{cause}") for cause in CAUSES}
    messages = answer.count("messages")
    assert sum(lost.values()) == answer.count("lost"), answer
    assert messages <= answer.count("total"), answer
    assert messages == sum(map(int, answer.words("hist").values())), answer
    # A connection is lost by what its peer did, and by nothing else; ends that came after the
    # test's own are not seen. With the first message they always are, but for bytes that come after
    # an echo with which the test was over.
    bad = done.get("corrupt", 0) + done.get("extra", 0)
    gone = sum(done.get(deed, 0) for deed in ("close", "reset", "short"))
    assert lost["corrupt"] <= bad, (answer, done)
    assert lost["reset"] + lost["closed"] <= gone, (answer, done)
    assert lost["error"] == 0, (answer, done)
    first = [fault.deed for fault in plan.faults if fault.at_message == 0]
    if prompt and answer.count("total") >= plan.conns:
        assert lost["reset"] + lost["closed"] >= sum(
            deed in ("close", "reset", "short") for deed in first
        ), (answer, done)
        assert lost["corrupt"] >= first.count("corrupt"), (answer, done)
