"""The control protocol, version 2, from the driver's side: the only Python file that knows it.

`ControlConnection` is one test: send the request, `ready`, perhaps `stop`; `receive` makes of what
has arrived its `connected`, `progress` and `measurement`. A test that takes turns is pinged with
each `turn` that is sent, and not else; `turned` and `busy` are the answers. `ReplyParser` is the
protocol alone, without a socket. Nothing here waits without a limit: the socket does not block once
connected.
"""

import contextlib
import dataclasses
import ipaddress
import os
import re
import selectors
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pybench.errors import ProtocolError, ServerError, UsageError
from pybench.machine.network import loopback_down
from pybench.spec import OPTIONS, Cell, HostPort
from pybench.units import NS_PER_MS, NS_PER_S

LINE_MAX = 4096
CONNECT_TIMEOUT_S = 10.0
IDLE_S, PROBE_S, PROBES = 5, 5, 2
"""How soon a load server whose machine is gone is missed: 15 s."""
NO_PIN = 64 * "0"
TOKEN_VARIABLE = "PYBENCH_TOKEN"
TOKEN_MAX = 256
_MIN_RTT = struct.Struct("148xI")
"""In struct tcp_info of linux/tcp.h, since Linux 4.6; in microseconds."""

SLICE_MS = 100
SLICES_MAX = 600  # in a result; a server takes 1000

