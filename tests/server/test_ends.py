"""The server at its limits and at its end: nobody's answer is lost, and nothing spins."""

import resource
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from tests.support.wire import IDLY, TIMEOUT_S, Peer, load_server, server_program


def awake_s(pid: int) -> float:
    """Time that its main thread ran, or would have if the machine had had a CPU for it."""
    ran_ns, waited_ns, _ = map(int, Path(f"/proc/{pid}/schedstat").read_text().split())
    return (ran_ns + waited_ns) / 1e9


def files_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def test_a_server_without_descriptors_sleeps():
    """Not even the spare one is left: who wants in is looked at now and then, not all the time."""
    with load_server() as running:
        pid = running.process.pid
        used = files_of(pid)
        # 0 to 3 are in use and not given up: nothing can be opened, nor the spare one again
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (4, used + 50))
        with socket.create_connection(running.address, TIMEOUT_S) as outside:
            before = awake_s(pid)
            time.sleep(1)
            assert awake_s(pid) - before < 0.5
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 50, used + 50))
            outside.sendall(b"hello\n")
            assert outside.recv(1000).startswith(b"error code=bad_request ")
        with Peer() as peer:
            assert running.run(peer.port, conns=2, runtime_ms=50).count("messages") > 0


def test_a_server_that_cannot_go_on_says_why_and_fails():
    with subprocess.Popen(
        [server_program(), "--listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        host, _, port = process.stdout.readline().split()[-1].rpartition(":")
        # poll refuses more descriptors than there may be
        resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (2, 2))
        with suppress(ConnectionError):  # its end may come before the handshake's
            socket.create_connection((host, int(port)), TIMEOUT_S).close()
        assert process.wait(TIMEOUT_S) == 1
        assert process.stderr.read() == "pybench-server: poll: Invalid argument\n"


def test_an_answer_is_not_lost_when_the_server_ends():
    """Though the client has sent what was never read."""
    with load_server() as running, Peer() as peer, running.client() as client:
        client.request(peer.port, runtime_ms=60_000, **IDLY)
        client.await_verb("connected")
        client.send("ready\n")
        client.await_verb("progress")
        running.process.send_signal(signal.SIGSTOP)
        client.send("stop\n" * 3000)
        running.process.send_signal(signal.SIGTERM)
        running.process.send_signal(signal.SIGCONT)
        assert running.process.wait(TIMEOUT_S) == 0
        last = list(client.finish())[-1]
    assert last == "end" or last.startswith("error code=stopped ")


def test_who_waits_when_the_server_ends_is_told():
    with load_server() as running, Peer() as peer, running.client() as first:
        first.request(peer.port, runtime_ms=60_000)
        first.await_verb("connected")
        with running.client() as second:
            second.request(peer.port)
            time.sleep(0.03)  # less than it waits for its turn
            running.process.send_signal(signal.SIGTERM)
            assert second.finish().words("error")["code"] == "stopped"
            assert running.process.wait(TIMEOUT_S) == 0
        assert first.finish().words("error")["code"] == "stopped"


def test_a_client_that_does_not_read_does_not_hold_up_the_end():
    with load_server() as running, Peer() as peer:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        client.connect(running.address)
        client.sendall(
            f"test v=2 addr=127.0.0.1 port={peer.port} conns=1 msize=64 warmup_ms=0"
            " runtime_ms=60000\nready\n".encode()
        )
        client.recv(1)
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(TIMEOUT_S) == 0
        assert time.monotonic() - began < 2
        client.close()


def test_whose_request_is_whole_is_not_thrown_out_for_who_has_said_nothing():
    """A full table: those who wait keep their places, and have an answer each."""
    with load_server() as running, Peer() as peer, running.client() as first:
        first.request(peer.port, runtime_ms=60_000)
        first.await_verb("connected")
        asking = [running.client() for _ in range(10)]
        for client in asking:
            client.request(peer.port)
        idle = [running.client() for _ in range(150)]
        codes = [client.finish().words("error").get("code") for client in asking]
        assert codes == ["busy"] * 10
        for client in [*asking, *idle]:
            client.close()


def test_more_waiting_than_there_is_room_for_have_an_answer_each():
    with load_server() as running, Peer() as peer, running.client() as first:
        first.request(peer.port, runtime_ms=60_000)
        first.await_verb("connected")
        asking = []
        for _ in range(200):
            asking.append(running.client())
            asking[-1].request(peer.port)
        codes = [client.finish().words("error").get("code") for client in asking]
        assert codes == ["busy"] * 200
        for client in asking:
            client.close()
