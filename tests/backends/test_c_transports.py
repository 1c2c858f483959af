"""The C rows over what is not TCP: Unix sockets, and TLS in c_epoll_tls."""

import contextlib
import importlib.util
import re
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.support.tlspeer import Certificate
from tests.support.wire import TIMEOUT_S, load_server

HAVE_URING = importlib.util.find_spec("pybench.c_uring") is not None
HAVE_TLS = importlib.util.find_spec("pybench.c_epoll_tls") is not None
C_ROWS = ["c_epoll", "c_poll", "c_th", *(["c_uring"] if HAVE_URING else [])]
needs_tls = pytest.mark.skipif(not HAVE_TLS, reason="built without OpenSSL")


class Serving:
    """`serve` of an extension on a listener, in a thread, as a context; then what it returned."""

    def __init__(self, name: str, listener: socket.socket, conns: int, *more: object) -> None:
        self.ready = threading.Event()
        self.result: Any = None
        self._serve = import_module(f"pybench.{name}").serve
        self._arguments = (listener.fileno(), conns, 64, self.ready.set, *more)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.result = self._serve(*self._arguments)
        except BaseException as exc:
            self.result = exc

    def __enter__(self) -> "Serving":
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._thread.join(TIMEOUT_S)
        assert not self._thread.is_alive()
        if isinstance(self.result, BaseException):
            raise self.result


def send_some(sock: socket.socket, data: bytes) -> bytes:
    """What is left when the socket takes no more."""
    with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError):
        while data:
            data = data[sock.send(data[: 1 << 16]) :]
    return data


def receive_some(sock: socket.socket) -> bytes:
    got = b""
    with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
        while piece := sock.recv(1 << 16):
            got += piece
    return got


def exchange(sock: socket.socket, data: bytes, before: int = 0) -> bytes:
    """What comes back of data, which is sent while it is read: by one thread, as OpenSSL wants.

    before: bytes that were sent already, and not read yet.
    """
    got, left, total = b"", data, before + len(data)
    sock.setblocking(False)
    while len(got) < total:
        left = send_some(sock, left)
        got += receive_some(sock)
        if len(got) < total:
            ready = select.select([sock], [sock] if left else [], [], TIMEOUT_S)
            assert any(ready), f"{len(got)} of {total} bytes came back"
    sock.settimeout(TIMEOUT_S)
    return got


@pytest.mark.parametrize("row", C_ROWS)
def test_unix_sockets(row, tmp_path):
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(tmp_path / "s"))
        listener.listen(8)
        serving = stack.enter_context(Serving(row, listener, 3))
        with contextlib.ExitStack() as ends:
            socks = [ends.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(3)]
            for sock in socks:
                sock.settimeout(TIMEOUT_S)
                sock.connect(str(tmp_path / "s"))
            assert serving.ready.wait(TIMEOUT_S)
            for sock in socks:
                assert exchange(sock, b"abc" * 21) == b"abc" * 21
                assert exchange(sock, b"x" * 1_000_000) == b"x" * 1_000_000
    assert serving.result > 3


# ---- TLS -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate():
    return Certificate()


@pytest.fixture
def files(certificate, tmp_path) -> tuple[str, str]:
    certfile, keyfile = certificate.write(tmp_path)
    return str(certfile), str(keyfile)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as made:
        yield made


