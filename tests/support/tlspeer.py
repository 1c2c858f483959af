"""A certificate of the tests' own, a peer that speaks TLS with it, and a relay that tampers."""

import contextlib
import hashlib
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import trustme

from tests.support.wire import TIMEOUT_S, Peer


class Certificate:
    """Made anew by each: its pin, as a request has it, and contexts of a server that has it."""

    def __init__(self) -> None:
        self._issued = trustme.CA().issue_cert("127.0.0.1")
        pem = self._issued.cert_chain_pems[0].bytes().decode()
        self.pin = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()

    def context(self, *, at_most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.maximum_version = at_most
        self._issued.configure_cert(context)
        return context

    def write(self, folder: Path) -> tuple[Path, Path]:
        """The certificate and its key in files."""
        certificate, key = folder / "cert.pem", folder / "key.pem"
        self._issued.cert_chain_pems[0].write_to_path(certificate)
        self._issued.private_key_pem.write_to_path(key)
        return certificate, key

    def asked(self, **options: object) -> dict[str, object]:
        """Words of a request for TLS with this certificate."""
        return {"transport": "tls", "pin": self.pin, **options}


class TlsPeer(Peer):
    """As Peer, over TLS; on_data has decrypted bytes.

    handshakes: protocol version of each connection, and whether its session was resumed.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        on_data: Callable[[Peer, socket.socket, bytes], None] | None = None,
        *,
        on_accept: Callable[[Peer, socket.socket], None] | None = None,
        unix: str | None = None,
        receive: int = 1 << 20,
    ) -> None:
        self.context = context
        self.handshakes: list[tuple[str | None, bool | None]] = []
        self._shaking: set[socket.socket] = set()
        super().__init__(on_data, on_accept=on_accept, unix=unix, receive=receive)

    def _accept(self) -> None:
        plain, _ = self.listener.accept()
        plain.setblocking(False)
        connection = self.context.wrap_socket(
            plain, server_side=True, do_handshake_on_connect=False
        )
        self._selector.register(connection, 1)
        self._shaking.add(connection)
        self.accepted += 1
        if self.on_accept:
            self.on_accept(self, connection)

    def _shake(self, connection: ssl.SSLSocket) -> bool:
        """Whether the handshake is done."""
        try:
            connection.do_handshake()
        except ssl.SSLWantReadError:
            return False
        except OSError:
            self.drop(connection)
            return False
        self._shaking.discard(connection)
        self.handshakes.append((connection.version(), connection.session_reused))
        return True

    def _read(self, connection: socket.socket) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        if connection in self._shaking and not self._shake(connection):
            return
        while connection.fileno() >= 0:
            try:
                data = connection.recv(self.receive)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError:
                data = b""
            if not data:
                self.drop(connection)
                return
            self.on_data(self, connection, data)

    def _flush(self, connection: socket.socket) -> None:
        try:
            while self._pending[connection]:
                sent = connection.send(self._pending[connection])
                self._pending[connection] = self._pending[connection][sent:]
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError:
            self.drop(connection)
            return
        self._selector.modify(connection, 3 if self._pending[connection] else 1)

    def say_end(self, connection: socket.socket) -> None:
        """Send close_notify, and close."""
        assert isinstance(connection, ssl.SSLSocket)
        with contextlib.suppress(OSError):  # the other's is not waited for
            connection.unwrap()
        self.drop(connection)

    def babble(self, connection: socket.socket) -> None:
        """Send bytes that are no TLS."""
        os.write(connection.fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))


@contextlib.contextmanager
def relay(port: int, tamper: Callable[[bytes], Iterator[bytes]]) -> Iterator[int]:
    """A port that leads to another, for one connection; what goes to the other is tampered with.

    tamper: the pieces to send in place of bytes that came.  Both directions are cut into them.
    """
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        contextlib.ExitStack() as ends,
    ):

        def pump(source: socket.socket, sink: socket.socket, cut: bool) -> None:
            with contextlib.suppress(OSError):
                while data := source.recv(1 << 16):
                    for piece in tamper(data) if cut else iter([data]):
                        sink.sendall(piece)
                sink.shutdown(socket.SHUT_WR)

        def serve() -> None:
            with contextlib.suppress(OSError):
                near, _ = listener.accept()
                far = socket.create_connection(("127.0.0.1", port), TIMEOUT_S)
                for end in near, far:
                    ends.enter_context(end)
                    end.settimeout(TIMEOUT_S)
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                back = threading.Thread(target=pump, args=(far, near, False))
                back.start()
                pump(near, far, True)
                back.join(TIMEOUT_S)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.close()
        thread.join(TIMEOUT_S)
