"""Reads the raw result files of the 2016 experiment: YAML blocks of one connection count each.

A block has `workers` (connections), `msize`, `runtime`, `timeout`, `server`, `bind_addr` and
`data`, one record per row: `func messages ctime utime stime lat_50 lat_95 msg_5perc msg_95perc`.
Its latencies are strings such as `106us`, `2ms` or `>1s`: the last one is a lower bound.
Needs PyYAML. What becomes of the figures is decided in `pybench/report`.
"""

import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pybench.errors import ResultFormatError, UsageError
from pybench.result.file import open_text

_DURATION = re.compile(r"\s*(>?)\s*(\d+(?:\.\d+)?)\s*(ns|us|ms|s)\s*")
_UNIT_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
MOST = 10**15
"""No figure of the experiment is near it; beyond, what is calculated with it overflows."""
_WRONG = (TypeError, ValueError, AttributeError, OverflowError)
"""What a value of another kind than expected raises."""


@dataclass(frozen=True, slots=True)
class LegacyTime:
    """A time as it was printed. at_least: the true one is ns or more (`>1s`)."""

    ns: int
    at_least: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LegacyRound:
    """One record of a 2016 file.

    server, bind: `host:port` of load server and client.  ctime_s: the time that `messages` took;
    utime_s, stime_s: CPU time of the client in it.  lat_*, msg_*: None where the file has none;
    msg_*perc: messages per connection.
    place: block and record in the file, from 1; of a copy of a block, those of the first one.
    """

    func: str
    conns: int
    msize: int
    server: str
    bind: str
    runtime_s: float
    ctime_s: float
    messages: int
    utime_s: float
    stime_s: float
    lat_50: LegacyTime | None = None
    lat_95: LegacyTime | None = None
    msg_5perc: float | None = None
    msg_95perc: float | None = None
    place: tuple[int, int]


def parse_time(text: str) -> LegacyTime:
    """The time behind `106us`, `2ms`, `1s` or `>1s`. Raises ValueError for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a time such as 106us, 2ms or >1s")
    ns = float(match[2]) * _UNIT_NS[match[3]]
    if ns > MOST:
        raise ValueError(f"{match[0][:40]} is too long a time")
    return LegacyTime(round(ns), match[1] == ">")


def read_legacy(path: Path) -> list[LegacyRound]:
    """All records of a 2016 result file, in the file's order.

    Raises UsageError when PyYAML is missing, ResultFormatError (file, block, record) when the file
    is not of this format.
    """
    try:
        import yaml
    except ImportError as exc:
        raise UsageError(f"report {path}: pyyaml is not installed (pip install pyyaml)") from exc
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        with open_text(path) as file:
            blocks = yaml.load(file.read().decode("utf-8-sig"), Loader=loader)
    except (OSError, EOFError, zlib.error) as exc:
        raise ResultFormatError(f"{path}: {getattr(exc, 'strerror', None) or exc}") from exc
    except (yaml.YAMLError, UnicodeDecodeError) as exc:
        reason = " ".join(str(exc).split())
        raise ResultFormatError(
            f"{path}: neither result lines nor YAML: {_clipped(reason)}"
        ) from exc
    except (ValueError, RecursionError) as exc:  # a date such as 2001-99-99; a thousand brackets
        raise ResultFormatError(f"{path}: neither result lines nor YAML: {_clipped(exc)}") from exc
    if not isinstance(blocks, list):
        raise ResultFormatError(f"{path}: neither result lines nor a list of 2016 blocks")
    rounds: list[LegacyRound] = []
    firsts: dict[str, int] = {}
    for number, block in enumerate(blocks, 1):
        first = firsts.setdefault(repr(block), number)  # files are joined by hand
        rounds += _read_block(block, first, f"{path}: block {number}")
    return rounds


def _read_block(block: Any, place: int, where: str) -> list[LegacyRound]:
    """The records of one block. place: its number, or that of the one it is a copy of.

    where: what an error message begins with.
    """
    try:
        if int(block.get("timeout", 0)) != 0:
            raise ValueError("timeout is not 0: its unit is not known, so it cannot be reported")
        common = {
            "conns": _whole(block, "workers", 1),
            "msize": _whole(block, "msize", 1),
            "server": _text(block["server"]),
            "bind": _text(block.get("bind_addr", "")),
            "runtime_s": _figure(block, "runtime"),
        }
        records = list(block["data"])
    except KeyError as exc:
        raise ResultFormatError(f"{where}: no {exc.args[0]!r}") from exc
    except _WRONG as exc:
        raise ResultFormatError(f"{where}: {_clipped(exc)}") from exc
    rounds = []
    for number, record in enumerate(records, 1):
        try:
            rounds.append(_read_record(record, {**common, "place": (place, number)}))
        except KeyError as exc:
            raise ResultFormatError(f"{where}, record {number}: no {exc.args[0]!r}") from exc
        except _WRONG as exc:
            raise ResultFormatError(f"{where}, record {number}: {_clipped(exc)}") from exc
    return rounds


def _read_record(record: Any, common: dict[str, Any]) -> LegacyRound:
    ctime_s, messages = _figure(record, "ctime"), _whole(record, "messages", 0)
    if ctime_s <= 0:
        raise ValueError(f"{messages} messages in {ctime_s} s is no measurement")
    return LegacyRound(
        func=_text(record["func"]),
        ctime_s=ctime_s,
        messages=messages,
        utime_s=_figure(record, "utime"),
        stime_s=_figure(record, "stime"),
        lat_50=_optional_time(record.get("lat_50")),
        lat_95=_optional_time(record.get("lat_95")),
        msg_5perc=_optional_figure(record, "msg_5perc"),
        msg_95perc=_optional_figure(record, "msg_95perc"),
        **common,
    )


def _whole(values: Any, key: str, least: int) -> int:
    """A count: no fraction of one, and none beyond what a file of results may have."""
    number = int(values[key])
    if not least <= number <= MOST:
        raise ValueError(f"{key}: {_clipped(number)} is out of range: {least} to {MOST}")
    return number


def _figure(values: Any, key: str) -> float:
    """A figure that can be calculated with. YAML has .nan and .inf too."""
    figure = float(values[key])
    if not 0 <= figure <= MOST:
        raise ValueError(f"{key}: {figure} is out of range: 0 to {MOST}")
    return figure


def _optional_figure(values: Any, key: str) -> float | None:
    return None if values.get(key) is None else _figure(values, key)


def _text(value: Any) -> str:
    """A name. What a few lines of YAML refer to again and again may be endless when written out."""
    if isinstance(value, dict | list | set | tuple):
        raise ValueError(f"a {type(value).__name__} is no name")
    return str(value)


def _clipped(what: object) -> str:
    """What is wrong as one line, however much of the file it repeats."""
    try:
        text = " ".join(str(what).split())
    except ValueError:  # of so many digits that Python does not write them
        return "a huge number"
    return text if len(text) <= 200 else f"{text[:200]}..."


def _optional_time(value: Any) -> LegacyTime | None:
    return None if value is None else parse_time(_text(value))
