"""Who vanishes without a word, the cable pulled, holds nobody up for long: neither a control client
the server, nor a server the driver."""

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

# In the namespace `here`: a driver whose worker takes its time to be ready.
DRIVE = """
import selectors, socket, sys
from pybench.driver.control import ControlConnection
from pybench.errors import ServerError
from pybench.spec import HostPort
from tests.support.rounds import cell
server, own = sys.argv[1:]
listener = socket.create_server((own, 0))
with ControlConnection(HostPort(server, 33333)) as control, selectors.DefaultSelector() as selector:
    selector.register(control, selectors.EVENT_READ)
    control.request(own, listener.getsockname()[1], cell("selector", 1))
    try:
        while True:
            assert selector.select(60)
            control.receive()
            print("connected" * control.connected, flush=True)
    except ServerError as exc:
        print(exc)
"""

# In the namespace `there`: one short test over loopback after the other, of each server, until none
# is told `busy`. Prints the last verb of each answer.
TRY = """
import sys, time
from tests.support.wire import ControlClient, Peer
def last_verb(port):
    with Peer() as peer, ControlClient(("127.0.0.1", port)) as client:
        client.request(peer.port, conns=1, runtime_ms=50)
        return client.finish().verbs[-1]
waiting = list(map(int, sys.argv[1:]))
while waiting:
    for port in list(waiting):
        verb = last_verb(port)
        print(port, verb, flush=True)
        if verb == "end":
            waiting.remove(port)
    time.sleep(0.2)
"""

# In the servers: what they tell the kernel about their clients is noted, and lasts a fifth as long.
SHORTER = r"""
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int setsockopt(int fd, int level, int name, const void *value, socklen_t size)
{
    int shorter = value ? *(const int *)value : 0;
    const char *is = level != IPPROTO_TCP ? 0
        : name == TCP_KEEPIDLE ? "idle_s" : name == TCP_KEEPINTVL ? "interval_s"
        : name == TCP_USER_TIMEOUT ? "unheard_ms" : 0;
    if (is) {
        int log = open(LOG, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        dprintf(log, "%s=%d\n", is, shorter);
        close(log);
        shorter /= 5;
        value = &shorter;
    }
    return (int)syscall(SYS_setsockopt, fd, level, name, value, size);
}
"""


def test_a_pulled_cable_frees_the_server(preload, tmp_path):
    """Both versions at once, each with a server of its own: one says something now and then.


    The kernel gives up 15 s after the last sign of life, from 5 s on with a question every 5 s; a
    fifth of that here. A driver hears of it likewise.
    """
    log = tmp_path / "log"
    shorter = preload(SHORTER.replace("LOG", f'"{log}"'))
    with namespaces(2) as (here, there):
        started: list[subprocess.Popen[str]] = []

        def start(namespace, *argv: str, **env: str) -> subprocess.Popen[str]:
            command = [*namespace.prefix, "env", *(f"{k}={v}" for k, v in env.items()), *argv]
            started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
            return started[-1]

        try:
            for version in "1", "2":
                words = ("--quiet", "--listen", f"0.0.0.0:3333{version}")
                server = start(there, server_program(), *words, **shorter)
                assert server.stdout.readline()  # listens
                ask = (sys.executable, "-c", ASK, version, there.address, here.address)
                assert start(here, *ask).stdout.readline()  # is pinged
            server = start(there, server_program(), "--quiet", "--listen", "0.0.0.0:33333")
            assert server.stdout.readline()
            drive = (sys.executable, "-c", DRIVE, there.address, here.address)
            driver = start(here, *drive, **shorter)
            assert driver.stdout.readline() == "connected\n"
            subprocess.run(["ip", "-n", here.name, "link", "set", "veth0", "down"], check=True)
            pulled = time.monotonic()
            tries = start(there, sys.executable, "-c", TRY, "33331", "33332")
            said = tries.communicate(timeout=TIMEOUT_S)[0].split("\n")
            missed = driver.stdout.readline()
        finally:
            for process in started:
                process.terminate()
                process.wait(TIMEOUT_S)
                process.stdout.close()
    assert time.monotonic() - pulled < 20
    assert said[:2] == ["33331 error", "33332 error"], "busy"
    assert {"33331 end", "33332 end"} <= set(said)
    assert missed.startswith(f"lost the load server at {there.address}:33333: "), missed
    settings = {"idle_s=5", "interval_s=5", "unheard_ms=15000", "unheard_ms=10000"}
    assert set(log.read_text().split()) == settings
