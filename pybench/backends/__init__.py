"""The registry of rows: what can be measured, where its code is, and why a row cannot run here.

Nothing is imported for a row before `load`: a missing library makes one row unavailable, and the
worker of one row does not carry the libraries of the others.
"""

import difflib
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import cast

from pybench.backends.base import Serve
from pybench.errors import UsageError

__all__ = ["ALIASES", "ROWS", "Row", "Serve", "find", "load", "unavailable"]


@dataclass(frozen=True, slots=True)
class Row:
    """One way of serving connections, as it is listed.

    family: groups rows in reports: C, asyncio, uvloop, gevent, threads or selectors.
    target: `module:callable`, a `Serve`.
    requires: the import name that must be there, or None.
    extra: the extra of this package that installs it, or None.
    """

    name: str
    description: str
    family: str
    target: str
    requires: str | None = None
    extra: str | None = None


def _uvloop(name: str, description: str, function: str) -> Row:
    return Row(
        name, description, "uvloop", f"pybench.backends.uvloop_rows:{function}", "uvloop", "uvloop"
    )


def _extension(name: str, description: str, family: str, target: str) -> Row:
    module = "rawselect" if name == "raw_selector" else name
    return Row(name, description, family, target, f"pybench.{module}")


ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        Row(
            "asyncio",
            "asyncio streams: await reader.read, writer.write, await writer.drain",
            "asyncio",
            "pybench.backends.asyncio_streams:serve",
        ),
        Row(
            "asyncio_proto",
            "asyncio.Protocol: data_received writes to its transport",
            "asyncio",
            "pybench.backends.asyncio_proto:serve",
        ),
        Row(
            "asyncio_sock",
            "asyncio over sockets: await loop.sock_recv, await loop.sock_sendall",
            "asyncio",
            "pybench.backends.asyncio_sock:serve",
        ),
        _uvloop("uvloop", "the code of asyncio on uvloop's loop", "serve_streams"),
        _uvloop("uvloop_proto", "the code of asyncio_proto on uvloop's loop", "serve_proto"),
        _uvloop("uvloop_sock", "the code of asyncio_sock on uvloop's loop", "serve_sock"),
        Row(
            "gevent",
            "one greenlet per connection, blocking style on gevent sockets",
            "gevent",
            "pybench.backends.gevent_row:serve",
            "gevent",
            "gevent",
        ),
        Row(
            "selector",
            "one thread, selectors.DefaultSelector with a callback per connection",
            "selectors",
            "pybench.backends.selector:serve",
        ),
        Row(
            "thread",
            "one threading.Thread per connection, blocking recv and sendall",
            "threads",
            "pybench.backends.thread:serve",
        ),
        _extension(
            "c_epoll",
            "C: one thread, level-triggered epoll, GIL released",
            "C",
            "pybench.backends.c_rows:serve_epoll",
        ),
        _extension(
            "c_poll",
            "C: one thread, poll(2), GIL released",
            "C",
            "pybench.backends.c_rows:serve_poll",
        ),
        _extension(
            "c_th",
            "C: one POSIX thread per connection, small stacks, GIL released",
            "C",
            "pybench.backends.c_rows:serve_th",
        ),
        _extension(
            "c_uring",
            "C: one thread, io_uring, GIL released",
            "C",
            "pybench.backends.c_rows:serve_uring",
        ),
        _extension(
            "raw_selector",
            "Python loop over pybench.rawselect: epoll, recv and send without socket objects",
            "selectors",
            "pybench.backends.raw_selector:serve",
        ),
    )
}
"""Every row by its name, in the order in which they are listed."""

ALIASES = {"cpp_epoll": "c_epoll", "cpp_poll": "c_poll", "cpp_th": "c_th"}
"""The 2016 report's names of the C rows."""


def find(name: str) -> Row:
    """The row of that name or alias.

    Raises UsageError, with the names that come near, when there is none.
    """
    row = ROWS.get(ALIASES.get(name, name))
    if row is not None:
        return row
    near = difflib.get_close_matches(name, [*ROWS, *ALIASES], n=3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise UsageError(f"no row is called {name!r}: {hint}`pybench --list` shows them all")


def unavailable(row: Row) -> str | None:
    """Why a row cannot run here and what adds it, or None when it can."""
    if row.requires is None or find_spec(row.requires) is not None:
        return None
    if row.extra is not None:
        return f"{row.requires}: not installed (pip install pybench[{row.extra}])"
    needs = "liburing-dev and a C compiler" if row.name == "c_uring" else "a C compiler"
    return (
        f"{row.requires}: extension not built for this Python "
        f"(pip install . in the source tree builds it; that needs {needs})"
    )


def load(row: Row) -> Serve:
    """Import a row's library and return its callable.

    Raises UsageError with the reason when the row is unavailable or its library does not import.
    """
    reason = unavailable(row)
    if reason is not None:
        raise UsageError(reason)
    module, _, attribute = row.target.partition(":")
    try:
        return cast(Serve, getattr(import_module(module), attribute))
    except ImportError as error:
        raise UsageError(f"{row.name}: cannot be imported: {error}") from error
