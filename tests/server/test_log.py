"""The server's log: one clean line a test, whatever was asked for, and never in the way."""

import fcntl
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.wire import TIMEOUT_S, ControlClient, Peer, load_server, server_program

GOOD = "test v=2 addr=127.0.0.1 port=9 conns=1 msize=1 warmup_ms=0 runtime_ms=1"
ESCAPE = "\x1b]0;owned\x07\x1b[31m"


@pytest.mark.parametrize(
    "request_text",
    [
        f"{GOOD} engine={ESCAPE}\n",
        f"{GOOD} engine=a\rb\n",
        f"{GOOD} engine=\u00e9\n",
        f"{GOOD} timestamps={ESCAPE}\n",
        f"{GOOD} token={ESCAPE}\n",
        f"{GOOD} token=\u009b31m\n",
        f"{GOOD} {ESCAPE}=1\n",
        f"{GOOD} {ESCAPE}\n",
        GOOD.replace("127.0.0.1", ESCAPE) + "\n",
        GOOD.replace("127.0.0.1", "fe80::1%" + ESCAPE) + "\n",
        GOOD.replace("port=9", f"port={ESCAPE}") + "\n",
        f"{ESCAPE} 9 1 1 0 0 64",
        f"127.0.0.1 {ESCAPE} 1 1 0 0 64",
        f"127.0.0.1\t9 1 1 0 0 64 {ESCAPE}",
    ],
    ids=str.encode,
)
def test_nothing_of_a_request_gets_into_the_log_raw(request_text):
    with load_server() as running:
        with running.client() as client:
            client.send(request_text)
            answer = client.finish()
        assert answer.words("error")["code"] == "bad_request"
        assert answer[0].isascii()
        assert answer[0].isprintable()
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(TIMEOUT_S)
        (line,) = running.process.stderr.read().split("\n")[:-1]
    assert line.isascii()
    assert line.isprintable()


def refused(address) -> None:
    with ControlClient(address) as client:
        client.request(1, conns=1, addr="10.202.77.99")
        assert client.finish().words("error")["code"] == "forbidden"


def test_a_log_that_nobody_reads_holds_nobody_up():
    """A pipe of one page, full after some thirty lines, is neither waited for nor forgotten."""
    with load_server() as running, Peer() as peer:
        stderr = running.process.stderr.fileno()
        fcntl.fcntl(stderr, fcntl.F_SETPIPE_SZ, 4096)
        for _ in range(60):
            refused(running.address)
        assert running.run(peer.port).count("messages") > 0
        os.read(stderr, 65536)
        refused(running.address)
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(TIMEOUT_S) == 0
        last = running.process.stderr.read().splitlines()[-1]
    assert "lines dropped" in last


def test_a_server_without_standard_files_is_none_the_worse():
    """Nothing that it opens gets the number of stderr, so that a log line goes nowhere."""
    with subprocess.Popen(
        ["sh", "-c", 'exec "$0" --listen 127.0.0.1:0 <&- 2>&-', server_program()],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        host, _, port = process.stdout.readline().split()[-1].rpartition(":")
        files = Path(f"/proc/{process.pid}/fd")
        assert {str((files / fd).readlink()) for fd in "02"} == {"/dev/null"}
        refused((host, int(port)))
        process.terminate()
        assert process.wait(TIMEOUT_S) == 0


def test_a_busy_server_says_what_a_version_1_client_could_not_be_told():
    with load_server() as running, Peer() as peer, running.client() as first:
        first.request(peer.port, runtime_ms=60_000)
        first.await_verb("connected")
        with running.client() as client:
            client.send("127.0.0.1 9 1 1 0 0 64")
            assert client.socket.recv(100).startswith(b"0 ")
        assert "version 1" in running.process.stderr.readline()
