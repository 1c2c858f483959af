"""Other transports than TCP: whole rounds, and what is said where one cannot be."""

import hashlib
import re
import ssl
from contextlib import suppress
from dataclasses import replace

import pytest

from pybench.driver import certificate, plan, workerprocess
from pybench.driver.control import request_line
from pybench.driver.plan import Completed, make_plan
from pybench.errors import PreflightError
from pybench.spec import Campaign, HostPort
from tests.support import synthetic
from tests.support.fakerounds import Invoke
from tests.support.rounds import Measure, cell


def campaign(func: str, **options: str) -> Campaign:
    return Campaign.from_options({"func": func, "conns": "5"} | options, str)


def test_a_round_over_unix_sockets(measure: Measure) -> None:
    result = measure(cell("asyncio_proto", transport="unix"))
    assert result.status == "ok", result.error
    assert result.transport == "unix" and result.per_conn and result.per_conn.lost == 0
    assert result.server and result.server.handshake_s is None


def test_a_request_names_a_unix_socket_or_a_port_and_a_pin() -> None:
    asked = cell("thread", transport="unix")
    words = request_line("unix:@00001", 0, asked).decode().split()
    assert "addr=unix:@00001" in words and not any("port" in word for word in words)
    over_tls = request_line("::1", 7, cell("thread", transport="tls"), pin="ab").decode().split()
    assert {"port=7", "transport=tls", "pin=ab"} <= set(over_tls)


def test_the_certificate_is_in_memory_and_its_pin_is_of_what_a_peer_sees() -> None:
    from pybench.backends.tls import server_context
    from pybench.contract.tlspeer import client_context

    made = certificate.certificate()
    assert certificate.certificate() is made
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = server_context(f"/proc/self/fd/{made.fd}").wrap_bio(ours, theirs, server_side=True)
    client = client_context().wrap_bio(theirs, ours)
    for side in (client, server, client, server):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    seen = client.getpeercert(binary_form=True)
    assert seen and hashlib.sha256(seen).hexdigest() == made.pin
    assert client.version() == "TLSv1.3"


def test_a_round_over_tls(measure: Measure) -> None:
    result = measure(cell("asyncio_proto", transport="tls"))
    assert result.status == "ok", result.error
    assert result.transport == "tls" and result.per_conn and result.per_conn.lost_by["tls"] == 0
    server = result.server
    assert server and server.tls_cipher.startswith("TLS_") and server.handshake_s
    assert 0 < server.handshake_s <= server.connect_s


# ---- what goes wrong in a round: one line ----


@pytest.mark.parametrize(
    ("func", "transport", "error"),
    [
        ("bad:ignores_tls", "tls", "TLS handshake"),
        ("bad:insists_on_tls", "tcp", "ssl.SSLError: .*WRONG_VERSION_NUMBER|NO_SHARED_CIPHER"),
        ("bad:good", "tls", "the backend serves no TLS: its serve takes no `tls`"),
    ],
)
def test_one_side_speaks_tls_and_the_other_does_not(
    func: str, transport: str, error: str, measure: Measure
) -> None:
    result = measure(cell(func, 1, transport=transport))
    assert result.status == "failed" and re.search(error, result.error), result.error
    assert "\n" not in result.error


def test_another_certificate_than_the_pinned_one(
    measure: Measure, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = certificate.certificate()
    other = replace(made, pin=64 * "a")
    monkeypatch.setattr(workerprocess, "certificate", lambda: other)
    result = measure(cell("asyncio_proto", 3, transport="tls"))
    assert result.status == "failed" and "pin" in result.error, result.error


# ---- what cannot be ----


def test_a_row_that_cannot_is_unavailable_beside_others_that_can() -> None:
    made = make_plan(campaign("selector,asyncio_proto", transport="unix,tls"))
    assert [(c.label, c.transport, why) for c, why in made.unavailable.items()] == [
        ("selector", "tls", "its callbacks are of plain sockets: a selector knows no TLS")
    ]


def test_rows_none_of_which_can_are_an_error() -> None:
    with pytest.raises(PreflightError, match=r"^selector cannot serve tls: its .*; asyncio_sock c"):
        make_plan(campaign("selector,asyncio_sock", transport="tls"))


def test_a_program_cannot() -> None:
    with pytest.raises(PreflightError, match="a program listens on the TCP port that it is given"):
        make_plan(campaign("exec:cat {port}", transport="unix"))


def test_without_trustme_it_is_said_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate, "find_spec", lambda name: None)
    with pytest.raises(PreflightError, match=r"\(pip install trustme\)"):
        make_plan(campaign("thread", transport="tls"))


class _Elsewhere:
    """A control connection to a load server on another machine."""

    local = False

    def __init__(self, server: HostPort, secret: str | None = None) -> None:
        self.server = server

    def __enter__(self) -> "_Elsewhere":
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass


def test_a_remote_server_cannot_connect_to_a_unix_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "ControlConnection", _Elsewhere)
    asked = campaign("thread", transport="unix", server="10.9.8.7:1")
    with pytest.raises(PreflightError, match=r"a Unix socket is of one machine, .* at 10.9.8.7:1"):
        plan.check_transports(asked)


# ---- campaigns ----


def test_a_resumed_campaign_knows_what_it_has_over_which_transport() -> None:
    [over_tls, over_tcp] = plan.tasks_in_order(
        asked := campaign("thread", transport="tls,tcp", seed="1"), asked.cells
    )
    if over_tls.cell.transport == "tcp":
        over_tls, over_tcp = over_tcp, over_tls
    done = Completed([synthetic.make_result("thread", 5, transport="tls")])
    assert done.next_cell(over_tls) is None
    assert done.next_cell(over_tcp) == over_tcp.cell


def test_the_tables_tell_transports_apart(invoke: Invoke) -> None:
    asked = ("--func", "thread,gevent", "--conns", "5", "--transport", "tcp,unix")
    done = invoke(*asked)
    assert done.returncode == 0, done.stderr
    assert "thread, 5 connections, over unix: " in done.stderr
    assert "64-byte messages, 2 s rounds, TCP\n" in done.stdout
    assert "64-byte messages, 2 s rounds, Unix sockets\n" in done.stdout
