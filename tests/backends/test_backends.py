"""Every row keeps the contract: `contract.SCENARIOS`, the body that `pybench check` runs, and more.

The rows of one library share a host, a process that serves one call after the other. What a row
does when it cannot accept, is interrupted or is left at once is tried once for each code of ours
and once for each library, and not for each pair of them. Then the registry.
"""

import contextlib
import re
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pybench.backends import ALIASES, ROWS, Row, find, load, unavailable
from pybench.contract.plan import Plan
from pybench.contract.scenarios import BY_TRANSPORT, SCENARIOS, Scenario, basics, play
from pybench.contract.session import Session
from pybench.errors import UsageError
from tests.support.peers import DEADLINE_S, Call, Host, connect, exchange, read_to_end, reset

DESIGN_ORDER = (
    "asyncio asyncio_proto asyncio_sock uvloop uvloop_proto uvloop_sock gevent selector thread "
    "c_epoll c_poll c_th c_uring raw_selector"
)
MANY = 50
QUIET_S = 0.06

# What a library does not keep of the contract, so that no code of ours can: row -> scenario or test
# -> reason. None of it happens in a benchmark: the load server closes its connections, and after
# all of them.
_RLOOP_LOST_ENDS = "rloop 0.5 forgets a connection that is reset or half-closed: no connection_lost"
_RLOOP_WAKE = "rloop 0.5 does not wake up for a Ctrl-C or a callback's exception"
_BLAZIO_STALLS = "blazio 0.1 stops sending to a peer that reads slowly and has ended its own side"
_BLAZIO_RESETS = "blazio 0.1 may miss that a peer has reset its connection: no connection_lost"
_TALYN_BLOCKS = "talyn 0.10 takes a full socket for an error, and closes the connection"
_RLOOP_ENDS = {
    "half_close": _RLOOP_LOST_ENDS,
    "half_close_with_little": _RLOOP_LOST_ENDS,
    "resets": _RLOOP_LOST_ENDS,
    "closes_early": _RLOOP_LOST_ENDS,
    "early_bytes": _RLOOP_LOST_ENDS,
}
CANNOT = {
    "uvloop": {
        "test_more_connections_than_files": "libuv accepts and closes what it has no descriptor"
        " for, and tells nobody"
    },
    "rloop": {
        **_RLOOP_ENDS,
        "test_peers_that_leave_at_once": _RLOOP_LOST_ENDS,
        "test_returns_when_the_last_has_closed": _RLOOP_LOST_ENDS,
        "test_leaves_nothing_open": "rloop 0.5 keeps the descriptor of a server that is closed",
        "test_ready_that_raises": _RLOOP_WAKE,
        "test_ctrl_c": _RLOOP_WAKE,
        "test_more_connections_than_files": _RLOOP_WAKE,
    },
    "rloop_proto": _RLOOP_ENDS,
    "aiofastnet": {
        "test_more_connections_than_files": "aiofastnet 1.2 says so, but may leave a connection"
        " open that it was accepting"
    },
    "blazio": {"half_close": _BLAZIO_STALLS, "resets": _BLAZIO_RESETS},
    "blazio_proto": {"half_close": _BLAZIO_STALLS, "resets": _BLAZIO_RESETS},
    "blazio_sock": {"half_close": "blazio 0.1 raises OSError: WouldBlock from sock_sendall"},
    "talyn": {
        "half_close": _TALYN_BLOCKS,
        "test_more_connections_than_files": "talyn 0.10 tells nobody that it cannot accept",
    },
    "talyn_proto": {"half_close": _TALYN_BLOCKS},
    "anyio_trio": {
        "test_more_connections_than_files": "anyio on trio raises a BrokenResourceError, the reason"
        " is only its cause"
    },
    "twisted": {
        "test_more_connections_than_files": "Twisted accepts and closes what it has no descriptor"
        " for, and tells only its log"
    },
    "tornado": {
        "half_close": "Tornado 6 closes a stream when its peer has ended its side, whatever there"
        " still is to write"
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


HERE = [name for name, row in ROWS.items() if unavailable(row) is None]
"""The others are named once, by the first scenario, and not by each test that skips them."""


def library(row: Row) -> str:
    """What a row is written with."""
    return row.requires or row.family


def first_of_each() -> list[str]:
    """Rows whose code, or whose library, no row before them has."""
    seen: set[str] = set()
    first = []
    for row in ROWS.values():
        if not seen >= {row.target, library(row)}:
            first.append(row.name)
        seen |= {row.target, library(row)}
    return first


@pytest.fixture(scope="module")
def host_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Row], Host]]:
    """The host of a row's library; those of our own extensions share one."""
    hosts: dict[str, Host] = {}
    folder = tmp_path_factory.mktemp("hosts")
    with contextlib.ExitStack() as stack:

        def host(row: Row) -> Host:
            name = library(row).partition(".")[0]
            if name not in hosts:
                hosts[name] = Host(folder / name)
                stack.callback(hosts[name].close)
            return hosts[name]

        yield host


