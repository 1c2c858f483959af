"""The text of the control protocol in server/control.h, held against those who speak it.

What the text names must be what the server takes and says, in that order, and whatever the driver
asks for or reads must be named there: so that the text cannot go stale.
"""

import dataclasses
import re
import socket
from functools import cache

import pytest

from pybench.backends import ROWS
from pybench.driver import control
from pybench.spec import Cell
from tests.support import ROOT
from tests.support.rounds import FREE
from tests.support.tlspeer import Certificate, TlsPeer
from tests.support.wire import Peer, load_server

SERVER = ROOT / "server"
GOOD = {
    "v": "2", "addr": "127.0.0.1", "port": "9", "conns": "1", "msize": "1", "warmup_ms": "0",
    "runtime_ms": "1",
}  # fmt: skip
FIVES = [f"p{q}" for q in range(5, 100, 5)]


@cache
def text() -> list[str]:
    """The lines of the protocol text, without the comment's frame."""
    comment = (SERVER / "control.h").read_text().partition("*/")[0]
    return [line[3:] for line in comment.splitlines()]


@cache
def sections() -> dict[str, list[str]]:
    """Head of a section, `> test` or `< result` and so on -> its rows."""
    found: dict[str, list[str]] = {}
    heads: list[str] = []
    for line in text():
        if line.startswith(("> ", "< ")):
            heads = re.findall(r"([><] \w+)(?=:|,|$)", line)
            found.update((head, []) for head in heads)
        elif line.startswith("VERSION 1"):
            break
        elif heads and re.match(r"    \w", line):
            found[heads[0]].append(line.strip())
    return found


def keys(head: str) -> list[str]:
    """The keys that a section names, in order; `p5= p10= ... p95=` stands for all of them."""
    named: list[str] = []
    for row in sections()[head]:
        leading = re.match(r"(?:(?:\w+=|\.\.\.) *)+", row)
        for word in leading[0].split() if leading else []:
            named.append(word.rstrip("="))
    if "..." in named:
        at = named.index("...")
        named[at - 2 : at + 2] = FIVES
    return named


def columns(key: str) -> tuple[str, str]:
    """Values and default of a request's key."""
    (row,) = (row for row in sections()["> test"] if row.startswith(f"{key}="))
    _, values, default, *_ = re.split(r"  +", row)
    return values, default


def words_of(line: str) -> list[str]:
    """The keys of a line as it was sent."""
    return list(control.parse_words(line.partition(" ")[2]))


def example(turns: bool) -> list[str]:
    """The verbs that the server says in the example without turns, or in the one with them."""
    text_of_both = "\n".join(text()).partition("A turn: ")[0]
    part = text_of_both.partition("With turns=1")[2 if turns else 0]
    return re.findall(r"^    < (\w+)", part, re.MULTILINE)


@pytest.fixture(scope="module")
def server():
    with load_server("--engine", "epoll") as running:
        yield running


@pytest.fixture(scope="module")
def everything(server) -> list[str]:
    """The replies to a request that asks for all that there is."""
    with Peer() as peer, Peer() as other:
        answer = server.run(
            f"{peer.port},{other.port}",
            runtime_ms=1200,
            rate=500,
            timestamps="kernel",
            slice_ms=500,
            idle=1,
        )
    assert answer[-1] == "end"
    return list(answer)


@pytest.fixture(scope="module")
def turns(server) -> list[str]:
    """The replies to a session of two turns."""
    with Peer() as peer, server.client() as client:
        client.request_turns(peer.port)
        lines = ["connected"]  # it has been read
        for _ in range(2):
            client.ask_turn()
            lines.append(client.line().rstrip("\n"))
        return [*lines, *client.stop()]


def complaint(server, request: dict[str, str]) -> str:
    """The message that a request is answered with."""
    with server.client() as client:
        client.send("test " + " ".join(f"{k}={v}" for k, v in request.items()) + "\n")
        return client.finish().words("error")["msg"]


# ---- requests ------------------------------------------------------------------------------


def test_request_keys_are_those_of_the_server():
    source = (SERVER / "request.c").read_text()
    table = source.partition("V2_KEYS[] = {")[2].partition("};")[0]
    assert keys("> test") == re.findall(r'(?:NUMBER|TEXT)\("(\w+)"', table)


