"""What the contract promises: the checks by name, and what a finding says of a broken one."""

from dataclasses import dataclass

from pybench.errors import WorkerError


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

_CHECK_OF_CODE = {
    "signature": "call",
    "no_tls": "call",
    "coroutine": "call",
    "returned_value": "call",
    "ready_twice": "ready",
    "ready_never": "ready",
}
_CHECK_OF_EXCEPTION = {"ConnectionResetError": "reset", "BrokenPipeError": "reset"}
_HINT_OF_EXCEPTION = {
    "BlockingIOError": "the socket was not ready: keep what is left to send, and wait until it is "
    "writable",
    "LimitOverrunError": "give the stream a `limit` above msize, or read without a separator",
}
_HINT_OF_CODE = {"no_tls": "write `def serve(listener, conns, msize, ready, /, *, tls=None):`"}
_WHERE_IT_IS_RAISED = "look where it is raised, in the traceback"


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


class UnlikeError(Exception):
    """Something that the contract does not allow was seen; the message says what."""


def finding(check: str, seen: str, *, hint: str = "", details: str = "") -> Finding:
    """A finding of that check, with its own remedy if there is none better."""
    return Finding(check, CHECKS[check].expected, seen, hint or CHECKS[check].hint, details)


def finding_of(check: str, error: WorkerError) -> Finding:
    """The finding in a worker's end. check: the one that was being made; the promise that was
    broken may belong to another.
    """
    if check == "import":
        return finding(check, str(error), details=error.details)
    if error.code in _CHECK_OF_CODE:
        check, hint = _CHECK_OF_CODE[error.code], _HINT_OF_CODE.get(error.code, "")
        return finding(check, str(error), hint=hint, details=error.details)
    for name in error.exceptions:
        if name in _CHECK_OF_EXCEPTION:
            return finding(_CHECK_OF_EXCEPTION[name], str(error), details=error.details)
    hints = [_HINT_OF_EXCEPTION[name] for name in error.exceptions if name in _HINT_OF_EXCEPTION]
    if error.details:
        hints.append(_WHERE_IT_IS_RAISED)
    return finding(check, str(error), hint=hints[0] if hints else "", details=error.details)
