"""Every option of a campaign is one row of the tables below: its name, how its text is read, its
default, its help, how the load server is told, and what it is called where two results differ.

The command line, campaign files, the request to the load server, the header of a results file,
headings and comparisons all read these rows. So a new option is a row here and the code that uses
it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Literal

from pybench.backends import Row
from pybench.backends.interpreters import Interpreter, identify
from pybench.backends.row import TRANSPORTS
from pybench.errors import UsageError
from pybench.spec import parse
from pybench.spec.address import HostPort
from pybench.units import NS_PER_MS, NS_PER_S, parse_cpus

MAX_CONNS: Final = 1_000_000
MAX_LISTENERS: Final = 64
"""Of all workers and loops of a round: so many ports a request takes."""
MAX_MSIZE: Final = 1 << 20
MAX_INFLIGHT: Final = 1024
MAX_PINGS: Final = 1 << 24
"""In flight over all connections."""
MAX_TIME_NS: Final = 24 * 3600 * NS_PER_S
ENGINES: Final = ("epoll", "uring")
NULL_ENGINE: Final = "null"
"""Moves no bytes: measures the load server and not the row."""
TIMESTAMPS: Final = ("kernel",)
ARRIVALS: Final = ("even", "poisson")

Wire = Callable[[Any], Mapping[str, object]]
"""A value into the words of a request, `key=value`; none where the server's default is meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option.

    name: its key in campaign files; `--busy-poll` on the command line for `busy_poll`.
    parse: text to value; a list of texts where it may be repeated (many).  flag: takes no value.
    default: a text; where there is none, leaving it out gives `unset`.  example: makes it needed.
    group: of the help: `what` is measured, and `where`.
    also: a second field that the text decides; `parse` then returns both values.
    key: what records call the value, the field's name unless told.
    written: a recorded value as `parse` takes it: itself, where a person would write that.
    wire: how the load server is told of it, where it is.  words: what a difference in it is called.
    field: of the campaign, and of a cell where it has one of that name.
    of_round: whether every cell has it, see `RoundOptions`.
    """

    name: str
    parse: Callable[[Any], Any]
    metavar: str
    help: str
    default: str | None = None
    unset: Any = None
    example: str = ""
    group: Literal["what", "where"] = "what"
    many: bool = False
    flag: bool = False
    also: str = ""
    key: str = ""
    written: Callable[[Any], Any] = lambda value: value
    wire: Wire | None = None
    words: str = ""
    field: str = ""
    of_round: bool = False

    @property
    def usual(self) -> Any:
        """The value when nothing is asked for."""
        return self.value({}, self.name)

    def value(self, given: Mapping[str, Any], called: str) -> Any:
        """What was asked for. given: option -> text, number, flag or list of those.

        called: what an error message calls it.  Raises UsageError.
        """
        found = given.get(self.name, self.default)
        if found in (None, []) and self.example:
            raise UsageError(f"{called} is missing, for example {called} {self.example}")
        try:
            if self.many:
                texts = found if isinstance(found, list) else [] if found is None else [found]
                return self.parse([_as_text(text) for text in texts])
            return self.unset if found is None else self.parse(_as_text(found))
        except UsageError as exc:
            raise UsageError(f"{called}: {exc}") from exc

    def fields(self, given: Mapping[str, Any], called: str) -> dict[str, Any]:
        """The same as the campaign's fields: two, where the text decides a second one."""
        value = self.value(given, called)
        return {self.field: value[0], self.also: value[1]} if self.also else {self.field: value}