NUMBERS = [
    "port", "conns", "msize", "inflight", "idle", "warmup_ms", "runtime_ms",
    "think_min_us", "think_max_us", "rate",
    "seed", "busy_poll_us", "threads", "slice_ms",
]  # fmt: skip


@pytest.mark.parametrize("key", NUMBERS)
def test_ranges_are_those_of_the_server(server, key):
    values, _ = columns(key)
    low, high = values.split("..")
    said = complaint(server, {**GOOD, key: "x"})
    assert said == f"{key}=x: expected a whole number from {low} to {high}"


def test_no_number_is_left_out():
    assert [key for key in keys("> test") if ".." in columns(key)[0]] == NUMBERS


def test_required_keys_are_those_of_the_server(server):
    required = [key for key in keys("> test") if columns(key)[1] == "required"]
    assert sorted(required) == sorted(GOOD)
    for key in required:
        rest = {k: v for k, v in GOOD.items() if k != key}
        assert complaint(server, rest) == f"{key} is missing"
    turns = {k: v for k, v in GOOD.items() if k not in control.TIMES} | {"turns": "1"}
    for key in control.TIMES:
        said = complaint(server, {**turns, key: GOOD[key]})
        assert said == f"{key} and turns exclude each other: each turn has its own times"


def test_the_driver_asks_for_what_is_named(monkeypatch):
    monkeypatch.setenv(control.TOKEN_VARIABLE, "secret")
    base = {"row": ROWS["selector"], "conns": 9, "msize": 64, "runtime_ns": 10**9, "warmup_ns": 0}
    cells = [
        Cell(**base, think_us=(5, 70), engine="epoll", timestamps="kernel"),
        Cell(**base, rate=5, arrivals="poisson"),
        Cell(**base, inflight=4, idle=9),
    ]
    placed = dataclasses.replace(FREE, server_threads=2, busy_poll_us=7)
    asked: set[str] = set()
    for cell in cells:
        line = control.request_line("::1", 80, cell, placed, seed=3, slice_ms=100).decode()
        asked.update(words_of(line.rstrip("\n")))
    line = control.request_line("::1", 80, cells[0], placed, turns=True).decode()
    unasked = {"transport", "pin"}  # the driver has plain connections only
    assert asked | set(words_of(line.rstrip("\n"))) == set(keys("> test")) - unasked
    assert not set(words_of(line.rstrip("\n"))) & set(control.TIMES)


def test_version_1_ranges(server):
    for at, said in (2, "1 to 1000000"), (3, "1 to 86400"), (4, "0 to 1000000000000"):
        words = ["127.0.0.1", "9", "1", "1", "0", "0", "64"]
        words[at] = "x"
        with server.client() as client:
            client.send(" ".join(words))
            assert said in client.finish().words("error")["msg"]
        if at != 2:
            assert any(re.search(rf"\b{said.replace(' to ', '[.][.]')}\b", line) for line in text())


# ---- replies -------------------------------------------------------------------------------


def test_verbs_come_in_the_order_of_the_text(everything):
    sent = [line.split(" ", 1)[0] for line in everything]
    assert list(dict.fromkeys(sent)) == example(turns=False)


def test_verbs_of_turns_are_those_of_the_text(turns):
    connected, turned, busy, *result = example(turns=True)
    sent = [line.split(" ", 1)[0] for line in turns]
    assert sent == [connected, turned, turned, *sent[3:]]
    assert (sent[3], sent[-1], busy) == (result[0], result[-1], "busy")


def test_reply_keys_of_a_turn_are_those_of_the_server(turns):
    assert words_of(turns[1]) == keys("< turn")
    assert [f.name for f in dataclasses.fields(control.Turn)] == keys("< turn")


def test_keys_of_the_turn_command_are_those_of_the_server(server):
    source = (SERVER / "command.c").read_text()
    table = source.partition("TURN_KEYS[] = {")[2].partition("};")[0]
    assert keys("> turn") == re.findall(r'"(\w+)"', table)
    with Peer() as peer:
        for key in keys("> turn"):
            (row,) = (row for row in sections()["> turn"] if row.startswith(f"{key}="))
            _, values, default, *_ = re.split(r"  +", row)
            low, high = values.split("..")
            asked = {"settle_us": "0", "window_us": "1"}
            assert default == "required"
            assert complaint_of_turn(
                server, peer, {k: v for k, v in asked.items() if k != key}
            ) == (f"{key} is missing")
            assert complaint_of_turn(server, peer, asked | {key: "x"}) == (
                f"{key}=x: expected a whole number from {low} to {high}"
            )


