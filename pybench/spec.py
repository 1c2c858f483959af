"""What is to be measured: cells, and the campaign that an invocation asks for. All frozen.

Options come as text from the command line or as values from a campaign file;
`Campaign.from_options` is the one place that reads and checks them. `to_record` and `from_record`
are the header line of a results file, so that a campaign can be resumed from it.
"""

import dataclasses
import ipaddress
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pybench import backends
from pybench.backends.interpreters import Interpreter, identify
from pybench.errors import ResultFormatError, UsageError
from pybench.units import (
    NS_PER_MS,
    NS_PER_S,
    NS_PER_US,
    format_duration,
    parse_count,
    parse_counts,
    parse_cpus,
    parse_duration_ns,
    split_list,
    unique,
)

MAX_CONNS = 1_000_000
MAX_MSIZE = 1 << 20
MAX_TIME_NS = 24 * 3600 * NS_PER_S
MAX_THINK_NS = 1000 * NS_PER_S
MAX_RATE = 1_000_000_000
MAX_BUSY_POLL_NS = NS_PER_S
DEFAULT_PORT = 33331
ENGINES = ("epoll", "uring")
TIMESTAMPS = ("kernel",)

EnvSet = tuple[tuple[str, str], ...]
"""Variables of an environment with their values, in the order given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One combination to measure.

    func: finds the row.  conns: connections, >= 1.  msize: bytes of a message, >= 1.
    runtime_ns, warmup_ns: whole milliseconds.  think_us: [min, max] wait before the next ping.
    rate_per_s: pings per second over all connections, 0 for the closed loop.  rate_auto: a sweep
    of rates up to the knee; each of its steps is a cell with a rate.  engine: of the load server,
    None for its default.  timestamps: `kernel` or None.  env: set in the worker besides the rest.
    python: to run the worker under, None for the driver's own.
    """

    func: str
    conns: int
    msize: int
    runtime_ns: int
    warmup_ns: int
    think_us: tuple[int, int] = (0, 0)
    rate_per_s: int = 0
    rate_auto: bool = False
    engine: str | None = None
    timestamps: str | None = None
    env: EnvSet = ()
    python: Interpreter | None = None

    @property
    def row(self) -> backends.Row:
        """What is measured."""
        return backends.find(self.func)

    @property
    def label(self) -> str:
        """The row as tables name it, with what sets it apart."""
        return row_label(self.row.name, self.env, "" if self.python is None else self.python.name)

    def __str__(self) -> str:
        rate = f" at {self.rate_per_s}/s" if self.rate_per_s else ""
        return f"{self.label} x {self.conns}{rate}"


def row_label(func: str, env: EnvSet, python: str = "") -> str:
    """`asyncio_proto[py3.12,NAME=VALUE]`; the row's name alone when nothing sets it apart."""
    parts = [python] if python else []
    parts += [f"{name}={value}" for name, value in env]
    return f"{func}[{','.join(parts)}]" if parts else func


