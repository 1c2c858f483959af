"""The control protocol's words and order, without a socket but for turns; more in test_round.py."""

import select
from collections.abc import Callable
from dataclasses import replace

import pytest

from pybench.backends import ROWS
from pybench.driver.control import (
    ControlConnection,
    ReplyParser,
    parse_words,
    request_line,
    slice_ms,
)
from pybench.driver.loadserver import LoadServer
from pybench.errors import ProtocolError, ServerError
from pybench.spec import Cell
from tests.support.rounds import FREE
from tests.support.wire import Peer

CELL = Cell(row=ROWS["selector"], conns=9, msize=64, runtime_ns=1_500_000_000, warmup_ns=0)


def asked(line: bytes) -> dict[str, str]:
    """The words of a request line."""
    verb, _, words = line.decode("ascii").partition(" ")
    assert verb == "test" and words.endswith("\n")
    return parse_words(words.removesuffix("\n"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", {}),
        ("a=1 b=two", {"a": "1", "b": "two"}),
        ('msg="two words" b=', {"msg": "two words", "b": ""}),
        (r'msg="a \"b\" \\ c"', {"msg": r'a "b" \ c'}),
    ],
)
def test_words(text: str, words: dict[str, str]) -> None:
    assert parse_words(text) == words


@pytest.mark.parametrize("text", ["a", "=1", "a=1 a=2", 'a="open', r'a="bad \n"', 'a="x"b=1', " "])
def test_bad_words(text: str) -> None:
    with pytest.raises(ValueError, match=r"not key=value|comes twice"):
        parse_words(text)


def test_request_has_think_time_and_threads_only_when_there_are_any() -> None:
    plain = {"v": "2", "addr": "::1", "port": "80", "conns": "9", "msize": "64"}
    plain |= {"warmup_ms": "0", "runtime_ms": "1500"}
    assert asked(request_line("::1", 80, CELL)) == plain
    full = request_line("::1", 80, replace(CELL, think_us=(5, 70)), replace(FREE, server_threads=2))
    more = {"think_min_us": "5", "think_max_us": "70", "threads": "2"}
    assert asked(full) == plain | more


TURN = (
    b"turn n=3 messages=7 window_ns=40000000 total=9 latency_sum_ns=50 latency_max_ns=20 idle_ns=1"
    b" user_ns=2 sys_ns=3 drain_ns=4 alive=8 unanswered=1 late_echoes=2 of_tomorrow=5\n"
)


def test_a_request_for_turns_has_no_times_of_its_own() -> None:
    plain = asked(request_line("::1", 80, CELL))
    turns = asked(request_line("::1", 80, CELL, FREE, turns=True))
    assert plain.keys() - turns.keys() == {"warmup_ms", "runtime_ms"}
    assert turns["turns"] == "1"


def test_a_turn_and_busy_are_read() -> None:
    parser = ReplyParser()
    with pytest.raises(ProtocolError, match="before 'connected'"):
        parser.feed(TURN)
    parser.feed(b"connected n=1 elapsed_ns=5\n")
    parser.feed(b"busy\n")
    assert parser.busy and parser.turned is None
    parser.feed(TURN)
    assert parser.turned is not None
    assert (parser.turned.n, parser.turned.total, parser.turned.late_echoes) == (3, 9, 2)
    with pytest.raises(ProtocolError, match="lacks messages"):
        parser.feed(b"turn n=4\n")


def test_a_connection_takes_turns(load_server: LoadServer) -> None:
    """With a real server: two tests at once, and the answer to each turn alone."""
    with (
        Peer() as peer,
        ControlConnection(load_server.address) as one,
        ControlConnection(load_server.address) as other,
    ):
        for control in (one, other):
            control.request("127.0.0.1", peer.port, CELL, turns=True)
            _await(control, lambda control=control: control.connected)
            control.ready()
        for n in (1, 2):
            for control in (one, other):
                control.turn(settle_us=1000, window_us=5000)
                assert control.turned is None
                assert not control.busy
                _await(control, lambda control=control: control.turned is not None)
                assert control.turned is not None
                assert (control.turned.n, control.turned.alive) == (n, CELL.conns)
        one.stop()
        _await(one, lambda: one.measurement is not None)
        assert one.measurement is not None
        assert one.measurement.window_ns == 10_000_000


