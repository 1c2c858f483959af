"""Keywords into options, and back into signatures and help: the table is `spec/options.py`.

A keyword is named as the option is in a campaign file, and takes what a campaign file takes: text
as on the command line, or a number, a flag, a list of those. Times without a unit are seconds.
"""

import difflib
import inspect
import numbers
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeVar

from pybench.api.given import path_of
from pybench.backends import Row
from pybench.driver.order import Order, read_order
from pybench.errors import UsageError
from pybench.spec import OPTIONS, Campaign, HostPort, Option
from pybench.spec.race import ELSEWHERE, FACTORS, RACE_OPTIONS, SHARED, Race

ROWS: Final = "func"
"""The option that is no keyword: rows come first."""

OF_RUN: Final[Mapping[str, Option]] = {
    name: option for name, option in OPTIONS.items() if name != ROWS
}
OF_MEASURE: Final[Mapping[str, Option]] = {
    name: option for name, option in OF_RUN.items() if name not in ("rounds", "skip_impossible")
}
OF_RACE: Final[Mapping[str, Option]] = {
    **{name: OPTIONS[name] for name in (*SHARED, *ELSEWHERE)},
    "conns": replace(OPTIONS["conns"], default="100", example=""),
    **{name: OPTIONS[name] for name in FACTORS},
    **RACE_OPTIONS,
}

RowLike = str | Row | Callable[..., Any]
"""A row as `--func` takes it, or a function that serves: one that a worker can import."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


def takes(options: Mapping[str, Option]) -> Callable[[_Function], _Function]:
    """A decorator: the function's `**options` are these, each in its signature and its help."""

    def decorate(function: _Function) -> _Function:
        own = inspect.signature(function)
        kept = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        more = [
            inspect.Parameter(
                name, inspect.Parameter.KEYWORD_ONLY, default=_default(option), annotation=Any
            )
            for name, option in options.items()
        ]
        function.__signature__ = own.replace(parameters=[*kept, *more])  # type: ignore[attr-defined]
        lines = ["Options, as on the command line:", ""]
        lines += [f"    {name}: {_help(option)}" for name, option in options.items()]
        doc = inspect.cleandoc(function.__doc__ or "")
        function.__doc__ = "\n".join([doc, "", *lines])
        return function

    return decorate


def _default(option: Option) -> Any:
    if option.example:
        return inspect.Parameter.empty
    return False if option.flag else option.default


def _help(option: Option) -> str:
    default = f" (default {option.default})" if option.default and not option.flag else ""
    text = f"{option.help}{default}"
    return textwrap.fill(text, 88, initial_indent="", subsequent_indent=" " * 8)


def campaign_of(
    called: str,
    rows: RowLike | Iterable[RowLike],
    given: Mapping[str, Any],
    known: Mapping[str, Option],
) -> Campaign:
    """The campaign that a call describes.

    called: the function, for messages.  known: the options that it has.  Raises UsageError.
    """
    values = {ROWS: row_texts(called, rows), **_values(called, given, known)}
    return Campaign.from_options(values, lambda name: _called(called, name))


def order_of(
    called: str,
    rows: RowLike | Iterable[RowLike] | None,
    given: Mapping[str, Any],
    known: Mapping[str, Option],
    **own: Any,
) -> Order:
    """What a call is to do. known: the options that it has.  own: `campaign`, `resume`, `races` and
    `output`, as far as it has them; None is as if it were not given.  Raises UsageError.
    """
    values = _values(called, given, known)
    values |= {name: _value(value) for name, value in own.items() if value is not None}
    for name in values.keys() & {"campaign", "resume", "output"}:
        values[name] = str(path_of(_called(called, name), values[name]))
    if rows is not None:
        values[ROWS] = row_texts(called, rows)
    return read_order(values, lambda name: _called(called, name))


def race_of(called: str, rows: Sequence[RowLike], given: Mapping[str, Any]) -> Race:
    """The race that a call describes. Raises UsageError."""
    values = _values(called, given, OF_RACE)
    for name in values.keys() & set(FACTORS):  # a list of those is read as one text
        one = values[name]
        values[name] = ",".join(map(str, one)) if isinstance(one, list) else str(one)
    words = row_texts(called, rows)
    return Race.from_options(words, values, lambda name: _called(called, name))


def _called(called: str, name: str) -> str:
    """What messages call an option."""
    return f"{called}: {'rows' if name in (ROWS, 'ROW') else name}"


def _values(called: str, given: Mapping[str, Any], known: Mapping[str, Option]) -> dict[str, Any]:
    """What was given, as the table takes it; None is as if it were not.

    Raises UsageError for a name that is none.
    """
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f", did you mean {near[0]}?" if near else ""
            raise UsageError(f"{called}: no option {name!r} ({' '.join(known)}){hint}")
    return {name: _value(value) for name, value in given.items() if value is not None}


def _value(value: Any) -> Any:
    """A value of Python as a campaign file would have it."""
    if isinstance(value, Mapping):  # variables
        return ",".join(f"{name}={text}" for name, text in value.items())
    if isinstance(value, HostPort | Path):
        return str(value)
    if isinstance(value, bool | str):
        return value
    if isinstance(value, numbers.Integral):  # numpy's too
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, Iterable):
        return [_value(one) for one in value]
    return value


def row_texts(called: str, rows: RowLike | Iterable[RowLike]) -> list[str]:
    """Rows as `--func` takes them. Raises UsageError for what a worker could not find."""
    if isinstance(rows, str | Row) or callable(rows):
        rows = [rows]
    elif not isinstance(rows, Iterable):
        raise UsageError(f"{called}: rows: {rows!r} is no row: a name, or a function that serves")
    return [_row_text(called, row) for row in rows]


def _row_text(called: str, row: RowLike) -> str:
    if isinstance(row, str):
        return row
    if isinstance(row, Row):
        return row.asked_for_as
    module, name = getattr(row, "__module__", None), getattr(row, "__qualname__", "")
    if not callable(row) or module is None or not name:
        raise UsageError(f"{called}: rows: {row!r} is no row: a name, or a function that serves")
    if not all(part.isidentifier() for part in name.split(".")):
        raise UsageError(
            f"{called}: rows: a worker cannot import {name}: define it at the top of its module"
        )
    if module != "__main__":
        return f"{module}:{name}"
    import __main__

    file = getattr(__main__, "__file__", None)
    if file is None:
        raise UsageError(
            f"{called}: rows: a worker cannot import {name} from here: write it into a file"
            f" (in a notebook %%writefile echo.py), and name it 'echo.py:{name}'"
        )
    return f"{Path(file).resolve()}:{name}"
