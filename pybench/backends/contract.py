"""The contract of a backend: what every row does, whatever library it is written with."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import socket


class Serve(Protocol):
    """One way of serving connections: the callable behind a row.

    One that serves TLS as well has a keyword-only parameter more, `tls: TlsContext | None = None`:
    with a context, connections are TLS over TCP and the handshake is the backend's, to be answered
    without waiting for further connections. An end without TLS's own notice is an end too.
    """

    def __call__(
        self, listener: "socket.socket", conns: int, msize: int, ready: Callable[[], None], /
    ) -> None:
        """Accept `conns` connections, call `ready()` once, echo until every peer has closed.

        listener: a bound, listening, blocking stream socket, TCP or Unix; the backend may change
            its blocking mode and may close it once all are accepted.
        conns: how many connections will come, >= 1. None is missing and none comes after the last;
            some may never send anything.
        msize: bytes of one message, >= 1. A message may arrive in fragments of any size and
            is echoed byte for byte, in order; the backend need not reassemble it. Several may lie
            there at once.
        ready: to be called exactly once, from any thread, after the last accept and not before.
            Peers send nothing until then.
        Called once in the main thread of its process; with `--loops K` K times at once, each in a
        thread of its own that is not the main one, with a listener and a part of the connections.
        Returns None when every connection has been closed by its peer. A peer that resets its
        connection has closed it: that is not an error. Raises whatever else goes wrong.
        """