def _await(control: ControlConnection, done: Callable[[], bool]) -> None:
    while not done():
        assert select.select([control], [], [], 30)[0]
        control.receive()


def test_error_line_becomes_its_code_and_message() -> None:
    with pytest.raises(ServerError, match="all ports are taken") as caught:
        ReplyParser().feed(b'error code=no_ports call=connect up=7 msg="all ports are taken"\n')
    assert caught.value.code == "no_ports"


def test_what_a_server_says_is_no_command_to_the_terminal() -> None:
    with pytest.raises(ServerError) as caught:
        ReplyParser().feed(b'error code=internal msg="\x1b[2J gone \xff\r\x07"\n')
    assert str(caught.value) == "?[2J gone ???"


def test_nothing_may_follow_the_end() -> None:
    parser = ReplyParser()
    parser.feed(
        b"connected n=1 elapsed_ns=5\n"
        b"result messages=0 window_ns=0 total=0 latency_sum_ns=0 latency_max_ns=0 lost=1"
        b" lost_reset=1 engine=epoll threads=1 user_ns=0 sys_ns=0 version=1\n"
        b"fairness min=0 " + b" ".join(b"p%d=0" % q for q in range(5, 100, 5)) + b" max=0"
        b" jain=1.0 starved=1\nend\n"
    )
    assert parser.measurement is not None
    assert parser.measurement.lost_by == {"reset": 1, "closed": 0, "corrupt": 0, "error": 0}
    with pytest.raises(ProtocolError, match="after the end"):
        parser.feed(b"progress t_ms=1 messages=1 alive=1\n")


@pytest.mark.parametrize("jain", ["nan", "inf", "-1", "1.1", "1e-3", ""])
def test_jain_is_a_fraction(jain: str) -> None:
    parser = ReplyParser()
    parser.feed(
        b"connected n=1 elapsed_ns=5\n"
        b"result messages=0 window_ns=9 total=0 latency_sum_ns=0 latency_max_ns=0 lost=0"
        b" engine=epoll threads=1 user_ns=0 sys_ns=0\n"
        b"fairness min=0 " + b" ".join(b"p%d=0" % q for q in range(5, 100, 5)) + b" max=0"
        b" starved=1 jain=" + jain.encode() + b"\n"
    )
    with pytest.raises(ProtocolError, match="fraction"):
        parser.feed(b"end\n")


# ---- the series of a window ----------------------------------------------------------------

RESULT = (
    b"result messages=3 window_ns=150000000 total=5 latency_sum_ns=9 latency_max_ns=5 lost=0"
    b" engine=epoll threads=1 user_ns=0 sys_ns=0\n"
    b"fairness min=3 " + b" ".join(b"p%d=3" % q for q in range(5, 100, 5)) + b" max=3 starved=0"
    b" jain=1\nhist 3=3\n"
)
SLICES = (
    b"slice n=1 messages=1 latency_sum_ns=4 latency_max_ns=4\n"
    b"slice n=2 messages=2 latency_sum_ns=5 latency_max_ns=5\n"
)


def test_slices_and_marks_are_read() -> None:
    marks: list[int] = []
    parser = ReplyParser()
    parser.on_mark = marks.append
    parser.feed(b"connected n=1 elapsed_ns=5\nmark t_ns=0\nmark t_ns=100\n")
    assert marks == [0, 100]
    parser.feed(RESULT + SLICES + b"end\n")
    assert parser.measurement is not None
    assert [one.messages for one in parser.measurement.slices] == [1, 2]
    assert [one.latency_max_ns for one in parser.measurement.slices] == [4, 5]


@pytest.mark.parametrize(
    ("slices", "said"),
    [
        (SLICES.replace(b"n=2", b"n=3"), "out of order"),
        (SLICES.replace(b"messages=2", b"messages=4"), "its slices holds 5 of 3 messages"),
    ],
)
def test_slices_that_cannot_be(slices: bytes, said: str) -> None:
    parser = ReplyParser()
    with pytest.raises(ProtocolError, match=said):
        parser.feed(b"connected n=1 elapsed_ns=5\n" + RESULT + slices + b"end\n")


def test_a_long_window_has_longer_slices() -> None:
    assert [slice_ms(s * 10**9) for s in (0, 1, 60, 61, 24 * 3600)] == [100, 100, 100, 200, 144000]
