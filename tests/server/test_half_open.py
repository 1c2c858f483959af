"""A control client that vanishes without a word, its cable pulled, holds nobody up for long."""

import json
import subprocess
import sys
import time

from tests.support.netns import namespaces
from tests.support.wire import TIMEOUT_S, server_program

# In the namespace `here`: listens, echoes, asks for a minute's test in the given version.
ASK = """
import socket, sys, threading, time
version, server, own = sys.argv[1:]
def echo(listener):
    connection = listener.accept()[0]
    print("pinged", connection.recv(64)[:0].decode(), flush=True)
    while data := connection.recv(64):
        connection.sendall(data)
listener = socket.create_server((own, 0))
port = listener.getsockname()[1]
threading.Thread(target=echo, args=(listener,), daemon=True).start()
control = socket.create_connection((server, 33330 + int(version)))
if version == "1":
    control.sendall(f"{own} {port} 1 60 0 0 64".encode())
else:
    control.sendall(f"test v=2 addr={own} port={port} conns=1 msize=64 warmup_ms=0"
                    f" runtime_ms=60000\\nready\\n".encode())
time.sleep(60)
"""

# In the namespace `there`: one short test over loopback.
TRY = """
import json, sys
from tests.support.wire import ControlClient, Peer
with Peer() as peer, ControlClient(("127.0.0.1", int(sys.argv[1]))) as client:
    client.request(peer.port, conns=1, runtime_ms=50)
    json.dump(client.finish().verbs[-1], sys.stdout)
"""


def last_verb(namespace, port: int) -> str:
    done = subprocess.run(
        [*namespace.prefix, sys.executable, "-c", TRY, str(port)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_pulled_cable_frees_the_server():
    """Both versions at once, each with a server of its own: one says something now and then."""
    with namespaces(2) as (here, there):
        started: list[subprocess.Popen[str]] = []

        def start(namespace, *argv: str) -> None:
            started.append(
                subprocess.Popen([*namespace.prefix, *argv], stdout=subprocess.PIPE, text=True)
            )
            assert started[-1].stdout.readline()  # listens, or is pinged

        try:
            for version in "1", "2":
                start(there, server_program(), "--quiet", "--listen", f"0.0.0.0:3333{version}")
                start(here, sys.executable, "-c", ASK, version, there.address, here.address)
            subprocess.run(["ip", "-n", here.name, "link", "set", "veth0", "down"], check=True)
            pulled = time.monotonic()
            for port in 33331, 33332:
                assert last_verb(there, port) == "error"  # busy
            for port in 33331, 33332:
                while last_verb(there, port) != "end":
                    assert time.monotonic() - pulled < 25
                    time.sleep(0.5)
        finally:
            for process in started:
                process.terminate()
                process.wait(TIMEOUT_S)
                process.stdout.close()