@pytest.fixture
def host(
    row: str, host_of: Callable[[Row], Host], request: pytest.FixtureRequest
) -> Iterator[Host]:
    """A host that serves nothing yet. No test may make it print anything."""
    reason = unavailable(ROWS[row]) or CANNOT.get(row, {}).get(_what(request))
    if reason is not None:
        pytest.skip(reason)
    host = host_of(ROWS[row])
    before = len(host.printed())
    yield host
    assert _SAID_BY_LIBRARIES.sub("", host.printed()[before:]) == ""


def _what(request: pytest.FixtureRequest) -> str:
    """The scenario's name, or the test's."""
    scenario = request.node.callspec.params.get("scenario")
    return scenario.body.__name__ if scenario else str(request.node.originalname)


# ---- every row, every scenario ----


def early_bytes(session: Session) -> None:
    """What the first peer sends although it must not lets the row run; still it is not ready."""
    [first, _] = session.connect(2)
    first.send(b"early")
    session.not_ready_yet()
    session.connect_all()
    session.ends("return")


def echoes(session: Session) -> None:
    """On all connections at once."""
    socks = session.connect_all()
    with session.check("echo"):
        for _ in range(3):
            session.echoes(socks)
    session.ends("return")


def half_close_with_little(session: Session) -> None:
    """Peers have sent everything, and get it back, then the end."""
    socks = session.connect_all()
    with session.check("half-close"):
        session.echoes(socks, size=8000, half_close=True)
        for sock in socks:
            session.comes_to_its_end(sock)
    session.ends("half-close", all_gone=True)


MORE = (
    Scenario(half_close_with_little, 2, msize=1000),
    Scenario(early_bytes, 3),
    Scenario(echoes, 1, msize=1),
    Scenario(echoes, None, msize=1),
    Scenario(echoes, 1, msize=100_000),
    Scenario(echoes, None, msize=100_000),
)


ASKED = tuple(one for one in SCENARIOS if (one.body, one.conns) != (basics, 1)) + MORE
"""The same with one connection says no more of a row that `echoes` with one does not."""


def _name(scenario: Scenario) -> str:
    return f"{scenario.body.__name__}-{scenario.conns or MANY}x{scenario.msize}"


@pytest.mark.parametrize(
    ("row", "scenario"),
    [
        pytest.param(row, scenario, id=f"{_name(scenario)}-{row}")
        for scenario in ASKED
        for row in (ROWS if scenario is ASKED[0] else HERE)
    ],
)
def test_keeps_the_contract(row: str, scenario: Scenario, host: Host) -> None:
    calls: list[Call] = []

    def start(plan: Plan, conns: int, msize: int) -> Call:
        calls.append(host.start(plan, conns, msize))
        return calls[-1]

    plan = Plan(row=ROWS[row], conns=MANY, timeout_s=DEADLINE_S, start=start, quiet_s=QUIET_S)
    assert play(scenario, plan) == ([], False)
    [call] = calls
    assert call.facts is not None
    if scenario.body.__name__ not in ("closes_early", "all_leave_at_once"):
        assert call.facts.accepted == (scenario.conns or MANY)


# ---- every row over what else than TCP it can serve ----


@pytest.mark.parametrize(
    ("row", "transport"),
    [(row, one) for one in ("unix", "tls") for row in HERE if unavailable(ROWS[row], one) is None],
)
def test_echoes_over_other_transports(row: str, transport: str, host: Host) -> None:
    """Pieces come back whole; of TLS the peers end without a word to it."""
    plan = Plan(
        row=ROWS[row], conns=MANY, timeout_s=DEADLINE_S, start=host.start, transport=transport
    )
    for scenario in (BY_TRANSPORT[transport][-1], Scenario(echoes, None, msize=20_000)):
        assert play(scenario, plan) == ([], False)


# ---- each code of ours and each library: accepting, ending ----

once_each = pytest.mark.parametrize("row", [row for row in first_of_each() if row in HERE])


@pytest.fixture
def call(row: str, host: Host) -> Callable[..., Call]:
    return partial(host.call, ROWS[row])


@pytest.fixture
def peers() -> Iterator[contextlib.ExitStack]:
    """What is still open when the test ends, to be closed."""
    with contextlib.ExitStack() as stack:
        yield stack


def _connect(peers: contextlib.ExitStack, call: Call, count: int) -> list[socket.socket]:
    socks = connect(("127.0.0.1", call.await_port()), count)
    return [peers.enter_context(sock) for sock in socks]


