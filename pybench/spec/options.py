"""Every option of a campaign, from the text of a person to the value that a campaign holds.

The command line and campaign files give text, numbers, flags or lists of those; an error names the
option as it was given.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pybench import backends
from pybench.errors import UsageError
from pybench.spec.cell import EnvSet
from pybench.units import (
    NS_PER_MS,
    NS_PER_S,
    NS_PER_US,
    format_duration,
    parse_count,
    parse_counts,
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
ENGINES = ("epoll", "uring")
TIMESTAMPS = ("kernel",)

OPTIONS = frozenset(
    {"func", "conns", "msize", "runtime", "warmup", "think", "rounds", "seed"}
    | {"server", "bind", "server_threads", "cpu", "server_cpus", "no_pin", "skip_impossible"}
    | {"rate", "engine", "timestamps", "busy_poll", "env", "python"}
)
_EXAMPLES = {"func": "asyncio_proto,c_epoll", "conns": "100,1k"}
_NEEDED = object()
_PROGRAM = re.compile(r"(?:^|(?<=,))\s*(?:[\w.+-]+=)?exec:")


class Reader:
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


def flag(text: str) -> bool:
    if text not in ("true", "false"):
        raise UsageError(f"{text!r} is neither true nor false")
    return text == "true"


def rows(texts: Sequence[str]) -> tuple[tuple[str, ...], bool]:
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


def count(low: int, high: int) -> Callable[[str], int]:
    return lambda text: _within(parse_count(text), low, high)


def counts(low: int, high: int) -> Callable[[str], tuple[int, ...]]:
    return lambda text: unique(_within(n, low, high) for n in parse_counts(text))


def rates(text: str) -> tuple[tuple[int, ...], bool]:
    """Rates in pings per second, or `auto`; returns them and whether it was that."""
    if text.strip() == "auto":
        return (), True
    try:
        return counts(1, MAX_RATE)(text), False
    except UsageError as exc:
        raise UsageError(f"{exc} (or auto)") from exc


def one_of(words: tuple[str, ...]) -> Callable[[str], str]:
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


def time(low_ns: int, high_ns: int) -> Callable[[str], int]:
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


def think(text: str) -> tuple[int, int]:
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


def busy_poll(text: str) -> int | None:
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


def bind_address(text: str) -> str:
    """A numeric address of this machine; the load server is told to connect to it."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a numeric IPv4 or IPv6 address") from None
    if address.is_unspecified:
        raise UsageError(f"{text} is no address to connect to: give one address of this machine")
    return str(address)