@dataclass(frozen=True, slots=True)
class HostPort:
    """Where a load server listens. host: name or address, IPv6 without its brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> "HostPort":
        """Read `HOST:PORT`, `[IPv6]:PORT` or a host alone (port 33331). Raises UsageError."""
        host, colon, port = text.rpartition(":")
        if text.endswith("]") or not colon:
            host, port = text, str(DEFAULT_PORT)
        bracketed = host.startswith("[") and host.endswith("]")
        bad_host = (
            host in ("", "[]") or (":" in host and not bracketed) or any(c.isspace() for c in host)
        )
        if bad_host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
            raise UsageError(f"{text!r} is not an address: write HOST:PORT or [IPV6]:PORT")
        return cls(host[1:-1] if bracketed else host, int(port))


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """All that an invocation measures: every row at every number of connections, R times.

    func: what finds each row, in the order asked for, aliases resolved.  all_rows: all were asked
    for.
    seed: of the order of cells inside each round.  server: None starts an embedded one.
    bind: the worker's address; None is the local address of the control connection.
    cpu, server_cpus, server_threads: None leaves the choice to placement.  pin: whether to pin.
    skip_impossible: leave out what this machine cannot run, instead of refusing it all.
    id: ties the sections of one results file that belong together.
    rate: pings per second, each a cell of its own; empty for the closed loop.  rate_auto: sweep
    the rate instead.  engine, timestamps: as in `Cell`.  env_sets: every row runs also with each.
    busy_poll_us: how long the load server looks for echoes before it sleeps; None leaves the choice
    to placement.
    pythons: every row runs under each; empty for the driver's own. Programs run once.
    """

    func: tuple[str, ...]
    conns: tuple[int, ...]
    msize: int
    runtime_ns: int
    warmup_ns: int
    think_us: tuple[int, int]
    rounds: int
    seed: int
    server: HostPort | None
    bind: str | None
    server_threads: int | None
    cpu: int | None
    server_cpus: tuple[int, ...] | None
    pin: bool
    all_rows: bool
    skip_impossible: bool
    id: str
    rate: tuple[int, ...] = ()
    rate_auto: bool = False
    engine: str | None = None
    timestamps: str | None = None
    busy_poll_us: int | None = None
    env_sets: tuple[EnvSet, ...] = ()
    pythons: tuple[Interpreter, ...] = ()

    @property
    def open_loop(self) -> bool:
        """Whether pings keep a schedule instead of following the echo before."""
        return self.rate_auto or bool(self.rate)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell, rows outermost, each under every interpreter, and there first as it is and
        then with each set of variables.

        A sweep of rates is one cell here: which rates it has is known when it has run.
        """
        return tuple(
            Cell(
                func=func,
                conns=conns,
                msize=self.msize,
                runtime_ns=self.runtime_ns,
                warmup_ns=self.warmup_ns,
                think_us=self.think_us,
                rate_per_s=rate,
                rate_auto=self.rate_auto,
                engine=self.engine,
                timestamps=self.timestamps,
                env=env,
                python=python,
            )
            for func in self.func
            for python in self._pythons_of(func)
            for env in ((), *self.env_sets)
            for conns in self.conns
            for rate in (self.rate or (0,))
        )

    def _pythons_of(self, func: str) -> tuple[Interpreter | None, ...]:
        return (None,) if backends.find(func).command else (self.pythons or (None,))

    @classmethod
    def from_options(cls, options: Mapping[str, Any], names: Callable[[str], str]) -> "Campaign":
        """The campaign that options describe.

        options: some of OPTIONS -> text, number, flag or list of those.  names: option -> what an
        error message calls it (`--conns`).  Raises UsageError.
        """
        read = _Reader(options, names)
        func, all_rows = read.all("func", _rows)
        rate, rate_auto = read("rate", _rates, None) or ((), False)
        campaign = cls(
            func=func,
            all_rows=all_rows,
            conns=read("conns", _counts(1, MAX_CONNS)),
            msize=read("msize", _count(1, MAX_MSIZE), 64),
            runtime_ns=read("runtime", _time(NS_PER_MS, MAX_TIME_NS), "30s"),
            warmup_ns=read("warmup", _time(0, MAX_TIME_NS), "1s"),
            think_us=read("think", _think, "0"),
            rounds=read("rounds", _count(1, 1_000_000), 1),
            seed=read("seed", _count(0, 2**63 - 1), int.from_bytes(os.urandom(4), "big")),
            server=read("server", HostPort.parse, None),
            bind=read("bind", _bind, None),
            server_threads=read("server_threads", _count(1, 64), None),
            cpu=read("cpu", _count(0, 4095), None),
            server_cpus=read("server_cpus", parse_cpus, None),
            pin=not read("no_pin", _flag, False),
            skip_impossible=read("skip_impossible", _flag, False),
            id=os.urandom(8).hex(),
            rate=rate,
            rate_auto=rate_auto,
            engine=read("engine", _one_of(ENGINES), None),
            timestamps=read("timestamps", _one_of(TIMESTAMPS), None),
            busy_poll_us=read("busy_poll", _busy_poll, None),
            env_sets=tuple(dict.fromkeys(read.each("env", parse_env))),
            pythons=read.all_given("python", identify),
        )
        _check_together(campaign, names)
        return campaign

    def to_record(self) -> dict[str, Any]:
        """The campaign as the header line of a results file holds it."""
        record = dataclasses.asdict(self)
        record["runtime_s"] = record.pop("runtime_ns") / NS_PER_S
        record["warmup_s"] = record.pop("warmup_ns") / NS_PER_S
        record["server"] = None if self.server is None else str(self.server)
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Campaign":
        """The inverse of `to_record`; unknown keys are ignored. Raises ResultFormatError."""
        try:
            values = {f.name: record[f.name] for f in dataclasses.fields(cls) if f.name in record}
            values["runtime_ns"] = round(record["runtime_s"] * NS_PER_S)
            values["warmup_ns"] = round(record["warmup_s"] * NS_PER_S)
            for name in ("func", "conns", "think_us", "server_cpus"):
                values[name] = None if values[name] is None else tuple(values[name])
            values["rate"] = tuple(values.get("rate", ()))
            values.setdefault("busy_poll_us", 0)  # there was none before it was recorded
            values["env_sets"] = tuple(
                tuple((str(name), str(value)) for name, value in env)
                for env in values.get("env_sets", ())
            )
            values["pythons"] = tuple(Interpreter(**one) for one in values.get("pythons", ()))
            if values["server"] is not None:
                values["server"] = HostPort.parse(values["server"])
            return cls(**values)
        except (KeyError, TypeError, ValueError, AttributeError, UsageError) as exc:
            raise ResultFormatError(f"not the record of a campaign: {exc!r}") from exc


