"""What a worker says to the driver: one JSON object a line, through a pipe of its own.

`Listening` with its port, `Ready`, then `Done` with its usage or `Failed` with the code of what
went wrong. Both ends are here: `Writer` is the worker's, `Reader` the driver's. The worker imports
this, so that it needs no more than the standard library.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

Code = Literal[
    "setup",  # the process could not be made what it has to be: pinned, allowed its files
    "bind",  # the address to listen on is not ours
    "import",  # the module is not imported, or has no such callable
    "signature",  # serve does not take the four arguments
    "no_tls",  # serve does not take the one for TLS, which was asked for
    "coroutine",  # serve is a coroutine function, and has not run
    "returned_value",  # serve returned something else than None
    "ready_twice",  # ready() was called again
    "ready_never",  # serve returned without having called ready()
    "raised",  # serve raised; `exceptions` says what
    "start",  # the process cannot be started
    "exited",  # the process ended by itself, too early
    "killed",  # a signal ended the process
    "printed",  # a traceback was printed, of an exception that serve has not raised
    "hung",  # something did not happen in time
]
"""What went wrong with a worker, for `WorkerError.code`. All from `start` on are seen from outside:
by the supervisor of a program, by the driver, or by a check."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What was used from ready to the end. max_rss_kb: the peak, in KiB.

    minor_faults: pages mapped.  voluntary_switches, involuntary_switches: how often a thread gave
    up its CPU to wait, and how often it lost it.  gil: whether the GIL was on at the end: a library
    may have switched it on again.  None from older workers, which do not say, and from programs.
    """

    user_s: float
    sys_s: float
    wall_s: float
    max_rss_kb: int
    minor_faults: int | None = None
    voluntary_switches: int | None = None
    involuntary_switches: int | None = None
    gil: bool | None = None


@dataclass(frozen=True, slots=True)
class Listening:
    """It accepts on that port. python: its interpreter.  pid: of a program, not its supervisor.

    ports: one for each loop, the first among them; empty: there is one.
    names: of the abstract Unix sockets that it accepts on instead, ports are 0 then; else empty.
    takes_tls: whether what serves has a parameter for it.
    """

    port: int
    python: dict[str, Any] = field(default_factory=dict)
    pid: int | None = None
    ports: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    takes_tls: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """All connections are accepted."""


@dataclass(frozen=True, slots=True)
class Done:
    """All connections have ended, and so has the backend."""

    usage: Usage


@dataclass(frozen=True, slots=True)
class Failed:
    """The backend could not do its work. code: a `Code`.  reason: one line.

    exceptions: names of the classes of what was raised, the most special first; those of a group
    and of a cause too.  traceback: of the backend's own code, or empty.
    """

    code: str
    reason: str
    exceptions: tuple[str, ...] = ()
    traceback: str = ""


Event = Listening | Ready | Done | Failed


def encode(event: Event) -> bytes:
    """One event as one line."""
    words = {"event": type(event).__name__.lower(), **asdict(event)}
    return json.dumps(words).encode() + b"\n"


def decode(line: bytes) -> Event:
    """The event of a line. Raises ValueError for what is none."""
    words: dict[str, Any] = json.loads(line)
    match words.pop("event"):
        case "listening":
            several = {name: tuple(words.get(name, ())) for name in ("ports", "names")}
            return Listening(**words | several)
        case "ready":
            return Ready()
        case "done":
            return Done(_usage(words["usage"]))
        case "failed":
            return Failed(**words | {"exceptions": tuple(words["exceptions"])})
        case other:
            raise ValueError(f"no event of a worker: {other!r}")


def _usage(words: dict[str, Any]) -> Usage:
    """Keys that are not known are those of a newer worker: each interpreter has its own pybench."""
    known = {one.name for one in fields(Usage)}
    return Usage(**{key: value for key, value in words.items() if key in known})


class Writer:
    """The worker's end of the pipe."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def send(self, event: Event) -> None:
        """Write one event, whole."""
        line = encode(event)
        while line:
            line = line[os.write(self._fd, line) :]


class Reader:
    """The driver's end. fd: does not block.  silent: the worker has closed its end."""

    def __init__(self, fd: int) -> None:
        self.silent = False
        self._fd = fd
        self._rest = b""

    def events(self) -> Iterator[Event]:
        """What has been said since, without waiting. A line that is not whole yet comes later."""
        while data := self._read():
            *lines, self._rest = (self._rest + data).split(b"\n")
            yield from map(decode, lines)

    def _read(self) -> bytes:
        try:
            data = os.read(self._fd, 1 << 16)
        except BlockingIOError:
            return b""
        self.silent = not data
        return data
