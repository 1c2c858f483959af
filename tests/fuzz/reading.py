"""What the targets that read files share: inputs out of bytes, and what an error may look like.

An input of libFuzzer is the file itself, or, when it begins with EDITS, the choices by which a good
document is spoiled: so that what lies behind the parser is reached as well.
"""

import contextlib
import io
import json
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris

from pybench.cli import main
from pybench.errors import PybenchError
from tests.support import ROOT

EDITS = b"\xff"
LINE_MAX = 4000  # characters of an error: what is in the file is cut before it is shown
FORMATS = ("table", "json", "csv", "markdown")
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**53 + 1, 2**63, 2**64, -(2**70), 10**400),
    *(0.0, -0.5, 1e-320, 1e308, float("nan"), float("inf")),
    *("", " ", "0", "x", "a\nb", "\0", "\x1b[2J", "\udc80", "\u202e", "9" * 400, "ok", "1e999"),
    *([], [[]], {}, {"": 0}, {"1": 1}, [None] * 3),
)


class Choices:
    """Bytes as a source of decisions; when they are used up every one is the first."""

    def __init__(self, data: bytes) -> None:
        self._data = iter(data)

    def below(self, count: int) -> int:
        """0 to count - 1."""
        drawn = next(self._data, 0)
        return (drawn << 8 | next(self._data, 0)) % count if count > 256 else drawn % count

    def __bool__(self) -> bool:
        return self.below(2) == 1


def edited(document: Any, choices: Choices) -> Any:
    """A good document with one to eight odd places."""
    for _ in range(1 + choices.below(8)):
        document = _edit(document, choices)
    return document


def _edit(value: Any, choices: Choices) -> Any:
    """Somewhere in the value: another one, one less, or one twice."""
    if not isinstance(value, dict | list) or not value or not choices.below(6):
        return ODD[choices.below(len(ODD))]
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[choices.below(len(keys))]
    changed = value.copy()
    match choices.below(8):
        case 0:
            del changed[key]
        case 1 if isinstance(changed, list):
            changed.insert(key, changed[key])
        case 1 if isinstance(changed, dict):
            changed[str(ODD[choices.below(len(ODD))])[:500]] = changed[key]
        case _:
            changed[key] = _edit(value[key], choices)
    return changed


def text_of(data: bytes, good: Any, written: Callable[[Any], str]) -> bytes:
    """What stands in the file. good: a document to be spoiled.  written: how it becomes text."""
    if not data.startswith(EDITS):
        return data
    return written(edited(good, Choices(data[1:]))).encode("utf-8", "surrogatepass")


def as_lines(records: Any) -> str:
    """A JSON text a line."""
    return "\n".join(map(json.dumps, records if isinstance(records, list) else [records])) + "\n"


def check_clean(message: str, names: str) -> None:
    """An error is one line, can be printed, is not endless, and says where it is."""
    assert all(letter.isprintable() or _is_lone(letter) for letter in message), repr(message)
    assert len(message) <= LINE_MAX, len(message)
    assert names in message, message


def _is_lone(letter: str) -> bool:
    """A surrogate: it stands for a byte that is no UTF-8, and is escaped when it is printed."""
    return "\ud800" <= letter <= "\udfff"


def check_report(path: Path, data: bytes) -> None:
    """`pybench report` ends with a status and words of its own, whatever is in the file.

    It takes a hundred times as long as reading does: one input in eight is reported.
    """
    chosen = zlib.crc32(data)
    if chosen % 8:
        return
    out, err = io.StringIO(), io.StringIO()
    words = ["report", str(path), "--format", FORMATS[chosen // 8 % len(FORMATS)]]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(words)
    assert status in (0, 1, 2), status
    errors = [line for line in err.getvalue().split("\n") if line.startswith("pybench: error:")]
    assert status == 0 or errors, err.getvalue()
    for line in errors:
        check_clean(line, str(path))


class Scratch:
    """One file that is written anew for each input. libFuzzer leaves no time to remove it."""

    def __init__(self, name: str) -> None:
        self.path = ROOT / "build" / "fuzz" / f"{name}-input"
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def holding(self, text: bytes) -> Path:
        """The file, which now holds that text."""
        self.path.write_bytes(text)
        return self.path


def expect(errors: type[PybenchError], read: Callable[[], Any], names: str) -> Any:
    """What read() returns, or None after one of the errors that it may raise."""
    try:
        return read()
    except errors as exc:
        check_clean(str(exc), names)
        return None


def fuzz(target: Callable[[bytes], None]) -> None:
    """Run the target under libFuzzer, with the options of the command line."""
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()
