"""JSON to records and back; what is wrong is one line that names the key.

    latency_ns.p99: expected int, got str
    histogram: key: expected int, got str
    per_conn.jain: missing

Two ways lead in. The fast one takes what JSON is. The slow one takes what Python's `json` module
takes besides: a byte order mark, and lone surrogates, which stand for bytes of a path or an
argument that are no UTF-8. It also has the better words for what is no JSON at all.
"""

import json
import math
import os
import re
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from pybench.errors import ResultFormatError
from pybench.result.inputs import open_input
from pybench.result.types import SCHEMA

T = TypeVar("T")

_MESSAGE: Final = re.compile(r"(?P<what>.*?)(?: - at (?P<key>`key` in )?`\$\.?(?P<path>[^`]*)`)?")
_MISSING: Final = re.compile(r"Object missing required field `(.*)`")


class NotJsonError(ResultFormatError):
    """The text is no JSON; it may have been torn."""


def decode(data: bytes, kind: type[T]) -> T:
    """The record in a text. Keys that are not known are ignored: they are newer than we.

    Raises ResultFormatError, NotJsonError among them, when it is none of that kind.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as exc:
        raise ResultFormatError(_explain(str(exc))) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return _decode_slowly(data, kind)


def _decode_slowly(data: bytes, kind: type[T]) -> T:
    """As `decode`, by Python's own reader; numbers that are not finite become NaN."""
    infinite: list[str] = []

    def number(text: str) -> float:
        if math.isfinite(value := float(text)):
            return value
        infinite.append(text)
        return math.nan

    if data.startswith(b"\0"):  # which json would take for a sign of UTF-32
        raise NotJsonError("zero bytes, as a machine that crashed leaves them")
    try:
        value = json.loads(data, parse_constant=number, parse_float=number)
    except RecursionError:
        raise NotJsonError("not JSON: nested too deeply") from None
    except ValueError as exc:
        raise NotJsonError(f"not JSON: {exc}") from None
    try:
        return convert(value, kind)
    except ResultFormatError as exc:
        if not infinite:
            raise
        raise ResultFormatError(f"{exc} (JSON has no {infinite[0]})") from None


def convert(value: object, kind: type[T], where: str = "") -> T:
    """The record in what a JSON reader made of it. where: the key that held it.

    Raises ResultFormatError.
    """
    try:
        return msgspec.convert(value, kind, str_keys=True)
    except msgspec.ValidationError as exc:
        raise ResultFormatError(_explain(str(exc), where)) from None
    except (UnicodeError, RecursionError) as exc:
        raise ResultFormatError(f"{where or 'record'}: {exc}") from None


def _explain(message: str, where: str = "") -> str:
    """msgspec's words (`Expected `int`, got `str` - at `$.latency_ns.p99``), the key first."""
    match = _MESSAGE.fullmatch(message)
    if match is None:
        return message
    what, path = match["what"], ".".join(filter(None, (where, match["path"])))
    if missing := _MISSING.fullmatch(what):
        what, path = "missing", f"{path}.{missing[1]}" if path else missing[1]
    elif match["key"]:
        path += ": key"
    what = what.replace("`", "").replace("enum ", "")
    what = what[0].lower() + what[1:]
    return f"{path}: {what}" if path else what


def encode(record: Any) -> str:
    """A record, or anything made of records and plain values, as JSON in one line."""
    try:
        return msgspec.json.encode(record).decode()
    except UnicodeEncodeError:  # a lone surrogate: JSON can escape it, UTF-8 has no bytes for it
        return json.dumps(msgspec.to_builtins(record, str_keys=True), separators=(",", ":"))


class _Schema(msgspec.Struct):
    schema: Any


def check_schema(number: object) -> None:
    """Raise ResultFormatError when a record is not of the schema that this version reads."""
    if number != SCHEMA:
        raise ResultFormatError(f"schema {number!r} is not {SCHEMA}, which this version reads")


def read_document(path: Path, kind: type[T]) -> T:
    """The record that is a whole file.

    Raises OSError when it cannot be read, ResultFormatError with the key when it is something else.
    """
    with open_input(path) as file:
        data = file.read()
    check_schema(decode(data, _Schema).schema)
    return decode(data, kind)


def write_document(path: Path, record: msgspec.Struct) -> None:
    """Write the record as a whole file, to be read by people too. Raises OSError.

    A file that is there is replaced when the new one is complete: a full disk does not take it.
    """
    text = msgspec.json.format(encode(record), indent=1) + "\n"
    if path.exists() and not path.is_file():  # a device or a pipe
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
        return
    whole = Path(os.path.realpath(path))  # behind a link
    fresh = whole.with_name(f"{whole.name}.{os.getpid()}")
    try:
        fresh.write_text(text, encoding="utf-8", errors="backslashreplace")
        fresh.replace(whole)
    except PermissionError:  # the folder is not ours; the file may be
        fresh.unlink(missing_ok=True)
        whole.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
