"""Peers that speak TLS: sockets that do not block, with the face of plain ones."""

import selectors
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

_WANTS = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class TlsPeer(ssl.SSLSocket):
    """What plain sockets say with BlockingIOError, it says so too.

    notice: whether closing says so to the other side first, as TLS has it.
    """

    notice = True

    def send(self, data: Any, flags: int = 0) -> int:
        """Some of it, at most a record; retry with the same when it raises."""
        try:
            return super().send(data, flags)
        except _WANTS:
            raise BlockingIOError from None

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """All that has come and can be read: the rest of it no selector would tell of."""
        try:
            data = super().recv(buflen, flags)
            while data and self.pending():
                data += super().recv(self.pending(), flags)
        except _WANTS:
            raise BlockingIOError from None
        return data

    def close(self) -> None:
        """Without waiting for the other side's own notice."""
        if self.notice and self.fileno() >= 0:
            with suppress(OSError, ValueError):
                self.unwrap()
        super().close()


def hint_of_tls(error: Exception) -> str:
    """What to do about an error of TLS itself; empty for another."""
    if not isinstance(error, ssl.SSLError):
        return ""
    return (
        "wrap what you accept with the context `tls`, and make the handshake without waiting for"
        " further connections"
    )


def client_context() -> ssl.SSLContext:
    """TLS 1.3, any certificate: who is at the other end is known."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.sslsocket_class = TlsPeer
    return context


def handshakes(
    socks: Sequence[socket.socket], context: ssl.SSLContext, deadline: float
) -> list[socket.socket]:
    """All of them as TLS peers, their handshakes made at once; the plain ones are used up.

    deadline: of time.monotonic.  Raises TimeoutError when not all were made by then, and OSError,
    ssl's own among them, when one fails. None is left open then.
    """
    peers: list[ssl.SSLSocket] = []
    try:
        for sock in socks:
            peers.append(context.wrap_socket(sock, do_handshake_on_connect=False))
        with selectors.DefaultSelector() as selector:
            for peer in peers:
                _step(selector, peer)
            while selector.get_map():
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    made = len(peers) - len(selector.get_map())
                    raise TimeoutError(f"{made} of {len(peers)} TLS handshakes were made")
                for key, _ in selector.select(left_s):
                    selector.unregister(key.fileobj)
                    _step(selector, key.data)
    except BaseException:
        for one in [*peers, *socks]:
            one.close()
        raise
    return list(peers)


def _step(selector: selectors.BaseSelector, peer: ssl.SSLSocket) -> None:
    """On with its handshake; registered for what it waits for, if it does."""
    try:
        peer.do_handshake()
    except ssl.SSLWantReadError:
        selector.register(peer, selectors.EVENT_READ, peer)
    except ssl.SSLWantWriteError:
        selector.register(peer, selectors.EVENT_WRITE, peer)
