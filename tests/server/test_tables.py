"""More connections than one table of descriptors holds: each ping thread has a table of its own."""

import contextlib
import errno
import platform
import resource
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.server.test_engine_failures import failing
from tests.support.wire import IDLY, TIMEOUT_S, ControlClient, Peer, load_server

LIMIT, CONNS = 256, 600  # of 192 that a table has room for: four
CLOSE_RANGE, UNSHARE = 436, 272  # the latter on x86-64
QUICK = {"warmup_ms": 0, "runtime_ms": 100}


def lower() -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))


@pytest.fixture(scope="module")
def server(engine):
    options = ["--engine", engine, "--threads", "1", "--quiet"]
    with load_server(*options, preexec_fn=lower) as running:
        running.idle = kinds(Path(f"/proc/{running.process.pid}/fd"))
        yield running


@pytest.fixture(scope="module")
def peer():
    with Peer(backlog=4096) as echo:
        yield echo


def kinds(folder: Path) -> Counter[str]:
    """What is open in a table, but for the standard streams: socket, anon_inode:[eventpoll] ..."""
    found: Counter[str] = Counter()
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            if int(path.name) > 2:
                found[str(path.readlink()).split("[")[0].rstrip(":")] += 1
    return found


def await_idle(server) -> None:
    """Until it has open what it had when nobody had come yet; the last client leaves by itself."""
    deadline = time.monotonic() + TIMEOUT_S
    while (now := kinds(Path(f"/proc/{server.process.pid}/fd"))) != server.idle:
        assert time.monotonic() < deadline, (now, server.idle)
        time.sleep(0.01)


def tables(pid: int) -> list[Counter[str]]:
    """Those of a server's threads, the main thread's first."""
    return [
        kinds(task / "fd")
        for task in sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda task: int(task.name))
    ]


def test_as_many_threads_as_tables_are_needed(server, peer):
    for asked, threads in (({}, 4), ({"threads": 5}, 5), ({"conns": 192}, 1)):
        answer = server.run(peer.port, **{"conns": CONNS, **QUICK, **asked})
        assert answer.verbs[-1] == "end", answer
        assert answer.count("threads") == threads
        assert answer.count("lost") == 0 and answer.count("total") >= threads * 100
    await_idle(server)


def test_a_thread_has_its_connections_and_nothing_of_the_others(server, peer):
    """A copy would keep open what its owner closes: a control client's end would not be seen."""
    with server.client(), server.client() as client:
        client.request(peer.port, conns=CONNS, **QUICK)
        client.await_verb("connected")
        main, *others = tables(server.process.pid)
        client.send("ready\n")
        assert client.finish().verbs[-1] == "end"
    ping_threads = [table for table in others if table != main]  # a session has the main thread's
    assert main["socket"] < 10
    assert [table["socket"] for table in ping_threads] == [150] * 4
    assert all(sum(table.values()) < 150 + 8 for table in ping_threads)


def test_the_client_finds_every_connection_closed(server):
    with Peer(backlog=4096) as peer:
        assert server.run(peer.port, conns=CONNS, **QUICK).verbs[-1] == "end"
        peer.await_closed(CONNS)


def test_too_many_for_the_threads_asked_for(server, peer):
    answer = server.run(peer.port, conns=CONNS, threads=3)
    assert len(answer) == 1 and "code=no_files" in answer[0], answer
    assert "threads=4 would do" in answer[0] and "ulimit -n" in answer[0]
    (refusal,) = server.run(peer.port, conns=64 * 192 + 1)
    assert "would do" not in refusal and "ulimit -n" in refusal


def test_turns_in_several_sessions(server, peer):
    def session(stack: contextlib.ExitStack) -> ControlClient:
        client: ControlClient = stack.enter_context(server.client())
        client.request_turns(peer.port, conns=CONNS // 2)
        return client

    with contextlib.ExitStack() as stack:
        sessions = [session(stack) for _ in range(3)]
        for _ in range(2):
            for client in sessions:
                turn = client.turn(window_us=50_000)
                assert turn["alive"] == CONNS // 2 and turn["total"] > 0
        for client in sessions:
            answer = client.stop()
            assert answer.verbs[-1] == "end" and answer.count("lost") == 0


@pytest.mark.parametrize("end", ["client", "peer", "refused"])
def test_a_test_that_comes_to_nothing_leaves_nothing_open(server, end):
    with Peer(backlog=4096) as peer, server.client() as client:
        port = peer.port
        if end == "refused":  # when some shares have their threads
            peer.on_accept = lambda peer, _: peer.accepted == 400 and peer.listener.close()
        lasts_ms = 2_000 if end == "refused" else 60_000
        client.request(port, conns=CONNS, runtime_ms=lasts_ms, **IDLY)
        if end == "refused":
            assert client.finish().verbs[-1] in ("error", "end")  # if all were up before it went
        else:
            client.await_verb("connected")
            client.send("ready\n")
            client.await_verb("progress")
            if end == "client":
                client.close()
    await_idle(server)
    with Peer(backlog=4096) as peer:
        assert server.run(peer.port, conns=CONNS, **QUICK).verbs[-1] == "end"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="knows that system call's number")
def test_where_tables_are_forbidden_threads_share_one():
    """As in a container; what fits into it can be tested as ever."""

    def forbid():
        failing(CLOSE_RANGE, errno.EPERM)()
        failing(UNSHARE, errno.EPERM)()
        lower()

    with load_server("--quiet", preexec_fn=forbid) as server, Peer(backlog=4096) as peer:
        for _ in range(2):
            answer = server.run(peer.port, conns=150, threads=3, **QUICK)
            assert answer.verbs[-1] == "end" and answer.count("lost") == 0, answer
        peer.await_closed(300)
        (refusal,) = server.run(peer.port, conns=CONNS)
        assert "code=no_files" in refusal
        assert server.run(peer.port, conns=150, threads=3, **QUICK).verbs[-1] == "end"
