"""How a number is written for a person: counts, rates, times, shares. The same in every format."""

from typing import Final

MISSING: Final = "---"

_TIME_UNITS: Final = ((1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us"), (1, "ns"))


def rate_text(per_second: float) -> str:
    """Two significant digits, as in the report of 2016: `18k`, `290k`, `7.7k`, `850`, `1.2M`."""
    value = float(f"{per_second:.1e}")
    if value >= 1e6:
        return f"{value / 1e6:.1f}M" if value < 1e7 else f"{value / 1e6:.0f}M"
    if value >= 1e3:
        return f"{value / 1e3:.1f}k" if value < 1e4 else f"{value / 1e3:.0f}k"
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def megabytes_text(per_second: float) -> str:
    """Two significant digits below 100, whole numbers above: `0.64`, `3.2`, `46`, `5123`."""
    return f"{per_second:.0f}" if per_second >= 9.95 else f"{float(f'{per_second:.2g}'):g}"


def duration_text(ns: float) -> str:
    """Two digits or three, with their unit: `850 ns`, `8.4 us`, `46 us`, `352 ms`, `1.2 s`."""
    for position, (size, unit) in enumerate(_TIME_UNITS):
        value = ns / size
        if value >= 0.9995 or unit == "ns":
            if position and value >= 999.5:  # 999.7 us would be written `1000 us`
                return f"1.0 {_TIME_UNITS[position - 1][1]}"
            return f"{value:.1f} {unit}" if value < 9.95 and unit != "ns" else f"{value:.0f} {unit}"
    raise AssertionError("the last unit takes every value")


def plain_text(value: float) -> str:
    """A number without a unit: one decimal below 10 unless it is whole, none above."""
    return f"{value:.1f}" if abs(value) < 9.95 and value != int(value) else f"{value:.0f}"


def share_text(percent: float) -> str:
    """A share in percent, one decimal below 9.95: `0.4`, `35`; what is less than 0.05 is `0.0`."""
    return f"{percent:.1f}" if percent < 9.95 else f"{percent:.0f}"


def ratio_text(ratio: float) -> str:
    """A ratio with two decimals below 9.95, one below 99.5, else none."""
    if ratio < 9.95:
        return f"{ratio:.2f}"
    return f"{ratio:.1f}" if ratio < 99.5 else f"{ratio:.0f}"


def size_text(kib: float) -> str:
    """A size given in KiB: `4.2 KiB`, `131 KiB`, `7.4 MiB`."""
    if abs(kib) < 0.05:
        return "0.0 KiB"  # and not -0.0
    if kib >= 1023.5:
        mib = kib / 1024
        return f"{mib:.1f} MiB" if mib < 9.95 else f"{mib:.0f} MiB"
    return f"{kib:.1f} KiB" if kib < 9.95 else f"{kib:.0f} KiB"


def sentence_case(text: str) -> str:
    """The text with its first letter in upper case and the rest as it is."""
    return text[:1].upper() + text[1:]


def letters(index: int) -> str:
    """a, b, ..., z, aa, ab, ...: the mark of the index-th stamp, from 0."""
    text = ""
    index += 1
    while index:
        index, rest = divmod(index - 1, 26)
        text = chr(ord("a") + rest) + text
    return text
