"""What the rows that handle sockets themselves agree on."""

import socket
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pybench.backends.tls import TlsContext

PEER_GONE = (ConnectionError, TimeoutError)
"""What recv and send raise when the peer has reset the connection or vanished: it is closed."""


def peer_gone(tls: "TlsContext | None") -> tuple[type[OSError], ...]:
    """The same of sockets that are wrapped with TLS, where there is one."""
    if tls is None:
        return PEER_GONE
    from pybench.backends.tls import PEER_GONE as MORE

    return (*PEER_GONE, *MORE)


def no_delay(sock: socket.socket) -> None:
    """Send small messages at once, as event loops set it on their own connections.

    Sockets that are not TCP have no such delay: nothing happens to them.
    """
    with suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