def client(address: Any, at_most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLSocket:
    """A connection that has shaken hands."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = at_most
    sock = socket.create_connection(address, TIMEOUT_S)
    try:
        return context.wrap_socket(sock)
    except BaseException:
        sock.close()
        raise


@needs_tls
def test_tls_echoes_and_ends(listener, files):
    """Whoever connects may wait for one handshake before it begins the next."""
    with Serving("c_epoll_tls", listener, 3, *files) as serving, contextlib.ExitStack() as ends:
        socks = []
        for _ in range(3):
            assert not serving.ready.is_set()
            socks.append(ends.enter_context(client(listener.getsockname())))
        assert serving.ready.wait(TIMEOUT_S)
        assert [(sock.version(), sock.session_reused) for sock in socks] == [("TLSv1.3", False)] * 3
        for sock in socks:
            assert exchange(sock, b"abc" * 21) == b"abc" * 21
            assert not sock.session.has_ticket
        socks[0].settimeout(TIMEOUT_S)
        for sock in socks:
            with contextlib.suppress(ssl.SSLError):  # it has echoed all: there is nothing left
                sock.unwrap()
    assert serving.result == 3


@needs_tls
def test_tls_to_a_peer_that_reads_slowly(listener, files):
    """What OpenSSL would not take is kept, and the others are served meanwhile."""
    for option in socket.SO_SNDBUF, socket.SO_RCVBUF:  # what it accepts has them too
        listener.setsockopt(socket.SOL_SOCKET, option, 1 << 16)
    data = bytes(range(256)) * 40_000  # more than the buffers of both ways hold
    with Serving("c_epoll_tls", listener, 2, *files), contextlib.ExitStack() as ends:
        slow, quick = (ends.enter_context(client(listener.getsockname())) for _ in range(2))
        slow.setblocking(False)
        left = send_some(slow, data)
        assert left
        for _ in range(50):
            assert exchange(quick, b"x" * 100) == b"x" * 100
        assert exchange(slow, left, len(data) - len(left)) == data


@needs_tls
def test_a_combined_file_and_the_load_server(listener, files, certificate, tmp_path):
    both = tmp_path / "both.pem"
    both.write_text("".join(Path(name).read_text() for name in files))
    port = listener.getsockname()[1]
    with (
        load_server("--engine", "epoll") as server,
        Serving("c_epoll_tls", listener, 40, both) as serving,
    ):
        answer = server.run(port, conns=40, msize=3000, **certificate.asked())
    assert answer[-1] == "end"
    assert answer.count("lost") == 0
    assert answer.count("total") == serving.result
    assert answer.count("in_flight_ns") / answer.count("window_ns") == pytest.approx(40, rel=0.05)


@needs_tls
@pytest.mark.parametrize("offence", ["plain text", "leaves", "old version"])
def test_a_failed_handshake_is_a_connection_that_has_closed(listener, files, offence):
    address = listener.getsockname()
    with Serving("c_epoll_tls", listener, 2, *files) as serving:
        if offence == "old version":
            with pytest.raises(ssl.SSLError):
                client(address, ssl.TLSVersion.TLSv1_2)
        else:
            with socket.create_connection(address, TIMEOUT_S) as sock:
                if offence == "plain text":
                    sock.sendall(b"x" * 64)
                    while sock.recv(100):  # an alert
                        pass
        with client(address) as other:
            assert serving.ready.wait(TIMEOUT_S)
            assert exchange(other, b"abc") == b"abc"
    assert serving.result == 1


@needs_tls
def test_bytes_that_are_no_tls_end_a_connection(listener, files):
    with (
        Serving("c_epoll_tls", listener, 1, *files) as serving,
        client(listener.getsockname()) as sock,
    ):
        assert exchange(sock, b"abc") == b"abc"
        with socket.socket(fileno=sock.detach()) as plain:
            plain.settimeout(TIMEOUT_S)
            plain.sendall(b"\x17\x03\x03\x00\x20" + bytes(32))
            while plain.recv(100):  # an alert, then the end
                pass
    assert serving.result == 1


@needs_tls
def test_files_that_are_no_use_are_named(listener, files, tmp_path):
    serve = import_module("pybench.c_epoll_tls").serve
    certfile, keyfile = files
    nothing = str(tmp_path / "nothing.pem")
    for arguments in (nothing, keyfile), (certfile, nothing), (keyfile,):
        with pytest.raises(OSError, match=re.escape(arguments[-1]) + "|nothing.pem"):
            serve(listener.fileno(), 1, 64, print, *arguments)
    for bad in (), (1,), (certfile, 1), (certfile, keyfile, keyfile):
        with pytest.raises(TypeError):
            serve(listener.fileno(), 1, 64, print, *bad)
