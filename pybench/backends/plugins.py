"""Rows that are not ours: how they are written on the command line, and what others install.

    package.module:callable          a backend in a module
    path/to/file.py:callable         a backend in a file
    asyncio_proto@rloop:new_event_loop    one of our asyncio rows on another event loop
    exec:'./my-echo --port {port}'   a program in any language
    NAME=...                         any of them, or a row, under a name of its own

Nothing is imported here: that is for the worker, where it can do no harm to the campaign.
"""

import os
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from pybench.backends.distributions import found_elsewhere
from pybench.backends.row import Row
from pybench.errors import UsageError

GROUP = "pybench.backends"
"""The entry point group; an entry's name is the row's, its value `module:callable`."""

PROGRAM_PREFIX = "exec:"
LOOP_FAMILY = "other loops"
PLUGIN_FAMILY = "plug-ins"
PROGRAM_FAMILY = "programs"

_NAME = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.+-]*)=(.+)", re.DOTALL)
_DOTTED = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_IN_MODULE = re.compile(rf"{_DOTTED}:{_DOTTED}")
_IN_FILE = re.compile(rf"(.*\.py):({_DOTTED})", re.DOTALL)
_PLACEHOLDERS = ("port", "host", "conns", "msize")


def split_name(text: str) -> tuple[str, str]:
    """`NAME=SPEC` as its two parts; the name is empty when there is none."""
    match = _NAME.fullmatch(text)
    return (match[1], match[2]) if match else ("", text)


def parse(spec: str, rows: Mapping[str, Row]) -> Row | None:
    """The row that a spec without a name describes; None when it is none of these forms.

    rows: ours, for the form with `@`.  Raises UsageError for a form that is not complete.
    """
    if spec.startswith(PROGRAM_PREFIX):
        return _program(spec)
    if "@" in spec:
        return _on_other_loop(spec, rows)
    if match := _IN_FILE.fullmatch(spec):
        path = Path(match[1])
        target = f"{path.absolute()}:{match[2]}"
        name = f"{_shown(path.name)}:{match[2]}"
        return Row(name, f"{match[2]} in {path}", PLUGIN_FAMILY, target, spec=spec)
    if _IN_MODULE.fullmatch(spec):
        module, _, name = spec.partition(":")
        return Row(spec, f"{name} in {module}", PLUGIN_FAMILY, spec, spec=spec)
    if ":" in spec:
        raise UsageError(
            f"{spec!r} is not a backend: write module:callable, file.py:callable, "
            "ROW@module:loop_factory or exec:'COMMAND --port {port}'"
        )
    return None


def _program(spec: str) -> Row:
    command = spec.removeprefix(PROGRAM_PREFIX)
    try:
        words = program_words(command, dict.fromkeys(_PLACEHOLDERS, ""))
    except ValueError as exc:
        raise UsageError(f"{spec!r}: {exc}") from exc
    if "{port}" not in command:
        raise UsageError(f"{spec!r} does not say where {{port}} goes, the port to listen on")
    name = f"{PROGRAM_PREFIX}{_shown(Path(words[0]).name)}"
    return Row(
        name, command, PROGRAM_FAMILY, "", command=command, spec=spec,
        no_unix="a program listens on the TCP port that it is given",
        no_tls="a program is given no certificate",
    )  # fmt: skip


def _shown(text: str) -> str:
    """The text with bytes that are no UTF-8 as their numbers: a row's name goes everywhere."""
    return text.encode("utf-8", "backslashreplace").decode()


def program_words(command: str, values: Mapping[str, object]) -> list[str]:
    """The command as the words to execute, no shell between.

    values: for `{port}`, `{host}`, `{conns}` and `{msize}`; other braces stay as they are.
    Raises ValueError when there is no word or a quote is not closed.
    """
    words = shlex.split(command)
    if not words:
        raise ValueError("there is no command")
    pattern = re.compile(r"\{(" + "|".join(_PLACEHOLDERS) + r")\}")
    return [pattern.sub(lambda match: str(values[match[1]]), word) for word in words]


def _on_other_loop(spec: str, rows: Mapping[str, Row]) -> Row:
    name, _, factory = spec.partition("@")
    able = [row.name for row in rows.values() if row.family == "asyncio"]
    if name not in able:
        raise UsageError(f"{spec!r}: only these rows take another loop: {' '.join(able)}")
    if not _IN_MODULE.fullmatch(factory):
        raise UsageError(f"{spec!r} does not name a loop factory: write {name}@module:callable")
    module = factory.partition(":")[0]
    return replace(
        rows[name],
        name=f"{name}@{module}",
        description=f"the code of {name} on a loop of {factory}",
        family=LOOP_FAMILY,
        requires=module.partition(".")[0],
        loop=factory,
        spec=spec,
    )


@cache
def installed() -> tuple[Row, ...]:
    """The rows that installed distributions bring, by name."""
    if not any(map(_may_have_rows, sys.path)) and not found_elsewhere():
        return ()
    from importlib.metadata import entry_points

    found = {}
    for entry in sorted(entry_points(group=GROUP)):
        source = f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else ""
        found[entry.name] = Row(
            entry.name, entry.value, PLUGIN_FAMILY, entry.value.partition("[")[0].strip(),
            source=source,
        )  # fmt: skip
    return tuple(found.values())


def _may_have_rows(place: str) -> bool:
    """Whether a distribution in this entry of sys.path may bring rows.

    importlib.metadata is asked only where it may, for to import it takes four times the CPU time
    of starting Python, in every worker. What is not understood here counts as "may".
    """
    try:
        names = os.listdir(place or ".")  # noqa: PTH208 - pathlib costs what is to be saved
    except FileNotFoundError:
        return False
    except OSError:  # a zip file
        return True
    infos = [name for name in names if name.endswith((".dist-info", ".egg-info"))]
    return any(_names_group(os.path.join(place, name)) for name in [*infos, "EGG-INFO"])  # noqa: PTH118


def _names_group(folder: str) -> bool:
    try:
        with open(os.path.join(folder, "entry_points.txt"), "rb") as file:  # noqa: PTH118, PTH123
            return GROUP.encode() in file.read()
    except (FileNotFoundError, NotADirectoryError):  # no entry points; a single file has none
        return False
    except OSError:
        return True