@once_each
@pytest.mark.parametrize("close", [socket.socket.close, reset], ids=["close", "reset"])
def test_peers_that_leave_at_once(
    call: Callable[..., Call], close: Callable[[socket.socket], None]
) -> None:
    with call(10) as one:
        for sock in connect(("127.0.0.1", one.await_port()), 10):
            close(sock)
        one.await_end()
        assert one.ready


@once_each
def test_returns_when_the_last_has_closed(
    call: Callable[..., Call], peers: contextlib.ExitStack
) -> None:
    """Each of them its sending side only: it gets the end."""
    with call(5) as one:
        *first, last = _connect(peers, one, 5)
        one.await_ready()
        for sock in first:
            sock.shutdown(socket.SHUT_WR)
            assert read_to_end(sock) == b""
        assert exchange([last], [b"still there"]) == [b"still there"]
        last.shutdown(socket.SHUT_WR)
        assert read_to_end(last) == b""
        one.await_end()


@once_each
def test_leaves_nothing_open(call: Callable[..., Call]) -> None:
    """From the second call on; the first may make what a library keeps for the whole process."""
    for number in range(2):
        with call(3) as one:
            socks = connect(("127.0.0.1", one.await_port()), 3)
            one.await_ready()
            for sock in socks:
                sock.close()
            assert one.await_end().left_open == 0 or number == 0
            with pytest.raises(ConnectionRefusedError):
                connect(("127.0.0.1", one.await_port()), 1)


@once_each
def test_ready_that_raises(call: Callable[..., Call], peers: contextlib.ExitStack) -> None:
    with call(2, ready_raises=True) as one:
        socks = _connect(peers, one, 2)
        error = one.await_failure()
        assert error.exceptions[0] == "LookupError" and "ready was told to fail" in str(error)
        assert [read_to_end(sock) for sock in socks] == [b"", b""]


@once_each
@pytest.mark.parametrize("accepting", [True, False], ids=["accepting", "serving"])
def test_ctrl_c(
    call: Callable[..., Call], host: Host, peers: contextlib.ExitStack, accepting: bool
) -> None:
    with call(3) as one:
        socks = _connect(peers, one, 2 if accepting else 3)
        if not accepting:
            one.await_ready()
            assert exchange(socks, [b"abc"] * 3) == [b"abc"] * 3
        one.await_sleep()
        host.interrupt()
        assert one.await_failure().exceptions[0] == "KeyboardInterrupt"
        assert [read_to_end(sock) for sock in socks] == [b""] * len(socks)


@once_each
def test_more_connections_than_files(
    row: str, call: Callable[..., Call], peers: contextlib.ExitStack
) -> None:
    """A row that cannot accept says so instead of waiting for ever, and closes what it has."""
    with call(MANY, max_files=40) as one:
        one.await_port()
        socks = []
        if ROWS[row].own_tables:  # it can: its threads share them out
            socks = _connect(peers, one, MANY)
            one.await_ready()
            assert exchange(socks, [b"abc"] * MANY) == [b"abc"] * MANY
            return
        with contextlib.suppress(ConnectionError):  # the row gives up while we connect
            for _ in range(MANY):
                socks += _connect(peers, one, 1)
        error = one.await_failure()
        assert "OSError" in error.exceptions and "Too many open files" in str(error)
        for sock in socks:  # a connect that met the closing listener half-way hears of it only now
            with contextlib.suppress(ConnectionError):
                sock.send(b"?")
        assert [read_to_end(sock) for sock in socks] == [b""] * len(socks)


def test_once_each_is_every_code_and_every_library() -> None:
    chosen = [ROWS[name] for name in first_of_each()]
    assert {row.target for row in chosen} == {row.target for row in ROWS.values()}
    assert {library(row) for row in chosen} == {library(row) for row in ROWS.values()}
    assert len(chosen) < len(ROWS)


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


def test_a_row_on_the_loop_of_a_second_library_needs_both() -> None:
    row = replace(ROWS["aiofastnet"], requires="json", runs_on="no_such_loop")
    assert unavailable(row) == "no_such_loop: not installed (pip install no_such_loop)"
    assert unavailable(replace(row, runs_on="json")) is None
    assert row.libraries == {"aiofastnet": "json", "no_such_loop": "no_such_loop"}


@pytest.mark.parametrize(
    ("library", "expected"),
    [
        ("glibc 2.36", "; its wheels need glibc 2.39 or later, here is glibc 2.36"),
        ("glibc 2.39", ""),
        ("glibc 2.40", ""),
        (None, "; its wheels need glibc 2.39 or later, here is another C library"),
    ],
)
def test_wheels_that_pip_would_not_find_are_said_to_need_another_c_library(
    library: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.confstr", lambda name: library)
    row = replace(ROWS["rloop"], requires="no_such_loop", glibc_minor=39)
    assert unavailable(row) == f"no_such_loop: not installed (pip install rloop{expected})"
    assert unavailable(replace(row, requires="json")) is None, "built from source it runs"


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
