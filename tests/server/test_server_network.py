"""The load server on networks of the tests' own: few ports, another host, permissions."""

import json
import subprocess
import sys

import pytest

from tests.support.netns import namespaces
from tests.support.wire import TIMEOUT_S, server_program

# Runs inside a namespace: a load server and a listener there, one test of ours, its answer as JSON.
DRIVE = """
import json, sys
from tests.support.wire import Peer, load_server
options, host, request = json.loads(sys.argv[1])
with load_server(*options, listen=("[::1]:0" if ":" in host else "127.0.0.1:0")) as server:
    with Peer(host=host, backlog=4000) as peer:
        answer = server.run(peer.port, addr=host, **request)
        json.dump([answer, peer.accepted], sys.stdout)
"""


def run_inside(namespace, *, options=(), host="127.0.0.1", **request):
    done = subprocess.run(
        [*namespace.prefix, sys.executable, "-c", DRIVE, json.dumps([options, host, request])],
        capture_output=True,
        text=True,
        timeout=3 * TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def few_ports():
    """A namespace with 100 local ports to connect from, all of them free."""
    with namespaces(1) as (namespace,):
        subprocess.run(
            [*namespace.prefix, "sysctl", "-qw", "net.ipv4.ip_local_port_range=40000 40099"],
            check=True,
        )
        yield namespace


def test_loopback_goes_on_from_more_source_addresses(few_ports):
    lines, accepted = run_inside(few_ports, conns=350)
    assert lines[0].startswith("connected n=350 ")
    assert lines[-1] == "end"
    assert accepted == 350


def test_listed_sources_are_used_in_turn(few_ports):
    lines, accepted = run_inside(few_ports, options=["--source", "127.0.0.9,127.0.1.9"], conns=150)
    assert lines[-1] == "end"
    assert accepted == 150


@pytest.mark.parametrize(
    ("options", "host"), [(["--source", "127.0.0.9"], "127.0.0.1"), ([], "::1")]
)
def test_out_of_ports(few_ports, options, host):
    lines, _ = run_inside(few_ports, options=options, host=host, conns=150)
    assert len(lines) == 1
    assert lines[0].startswith("error code=no_ports call=connect ")
    assert "ip_local_port_range" in lines[0]
    assert "--source" in lines[0]
    up = int(lines[0].split(" up=")[1].split()[0])
    assert 90 <= up <= 100


# Runs in one namespace as a control client and its peer, both at the given address.
REMOTE = """
import json, sys
from tests.support.wire import ControlClient, Peer
server, bind, target = sys.argv[1:4]
with Peer(host=bind) as peer, ControlClient((server, 33331)) as client:
    port = None if target.startswith("unix:") else peer.port
    client.request(port, addr=target, conns=20)
    json.dump([client.finish(), peer.accepted], sys.stdout)
"""


def test_another_host_and_what_it_may_ask_for():
    with namespaces(2) as (here, there):
        server = subprocess.Popen(
            [*there.prefix, server_program(), "--listen", "0.0.0.0:33331"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert server.stdout.readline() == "listening on 0.0.0.0:33331\n"

            def ask(target):
                done = subprocess.run(
                    [
                        *here.prefix,
                        sys.executable,
                        "-c",
                        REMOTE,
                        there.address,
                        here.address,
                        target,
                    ],
                    capture_output=True,
                    text=True,
                    timeout=TIMEOUT_S,
                )
                assert done.returncode == 0, done.stderr
                return json.loads(done.stdout)

            lines, accepted = ask(here.address)
            assert lines[-1] == "end"
            assert accepted == 20
            # a remote client may neither have the server's own loopback attacked nor a third host
            for target in "127.0.0.1", there.address, "10.202.77.99":
                lines, accepted = ask(target)
                assert lines[0].startswith("error code=forbidden ")
                assert accepted == 0
            (line,), _ = ask("unix:/run/anything")
            assert line.startswith("error code=bad_request ")
            assert f"is for a control client on loopback, and this one is at {here.address}" in line
        finally:
            server.terminate()
            assert server.wait(TIMEOUT_S) == 0
            server.stdout.close()


def test_allow_opens_a_network():
    with namespaces(2) as (here, there):
        # the control client sits at one address of `here`, its listener at another
        subprocess.run(
            ["ip", "-n", here.name, "addr", "add", "10.202.77.50/24", "dev", "veth0"], check=True
        )
        server = subprocess.Popen(
            [
                *there.prefix,
                server_program(),
                "--listen",
                "0.0.0.0:33331",
                "--allow",
                "10.202.77.48/28",
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            server.stdout.readline()
            done = subprocess.run(
                [*here.prefix, sys.executable, "-c", REMOTE, there.address, "10.202.77.50",
                 "10.202.77.50"],
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
            )  # fmt: skip
            lines, accepted = json.loads(done.stdout)
            assert lines[-1] == "end"
            assert accepted == 20
        finally:
            server.terminate()
            assert server.wait(TIMEOUT_S) == 0
            server.stdout.close()


# Runs in a namespace on one of the server's links: a test of an echoing peer here, by each name.
LINK_LOCAL = """
import json, sys
from tests.support.wire import ControlClient, Peer
lines = []
with Peer(host="::") as peer:
    for target in sys.argv[1:]:
        with ControlClient(("fe80::1%a0", 33331)) as client:
            client.request(peer.port, addr=target, conns=2, runtime_ms=50)
            lines.append(client.finish()[-1])
json.dump([lines, peer.accepted], sys.stdout)
"""


def test_the_same_link_local_address_on_another_link_is_another():
    with namespaces(3) as (here, server, there):

        def run(*words: str) -> None:
            subprocess.run(words, check=True)

        def join(host, link: str, to: str, number: int) -> None:
            run("ip", "link", "add", link, "netns", host.name, "type", "veth",
                "peer", "name", to, "netns", server.name)  # fmt: skip
            for side, device, address in (host, link, "fe80::77"), (server, to, f"fe80::{number}"):
                run("ip", "-n", side.name, "link", "set", device, "up")
                run("ip", "-n", side.name, "addr", "add", f"{address}/64", "dev", device, "nodad")

        join(here, "a0", "sa", 1)
        join(there, "b0", "sb", 2)
        process = subprocess.Popen(
            [*server.prefix, server_program(), "--listen", "[::]:33331"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            process.stdout.readline()
            done = subprocess.run(
                [*here.prefix, sys.executable, "-c", LINK_LOCAL, "fe80::77%sb", "fe80::77%sa",
                 "fe80::77"],
                capture_output=True,
                text=True,
                timeout=TIMEOUT_S,
            )  # fmt: skip
            assert done.returncode == 0, done.stderr
            (other, same, unscoped), accepted = json.loads(done.stdout)
            assert other.startswith("error code=forbidden ")
            assert same == unscoped == "end"
            assert accepted == 4
        finally:
            process.terminate()
            assert process.wait(TIMEOUT_S) == 0
            process.stdout.close()
