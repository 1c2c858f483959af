"""gevent: one greenlet per connection, code that reads as if it blocked. Nothing is patched."""

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import gevent
from gevent import socket as gsocket
from gevent.pool import Group

from pybench.backends.sockets import no_delay, peer_gone

if TYPE_CHECKING:
    from pybench.backends.tls import TlsContext


def _echo(sock: gsocket.socket, msize: int, gone: tuple[type[OSError], ...]) -> None:
    """With TLS the first recv makes the handshake."""
    with sock:
        try:
            while data := sock.recv(msize):
                sock.sendall(data)
        except gone:
            pass


def _wrapped(sock: gsocket.socket, tls: "TlsContext") -> gsocket.socket:
    """gevent's own TLS socket. Its class of contexts adds no more than that it makes these."""
    from gevent.ssl import SSLSocket

    return SSLSocket(sock, server_side=True, do_handshake_on_connect=False, _context=tls)


def serve(
    listener: socket.socket,
    conns: int,
    msize: int,
    ready: Callable[[], None],
    /,
    *,
    tls: "TlsContext | None" = None,
) -> None:
    """See `contract.Serve`."""
    greenlets, gone = Group(), peer_gone(tls)
    with ExitStack() as accepted:  # closes what a greenlet killed before it ran did not
        try:
            with gsocket.socket(fileno=os.dup(listener.fileno())) as acceptor:
                for _ in range(conns):
                    sock, _ = acceptor.accept()
                    no_delay(sock)
                    if tls is not None:
                        sock = _wrapped(sock, tls)
                    greenlets.spawn(_echo, accepted.enter_context(sock), msize, gone)
            # Starting greenlets takes turns with I/O, a few milliseconds at a time: let all of them
            # start now, or at 10,000 connections most wait for seconds while the first are served.
            gevent.sleep(0)
            ready()
            greenlets.join(raise_error=True)
        finally:
            greenlets.kill()
