"""socketserver: the standard library's ThreadingTCPServer, a thread and handler a connection."""

import signal
import socket
import socketserver
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pybench.backends.sockets import no_delay, peer_gone

if TYPE_CHECKING:
    from pybench.backends.tls import TlsContext


class EchoHandler(socketserver.BaseRequestHandler):
    """Reads and writes its connection until the peer has closed it."""

    server: "EchoServer"

    def handle(self) -> None:
        no_delay(self.request)
        try:
            while data := self.request.recv(self.server.msize):
                self.request.sendall(data)
        except self.server.gone:
            pass


class EchoServer(socketserver.ThreadingTCPServer):
    """Serves on a socket that listens already, and keeps what socketserver would only log."""

    def __init__(
        self, listener: socket.socket, msize: int, tls: "TlsContext | None" = None
    ) -> None:
        super().__init__(listener.getsockname(), EchoHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.msize, self.tls, self.gone = msize, tls, peer_gone(tls)
        self.failure: BaseException | None = None
        self.requests: list[socket.socket] = []

    def get_request(self) -> tuple[socket.socket, Any]:
        """With TLS the handler's first recv makes the handshake."""
        request, address = super().get_request()
        if self.tls is not None:
            request = self.tls.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
        return request, address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start its thread. A Ctrl-C that falls into a start would leave half a thread behind."""
        self.requests.append(request)
        held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            super().process_request(request, client_address)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)

    def handle_error(self, request: Any, client_address: Any) -> None:
        self.failure = self.failure or sys.exc_info()[1]

    def raise_failure(self) -> None:
        """Raise what went wrong first, if anything has."""
        if self.failure is not None:
            raise self.failure

    def hang_up(self) -> None:
        """Make every handler's read end."""
        for request in self.requests:
            if request.fileno() >= 0:
                request.shutdown(socket.SHUT_RDWR)


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
    with EchoServer(listener.dup(), msize, tls) as server:
        try:
            for _ in range(conns):
                server.process_request(*server.get_request())
            ready()
            server.server_close()  # waits for the handlers
        except BaseException:
            server.hang_up()
            raise
        server.raise_failure()
