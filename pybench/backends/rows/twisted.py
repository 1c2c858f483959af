"""Twisted: a Protocol per connection on the epoll reactor."""

import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.internet import protocol
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ReactorNotRunning
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from pybench.backends.tls import TlsContext

# Names in mixed case are Twisted's.
# ruff: noqa: N802


@implementer(IHalfCloseableProtocol)
class Echo(protocol.Protocol):
    """Writes back what arrives.

    Its transport is registered as its own producer: it is paused while the peer does not read.
    """

    factory: "EchoFactory"

    def connectionMade(self) -> None:
        self.transport.setTcpNoDelay(True)
        self.transport.registerProducer(self.transport, True)
        self.factory.opened()

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(data)

    def readConnectionLost(self) -> None:
        self.transport.unregisterProducer()
        self.transport.loseConnection()  # once all is written

    def writeConnectionLost(self) -> None:
        self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.closed()


class EchoFactory(protocol.Factory):
    """Counts connections: calls all_open when `conns` came, and all_closed when those are gone."""

    protocol = Echo
    noisy = False

    def __init__(
        self, conns: int, all_open: Callable[[], None], all_closed: Callable[[], None]
    ) -> None:
        self.to_come = conns
        self.open = 0
        self.all_open = all_open
        self.all_closed = all_closed

    def opened(self) -> None:
        self.open += 1
        self.to_come -= 1
        if self.to_come == 0:
            self.all_open()

    def closed(self) -> None:
        self.open -= 1
        if self.to_come == 0 and self.open == 0:
            self.all_closed()


def _over_tls(factory: EchoFactory, tls: "TlsContext", reactor: EPollReactor) -> protocol.Factory:
    """The factory behind Twisted's own TLS, whose contexts are of pyOpenSSL.

    What is written goes out in the reactor's next turn: that of the global one unless told.
    """
    from twisted.internet.ssl import PrivateCertificate
    from twisted.protocols.tls import TLSMemoryBIOFactory

    pem = Path(tls.certfile).read_bytes()
    options = PrivateCertificate.loadPEM(pem).options()
    return TLSMemoryBIOFactory(options, False, factory, clock=reactor)


def serve(
    listener: socket.socket,
    conns: int,
    msize: int,
    ready: Callable[[], None],
    /,
    *,
    tls: "TlsContext | None" = None,
) -> None:
    """See `contract.Serve`. Twisted's own reactor cannot run twice: this one is of the call."""
    reactor = EPollReactor()
    failures: list[BaseException] = []
    finished = False

    def all_open() -> None:
        port.stopListening()
        try:
            ready()
        except BaseException as exc:
            failures.append(exc)
            reactor.stop()

    def all_closed() -> None:
        nonlocal finished
        with suppress(ReactorNotRunning):  # stopped already: ready has failed, or by a Ctrl-C
            reactor.stop()
            finished = True

    listener.setblocking(False)
    factory: protocol.Factory = EchoFactory(conns, all_open, all_closed)
    if tls is not None:
        factory = _over_tls(factory, tls, reactor)
    port = reactor.adoptStreamPort(listener.fileno(), listener.family, factory)
    on_ctrl_c = signal.getsignal(signal.SIGINT)
    try:
        reactor.run()  # a Ctrl-C stops it
    finally:
        signal.signal(signal.SIGINT, on_ctrl_c)  # the reactor leaves its own there
        reactor.disconnectAll()
        reactor.removeReader(reactor.waker)
        reactor.waker.connectionLost(connectionDone)  # its pipe; the reactor never closes it
        listener.setblocking(True)
    if failures:
        raise failures[0]
    if not finished:
        raise KeyboardInterrupt