BOUNDS = ("mean", "p50", "p75", "p90", "p95", "p99", "p999", "max")
TIMES = ("warmup_ms", "runtime_ms")  # of a request; a turn has its own
LOST_CAUSES = ("reset", "closed", "corrupt", "error")
LOST_BY_TLS = "tls"  # a server says it with TLS only


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known about once a second while the test runs.

    t_ms: since the pings began.  messages: all echoes so far, warm-up included.
    alive: connections still there.
    """

    t_ms: int
    messages: int
    alive: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What one turn measured. Times in ns; counts are of its window unless they say otherwise.

    n: its number, from 1.  total: echoes from the turn's beginning to its end: what the worker's
    CPU time over the turn was spent on.  window_ns: as asked for; less, down to 0, when the last
    connection was lost.  idle_ns: of the ping threads' CPU time (user_ns, sys_ns) what was spent
    looking in vain.  drain_ns: from the window's end until the last echo was there, or given up.
    alive: connections still there.  unanswered: pings on these whose echo had not come by the
    turn's end; it is awaited in the next turns.  late_echoes: such that came in this turn; in
    total, in nothing else.
    """

    n: int
    messages: int
    window_ns: int
    total: int
    latency_sum_ns: int
    latency_max_ns: int
    idle_ns: int
    user_ns: int
    sys_ns: int
    drain_ns: int
    alive: int
    unanswered: int
    late_echoes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """A whole result as the server sent it. Times in ns; counts are of the window unless `total`.

    total: messages sent from start to end.  histogram: lower edge in ns -> echoes.
    drained: echoes that came after the window; None from servers that do not say.
    percentiles: 19 of messages per connection, 5% to 95%.  user_ns, sys_ns: the ping threads' CPU.
    waits, events, events_squared: of the ping threads; the last is the sum over the waits of the
    square of the ready connections that each gave.
    busy_poll_us: how long they looked for echoes before sleeping.  idle_ns: of their CPU time, what
    was spent looking in vain.
    in_flight_ns: time that connections spent awaiting an echo, added up; pings that the ends of the
    window cut in two count as far as they lie inside. None from servers that do not say.
    handshake_ns: with TLS, of the time of connecting, while any handshake was under way.
    cipher: with TLS, the cipher suite.
    queue: with kernel times, what echoes lay in the load server's machine before they were read.
    corrected: with a rate, the open loop's own figures.
    slices: of the window, when they were asked for.
    idle_lost: of the idle connections, those that were not as they had been opened at the end.
    listeners: of several, in their order; none where there is one.
    """

    messages: int
    window_ns: int  # 0 when all connections were lost before it began
    total: int
    latency_sum_ns: int
    latency_max_ns: int
    lost: int
    lost_by: dict[str, int]
    engine: str
    threads: int
    user_ns: int
    sys_ns: int
    version: str
    conn_min: int
    conn_max: int
    percentiles: tuple[int, ...]
    jain: float
    starved: int
    histogram: dict[int, int] = field(repr=False)
    waits: int = 0
    events: int = 0
    events_squared: int = 0
    busy_poll_us: int = 0
    idle_ns: int = 0
    in_flight_ns: int | None = None
    drained: int | None = None
    handshake_ns: int | None = None
    cipher: str = ""
    queue: "Queue | None" = None
    corrected: "Corrected | None" = None
    slices: "tuple[Slice, ...]" = ()
    idle_lost: int = 0
    listeners: "tuple[Listener, ...]" = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What a slice of the window had. Latencies in ns."""

    messages: int
    latency_sum_ns: int
    latency_max_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """Time in the load server's own receive queues: the sum in ns, over how many echoes."""

    sum_ns: int
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """What an open loop measured besides: latencies from when each ping was due, in ns.

    late: pings sent more than 1 ms after they were due.  unsent: due in the window, never sent.
    censored: pings without an echo at its end, the unsent among them; not in the histogram.
    bounds: mean, p50 to p999 and max when these count with the time since they were due. None from
    servers that do not say.
    """

    rate: int
    late: int
    unsent: int
    sum_ns: int
    max_ns: int
    histogram: dict[int, int] = field(repr=False)
    censored: int = 0
    bounds: dict[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Listener:
    """What one listener of several had.

    conns: connections that went to it.  messages: echoes in the window that came from it.
    """

    conns: int
    messages: int


class ReplyParser:
    """Bytes to the state of a test; strict about verbs, order and numbers, lax about new keys.

    on_mark: called with the time of each mark, in ns since the window's beginning.
    """

    def __init__(self) -> None:
        self.on_mark: Callable[[int], object] = _ignore_mark
        self.connect_ns: int | None = None
        self.progress: Progress | None = None
        self.turned: Turn | None = None
        self.busy = False
        self.measurement: Measurement | None = None
        self._rest = b""
        self._result: dict[str, str] | None = None
        self._fairness: dict[str, str] | None = None
        self._histogram: dict[int, int] = {}
        self._listeners: list[Listener] = []
        self._slices: list[Slice] = []
        self._corrected: dict[str, str] | None = None
        self._corrected_histogram: dict[int, int] = {}
        self._verbs: dict[str, Callable[[dict[str, str]], None]] = {
            "connected": self._on_connected,
            "mark": self._on_mark,
            "progress": self._on_progress,
            "turn": self._on_turn,
            "busy": self._on_busy,
            "result": self._on_result,
            "fairness": self._on_fairness,
            "listener": self._on_listener,
            "hist": self._on_hist,
            "slice": self._on_slice,
            "corrected": self._on_corrected,
            "corrected_hist": self._on_corrected_hist,
            "end": self._on_end,
            "error": self._on_error,
        }

    def feed(self, data: bytes) -> None:
        """Take in what has arrived.

        Raises ServerError for an `error` line, ProtocolError for what the protocol forbids.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(line)
        if len(self._rest) >= LINE_MAX:
            raise ProtocolError(f"a reply line of more than {LINE_MAX} bytes: {shown(self._rest)}")

    def _line(self, line: bytes) -> None:
        if len(line) >= LINE_MAX:
            raise ProtocolError(f"a reply line of more than {LINE_MAX} bytes: {shown(line)}")
        try:
            verb, _, rest = line.decode("ascii", "replace").partition(" ")
            handle = self._verbs[verb]
            if self.measurement is not None:
                raise ValueError("it comes after the end")
            words = parse_words(rest)
            if self._result is not None and verb not in _INSIDE_RESULT:
                raise ValueError("it comes inside a result")
            handle(words)
        except KeyError as exc:
            what = "is not a reply" if exc.args[0] == verb else f"lacks {exc.args[0]}"
            raise ProtocolError(f"the load server's {shown(line)} {what}") from exc
        except ValueError as exc:
            raise ProtocolError(f"the load server's {shown(line)}: {exc}") from exc

    def _on_connected(self, words: dict[str, str]) -> None:
        if self.connect_ns is not None:
            raise ValueError("it comes twice")
        self.connect_ns = _number(words["elapsed_ns"])

    def _on_progress(self, words: dict[str, str]) -> None:
        self._check_connected()
        self.progress = Progress(*(_number(words[key]) for key in ("t_ms", "messages", "alive")))

    def _on_turn(self, words: dict[str, str]) -> None:
        self._check_connected()
        self.turned = Turn(**{f.name: _number(words[f.name]) for f in dataclasses.fields(Turn)})

    def _on_busy(self, words: dict[str, str]) -> None:
        self._check_connected()
        self.busy = True

    def _on_mark(self, words: dict[str, str]) -> None:
        self._check_connected()
        self.on_mark(_number(words["t_ns"]))

    def _on_result(self, words: dict[str, str]) -> None:
        self._check_connected()
        self._result = words

    def _on_fairness(self, words: dict[str, str]) -> None:
        if self._result is None or self._fairness is not None:
            raise ValueError("it comes out of order")
        self._fairness = words

    def _on_listener(self, words: dict[str, str]) -> None:
        if self._fairness is None or _number(words["n"]) != len(self._listeners) + 1:
            raise ValueError("it comes out of order")
        self._listeners.append(Listener(_number(words["conns"]), _number(words["messages"])))

    def _on_hist(self, words: dict[str, str]) -> None:
        if self._fairness is None:
            raise ValueError("it comes out of order")
        _add_buckets(self._histogram, words)

    def _on_slice(self, words: dict[str, str]) -> None:
        if self._fairness is None or _number(words["n"]) != len(self._slices) + 1:
            raise ValueError("it comes out of order")
        keys = ("messages", "latency_sum_ns", "latency_max_ns")
        self._slices.append(Slice(**{key: _number(words[key]) for key in keys}))

    def _on_corrected(self, words: dict[str, str]) -> None:
        if self._fairness is None or self._corrected is not None:
            raise ValueError("it comes out of order")
        self._corrected = words

    def _on_corrected_hist(self, words: dict[str, str]) -> None:
        if self._corrected is None:
            raise ValueError("it comes out of order")
        _add_buckets(self._corrected_histogram, words)

    def _on_end(self, words: dict[str, str]) -> None:
        if self._result is None or self._fairness is None:
            raise ValueError("it comes out of order")
        corrected = None
        if self._corrected is not None:
            corrected = _corrected(self._corrected, self._corrected_histogram)
        measurement = _measurement(self._result, self._fairness, self._histogram, corrected)
        self.measurement = dataclasses.replace(
            measurement, slices=tuple(self._slices), listeners=tuple(self._listeners)
        )
        for name, parts in (("slices", self._slices), ("listeners", self._listeners)):
            if parts:
                _check_sum(name, sum(one.messages for one in parts), measurement.messages)

    def _on_error(self, words: dict[str, str]) -> None:
        raise ServerError(words["code"], _printable(_without_token(words["msg"])))

    def _check_connected(self) -> None:
        if self.connect_ns is None:
            raise ValueError("it comes before 'connected'")


def _ignore_mark(t_ns: int) -> None:
    """What happens at a mark when nobody measures the worker."""


_INSIDE_RESULT = (
    "fairness",
    "listener",
    "hist",
    "slice",
    "corrected",
    "corrected_hist",
    "end",
    "error",
)


def _add_buckets(histogram: dict[int, int], words: dict[str, str]) -> None:
    for edge, count in words.items():
        if _number(edge) in histogram:
            raise ValueError(f"bucket {edge} comes twice")
        histogram[_number(edge)] = _number(count)


def _measurement(
    result: dict[str, str],
    fairness: dict[str, str],
    histogram: dict[int, int],
    corrected: Corrected | None,
) -> Measurement:
    measurement = Measurement(
        messages=_number(result["messages"]),
        window_ns=_number(result["window_ns"]),
        total=_number(result["total"]),
        latency_sum_ns=_number(result["latency_sum_ns"]),
        latency_max_ns=_number(result["latency_max_ns"]),
        lost=_number(result["lost"]),
        lost_by=_lost_by(result),
        engine=result["engine"],
        threads=_number(result["threads"]),
        user_ns=_number(result["user_ns"]),
        sys_ns=_number(result["sys_ns"]),
        version=result.get("version", ""),
        conn_min=_number(fairness["min"]),
        conn_max=_number(fairness["max"]),
        percentiles=tuple(_number(fairness[f"p{q}"]) for q in range(5, 100, 5)),
        jain=_fraction(fairness["jain"]),
        starved=_number(fairness["starved"]),
        histogram=histogram,
        waits=_number(result.get("waits", "0")),
        events=_number(result.get("events", "0")),
        events_squared=_number(result.get("events_squared", "0")),
        busy_poll_us=_number(result.get("busy_poll_us", "0")),
        idle_ns=_number(result.get("idle_ns", "0")),
        in_flight_ns=_number(result["in_flight_ns"]) if "in_flight_ns" in result else None,
        drained=_number(result["drained"]) if "drained" in result else None,
        handshake_ns=_number(result["tls_handshake_ns"]) if "tls_handshake_ns" in result else None,
        cipher=_printable(result.get("tls_cipher", "")),
        queue=_queue(result),
        corrected=corrected,
        idle_lost=_number(result.get("idle_lost", "0")),
    )
    _check_sum("histogram", sum(histogram.values()), measurement.messages)
    if corrected is not None:
        held = sum(corrected.histogram.values())
        _check_sum("corrected histogram", held, measurement.messages)
    return measurement


def _lost_by(result: dict[str, str]) -> dict[str, int]:
    causes = [*LOST_CAUSES, *([LOST_BY_TLS] if f"lost_{LOST_BY_TLS}" in result else [])]
    return {cause: _number(result.get(f"lost_{cause}", "0")) for cause in causes}


def _check_sum(name: str, held: int, messages: int) -> None:
    if held != messages:
        raise ValueError(f"its {name} holds {held} of {messages} messages")


def _queue(result: dict[str, str]) -> Queue | None:
    if "queue_samples" not in result:
        return None
    return Queue(sum_ns=_number(result["queue_ns"]), samples=_number(result["queue_samples"]))


def _corrected(words: dict[str, str], histogram: dict[int, int]) -> Corrected:
    return Corrected(
        **{key: _number(words[key]) for key in ("rate", "late", "unsent", "sum_ns", "max_ns")},
        histogram=histogram,
        censored=_number(words.get("censored", "0")),
        bounds=_bounds(words),
    )


def _bounds(words: dict[str, str]) -> dict[str, int] | None:
    if "bound_max_ns" not in words:
        return None
    return {name: _number(words[f"bound_{name}_ns"]) for name in BOUNDS}


_WORD = re.compile(r'([A-Za-z0-9_]+)=(?:"((?:[^"\\]|\\["\\])*)"|([^\s"]*))(?: +|$)')


def parse_words(text: str) -> dict[str, str]:
    r"""The key=value words of a line; a value in double quotes may hold spaces, \" and \\.

    Raises ValueError for anything else, a key that comes twice included.
    """
    words: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _WORD.match(text, at)
        if match is None:
            raise ValueError(f"{text[at : at + 40]!r} is not key=value")
        key, quoted, plain = match.groups()
        if key in words:
            raise ValueError(f"{key} comes twice")
        words[key] = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        at = match.end()
    return words


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 20:
        raise ValueError(f"{text[:40]!r} is not a whole number")
    return int(text)


def _fraction(text: str) -> float:
    if not re.fullmatch(r"[01](\.\d+)?", text, re.ASCII) or float(text) > 1:
        raise ValueError(f"{text[:40]!r} is not a fraction from 0 to 1")
    return float(text)


def shown(line: bytes) -> str:
    """A reply in the words of an error message: printable and short."""
    text = line[:60].decode("ascii", "backslashreplace")
    return repr(text + ("..." if len(line) > 60 else ""))


def token() -> str:
    """The secret of the load server, empty when there is none. Raises UsageError, without it."""
    return tokens(1)[0]


def tokens(servers: int) -> list[str]:
    """The secret of each load server: the same for all, or one for each with blanks between.

    Empty ones when there is none. Raises UsageError, without them.
    """
    given = os.environ.get(TOKEN_VARIABLE, "")
    secrets = given.split(" ") if servers > 1 else [given]
    if any(len(one) > TOKEN_MAX or not all("!" <= c <= "~" for c in one) for one in secrets):
        raise UsageError(
            f"{TOKEN_VARIABLE} is no token: 1 to {TOKEN_MAX} printable ASCII characters, no blanks"
        )
    if len(secrets) not in (1, servers):
        raise UsageError(
            f"{TOKEN_VARIABLE} has {len(secrets)} tokens for {servers} load servers: one for all,"
            " or one for each with a blank between"
        )
    return secrets * servers if len(secrets) == 1 else secrets


def _printable(text: str) -> str:
    """What a server says goes to the terminal, where other bytes are commands."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)


def _without_token(text: str) -> str:
    """What a server says goes into results, and it may repeat what it was sent."""
    for secret in os.environ.get(TOKEN_VARIABLE, "").split():
        text = text.replace(secret, "***")
    return text


def slice_ms(window_ns: int) -> int:
    """How long a slice of a window is: 100 ms, and more where that made more than SLICES_MAX."""
    return SLICE_MS * max(1, -(-window_ns // (SLICES_MAX * SLICE_MS * NS_PER_MS)))


def request_line(
    addr: str,
    ports: int | Sequence[int],
    *asked: object,
    pin: str = "",
    turns: bool = False,
    seed: int = 0,
    slice_ms: int = 0,
    secret: str | None = None,
) -> bytes:
    """The request for one test of the workers that listen on addr.

    ports: of their listeners, connection after connection going to the next one; 0 for a Unix
    socket, of which addr has several with commas between.
    asked: the cell and, where there is one, the placement: what they have of the options that the
    load server is told of (`spec/options.py`). An option that is left to the server is no word:
    older servers may not know it.  turns: the times are told with each turn, not here.
    pin: the fingerprint of the worker's certificate, with TLS.
    seed: of what the load server draws at random. With that of the round all rows of a round meet
    the same arrivals, and each round others.
    slice_ms: of the window's slices; 0: it is not cut, as that of a turn never is.
    secret: the load server's; None: the only one there is.
    """
    words: dict[str, object] = {"v": 2, "addr": addr} | _ports(ports)
    for option in OPTIONS.values():
        if option.wire is not None:
            values = (getattr(one, option.field) for one in asked if hasattr(one, option.field))
            words |= option.wire(next(values, None))
    if turns:
        words = {key: words[key] for key in words if key not in TIMES} | {"turns": 1}
    if "arrivals" in words and seed:
        words["seed"] = seed
    if pin:
        words["pin"] = pin
    if slice_ms:
        words["slice_ms"] = slice_ms
    if secret := token() if secret is None else secret:
        words["token"] = secret
    line = " ".join(f"{key}={value}" for key, value in words.items())
    return f"test {line}\n".encode("ascii", "replace")


def _ports(ports: int | Sequence[int]) -> dict[str, object]:
    """The word that names them; none of Unix sockets, whose port is 0."""
    named = [port for port in ([ports] if isinstance(ports, int) else ports) if port]
    return {"port": ",".join(map(str, named))} if named else {}


def local_address_towards(server: HostPort) -> str:
    """The address of this machine that a load server sees, without scope.

    Also tells whether there is a server at all: raises ServerError("unreachable").
    """
    with _connect(server) as connection:
        return str(connection.getsockname()[0]).partition("%")[0]


def lacks_slices(error: str) -> bool:
    """Whether a round failed with this because the server is one of 0.1, which cannot cut a window
    into slices. Nobody asks before: a server may be there for one test only."""
    return "unknown key 'slice_ms'" in error


def takes_one_port(error: str) -> bool:
    """Whether a round of several listeners failed with this because the server is older."""
    return "port=" in error and "expected a whole number" in error


def unsupported(server: HostPort, bind: str, cell: Cell, secret: str | None = None) -> str | None:
    """Why the server cannot run tests like cell, in its own words; None when it can.

    It is asked for one connection to a listener at bind, and left when it has made it; over TLS, to
    where nobody listens. Whatever else goes wrong is not told here: the rounds will meet it and say
    it.
    """
    over_tls = cell.transport == "tls"
    trial = dataclasses.replace(cell, conns=1, idle=0)
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    try:
        with (
            socket.create_server((bind, 0), family=family) as listener,
            ControlConnection(server, secret) as control,
            selectors.DefaultSelector() as selector,
        ):
            port = listener.getsockname()[1]
            if over_tls:
                listener.close()
            control.request(bind, port, trial, pin=NO_PIN if over_tls else "")
            selector.register(control, selectors.EVENT_READ)
            while not control.connected and selector.select(CONNECT_TIMEOUT_S):
                control.receive()
    except ServerError as exc:
        return str(exc) if exc.code == "unsupported" else None
    except (OSError, ProtocolError):
        return None
    return None


def _connect(server: HostPort) -> socket.socket:
    try:
        return socket.create_connection((server.host, server.port), CONNECT_TIMEOUT_S)
    except (OSError, UnicodeError) as exc:
        if (down := loopback_down(server.host)) is not None:
            raise ServerError("unreachable", f"no load server at {server}: {down}") from exc
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else exc
        raise ServerError(
            "unreachable",
            f"no load server at {server}: {reason} (there: pybench-server --listen HOST:PORT)",
        ) from exc


def _watch_peer(connection: socket.socket) -> None:
    """Have the kernel end the connection when the other machine has vanished, its cable pulled:
    nothing comes from it then, not even an end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, IDLE_S),
        (socket.TCP_KEEPINTVL, PROBE_S),
        (socket.TCP_KEEPCNT, PROBES),
        (socket.TCP_USER_TIMEOUT, 1000 * PROBE_S * PROBES),
    ):
        connection.setsockopt(socket.IPPROTO_TCP, option, value)


def _is_own_peer(connection: socket.socket) -> bool:
    """Whether the other end is on this host, whatever it is called: at a loopback address, or at
    the very address that we are at."""
    own, peer = (
        ipaddress.ip_address(str(name[0]).partition("%")[0])
        for name in (connection.getsockname(), connection.getpeername())
    )
    return peer == own or peer.is_loopback


class ControlConnection:
    """One connection to a load server, for one test. A context manager; leaving it ends the test.

    secret: the load server's; None: the only one there is.
    Raises ServerError("unreachable") when the connection cannot be made or breaks.
    """

    def __init__(self, server: HostPort, secret: str | None = None) -> None:
        self.server = server
        self._secret = secret
        self.parser = ReplyParser()
        self._socket = _connect(server)
        self.local = _is_own_peer(self._socket)
        self._socket.setblocking(False)
        _watch_peer(self._socket)

    def __enter__(self) -> "ControlConnection":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """For selectors: readable when `receive` has something to take."""
        return self._socket.fileno()

    @property
    def connected(self) -> bool:
        """Whether all connections of the test are up."""
        return self.parser.connect_ns is not None

    @property
    def connect_s(self) -> float:
        """How long the server took to open all connections, in seconds."""
        return (self.parser.connect_ns or 0) / NS_PER_S

    @property
    def round_trip_ns(self) -> int:
        """The shortest round trip of the control connection; 0 where the kernel is silent."""
        size = _MIN_RTT.size
        info = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)
        return 1000 * int(_MIN_RTT.unpack(info)[0]) if len(info) == size else 0

    def on_mark(self, call: Callable[[int], object]) -> None:
        """Have each mark's time told as soon as it is heard, in ns since the window's beginning."""
        self.parser.on_mark = call

    @property
    def progress(self) -> Progress | None:
        """The last progress line."""
        return self.parser.progress

    @property
    def measurement(self) -> Measurement | None:
        """The result, once it is whole."""
        return self.parser.measurement

    @property
    def turned(self) -> Turn | None:
        """What the turn that was asked for last measured, once it is over."""
        return self.parser.turned

    @property
    def busy(self) -> bool:
        """Whether the turn that was asked for last was refused: another test was being pinged."""
        return self.parser.busy

    def request(
        self,
        addr: str,
        ports: int | Sequence[int],
        *asked: object,
        pin: str = "",
        turns: bool = False,
        seed: int = 0,
        slice_ms: int = 0,
    ) -> None:
        """Ask for a test of the workers at addr and ports; see `request_line`."""
        line = request_line(
            addr, ports, *asked,
            pin=pin, turns=turns, seed=seed, slice_ms=slice_ms, secret=self._secret,
        )  # fmt: skip
        self._send(line)

    def ready(self) -> None:
        """Say that the worker has accepted all connections."""
        self._send(b"ready\n")

    def turn(self, settle_us: int, window_us: int) -> None:
        """Ask for one turn: pings for settle_us that do not count, then for window_us.

        Its answer is `turned` or `busy`, both of which are empty until it is there. One turn at a
        time; the test has been asked for with turns and is `ready`.
        """
        self.parser.turned, self.parser.busy = None, False
        self._send(f"turn settle_us={settle_us} window_us={window_us}\n".encode())

    def stop(self) -> None:
        """Ask the server to end the test now; a result still comes."""
        self._send(b"stop\n")

    def leave(self) -> None:
        """Have the server end the test, for which nobody waits any more; see `has_ended`."""
        with contextlib.suppress(OSError):  # it has gone
            self._socket.shutdown(socket.SHUT_WR)

    def has_ended(self) -> bool:
        """Whether the server has ended the test that was left; it is busy until then. What it still
        says is thrown away, without waiting."""
        try:
            while self._socket.recv(1 << 16):
                pass
        except BlockingIOError:
            return False
        except OSError:
            pass  # it has gone
        return True

    def receive(self) -> None:
        """Take in what has arrived, without waiting."""
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as exc:
            raise self._broken(exc.strerror or str(exc)) from exc
        if data:
            self.parser.feed(data)
        elif self.measurement is None:
            raise self._broken("it closed the connection")

    def _send(self, line: bytes) -> None:
        # A few short lines: they fit into any socket buffer, so a partial send is a broken peer.
        try:
            sent = self._socket.send(line)
        except OSError as exc:
            self.receive()  # it may have said why before it went
            raise self._broken(exc.strerror or str(exc)) from exc
        if sent != len(line):
            raise self._broken("it takes no more data")

    def _broken(self, reason: str) -> ServerError:
        return ServerError("unreachable", f"lost the load server at {self.server}: {reason}")