OPTIONS = frozenset(
    {"func", "conns", "msize", "runtime", "warmup", "think", "rounds", "seed"}
    | {"server", "bind", "server_threads", "cpu", "server_cpus", "no_pin", "skip_impossible"}
    | {"rate", "engine", "timestamps", "busy_poll", "env", "python"}
)
_EXAMPLES = {"func": "asyncio_proto,c_epoll", "conns": "100,1k"}
_NEEDED = object()
_PROGRAM = re.compile(r"(?:^|(?<=,))\s*(?:[\w.+-]+=)?exec:")


class _Reader:
    """Looks options up and names the one that is wrong."""

    def __init__(self, options: Mapping[str, Any], names: Callable[[str], str]) -> None:
        self._options = options
        self._names = names

    def __call__(self, key: str, parse: Callable[[str], Any], default: Any = _NEEDED) -> Any:
        value = self._options.get(key, default)
        name = self._names(key)
        if value is _NEEDED:
            raise UsageError(f"{name} is missing, for example {name} {_EXAMPLES[key]}")
        if value is None:
            return None
        try:
            return parse(_as_text(value))
        except UsageError as exc:
            raise UsageError(f"{name}: {exc}") from exc

    def all(self, key: str, parse: Callable[[list[str]], Any]) -> Any:
        """An option that must be given and may be several times: all its texts at once."""
        self(key, str)
        return self.all_given(key, parse)

    def all_given(self, key: str, parse: Callable[[list[str]], Any]) -> Any:
        """An option that may be given several times: all its texts at once."""
        values = self._options.get(key, [])
        try:
            return parse([_as_text(v) for v in (values if isinstance(values, list) else [values])])
        except UsageError as exc:
            raise UsageError(f"{self._names(key)}: {exc}") from exc

    def each(self, key: str, parse: Callable[[str], Any]) -> list[Any]:
        """An option that may be given several times: a text or a list of them."""
        values = self._options.get(key, [])
        try:
            texts = values if isinstance(values, list) else [values]
            return [parse(_as_text(value)) for value in texts]
        except UsageError as exc:
            raise UsageError(f"{self._names(key)}: {exc}") from exc


def _as_text(value: Any) -> str:
    """What a person would have written on the command line for a value from a campaign file."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(_as_text(item) for item in value)
    if isinstance(value, str | int | float):
        return str(value)
    raise UsageError(f"{value!r} is neither text nor a number nor a list of those")


def _flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise UsageError(f"{text!r} is neither true nor false")
    return text == "true"


def _rows(texts: Sequence[str]) -> tuple[tuple[str, ...], bool]:
    """Rows as `backends.find` takes them, each once; `all` is every row of ours.

    Returns what finds them again, and whether all were asked for.
    """
    words = [word for text in texts for word in _split_rows(text)]
    everything = "all" in words
    ours = list(backends.ROWS) if everything else []
    rows = [backends.find(word) for word in [*ours, *(word for word in words if word != "all")]]
    named: dict[str, str] = {}
    for row in rows:
        if named.setdefault(row.name, row.asked_for_as) != row.asked_for_as:
            raise UsageError(
                f"two rows would be called {row.name!r}: "
                f"write one of them as NAME={row.asked_for_as}"
            )
    return tuple(named.values()), everything


def _split_rows(text: str) -> list[str]:
    """The words between commas; a program's command takes all the rest, commas and all."""
    match = _PROGRAM.search(text)
    if match is None:
        return split_list(text)
    before = text[: match.start()].removesuffix(",")
    return [*(split_list(before) if match.start() else []), text[match.start() :].lstrip()]


