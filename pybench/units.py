"""Durations and counts as people write them: `30s`, `500ms`, `20us`, `10k`, `10,1k,10000`.

Text to integers and back; every error is a UsageError of one line that shows the text.
"""

import re
from collections.abc import Iterable
from decimal import Decimal

from pybench.errors import UsageError

NS_PER_US = 1_000
NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000

_UNITS_NS = {
    "us": NS_PER_US,
    "ms": NS_PER_MS,
    "s": NS_PER_S,
    "": NS_PER_S,
    "m": 60 * NS_PER_S,
    "min": 60 * NS_PER_S,
    "h": 3600 * NS_PER_S,
}
_THOUSANDS = {"": 1, "k": 1000, "K": 1000, "M": 1_000_000, "G": 1_000_000_000}
_BINARY = {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 1000, "mb": 1_000_000, "b": 1}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|min|s|m|h|)", re.ASCII)
_COUNT = re.compile(r"(\d+(?:\.\d+)?(?:[eE]\+?\d{1,2})?)([kKMG]?)", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmg]i?b|b)", re.ASCII | re.IGNORECASE)


LONGEST_NUMBER = 100
"""Characters; Python does not print numbers of thousands, and nobody would read them."""


def _shortened(text: str) -> str:
    return text if len(text) < LONGEST_NUMBER else f"{text[:20]}..."


def printable(text: str) -> str:
    """A text from a file of others' for a terminal: characters that would command it are escaped.

    Lone surrogates too, which stand for bytes of a path that is no UTF-8: streams would escape them
    in the same way, and fonts and files have nothing for them.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def parse_duration_ns(text: str) -> int:
    """A duration in ns: a number and a unit of `us ms s m h`; a bare number is seconds.

    text: `30s`, `1.5s`, `500ms`, `20us`, `2m` (minutes, as `2min`), `30`.
    Raises UsageError for anything else, negative and sub-nanosecond values included.
    """
    match = _DURATION.fullmatch(text.strip()) if len(text) < LONGEST_NUMBER else None
    if match is None:
        raise UsageError(f"{_shortened(text)!r} is not a duration: write 30s, 500ms, 20us or 2m")
    value = Decimal(match[1]) * _UNITS_NS[match[2]]
    if value != int(value):
        raise UsageError(f"{text!r} is finer than a nanosecond")
    return int(value)


def parse_count(text: str) -> int:
    """A whole number >= 0: `100`, `1e4`, or in thousands `10k` or `10K`, in millions `1M`.

    Raises UsageError for anything else.
    """
    match = _COUNT.fullmatch(text.strip()) if len(text) < LONGEST_NUMBER else None
    value = Decimal(match[1]) * _THOUSANDS[match[2]] if match else None
    if value is None or value != int(value):
        raise UsageError(f"{_shortened(text)!r} is not a count: write 100, 1k, 1M or 10000")
    return int(value)


def parse_size(text: str) -> int:
    """Bytes: a count, in which k is 1000, or with a unit of its own, `64KiB` (65536) or `64kB`.

    Raises UsageError for anything else.
    """
    match = _SIZE.fullmatch(text.strip()) if len(text) < LONGEST_NUMBER else None
    if match is None:
        try:
            return parse_count(text)
        except UsageError:
            raise UsageError(
                f"{_shortened(text)!r} is not a size: write 64, 64k (64000) or 64KiB"
            ) from None
    unit = match[2].lower()
    value = Decimal(match[1]) * (1_000_000_000 if unit == "gb" else _BINARY[unit])
    if value != int(value):
        raise UsageError(f"{text!r} is not a whole number of bytes")
    return int(value)


def parse_counts(text: str) -> tuple[int, ...]:
    """Counts with commas between them, each once, in the order given: `10,1k,10000`.

    Raises UsageError for an empty list or a bad count.
    """
    return unique(parse_count(word) for word in split_list(text))


def split_list(text: str) -> list[str]:
    """The words of a list with commas between them; raises UsageError when one is empty."""
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise UsageError(f"{text!r} is not a list: write one or more words, commas between them")
    return words


def parse_cpus(text: str) -> tuple[int, ...]:
    """CPU numbers as in taskset: `1`, `1,3`, `2-5,8`; sorted, each once.

    Raises UsageError for anything else.
    """
    cpus: set[int] = set()
    for word in split_list(text):
        low, dash, high = word.partition("-")
        try:
            first, last = int(low), int(high if dash else low)
        except ValueError:
            first, last = 0, -1
        if not 0 <= first <= last < 4096:
            raise UsageError(f"{text!r} is not a list of CPUs: write 1,3 or 2-5")
        cpus.update(range(first, last + 1))
    return tuple(sorted(cpus))


def unique(values: Iterable[int]) -> tuple[int, ...]:
    """The values in their first order, duplicates left out."""
    return tuple(dict.fromkeys(values))


def format_duration(duration_ns: int) -> str:
    """The shortest text that `parse_duration_ns` reads back as the same value: `30s`, `1500ms`."""
    for unit in ("s", "ms", "us"):
        if duration_ns % _UNITS_NS[unit] == 0:
            return f"{duration_ns // _UNITS_NS[unit]}{unit}"
    return f"{Decimal(duration_ns) / NS_PER_US}us"


def count_label(count: int) -> str:
    """`10`, `316`, `1k`, `2.5k`, `31k`: thousands where that is exact, the digits where not."""
    if count >= 1000 and count % 100 == 0:
        return f"{count // 1000}k" if count % 1000 == 0 else f"{count / 1000:.1f}k"
    return str(count)
