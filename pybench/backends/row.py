"""What a row is. The registry is `registry.py`; rows of others come from `plugins.py`."""

from dataclasses import dataclass
from typing import Final

TRANSPORTS: Final = ("tcp", "unix", "tls")
"""What connections are made of: TCP, Unix sockets of this machine, TLS 1.3 on TCP."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way of serving connections, as it is listed.

    name: as tables show it.  family: groups rows in reports.
    target: `module:callable` or `/path/file.py:callable`, a `Serve`; empty for a program.
    requires: the import name that must be there, or None.
    extra: the distribution that brings it, and the extra of ours that asks for it; or None.
    runs_on: of a row that needs two, the import name of the second: whose loop the first runs on.
        The distribution that brings it, and the extra that asks for it, have the same name.
    glibc_minor: of glibc 2, the first minor version that the wheels of `extra` run on, where no
        marker of a requirement can say so; or None.
    loop: `module:callable` that makes the event loop to run `target` on, or None for its default.
    command: of a program in any language, with `{port}` in it, instead of a target.
    source: the distribution that brings a row that is not ours, `name version`.
    spec: what finds the row again where its name does not.
    threads_per_conn, mappings_per_conn: what a connection takes of the machine's threads, and of
        the worker's memory mappings for their stacks.
    own_tables: whether its threads have tables of descriptors of their own where one is too small
        for all connections, so that the limit of open files is not the row's.
    one_loop: why its `serve` cannot run in several threads of one process at once, for who asks for
        that; empty where it can.
    built_with: what an extension of ours needs to be built, for the remedy when it is not.
    since_minor, until_minor: of Python 3, the first minor version that has what it needs, and the
        last that its library works on.
    no_unix, no_tls: why it cannot serve Unix sockets, or TLS; empty where it can. A row that is not
        ours says so itself, by what it takes: see `contract.py`.
    tls_needs, tls_remedy: the import name that must be there for TLS besides, or None, and what
        adds it.
    """

    name: str
    description: str
    family: str
    target: str
    requires: str | None = None
    extra: str | None = None
    runs_on: str | None = None
    glibc_minor: int | None = None
    loop: str | None = None
    command: str | None = None
    source: str = ""
    spec: str = ""
    threads_per_conn: int = 0
    mappings_per_conn: int = 0
    own_tables: bool = False
    one_loop: str = ""
    built_with: str = ""
    since_minor: int = 10
    until_minor: int | None = None
    no_unix: str = ""
    no_tls: str = ""
    tls_needs: str | None = None
    tls_remedy: str = ""

    def cannot(self, transport: str) -> str:
        """Why it cannot serve connections of that transport, as a fact of its code; empty where it
        can. transport: one of TRANSPORTS."""
        return {"unix": self.no_unix, "tls": self.no_tls}.get(transport, "")

    @property
    def libraries(self) -> dict[str, str | None]:
        """The distributions that it is written with, and what is imported of each."""
        first = {self.extra: self.requires} if self.extra is not None else {}
        return first | ({self.runs_on: self.runs_on} if self.runs_on is not None else {})

    @property
    def asked_for_as(self) -> str:
        """The text that `backends.find` turns into this row."""
        return self.spec or self.name