def _within(value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise UsageError(f"{value} is out of range: {low} to {high}")
    return value


def _count(low: int, high: int) -> Callable[[str], int]:
    return lambda text: _within(parse_count(text), low, high)


def _counts(low: int, high: int) -> Callable[[str], tuple[int, ...]]:
    return lambda text: unique(_within(n, low, high) for n in parse_counts(text))


def _rates(text: str) -> tuple[tuple[int, ...], bool]:
    """Rates in pings per second, or `auto`; returns them and whether it was that."""
    if text.strip() == "auto":
        return (), True
    try:
        return _counts(1, MAX_RATE)(text), False
    except UsageError as exc:
        raise UsageError(f"{exc} (or auto)") from exc


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise UsageError(f"{text!r} is not one of: {' '.join(words)}")
        return text

    return parse


_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=([^\0]*)", re.DOTALL)


def parse_env(text: str) -> EnvSet:
    """`NAME=VALUE[,NAME=VALUE]`. A value may have commas, as long as no NAME= follows one.

    Raises UsageError for anything else and for a name that comes twice.
    """
    found: list[tuple[str, str]] = []
    for word in re.split(r",(?=[A-Za-z_][A-Za-z0-9_]*=)", text):
        match = _VARIABLE.fullmatch(word)
        if match is None:
            raise UsageError(f"{word!r} is not a variable: write NAME=VALUE[,NAME=VALUE]")
        if match[1] in dict(found):
            raise UsageError(f"{match[1]} comes twice")
        found.append((match[1], match[2]))
    return tuple(found)


def _time(low_ns: int, high_ns: int) -> Callable[[str], int]:
    """A parser of durations that are whole milliseconds, as the protocol sends them."""

    def parse(text: str) -> int:
        value = parse_duration_ns(text)
        if not low_ns <= value <= high_ns:
            limits = f"{format_duration(low_ns)} to {format_duration(high_ns)}"
            raise UsageError(f"{text} is out of range: {limits}")
        if value % NS_PER_MS:
            raise UsageError(f"{text} is not a whole number of milliseconds")
        return value

    return parse


def _think(text: str) -> tuple[int, int]:
    """`MIN:MAX`, or one time for both, as microseconds."""
    low, colon, high = text.partition(":")
    times = [parse_duration_ns(low), parse_duration_ns(high if colon else low)]
    if times[0] > times[1]:
        raise UsageError(f"the shortest think time, {low}, is above the longest, {high}")
    if times[1] > MAX_THINK_NS:
        raise UsageError(f"{high or low} is above the longest think time, 1000s")
    if any(time % NS_PER_US for time in times):
        raise UsageError(f"{text} is not a whole number of microseconds")
    return times[0] // NS_PER_US, times[1] // NS_PER_US


def _busy_poll(text: str) -> int | None:
    """A time in whole microseconds, or `auto`, which is None."""
    if text.strip() == "auto":
        return None
    try:
        value = parse_duration_ns(text)
    except UsageError as exc:
        raise UsageError(f"{exc} (or auto)") from exc
    if value > MAX_BUSY_POLL_NS:
        raise UsageError(f"{text} is out of range: 0 to {format_duration(MAX_BUSY_POLL_NS)}")
    if value % NS_PER_US:
        raise UsageError(f"{text} is not a whole number of microseconds")
    return value // NS_PER_US


def _bind(text: str) -> str:
    """A numeric address of this machine; the load server is told to connect to it."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a numeric IPv4 or IPv6 address") from None
    if address.is_unspecified:
        raise UsageError(f"{text} is no address to connect to: give one address of this machine")
    return str(address)


def _check_together(campaign: Campaign, names: Callable[[str], str]) -> None:
    """Options that are each right but not together."""
    if not campaign.pin:
        for key in ("cpu", "server_cpus"):
            if getattr(campaign, key) is not None:
                raise UsageError(f"{names(key)} and {names('no_pin')} exclude each other")
    if campaign.open_loop and campaign.think_us[1]:
        raise UsageError(
            f"{names('rate')} and {names('think')} exclude each other: a rate is a schedule"
        )
    if campaign.timestamps is not None and campaign.engine not in (None, "epoll"):
        raise UsageError(
            f"{names('timestamps')} {campaign.timestamps}: the engine {campaign.engine} cannot;"
            f" only {names('engine')} epoll can"
        )
    if campaign.server is not None and campaign.server_cpus is not None:
        raise UsageError(
            f"{names('server_cpus')} pins the embedded load server; with {names('server')}"
            " start that server with --cpus"
        )
