"""gevent: one greenlet per connection, code that reads as if it blocked. Nothing is patched."""

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack

import gevent
from gevent import socket as gsocket
from gevent.pool import Group

from pybench.backends.sockets import PEER_GONE, no_delay


def _echo(sock: gsocket.socket, msize: int) -> None:
    with sock:
        try:
            while data := sock.recv(msize):
                sock.sendall(data)
        except PEER_GONE:
            pass


def serve(listener: socket.socket, conns: int, msize: int, ready: Callable[[], None], /) -> None:
    """See `contract.Serve`."""
    greenlets = Group()
    with ExitStack() as accepted:  # closes what a greenlet killed before it ran did not
        try:
            with gsocket.socket(fileno=os.dup(listener.fileno())) as acceptor:
                for _ in range(conns):
                    sock, _ = acceptor.accept()
                    no_delay(sock)
                    greenlets.spawn(_echo, accepted.enter_context(sock), msize)
            # Starting greenlets takes turns with I/O, a few milliseconds at a time: let all of them
            # start now, or at 10,000 connections most wait for seconds while the first are served.
            gevent.sleep(0)
            ready()
            greenlets.join(raise_error=True)
        finally:
            greenlets.kill()
