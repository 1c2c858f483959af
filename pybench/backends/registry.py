"""The registry of rows: what can be measured, where its code is, and why a row cannot run here.

Nothing is imported for a row before `load`: a missing library makes one row unavailable, and the
worker of one row does not carry the libraries of the others.
"""

import sys
from dataclasses import replace

from pybench.backends import plugins
from pybench.backends.row import Row
from pybench.errors import UsageError

# A stack and its guard page; from 3.11 on the interpreter maps memory for its frames besides.
MAPPINGS_PER_THREAD = 3 if sys.version_info >= (3, 11) else 2

_MODULES = {"asyncio": "asyncio_streams"}
_NO_TLS_OF_SOCKETS = "an event loop's sock_recv and sock_sendall know no TLS"
_NO_TLS_OF_C = "of the rows in C only c_epoll knows TLS"
_AIOFASTNET = "pybench.backends.rows.aiofastnet:new_event_loop"
_AIOFASTNET_UVLOOP = "pybench.backends.rows.aiofastnet_uvloop:new_event_loop"


def _on_loop(name: str, like: str, library: str, family: str, loop: str = "") -> Row:
    """A row that is one of our asyncio rows on the loop of a library, an extra of that name.

    loop: `module:callable` that makes it; the library's `new_event_loop` unless told.
    """
    return Row(
        name,
        f"the code of {like} on {library}'s loop",
        family,
        f"pybench.backends.rows.{_MODULES.get(like, like)}:serve",
        library,
        library,
        loop=loop or f"{library}:new_event_loop",
        no_tls=_NO_TLS_OF_SOCKETS if like == "asyncio_sock" else "",
    )


def _on_loop_thrice(
    library: str,
    loop: str = "",
    *,
    since_minor: int = 10,
    glibc_minor: int | None = None,
    no_unix: str = "",
) -> tuple[Row, ...]:
    """Streams, protocols and sockets on the loop of a library of today.

    since_minor: the first Python that its wheels are built for, of those that we run on.
    no_unix: why its servers, as in the first two, serve no Unix socket.
    """
    rows = (
        replace(
            _on_loop(f"{library}{way}", f"asyncio{way}", library, "other loops", loop),
            no_unix="" if way == "_sock" else no_unix,
        )
        for way in ("", "_proto", "_sock")
    )
    return tuple(replace(row, since_minor=since_minor, glibc_minor=glibc_minor) for row in rows)


def _aiofastnet_on_uvloop(name: str, like: str) -> Row:
    row = _on_loop(name, like, "aiofastnet", "other loops", _AIOFASTNET_UVLOOP)
    description = f"the code of {like} on uvloop's loop with aiofastnet's transports"
    return replace(row, description=description, runs_on="uvloop")


def _of(library: str, name: str, family: str, description: str, serve: str = "serve") -> Row:
    """A row on a library's own ways, an extra of its name."""
    target = f"pybench.backends.rows.{library}:{serve}"
    return Row(name, description, family, target, library, library)


def _extension(
    name: str, description: str, family: str, target: str, built_with: str = "a C compiler"
) -> Row:
    module = "rawselect" if name == "raw_selector" else name
    return Row(name, description, family, target, f"pybench.{module}", built_with=built_with)


def _threaded(row: Row) -> Row:
    """A row with a Python thread for each connection."""
    return replace(row, threads_per_conn=1, mappings_per_conn=MAPPINGS_PER_THREAD)


