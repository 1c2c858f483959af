"""The contract of `backends.Serve`, one test body run over every row, and the registry."""

import contextlib
import random
import re
import socket
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pybench.backends import ALIASES, ROWS, Row, find, load, unavailable
from pybench.errors import UsageError
from tests.support.peers import QUIET_S, Host, connect, exchange, jam, read_to_end, reset

DESIGN_ORDER = (
    "asyncio asyncio_proto asyncio_sock uvloop uvloop_proto uvloop_sock gevent selector thread "
    "c_epoll c_poll c_th c_uring raw_selector"
)

# What a library does not keep of the contract, so that no code of ours can: row -> test -> reason.
# None of it happens in a benchmark: the load server closes its connections, and after all of them.
_LIBUV = {
    "test_more_connections_than_files": "libuv accepts and closes what it has no descriptor for,"
    " and tells nobody"
}
_RLOOP_LOST_ENDS = "rloop 0.5 forgets a connection that is reset or half-closed: no connection_lost"
_RLOOP_SERVER = "rloop 0.5 keeps the descriptor of a server that is closed"
_RLOOP_WAKE = "rloop 0.5 does not wake up for a Ctrl-C or a callback's exception"
_RLOOP = {
    "test_ready_waits_for_the_last_connection": _RLOOP_LOST_ENDS,
    "test_half_close": _RLOOP_LOST_ENDS,
    "test_resets_are_closes": _RLOOP_LOST_ENDS,
    "test_peers_that_leave_at_once": _RLOOP_LOST_ENDS,
    "test_returns_when_the_last_has_closed": _RLOOP_LOST_ENDS,
    "test_leaves_nothing_open": _RLOOP_SERVER,
    "test_ready_that_raises": _RLOOP_WAKE,
    "test_ctrl_c": _RLOOP_WAKE,
    "test_more_connections_than_files": _RLOOP_WAKE,
}
_AIOFASTNET = {
    "test_more_connections_than_files": "aiofastnet 1.2 says so, but may leave a connection open"
    " that it was accepting"
}
CANNOT = {
    "uvloop": _LIBUV,
    "uvloop_proto": _LIBUV,
    "uvloop_buffered": _LIBUV,
    "rloop": _RLOOP,
    "rloop_proto": _RLOOP,
    "rloop_sock": {
        "test_leaves_nothing_open": "rloop 0.5 keeps two descriptors of a loop that is closed",
        "test_more_connections_than_files": "so that there are none left for the next loop",
    },
    "aiofastnet": _AIOFASTNET,
    "aiofastnet_proto": _AIOFASTNET,
    "aiofastnet_buffered": _AIOFASTNET,
    "twisted": {
        "test_more_connections_than_files": "Twisted accepts and closes what it has no descriptor"
        " for, and tells only its log"
    },
}
if sys.version_info < (3, 11):
    CANNOT["anyio"] = {"test_ctrl_c": "anyio's own runner of Python 3.10 makes it a CancelledError"}
# gevent's hub prints a KeyboardInterrupt and the time before it hands it on; rloop 0.5 forgets the
# pair of sockets that wakes it.
_SAID_BY_LIBRARIES = re.compile(
    r"KeyboardInterrupt\n\S+Z\n|\S+/rloop/loop\.py:\d+: ResourceWarning: .*\n.*\n"
    r"|ResourceWarning: Enable tracemalloc .*\n"
)
MIB = 1 << 20


@pytest.fixture(scope="module", params=ROWS)
def hosts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Host]]:
    """The row's host process, in a list, so that a test can get a new one after a failed one."""
    reason = unavailable(ROWS[request.param])
    if reason is not None:
        pytest.skip(reason)
    hosts = [Host(request.param, tmp_path_factory.mktemp(request.param) / "stderr")]
    yield hosts
    hosts[0].close()


