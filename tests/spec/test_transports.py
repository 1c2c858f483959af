"""Transports as an axis: of campaigns, of races, and what does not go together."""

from typing import Any

import pytest

from pybench.errors import UsageError
from pybench.spec import Campaign
from pybench.spec.race import Race, races_of_families


def campaign(**options: Any) -> Campaign:
    base: dict[str, Any] = {"func": "selector,thread", "conns": "10"}
    return Campaign.from_options(base | options, lambda key: f"--{key}")


def test_every_row_is_measured_over_each_transport_once() -> None:
    made = campaign(transport="tls,tcp,tls")
    cells = [(cell.label, cell.transport) for cell in made.cells]
    assert cells == [("selector", "tls"), ("selector", "tcp"), ("thread", "tls"), ("thread", "tcp")]
    assert [str(cell) for cell in made.cells[:2]] == ["selector (over tls) x 10", "selector x 10"]
    assert {cell.transport for cell in campaign().cells} == {"tcp"}


def test_a_header_keeps_them_and_one_without_means_tcp() -> None:
    made = campaign(transport="unix,tls")
    record = made.to_record()
    assert Campaign.from_record(record) == made
    del record.options["transport"]
    assert Campaign.from_record(record).transport == ("tcp",)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"transport": "udp"}, "--transport: 'udp' is not one of: tcp unix tls"),
        ({"transport": "tcp,tls", "engine": "uring"}, "the engine uring knows no TLS"),
        ({"transport": "unix", "timestamps": "kernel"}, "not those of --transport unix"),
    ],
)
def test_what_does_not_go_together(options: dict[str, str], error: str) -> None:
    with pytest.raises(UsageError, match=error):
        campaign(**options)


def test_in_a_race_each_transport_makes_contenders_of_its_own() -> None:
    race = Race.from_options(["thread", "gevent"], {"transport": "tcp,tls"}, str)
    assert [one.label for one in race.contenders] == [
        *("thread[transport=tcp]", "thread[transport=tls]"),
        *("gevent[transport=tcp]", "gevent[transport=tls]"),
    ]
    assert [race.cell(one, 10, 64).transport for one in race.contenders] == ["tcp", "tls"] * 2
    alone = Race.from_options(["thread", "gevent"], {"transport": "unix"}, str)
    assert [one.label for one in alone.contenders] == ["thread", "gevent"]
    assert {alone.cell(one, 10, 64).transport for one in alone.contenders} == {"unix"}


def test_families_race_over_each_transport_by_themselves() -> None:
    made = campaign(func="asyncio,asyncio_proto,asyncio_sock", transport="tcp,tls")
    able = [cell for cell in made.cells if not cell.row.cannot(cell.transport)]
    races = races_of_families(made, able, 10**9)
    assert [(r.campaign.transport, [c.label for c in r.contenders]) for r in races] == [
        (("tcp",), ["asyncio", "asyncio_proto", "asyncio_sock"]),
        (("tls",), ["asyncio", "asyncio_proto"]),
    ]
