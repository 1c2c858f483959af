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
    return LegacyTime(round(float(match[2]) * _UNIT_NS[match[3]]), match[1] == ">")


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
        raise ResultFormatError(f"{path}: neither result lines nor YAML: {reason}") from exc
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
            "conns": int(block["workers"]),
            "msize": int(block["msize"]),
            "server": str(block["server"]),
            "bind": str(block.get("bind_addr", "")),
            "runtime_s": float(block["runtime"]),
        }
        records = list(block["data"])
    except KeyError as exc:
        raise ResultFormatError(f"{where}: no {exc.args[0]!r}") from exc
    except (TypeError, ValueError, AttributeError) as exc:
        raise ResultFormatError(f"{where}: {exc}") from exc
    rounds = []
    for number, record in enumerate(records, 1):
        try:
            rounds.append(_read_record(record, {**common, "place": (place, number)}))
        except KeyError as exc:
            raise ResultFormatError(f"{where}, record {number}: no {exc.args[0]!r}") from exc
        except (TypeError, ValueError, AttributeError) as exc:
            raise ResultFormatError(f"{where}, record {number}: {exc}") from exc
    return rounds


def _read_record(record: Any, common: dict[str, Any]) -> LegacyRound:
    ctime_s, messages = float(record["ctime"]), int(record["messages"])
    if ctime_s <= 0 or messages < 0:
        raise ValueError(f"{messages} messages in {ctime_s} s is no measurement")
    low, high = record.get("msg_5perc"), record.get("msg_95perc")
    return LegacyRound(
        func=str(record["func"]),
        ctime_s=ctime_s,
        messages=messages,
        utime_s=float(record["utime"]),
        stime_s=float(record["stime"]),
        lat_50=_optional_time(record.get("lat_50")),
        lat_95=_optional_time(record.get("lat_95")),
        msg_5perc=None if low is None else float(low),
        msg_95perc=None if high is None else float(high),
        **common,
    )


def _optional_time(value: Any) -> LegacyTime | None:
    return None if value is None else parse_time(str(value))