def complaint_of_turn(server, peer: Peer, words: dict[str, str]) -> str:
    with server.client() as client:
        client.request_turns(peer.port)
        client.send("turn " + " ".join(f"{k}={v}" for k, v in words.items()) + "\n")
        return client.finish().words("error")["msg"]


KERNEL_TIMES = ["queue_ns", "queue_samples"]
VERBS = ("connected", "mark", "progress", "result", "fairness", "listener", "slice", "corrected")


TLS_KEYS = ["lost_tls", "tls_handshake_ns", "tls_handshake_sum_ns", "tls_cipher"]


@pytest.mark.parametrize("verb", VERBS)
def test_reply_keys_are_those_of_the_server(everything, verb):
    line = next(line for line in everything if line.startswith(f"{verb} "))
    assert words_of(line) == [key for key in keys(f"< {verb}") if key not in TLS_KEYS]


def test_result_keys_of_a_test_over_tls(server):
    certificate = Certificate()
    with TlsPeer(certificate.context()) as peer:
        answer = server.run(peer.port, idle=1, **certificate.asked())
    if "without OpenSSL" in answer[0]:
        pytest.skip(answer[0])
    result = next(line for line in answer if line.startswith("result "))
    assert words_of(result) == [key for key in keys("< result") if key not in KERNEL_TIMES]


def test_a_closed_loop_has_all_but_what_was_not_asked_for(server):
    with Peer() as peer:
        answer = server.run(peer.port)
    assert not {"corrected", "corrected_hist", "mark", "slice", "listener"} & set(answer.verbs)
    result = next(line for line in answer if line.startswith("result "))
    left_out = [*KERNEL_TIMES, *TLS_KEYS, "idle_lost"]
    assert words_of(result) == [key for key in keys("< result") if key not in left_out]


def test_error_keys_are_those_of_the_server(server):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        (line,) = server.run(unused.getsockname()[1])
    assert words_of(line) == keys("< error")


def test_error_codes_are_those_of_the_server():
    named = {row.split()[0] for row in sections()["< error"] if re.match(r"\w+  ", row)}
    used: set[str] = set()
    for path in SERVER.glob("*.c"):
        source = path.read_text()
        for code in re.findall(r"failure_set\(&?\w+, ([^;]*?),\s+[^\s,]+,\s+\"", source):
            used.update(re.findall(r'"(\w+)"', code))
        table = source.partition("*failure_code(int err)\n{")[2].partition("\n}")[0]
        used.update(re.findall(r'return "(\w+)"', table))
    assert used == named


def test_the_driver_reads_what_is_named(everything, monkeypatch):
    read: set[str] = set()

    class Watched(dict[str, str]):
        def __getitem__(self, key):
            read.add(key)
            return super().__getitem__(key)

        def get(self, key, default=None):
            read.add(key)
            return super().get(key, default)

    parse = control.parse_words
    monkeypatch.setattr(control, "parse_words", lambda text: Watched(parse(text)))
    parser = control.ReplyParser()
    parser.feed("".join(f"{line}\n" for line in everything).encode())
    assert parser.measurement is not None
    assert {"elapsed_ns", "t_ms", "t_ns", "idle_ns", "queue_ns", "jain", "unsent", "n"} <= read
    assert read <= {key for verb in VERBS for key in keys(f"< {verb}")}


# ---- what is said of order and ends --------------------------------------------------------


def test_ready_may_come_with_the_request(server):
    with Peer() as peer, server.client() as client:
        request = {**GOOD, "port": str(peer.port), "msize": "64", "runtime_ms": "100"}
        client.send("test " + " ".join(f"{k}={v}" for k, v in request.items()) + "\nready\n")
        lines = list(iter(client.line, ""))
    assert lines[-1] == "end\n"


def test_who_closes_its_sending_side_has_gone(server):
    with Peer() as peer, server.client() as client:
        client.request(peer.port, runtime_ms=60_000)
        client.await_verb("connected")
        client.socket.shutdown(socket.SHUT_WR)
        peer.await_closed(10)
        assert client.line() == ""
