"""The texts of options into values, and back where a value is not its own text.

Each parser takes what a person wrote and raises UsageError with the text in it; `options` says
which option it belongs to.
"""

import ipaddress
import re
from collections.abc import Callable, Sequence

from pybench import backends
from pybench.backends import Row
from pybench.backends.plugins import split_name
from pybench.errors import UsageError
from pybench.spec.address import HostPort
from pybench.units import (
    NS_PER_MS,
    NS_PER_S,
    NS_PER_US,
    format_duration,
    parse_count,
    parse_counts,
    parse_duration_ns,
    parse_size,
    split_list,
    unique,
)

MAX_THINK_NS = 1000 * NS_PER_S
MAX_RATE = 1_000_000_000
MAX_BUSY_POLL_NS = NS_PER_S

EnvSet = tuple[tuple[str, str], ...]
"""Variables of an environment with their values, in the order given."""

_SHARE = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(%?)", re.ASCII)
_FRACTION = re.compile(r"\d*\.\d+", re.ASCII)
_PROGRAM = re.compile(r"(?:^|(?<=,))\s*(?:[\w.+-]+=)?exec:")


def rows(texts: Sequence[str]) -> tuple[tuple[Row, ...], bool]:
    """Rows as `backends.find` takes them, each once; `all` is every row of ours.

    Returns the rows, and whether all were asked for.
    """
    words = [word for text in texts for word in _split_rows(text)]
    everything = "all" in words
    ours = list(backends.ROWS) if everything else []
    found = [backends.find(word) for word in [*ours, *(word for word in words if word != "all")]]
    named: dict[str, Row] = {}
    for row in found:
        if named.setdefault(row.name, row).asked_for_as != row.asked_for_as:
            raise UsageError(
                f"two rows would be called {row.name!r}: "
                f"write one of them as NAME={split_name(row.asked_for_as)[1]}"
            )
    return tuple(named.values()), everything


def _split_rows(text: str) -> list[str]:
    """The words between commas; a program's command takes all the rest, commas and all."""
    match = _PROGRAM.search(text)
    if match is None:
        return split_list(text)
    before = text[: match.start()].removesuffix(",")
    return [*(split_list(before) if match.start() else []), text[match.start() :].lstrip()]


def flag(text: str) -> bool:
    """Whether it is set, as campaign files say it."""
    if text not in ("true", "false"):
        raise UsageError(f"{text!r} is neither true nor false")
    return text == "true"


def no_flag(text: str) -> bool:
    """The opposite: for a value that a flag switches off."""
    return not flag(text)


def _within(value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise UsageError(f"{value} is out of range: {low} to {high}")
    return value


def count(low: int, high: int) -> Callable[[str], int]:
    return lambda text: _within(parse_count(text), low, high)


def sizes(low: int, high: int) -> Callable[[str], tuple[int, ...]]:
    """A parser of sizes in bytes with commas between them, each once: `64,1k,64KiB`."""
    return lambda text: unique(_within(parse_size(w), low, high) for w in split_list(text))


def counts(low: int, high: int) -> Callable[[str], tuple[int, ...]]:
    return lambda text: unique(_within(n, low, high) for n in parse_counts(text))


def rates(text: str) -> tuple[tuple[int, ...], bool]:
    """Rates in pings per second, or `auto`; returns them and whether it was that."""
    if text.strip() == "auto":
        return (), True
    if any(_FRACTION.fullmatch(word.strip()) for word in text.split(",")):
        raise UsageError(
            f"{text!r}: a rate is a whole number of pings/s, 1 or more, over all connections;"
            " --think makes longer pauses"
        )
    try:
        return counts(1, MAX_RATE)(text), False
    except UsageError as exc:
        raise UsageError(f"{exc} (or auto)") from exc


def percent(low: float, high: float) -> Callable[[str], float]:
    """A parser of shares: `3%`, or `0.03`."""

    def parse(text: str) -> float:
        match = _SHARE.fullmatch(text.strip())
        if match is None:
            raise UsageError(f"{text!r} is not a share: write 3% or 0.03")
        value = float(match[1]) / (100 if match[2] else 1)
        if not low <= value <= high:
            raise UsageError(f"{text} is out of range: {100 * low:g}% to {100 * high:g}%")
        return value

    return parse


def one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise UsageError(f"{text!r} is not one of: {' '.join(words)}")
        return text

    return parse


def words_of(words: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """A parser of some of these words with commas between them, each once: `tcp,tls`."""
    return lambda text: tuple(dict.fromkeys(one_of(words)(word) for word in split_list(text)))


def env_sets(texts: Sequence[str]) -> tuple[EnvSet, ...]:
    """Each set of variables once, in the order given."""
    return tuple(dict.fromkeys(map(parse_env, texts)))


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


def servers(text: str) -> tuple[HostPort, tuple[HostPort, ...]]:
    """`HOST:PORT`, or several with commas between; returns the first, and the others."""
    first, *others = map(HostPort.parse, split_list(text))
    for place, one in enumerate(others, 1):
        if one in (first, *others[: place - 1]):
            raise UsageError(f"{one} comes twice: a load server does one test at a time")
    return first, tuple(others)


_SCHEDULER = re.compile(r"(tcp|tls|ws|wss)://[^\s/]+:\d{1,5}")


def scheduler(text: str) -> str:
    """The address of a Dask scheduler, as Dask writes it."""
    if not _SCHEDULER.fullmatch(text):
        raise UsageError(f"{text!r} is no scheduler of Dask: write tcp://HOST:8786")
    return text


def bind_address(text: str) -> str:
    """A numeric address of this machine; the load server is told to connect to it."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a numeric IPv4 or IPv6 address") from None
    if address.is_unspecified:
        raise UsageError(f"{text} is no address to connect to: give one address of this machine")
    return str(address)
