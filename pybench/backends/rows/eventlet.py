"""eventlet: one green thread per connection, blocking style. Nothing is monkey-patched."""

import os
import socket
import warnings
from collections.abc import Callable

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says on import that it is no longer developed
    import eventlet
    from eventlet.green import socket as green
    from eventlet.greenio import GreenSocket

from pybench.backends.sockets import PEER_GONE, no_delay


def _echo(sock: GreenSocket, msize: int) -> None:
    with sock:
        try:
            while data := sock.recv(msize):
                sock.sendall(data)
        except PEER_GONE:
            pass


def serve(listener: socket.socket, conns: int, msize: int, ready: Callable[[], None], /) -> None:
    """See `contract.Serve`."""
    socks: list[GreenSocket] = []
    threads = []
    try:
        with green.socket(fileno=os.dup(listener.fileno())) as acceptor:
            for _ in range(conns):
                sock, _ = acceptor.accept()
                no_delay(sock)
                socks.append(sock)
                threads.append(eventlet.spawn(_echo, sock, msize))
        ready()
        for thread in threads:
            thread.wait()
    finally:
        for thread in threads:
            thread.kill()
        for sock in socks:
            sock.close()
