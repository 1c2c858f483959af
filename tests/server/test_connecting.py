"""How the load server opens many connections: from which addresses and ports, and how fast."""

import contextlib
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.netns import namespaces
from tests.support.wire import TIMEOUT_S, load_server

PORTS = range(40000, 40100)

# Runs inside a namespace: one test there; prints its answer and the ends it connected from.
DRIVE = """
import json, sys
from tests.support.wire import Peer, load_server
options, host, request = json.loads(sys.argv[1])
ends = []
def note(peer, connection): ends.append(connection.getpeername()[:2])
with load_server(*options, listen=("[::1]:0" if ":" in host else "127.0.0.1:0")) as server:
    with Peer(host=host, backlog=4000, on_accept=note) as peer:
        print(json.dumps([server.run(peer.port, addr=host, **request), ends]))
"""


@pytest.fixture
def few_ports():
    """Runs one test where there are only PORTS to connect from, of which some may be reserved."""
    with namespaces(1) as (namespace,):

        def run(*options, host="127.0.0.1", reserved="", **request):
            settings = [f"net.ipv4.ip_local_port_range={PORTS[0]} {PORTS[-1]}"]
            settings.append(f"net.ipv4.ip_local_reserved_ports={reserved}")
            subprocess.run([*namespace.prefix, "sysctl", "-qw", *settings], check=True)
            done = subprocess.run(
                [*namespace.prefix, sys.executable, "-c", DRIVE,
                 json.dumps([options, host, request])],
                capture_output=True, text=True, timeout=2 * TIMEOUT_S,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            lines, ends = json.loads(done.stdout)
            assert lines[-1] == "end", lines
            return [address for address, _ in ends], [port for _, port in ends]

        yield run


def test_no_loopback_address_gives_more_than_half_its_ports(few_ports):
    """The kernel finds those at once; to find one of the others it walks all."""
    addresses, _ = few_ports(conns=350)
    assert len(addresses) == 350
    assert max(map(addresses.count, addresses)) <= len(PORTS) // 2


def test_listed_sources_are_used_evenly_from_the_start(few_ports):
    addresses, _ = few_ports("--source", "127.0.0.9,127.0.1.9,::1", conns=30)
    assert (addresses.count("127.0.0.9"), addresses.count("127.0.1.9")) == (15, 15)


@pytest.mark.parametrize(
    ("options", "host"), [(("--source", "127.0.0.9"), "127.0.0.1"), ((), "::1")]
)
def test_one_source_gives_every_port_but_the_reserved(few_ports, options, host):
    reserved = {40000, 40001, *range(40010, 40020), 40055}
    _, ports = few_ports(*options, host=host, reserved="40000-40001,40010-40019,40055", conns=85)
    assert len(set(ports)) == 85
    assert not set(ports) & reserved


def test_one_source_serves_test_after_test(few_ports):
    """Ports that the last test left in TIME_WAIT are no worse than others."""
    for _ in range(2):
        _, ports = few_ports("--source", "127.0.0.9", conns=95)
        assert len(set(ports)) == 95


def test_a_source_of_the_other_family_is_named():
    with (
        load_server("--source", "127.0.0.9", listen="[::1]:0") as server,
        server.client() as client,
    ):
        client.request(1, addr="::1", conns=1)
        (line,) = client.finish()
    assert "code=unreachable" in line
    assert "--source" in line


# Accepts what comes, and says nothing.
ACCEPT = """
import socket
with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
    print(listener.getsockname()[1], flush=True)
    held = []
    while True:
        held.append(listener.accept())
"""


def connect_cpu_s(options: tuple[str, ...], conns: int) -> float:
    """CPU time that the server spends on connecting: its wall time is also other programs'."""
    with contextlib.ExitStack() as stack:
        peer = stack.enter_context(
            subprocess.Popen([sys.executable, "-c", ACCEPT], stdout=subprocess.PIPE, text=True)
        )
        stack.callback(peer.kill)
        port = int(peer.stdout.readline())
        server = stack.enter_context(load_server(*options))
        client = stack.enter_context(server.client())
        client.request(port, conns=conns)
        client.await_verb("connected")
        fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.alone
@pytest.mark.parametrize("options", [(), ("--source", "127.0.0.9")])
def test_connecting_is_linear(options):
    """Beyond half the ports of an address as before it, where it took ten times as long."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 16_000:
        pytest.skip(f"needs 16,000 open files, the hard limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        times: list[list[float]] = []
        while len(times) < 3:
            times.append([connect_cpu_s(options, n) for n in (10_000, 15_000)])
            few, many = map(min, zip(*times, strict=True))
            if many / few < 2:
                break
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert many / few < 2, times


# Runs inside a namespace: the far host of a TUN device answers its first SYN at once and all later
# ones after the given delay. Prints what became of 50 connections to it.
SLOWER = """
import fcntl, heapq, os, select, struct, subprocess, sys, threading, time
from tests.support.wire import load_server

DELAY_S = float(sys.argv[1])
tun = os.open("/dev/net/tun", os.O_RDWR)
fcntl.ioctl(tun, 0x400454CA, struct.pack("16sH", b"far", 0x1001))
subprocess.run("ip addr add 10.99.0.1/24 dev far && ip link set far up", shell=True, check=True)


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def answer(packet, tcp):
    source, target, seq = struct.unpack("!HHI", tcp[:8])
    fields = (target, source, 1000, seq + 1 & 0xFFFFFFFF, 5 << 4, 0x12, 65535)
    ends = packet[16:20] + packet[12:16]
    head = struct.pack("!HHIIBBHHH", *fields, 0, 0)
    whole = struct.pack("!HHIIBBHHH", *fields, checksum(ends + struct.pack("!HH", 6, 20) + head), 0)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 40, 0, 0, 64, 6, 0) + ends
    return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + whole


def serve():
    waiting, number = [], 0
    while True:
        left = max(0, waiting[0][0] - time.monotonic()) if waiting else 1
        if select.select([tun], [], [], left)[0]:
            packet = os.read(tun, 2048)
            tcp = packet[(packet[0] & 15) * 4 :]
            if packet[0] >> 4 == 4 and packet[9] == 6 and tcp[13] & 0x17 == 2:
                due = time.monotonic() + (DELAY_S if number else 0)
                number += 1
                heapq.heappush(waiting, (due, number, answer(packet, tcp)))
        while waiting and waiting[0][0] <= time.monotonic():
            os.write(tun, heapq.heappop(waiting)[2])


threading.Thread(target=serve, daemon=True).start()
with load_server("--allow", "10.99.0.0/24") as server, server.client() as client:
    client.request(80, addr="10.99.0.2", conns=50)
    print(client.line(), end="")
"""


@pytest.mark.parametrize("delay_s", [0.03, 1.2])
def test_handshakes_that_become_slower_are_waited_for(delay_s):
    if not Path("/dev/net/tun").exists():
        pytest.skip("no /dev/net/tun")
    with namespaces(1) as (namespace,):
        done = subprocess.run(
            [*namespace.prefix, sys.executable, "-c", SLOWER, str(delay_s)],
            capture_output=True, text=True, timeout=TIMEOUT_S,
        )  # fmt: skip
    if "tun" in done.stderr and "Operation not permitted" in done.stderr:
        pytest.skip("no TUN device may be made here")
    assert done.stdout.startswith("connected n=50 "), done.stdout + done.stderr
    assert int(done.stdout.split("elapsed_ns=")[1]) < 20e9
