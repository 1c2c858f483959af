"""What a function was given, where its type is not what is written there: one line, no TypeError
from the depth."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pybench.errors import UsageError
from pybench.spec.parse import percent


def path_of(called: str, value: Any) -> Path:
    """A path. called: the function, for the message.  Raises UsageError for what is none."""
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str) or not text or "\0" in text:
        raise UsageError(f"{called}: {value!r} is no path: a text, or a pathlib.Path")
    return Path(text)


def text_of(called: str, value: Any) -> str | None:
    """A name; None where there is none. Raises UsageError."""
    if value is None or isinstance(value, str):
        return value
    raise UsageError(f"{called}: {value!r} is no text")


def words_of(called: str, value: Any) -> str | None:
    """Names with commas between them, of such a text or a list; None where there is none.

    Raises UsageError.
    """
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        words = list(value)
        if words and all(isinstance(word, str) for word in words):
            return ",".join(words)
    return text_of(called, value)


def share_of(called: str, value: Any, least: float, most: float) -> float:
    """A share, given as `0.03` or `"3%"`. Raises UsageError."""
    try:
        if isinstance(value, str):
            return percent(least, most)(value)
        if not isinstance(value, bool) and least <= value <= most:
            return float(value)
    except UsageError as exc:
        raise UsageError(f"{called}: {exc}") from exc
    except TypeError:  # it cannot be compared with a number
        pass
    raise UsageError(f"{called} {value!r} is no share: 0.03 or '3%', from {least:g} to {most:g}")