def _as_text(value: Any) -> str:
    """What a person would have written on the command line for a value from a campaign file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return ",".join(_as_text(item) for item in value)
    if isinstance(value, str | int | float):
        return str(value)
    raise UsageError(f"{value!r} is neither text nor a number nor a list of those")


def _option(
    name: str, parse: Callable[[Any], Any], metavar: str, help_text: str, **more: Any
) -> Any:
    """A field of a dataclass that is an option, with the value of its default text."""
    option = Option(name=name, parse=parse, metavar=metavar, help=help_text, **more)
    metadata = {"option": option}
    if option.example:
        return field(metadata=metadata)
    value = option.value({}, name)
    return field(default=value[0] if option.also else value, metadata=metadata)


def _word(key: str) -> Wire:
    """The value itself; no word where it is none, or 0."""
    return lambda value: {key: value} if value else {}


def _inflight(value: int | None) -> Mapping[str, object]:
    """One goes without saying: older servers know no other."""
    return {"inflight": value} if value and value > 1 else {}


def _ms(key: str) -> Wire:
    return lambda value_ns: {key: value_ns // NS_PER_MS}


def _transport(value: str | None) -> Mapping[str, object]:
    """A Unix socket is in the address."""
    return {"transport": "tls"} if value == "tls" else {}


def _seconds(value_s: float) -> str:
    return f"{value_s:.9f}".rstrip("0").rstrip(".") + "s"


def _microseconds(value_us: int) -> str:
    return f"{value_us}us"


def _think(value_us: tuple[int, int]) -> Mapping[str, object]:
    low, high = value_us
    return {"think_min_us": low, "think_max_us": high} if high else {}


def _arrivals(value: str | None) -> Mapping[str, object]:
    return {} if value in (None, "even") else {"arrivals": value}


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundOptions:
    """What every round of a campaign is asked with; each cell has it."""

    think_us: tuple[int, int] = _option(
        "think", parse.think, "MIN[:MAX]", "wait between echo and next ping",
        default="0", written=lambda times: ":".join(map(_microseconds, times)), wire=_think,
        words="think time",
    )  # fmt: skip
    runtime_ns: int = _option(
        "runtime", parse.time(NS_PER_MS, MAX_TIME_NS), "TIME", "measured time of a round",
        default="30s", key="runtime_s", written=_seconds, wire=_ms("runtime_ms"), words="runtime",
    )  # fmt: skip
    warmup_ns: int = _option(
        "warmup", parse.time(0, MAX_TIME_NS), "TIME", "pings before that",
        default="1s", key="warmup_s", written=_seconds, wire=_ms("warmup_ms"), words="warm-up",
    )  # fmt: skip
    arrivals: str = _option(
        "arrivals", parse.one_of(ARRIVALS), "even|poisson",
        "of the pings of --rate: evenly spaced, or at random times as from many users",
        default="even", wire=_arrivals, words="arrivals",
    )  # fmt: skip
    engine: str | None = _option(
        "engine", parse.one_of((*ENGINES, NULL_ENGINE)), "NAME",
        "of the load server: epoll or uring; null moves no bytes and measures the tool itself",
        group="where", wire=_word("engine"), words="server engine",
    )  # fmt: skip
    timestamps: str | None = _option(
        "timestamps", parse.one_of(TIMESTAMPS), "kernel",
        "have the kernel note when each echo arrives",
        group="where", wire=_word("timestamps"), words="timestamps",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignOptions(RoundOptions):
    """What else a campaign is asked with: rows, numbers, order and places."""

    rows: tuple[Row, ...] = _option(
        "func", parse.rows, "ROW,...|all",
        "rows (--list shows them), or your own: module:callable, file.py:callable, "
        "asyncio_proto@module:loop_factory, exec:'COMMAND --port {port}'; NAME=... names one; "
        "may be repeated",
        many=True, example="asyncio_proto,c_epoll", also="all_rows", key="func",
    )  # fmt: skip
    conns: tuple[int, ...] = _option(
        "conns", parse.counts(1, MAX_CONNS), "N,...", "numbers of connections: 10,1k,10000",
        example="100,1k", wire=_word("conns"),
    )  # fmt: skip
    msize: tuple[int, ...] = _option(
        "msize", parse.sizes(1, MAX_MSIZE), "BYTES,...",
        "sizes of a message: 64,1k,64KiB; k is 1000",
        default="64", wire=_word("msize"), words="message size",
    )  # fmt: skip
    transport: tuple[str, ...] = _option(
        "transport", parse.words_of(TRANSPORTS), "NAME,...",
        "what connections are made of: tcp, unix (sockets of this machine), tls (TLS 1.3)",
        default="tcp", wire=_transport, words="transport",
    )  # fmt: skip
    inflight: tuple[int, ...] = _option(
        "inflight", parse.counts(1, MAX_INFLIGHT), "K,...",
        "numbers of pings in flight on each connection: 1,4,16",
        default="1", wire=_inflight, words="pings in flight",
    )  # fmt: skip
    idle: tuple[int, ...] = _option(
        "idle", parse.counts(0, MAX_CONNS), "N,...",
        "numbers of connections that are open besides and never pinged: 0,10k",
        default="0", wire=_word("idle"), words="idle connections",
    )  # fmt: skip
    workers: tuple[int, ...] = _option(
        "workers", parse.counts(1, MAX_LISTENERS), "K,...",
        "numbers of worker processes, each with a listener and a CPU of its own",
        default="1", words="workers",
    )  # fmt: skip
    loops: tuple[int, ...] = _option(
        "loops", parse.counts(1, MAX_LISTENERS), "K,...",
        "numbers of threads of a worker that each run the row on a listener of its own",
        default="1", words="loops",
    )  # fmt: skip
    rounds: int = _option(
        "rounds", parse.count(1, 1_000_000), "R", "rounds of each cell", default="1"
    )
    rate: tuple[int, ...] = _option(
        "rate", parse.rates, "R,...|auto", "open loop: pings/s over all connections, or a sweep",
        unset=((), False), also="rate_auto", wire=_word("rate"),
    )  # fmt: skip
    env_sets: tuple[parse.EnvSet, ...] = _option(
        "env", parse.env_sets, "NAME=VALUE,...",
        "run each row also with these variables, as a row of its own; may be repeated",
        many=True, written=lambda sets: [",".join(map("=".join, of_set)) for of_set in sets],
    )  # fmt: skip
    pythons: tuple[Interpreter, ...] = _option(
        "python", identify, "[NAME=]PATH",
        "run the workers under this interpreter, which has a pybench of its own; may be "
        "repeated: every row then runs under each",
        many=True,
    )  # fmt: skip
    seed: int = _option(
        "seed", parse.count(0, 2**63 - 1), "N", "of the order of cells (default random)"
    )
    skip_impossible: bool = _option(
        "skip_impossible", parse.flag, "", "leave out what this machine cannot run",
        default="false", flag=True,
    )  # fmt: skip
    server: HostPort | None = _option(  # noqa: RUF009 - it makes a field
        "server", parse.servers, "HOST:PORT,...",
        "use a running load server; connections are dealt out among several",
        unset=(None, ()), also="more_servers", group="where",
    )  # fmt: skip
    cluster: str | None = _option(
        "cluster", parse.scheduler, "tcp://HOST:PORT",
        "measure on the machines of a Dask cluster, by its scheduler", group="where",
    )  # fmt: skip
    bind: str | None = _option(
        "bind", parse.bind_address, "ADDR", "address of the measured side", group="where"
    )
    server_threads: int | None = _option(
        "server_threads", parse.count(1, 64), "N", "ping threads of the load server",
        group="where", wire=_word("threads"),
    )  # fmt: skip
    busy_poll_us: int | None = _option(
        "busy_poll", parse.busy_poll, "TIME",
        "how long the load server looks for echoes before it sleeps; auto (default): 200us "
        "where it has CPUs of its own, else 0",
        group="where", written=_microseconds, wire=_word("busy_poll_us"),
        words="busy poll of the load server",
    )  # fmt: skip
    cpu: tuple[int, ...] | None = _option(
        "cpu", parse_cpus, "LIST",
        "CPU of the worker (default the first); of several workers or loops theirs in turn",
        group="where",
    )  # fmt: skip
    server_cpus: tuple[int, ...] | None = _option(
        "server_cpus", parse_cpus, "LIST", "CPUs of the embedded load server", group="where"
    )
    pin: bool = _option(
        "no_pin", parse.no_flag, "", "pin nothing to CPUs", default="false", flag=True,
        group="where", written=lambda pin: not pin,
    )  # fmt: skip


_OF_ROUNDS: Final = frozenset(f.name for f in fields(RoundOptions))

OPTIONS: Final[Mapping[str, Option]] = {
    option.name: replace(
        option, field=f.name, key=option.key or f.name, of_round=f.name in _OF_ROUNDS
    )
    for f in sorted(fields(CampaignOptions), key=lambda f: f.name in _OF_ROUNDS)
    for option in [f.metadata["option"]]
}
"""Every option by its name, in the order of the help: rows and numbers first."""
