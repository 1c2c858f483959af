"""Version 1 of the control protocol: the 2016 experiment's own client, of each of its kinds."""

import selectors
import socket
import time

import pytest

from tests.support.wire import IDLY, TIMEOUT_S, Peer, load_server

MSIZE = 64


def echo(data: bytes) -> bytes:
    """As eight of the twelve rows answer: with what came."""
    return data


def letters(data: bytes) -> bytes:
    """As the four others answer: with X's of their own."""
    return b"X" * len(data)


class Client:
    """The 2016 client: listens, asks, accepts all, answers in its way until the server closes.

    bind: what it listens on, which is also what it tells the server.  pause_s: between accepts.
    """

    def __init__(self, address, conns, answer, *, bind="127.0.0.1", backlog=3, pause_s=0.0):
        self.answer = answer
        self.conns = conns
        self.pause_s = pause_s
        self.listener = socket.create_server((bind, 0), backlog=backlog)
        self.listener.settimeout(TIMEOUT_S)
        self.control = socket.create_connection(address, TIMEOUT_S)
        port = self.listener.getsockname()[1]
        self.control.sendall(f"{bind} {port} {conns} 1 0 0 {MSIZE}".encode())

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.control.close()
        self.listener.close()

    def serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            for _ in range(self.conns):
                connection, _ = self.listener.accept()
                selector.register(connection, selectors.EVENT_READ)
                time.sleep(self.pause_s)
            while selector.get_map():
                ready = selector.select(TIMEOUT_S)
                assert ready, "neither pings nor the end came"
                for key, _ in ready:
                    self._serve_one(selector, key.fileobj)

    def _serve_one(self, selector, connection) -> None:
        try:
            data = connection.recv(MSIZE)
        except ConnectionError:
            data = b""
        if data:
            connection.sendall(self.answer(data))
        else:
            selector.unregister(connection)
            connection.close()

    def reply(self) -> str:
        """The server's whole answer: until it closes."""
        text = b""
        while chunk := self.control.recv(65536):
            text += chunk
        return text.decode()


def parse(reply: str) -> tuple[int, float, dict[int, int], list[int]]:
    """Messages, base, bucket -> count, percentiles: every word of a reply."""
    words = reply.split(" ")
    pairs = int(words[2])
    numbers = [int(word) for word in words[3 : 3 + 2 * pairs]]
    buckets = dict(zip(numbers[::2], numbers[1::2], strict=True))
    assert words[3 + 2 * pairs] == "19"
    percentiles = [int(word) for word in words[4 + 2 * pairs :]]
    assert len(percentiles) == 19
    return int(words[0]), float(words[1]), buckets, percentiles


EMPTY = (0, pytest.approx(2**0.1), {}, [0] * 19)


def check(reply: str, conns: int) -> None:
    messages, base, buckets, percentiles = parse(reply)
    assert messages > 0
    assert base == pytest.approx(2**0.1)
    assert sum(buckets.values()) == messages
    assert percentiles == sorted(percentiles)
    # Little's law by the reply alone, over a window of a second. The buckets are 7% coarse; pings
    # that the second's end cuts off are missing, on a slow machine a good part.
    in_flight = sum(base**b * n for b, n in buckets.items()) / 1e9
    assert 0.4 * conns < in_flight < 1.1 * conns


@pytest.mark.parametrize(
    ("conns", "answer", "bind"),
    [
        (10, echo, "127.0.0.1"),
        (100, echo, "0.0.0.0"),
        (1000, letters, "0.0.0.0"),
    ],
)
def test_every_kind_of_client_gets_its_row(server, conns, answer, bind):
    with Client(server.address, conns, answer, bind=bind, backlog=3) as client:
        client.serve()
        check(client.reply(), conns)


def test_a_client_that_accepts_slowly(server):
    with Client(server.address, 200, echo, pause_s=0.002) as client:
        client.serve()
        assert parse(client.reply())[0] > 0


def test_messages_are_letters_and_nothing_else(server):
    seen = set()

    def look(data: bytes) -> bytes:
        seen.update(data)
        return data

    with Client(server.address, 3, look) as client:
        client.serve()
        client.reply()
    assert seen == set(b"X")


def test_other_bytes_are_no_answer(server):
    """Not even of the right length."""
    with Client(server.address, 3, lambda data: b"Y" * len(data)) as client:
        client.serve()
        assert parse(client.reply()) == EMPTY


# ---- refused: told at once, in its own format ----------------------------------------------


def prompt_reply(address, request: str) -> str:
    began = time.monotonic()
    with socket.create_connection(address, TIMEOUT_S) as control:
        control.sendall(request.encode())
        reply = b""
        while chunk := control.recv(65536):
            reply += chunk
    assert time.monotonic() - began < 1.5
    return reply.decode()


@pytest.mark.parametrize("target", ["10.202.77.99 33332", "127.0.0.1 1"])
def test_a_refused_client_is_told_no_messages(server, target):
    """Forbidden, and refused by the target."""
    assert parse(prompt_reply(server.address, f"{target} 3 1 0 0 64")) == EMPTY


def test_a_client_without_the_token_is_told_no_messages():
    with load_server(env={"PYBENCH_TOKEN": "s3cret"}) as guarded:
        assert parse(prompt_reply(guarded.address, "127.0.0.1 1 3 1 0 0 64")) == EMPTY


def test_a_client_that_comes_during_a_test_is_told_no_messages(server):
    with Peer() as peer, server.client() as first:
        first.request(peer.port, runtime_ms=1000, **IDLY)
        first.await_verb("connected")
        first.send("ready\n")
        assert parse(prompt_reply(server.address, "127.0.0.1 1 3 1 0 0 64")) == EMPTY
        first.finish()


def test_any_address_is_an_address_in_version_2(server):
    """Where it could only mean the server's own host."""
    assert server.run(9, addr="0.0.0.0").words("error")["code"] == "forbidden"