@pytest.fixture
def host(hosts: list[Host], request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    """A host that serves nothing yet. No test may make it write to its standard error."""
    reason = CANNOT.get(hosts[0].row, {}).get(request.node.originalname)
    if reason is not None:
        pytest.skip(reason)
    if not hosts[0].idle:
        hosts[0].close()
        hosts[0] = Host(request.node.callspec.params["hosts"], tmp_path / "stderr")
    yield hosts[0]
    assert _SAID_BY_LIBRARIES.sub("", hosts[0].stderr()) == ""


@pytest.fixture
def peers() -> Iterator[contextlib.ExitStack]:
    """What is still open when the test ends, to be closed."""
    with contextlib.ExitStack() as stack:
        yield stack


def _connect(
    peers: contextlib.ExitStack, address: tuple[str, int], count: int, *, small: bool = False
) -> list[socket.socket]:
    return [peers.enter_context(sock) for sock in connect(address, count, small_buffers=small)]


def _messages(count: int, size: int) -> list[bytes]:
    """A different message for each connection, so that mixed-up ones show."""
    return [random.Random(i).randbytes(size) for i in range(count)]


@pytest.mark.parametrize("conns", [1, 50])
@pytest.mark.parametrize("msize", [1, 64, 100_000])
def test_echoes_byte_for_byte(
    host: Host, peers: contextlib.ExitStack, conns: int, msize: int
) -> None:
    socks = _connect(peers, host.serve(conns, msize), conns)
    assert host.event("ready")["accepted"] == conns
    for _ in range(3):
        messages = _messages(conns, msize)
        assert exchange(socks, messages) == messages
    peers.close()
    done = host.event("done")
    assert done["calls"] == 1
    assert done["result"] is None


@pytest.mark.parametrize("piece", [1, 7])
def test_fragments_are_echoed_in_order(host: Host, peers: contextlib.ExitStack, piece: int) -> None:
    socks = _connect(peers, host.serve(3, 64), 3)
    host.event("ready")
    messages = _messages(3, 640)
    assert exchange(socks, messages, piece=piece) == messages
    peers.close()
    host.event("done")


def test_ready_waits_for_the_last_connection(host: Host, peers: contextlib.ExitStack) -> None:
    address = host.serve(3)
    first, _ = _connect(peers, address, 2)
    # What the first peer sends although it must not lets the row run, and still it is not ready.
    first.send(b"early")
    host.wait_idle()
    _connect(peers, address, 1)
    assert host.event("ready")["accepted"] == 3
    peers.close()
    assert host.event("done")["calls"] == 1


def test_slow_reader(host: Host, peers: contextlib.ExitStack) -> None:
    """It gets every byte in the end, stops nobody else meanwhile, and costs no CPU."""
    slow, *others = _connect(peers, host.serve(3, 100_000, small_buffers=True), 3, small=True)
    host.event("ready")
    [message] = _messages(1, MIB)
    sent, cpu_s = jam(slow, message, host)
    assert cpu_s < QUIET_S / 2
    pings = _messages(2, 64)
    assert exchange(others, pings) == pings
    assert exchange([slow], [message[sent:]], expected=MIB) == [message]
    pings = _messages(3, 64)
    assert exchange([slow, *others], pings) == pings
    peers.close()
    host.event("done")


def test_half_close(host: Host, peers: contextlib.ExitStack) -> None:
    """A peer that has sent everything still gets all of it back, then the end."""
    socks = _connect(peers, host.serve(2, 1000, small_buffers=True), 2, small=True)
    host.event("ready")
    for sock, message in zip(socks, _messages(2, 8000), strict=True):
        assert sock.send(message) == len(message)
        sock.shutdown(socket.SHUT_WR)
    assert [read_to_end(sock) for sock in socks] == _messages(2, 8000)
    host.event("done")


def test_resets_are_closes(host: Host, peers: contextlib.ExitStack) -> None:
    """Idle, with an echo on the way, and jammed: the others are served on, and nothing is said."""
    socks = _connect(peers, host.serve(5, 64, small_buffers=True), 5, small=True)
    host.event("ready")
    idle, busy, jammed, *others = socks
    busy.send(bytes(1000))
    jam(jammed, bytes(MIB), host)
    for sock in (idle, busy, jammed):
        reset(sock)
    pings = _messages(2, 64)
    assert exchange(others, pings) == pings
    peers.close()
    host.event("done")


@pytest.mark.parametrize("close", [socket.socket.close, reset], ids=["close", "reset"])
def test_peers_that_leave_at_once(host: Host, close: object) -> None:
    assert callable(close)
    for sock in connect(host.serve(10), 10):
        close(sock)
    assert host.event("ready")["calls"] == 1
    host.event("done")


def test_returns_when_the_last_has_closed(host: Host, peers: contextlib.ExitStack) -> None:
    *first, last = _connect(peers, host.serve(5), 5)
    host.event("ready")
    for sock in first:
        sock.shutdown(socket.SHUT_WR)
        assert read_to_end(sock) == b""
    assert exchange([last], [b"still there"]) == [b"still there"]
    last.shutdown(socket.SHUT_WR)
    assert read_to_end(last) == b""
    host.event("done")


def test_leaves_nothing_open(host: Host) -> None:
    """From the second call on; the first may make what a library keeps for the whole process."""
    for call in range(2):
        address = host.serve(3)
        socks = connect(address, 3)
        host.event("ready")
        for sock in socks:
            sock.close()
        done = host.event("done")
        assert done["left_open"] == 0 or call == 0
        with pytest.raises(ConnectionRefusedError):
            connect(address, 1)


def test_ready_that_raises(host: Host, peers: contextlib.ExitStack) -> None:
    socks = _connect(peers, host.serve(2, ready_raises=True), 2)
    host.event("ready")
    failed = host.event("failed")
    assert (failed["error"], failed["text"]) == ("LookupError", "ready was told to fail")
    assert [read_to_end(sock) for sock in socks] == [b"", b""]


@pytest.mark.parametrize("accepting", [True, False], ids=["accepting", "serving"])
def test_ctrl_c(host: Host, peers: contextlib.ExitStack, accepting: bool) -> None:
    socks = _connect(peers, host.serve(3), 2 if accepting else 3)
    if not accepting:
        host.event("ready")
        assert exchange(socks, _messages(3, 64)) == _messages(3, 64)
    host.wait_idle()
    host.interrupt()
    assert host.event("failed")["error"] == "KeyboardInterrupt"
    assert [read_to_end(sock) for sock in socks] == [b""] * len(socks)


def test_more_connections_than_files(host: Host, peers: contextlib.ExitStack) -> None:
    """A row that cannot accept says so instead of waiting for ever, and closes what it has."""
    address = host.serve(50, max_files=40)
    socks = []
    with contextlib.suppress(ConnectionError):  # the row gives up while we connect
        for _ in range(50):
            socks += _connect(peers, address, 1)
    failed = host.event("failed")
    assert failed["error"] == "OSError"
    assert "Too many open files" in failed["text"]
    for sock in socks:  # a connect that met the closing listener half-way hears of it only now
        with contextlib.suppress(ConnectionError):
            sock.send(b"?")
    assert [read_to_end(sock) for sock in socks] == [b""] * len(socks)


# ---- the registry ----


def test_the_rows_of_the_design_come_first_and_in_its_order() -> None:
    assert " ".join(ROWS).startswith(DESIGN_ORDER + " ")
    assert all(name == row.name and row.description for name, row in ROWS.items())


def test_find_resolves_the_names_of_the_report() -> None:
    assert {alias: find(alias).name for alias in ALIASES} == {
        "cpp_epoll": "c_epoll",
        "cpp_poll": "c_poll",
        "cpp_th": "c_th",
    }
    assert find("gevent") is ROWS["gevent"]


def test_find_names_what_comes_near() -> None:
    with pytest.raises(UsageError, match=r"'asincio': did you mean asyncio.*pybench --list"):
        find("asincio")
    with pytest.raises(UsageError, match="no row is called 'zzz': `pybench --list`"):
        find("zzz")


def test_a_missing_library_is_named_with_the_command_that_adds_it() -> None:
    row = Row("trio", "", "trio", "pybench.backends.rows.trio:serve", "no_such_trio", "trio")
    assert unavailable(row) == "no_such_trio: not installed (pip install trio)"
    with pytest.raises(UsageError, match=r"\(pip install trio\)"):
        load(row)


def test_a_row_of_other_pythons_says_of_which() -> None:
    assert unavailable(replace(ROWS["selector"], since_minor=99)) == "needs Python 3.99 or later"
    old = replace(ROWS["selector"], until_minor=9, requires="json")
    assert unavailable(old) == "json does not work on Python 3.10 or later"


def test_a_missing_extension_is_told_from_a_missing_library() -> None:
    row = Row("c_none", "", "C", "pybench.backends.rows.c:serve_none", "pybench.c_none")
    assert "pybench.c_none: extension not built" in (unavailable(row) or "")


def test_a_library_that_does_not_import_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_row.py").write_text("raise ImportError('libfoo.so.1: not found')")
    monkeypatch.syspath_prepend(tmp_path)
    row = Row("broken", "", "C", "broken_row:serve")
    assert unavailable(row) is None
    with pytest.raises(UsageError, match=r"broken: cannot be imported: libfoo\.so\.1: not found"):
        load(row)