ROWS: dict[str, Row] = {
    row.name: row
    for row in (
        Row(
            "asyncio",
            "asyncio streams: await reader.read, writer.write, await writer.drain",
            "asyncio",
            "pybench.backends.rows.asyncio_streams:serve",
        ),
        Row(
            "asyncio_proto",
            "asyncio.Protocol: data_received writes to its transport",
            "asyncio",
            "pybench.backends.rows.asyncio_proto:serve",
        ),
        Row(
            "asyncio_sock",
            "asyncio over sockets: await loop.sock_recv, await loop.sock_sendall",
            "asyncio",
            "pybench.backends.rows.asyncio_sock:serve",
            no_tls=_NO_TLS_OF_SOCKETS,
        ),
        _on_loop("uvloop", "asyncio", "uvloop", "uvloop"),
        _on_loop("uvloop_proto", "asyncio_proto", "uvloop", "uvloop"),
        _on_loop("uvloop_sock", "asyncio_sock", "uvloop", "uvloop"),
        _of(
            "gevent",
            "gevent",
            "greenlets",
            "one greenlet per connection, blocking style on gevent sockets",
        ),
        Row(
            "selector",
            "one thread, selectors.DefaultSelector with a callback per connection",
            "selectors",
            "pybench.backends.rows.selector:serve",
            no_tls="its callbacks are of plain sockets: a selector knows no TLS",
        ),
        _threaded(
            Row(
                "thread",
                "one threading.Thread per connection, blocking recv and sendall",
                "threads",
                "pybench.backends.rows.thread:serve",
            )
        ),
        replace(
            _extension(
                "c_epoll",
                "C: one thread, level-triggered epoll, GIL released",
                "C",
                "pybench.backends.rows.c:serve_epoll",
            ),
            tls_needs="pybench.c_epoll_tls",
            tls_remedy="pip install . in the source tree builds it; that needs libssl-dev",
        ),
        replace(
            _extension(
                "c_poll",
                "C: one thread, poll(2), GIL released",
                "C",
                "pybench.backends.rows.c:serve_poll",
            ),
            no_tls=_NO_TLS_OF_C,
        ),
        replace(
            _extension(
                "c_th",
                "C: one POSIX thread per connection, small stacks, GIL released",
                "C",
                "pybench.backends.rows.c:serve_th",
            ),
            threads_per_conn=1,  # their stacks share one mapping
            own_tables=True,
            no_tls=_NO_TLS_OF_C,
        ),
        replace(
            _extension(
                "c_uring",
                "C: one thread, io_uring, GIL released",
                "C",
                "pybench.backends.rows.c:serve_uring",
                built_with="liburing-dev and a C compiler",
            ),
            own_tables=True,
            no_tls=_NO_TLS_OF_C,
        ),
        replace(
            _extension(
                "raw_selector",
                "Python loop over pybench.rawselect: epoll, recv and send without socket objects",
                "selectors",
                "pybench.backends.rows.raw_selector:serve",
            ),
            no_tls="rawselect reads and writes descriptors, and knows no TLS",
        ),
        Row(
            "asyncio_buffered",
            "asyncio.BufferedProtocol: the loop receives into the connection's own buffer",
            "asyncio",
            "pybench.backends.rows.asyncio_buffered:serve",
        ),
        Row(
            "asyncio_eager",
            "the code of asyncio with eager tasks, which run at once until they first wait",
            "asyncio",
            "pybench.backends.rows.asyncio_eager:serve",
            since_minor=12,
        ),
        _on_loop("uvloop_buffered", "asyncio_buffered", "uvloop", "uvloop"),
        *(
            replace(
                _on_loop(name, like, "rloop", "other loops"),
                no_unix="rloop's create_unix_server is not implemented",
                no_tls="rloop's servers know no TLS: create_server raises NotImplementedError",
            )
            for name, like in (("rloop", "asyncio"), ("rloop_proto", "asyncio_proto"))
        ),
        _on_loop("rloop_sock", "asyncio_sock", "rloop", "other loops"),
        _on_loop("aiofastnet", "asyncio", "aiofastnet", "other loops", _AIOFASTNET),
        _on_loop("aiofastnet_proto", "asyncio_proto", "aiofastnet", "other loops", _AIOFASTNET),
        _on_loop(
            "aiofastnet_buffered", "asyncio_buffered", "aiofastnet", "other loops", _AIOFASTNET
        ),
        _aiofastnet_on_uvloop("aiofastnet_uvloop", "asyncio"),
        _aiofastnet_on_uvloop("aiofastnet_uvloop_proto", "asyncio_proto"),
        _aiofastnet_on_uvloop("aiofastnet_uvloop_buffered", "asyncio_buffered"),
        *_on_loop_thrice("loopmini", since_minor=11),
        *_on_loop_thrice(
            "blazio", since_minor=12, no_unix="blazio's create_unix_server is not implemented"
        ),
        *_on_loop_thrice(
            "talyn",
            "talyn:Loop",
            since_minor=13,
            glibc_minor=36,
            no_unix="talyn's create_unix_server takes no socket that listens already",
        ),
        *_on_loop_thrice("zuvloop", since_minor=14),
        *_on_loop_thrice("rsloop", glibc_minor=39),
        _of("trio", "trio", "trio", "one task per connection in a nursery, SocketStream"),
        _of("anyio", "anyio", "trio", "one task per connection in a task group, on asyncio"),
        replace(
            _of("anyio", "anyio_uvloop", "trio", "the code of anyio on asyncio's tasks and uvloop"),
            loop="uvloop:new_event_loop",
            runs_on="uvloop",
        ),
        replace(
            _of("anyio", "anyio_trio", "trio", "the code of anyio on trio", "serve_on_trio"),
            runs_on="trio",
        ),
        replace(
            _of("curio", "curio", "trio", "one task per connection in a task group"),
            until_minor=11,
        ),
        replace(
            _of("twisted", "twisted", "frameworks", "a Protocol per connection, epoll reactor"),
            tls_needs="OpenSSL",
            tls_remedy="pip install pyopenssl",
            one_loop="a process has one reactor of twisted's",
        ),
        _of("tornado", "tornado", "frameworks", "TCPServer, a coroutine per IOStream"),
        _of(
            "eventlet",
            "eventlet",
            "greenlets",
            "one green thread per connection, blocking style on green sockets",
        ),
        _threaded(
            Row(
                "socketserver",
                "socketserver.ThreadingTCPServer: a thread and a handler per connection",
                "threads",
                "pybench.backends.rows.socketserver:serve",
            )
        ),
    )
}
"""Every row by its name, in the order in which they are listed."""

ALIASES = {"cpp_epoll": "c_epoll", "cpp_poll": "c_poll", "cpp_th": "c_th"}
"""The 2016 report's names of the C rows."""


def find(text: str) -> Row:
    """The row that a text names: ours, an alias, an installed plug-in's, or as `plugins` says.

    Raises UsageError, with the names that come near, when there is none.
    """
    name, spec = plugins.split_name(text)
    row = _find(spec)
    if not name:
        return row
    if name in ROWS or name in ALIASES:
        raise UsageError(f"{text!r}: {name} is the name of a row already")
    return replace(row, name=name, spec=text)


def _find(spec: str) -> Row:
    others = {row.name: row for row in plugins.installed()}
    row = ROWS.get(ALIASES.get(spec, spec)) or others.get(spec) or plugins.parse(spec, ROWS)
    if row is not None:
        return row
    import difflib

    near = difflib.get_close_matches(spec, [*ROWS, *ALIASES, *others], n=3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise UsageError(f"no row is called {spec!r}: {hint}`pybench --list` shows them all")
