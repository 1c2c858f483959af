"""What the rows that handle sockets themselves agree on."""

import socket
from contextlib import suppress

PEER_GONE = (ConnectionError, TimeoutError)
"""What recv and send raise when the peer has reset the connection or vanished: it is closed."""


def no_delay(sock: socket.socket) -> None:
    """Send small messages at once, as event loops set it on their own connections.

    Sockets that are not TCP have no such delay: nothing happens to them.
    """
    with suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
