"""Options to campaigns and back; durations, counts, addresses."""

import json
import os
from typing import Any

import pytest
from msgspec import UNSET, convert, structs

from pybench.errors import PybenchError, ResultFormatError, UsageError
from pybench.machine import placement
from pybench.result.campaign import CampaignRecord
from pybench.result.codec import decode, encode
from pybench.spec import OPTIONS, Campaign, HostPort
from pybench.units import (
    format_duration,
    parse_count,
    parse_counts,
    parse_cpus,
    parse_duration_ns,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "value_ns"),
    [("30s", 30 * 10**9), ("500ms", 5 * 10**8), ("20us", 20_000), ("2", 2 * 10**9),
     ("1.5s", 1_500_000_000), ("0.1us", 100), ("0", 0), ("1m", 60 * 10**9),
     ("1.5min", 90 * 10**9), ("1h", 3600 * 10**9)],
)  # fmt: skip
def test_duration(text: str, value_ns: int) -> None:
    assert parse_duration_ns(text) == value_ns
    assert parse_duration_ns(format_duration(value_ns)) == value_ns


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", "1d", "1M", "1e3", "1 s", "nan", ".5s", "0.0001us", "\u0661s"]
)
def test_bad_duration(text: str) -> None:
    with pytest.raises(UsageError):
        parse_duration_ns(text)


@pytest.mark.parametrize(("text", "value"), [("10", 10), ("1k", 1000), ("1.5k", 1500), ("0", 0),
    ("10K", 10_000), ("1M", 10**6), ("1e4", 10_000), ("1.5e3", 1500), ("1E+4", 10_000)],
)  # fmt: skip
def test_count(text: str, value: int) -> None:
    assert parse_count(text) == value


@pytest.mark.parametrize(
    "text", ["", "k", "-1", "1.5", "1m", "1KiB", "0x10", "1.0001k", "1e-2", "1e999"]
)
def test_bad_count(text: str) -> None:
    with pytest.raises(UsageError):
        parse_count(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("64", 64), ("64k", 64_000), ("64KiB", 65_536), ("64kib", 65_536), ("1MiB", 1 << 20),
     ("64kB", 64_000), ("0.5KiB", 512), ("1M", 10**6), ("100B", 100)],
)  # fmt: skip
def test_size(text: str, value: int) -> None:
    assert parse_size(text) == value


@pytest.mark.parametrize("text", ["", "KiB", "64Ki", "0.3KiB", "64 bytes", "-1KiB"])
def test_bad_size(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


@pytest.mark.parametrize("text", ["0.5", "100,0.5", ".5"])
def test_a_rate_below_one_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(UsageError, match="a whole number of pings/s, 1 or more"):
        campaign(rate=text)


@pytest.mark.parametrize("option", ["conns", "runtime", "msize", "seed", "rate"])
def test_a_number_of_thousands_of_digits_is_refused_in_short(option: str) -> None:
    """Python refuses to print it."""
    with pytest.raises(UsageError) as found:
        OPTIONS[option].value({option: "9" * 5000}, option)
    assert len(str(found.value)) < 120


def test_counts_and_cpus_are_lists_without_duplicates() -> None:
    assert parse_counts("10,1k, 10,1000") == (10, 1000)
    assert parse_cpus("2-4,0,3") == (0, 2, 3, 4)
    for bad in ("1,,2", "3-1", "a", "-1", "1-"):
        with pytest.raises(UsageError):
            parse_cpus(bad)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [("a.example:80", "a.example", 80), ("[::1]:80", "::1", 80), ("10.0.0.2", "10.0.0.2", 33331),
     ("[fe80::1]", "fe80::1", 33331)],
)  # fmt: skip
def test_server_address(text: str, host: str, port: int) -> None:
    address = HostPort.parse(text)
    assert (address.host, address.port) == (host, port)
    assert HostPort.parse(str(address)) == address


@pytest.mark.parametrize(
    "text", ["", ":80", "::1", "::1:80", "a:", "a:0", "a:65536", "a:b", "[]:1"]
)
def test_bad_server_address(text: str) -> None:
    with pytest.raises(UsageError):
        HostPort.parse(text)


def campaign(**options: Any) -> Campaign:
    base: dict[str, Any] = {"func": "selector,cpp_epoll", "conns": "10,1k"}
    return Campaign.from_options(base | options, lambda key: f"--{key}")


def test_defaults_and_cells() -> None:
    made = campaign()
    assert (made.msize, made.runtime_ns, made.warmup_ns, made.rounds) == (
        (64,),
        30 * 10**9,
        10**9,
        1,
    )
    names = [(cell.func, cell.conns) for cell in made.cells]
    assert names == [("selector", 10), ("selector", 1000), ("c_epoll", 10), ("c_epoll", 1000)]
    assert campaign().seed != campaign().seed


def test_sizes_multiply_the_cells() -> None:
    made = campaign(func="selector", conns="10,1k", msize="64,1k,1KiB,1000")
    assert made.msize == (64, 1000, 1024)
    sizes = [(cell.conns, cell.msize) for cell in made.cells]
    assert sizes == [(n, size) for n in (10, 1000) for size in (64, 1000, 1024)]
    assert [str(cell) for cell in made.cells][:2] == ["selector x 10", "selector (1000 bytes) x 10"]


@pytest.mark.parametrize("sizes", ["64", "64,1k"])
def test_the_header_holds_all_sizes_and_one_as_before(sizes: str) -> None:
    made = campaign(msize=sizes)
    record = made.to_record()
    assert record.msize == (64 if sizes == "64" else (64, 1000))
    assert Campaign.from_record(record) == made


def test_pings_in_flight_and_idle_connections_multiply_the_cells() -> None:
    made = campaign(func="selector", conns="10", inflight="1,16", idle="0,10k")
    assert [(cell.inflight, cell.idle, cell.all_conns) for cell in made.cells] == [
        (1, 0, 10), (1, 10_000, 10_010), (16, 0, 10), (16, 10_000, 10_010)
    ]  # fmt: skip
    assert [str(cell) for cell in made.cells] == [
        "selector x 10",
        "selector (10k idle) x 10",
        "selector (16 in flight) x 10",
        "selector (16 in flight, 10k idle) x 10",
    ]
    record = made.to_record()
    assert (record.inflight, record.idle) == ((1, 16), (0, 10_000))
    assert Campaign.from_record(record) == made


def test_the_header_of_usual_pings_in_flight_is_as_before() -> None:
    record = json.loads(encode(campaign().to_record()))
    assert not {"inflight", "idle"} & (record.keys() | record["options"].keys())


@pytest.mark.parametrize(
    "options, said",
    [
        ({"inflight": "1,4", "rate": "100"}, "--inflight 4 and --rate exclude each other"),
        ({"inflight": "4", "rate": "auto"}, "--inflight 4 and --rate exclude each other"),
        ({"inflight": "4", "think": "1ms"}, "--inflight 4 and --think exclude each other"),
        ({"inflight": "1024", "conns": "10,20k"}, "--inflight 1024 on 20000 connections: at most"),
        ({"idle": "1M", "conns": "1"}, "--conns 1 and --idle 1000000: at most 1000000 together"),
        ({"inflight": "0"}, "--inflight: 0 is out of range: 1 to 1024"),
        ({"idle": "-1"}, "--idle: "),
    ],
)
def test_what_pings_in_flight_and_idle_connections_do_not_go_with(
    options: dict[str, str], said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        campaign(**options)
    assert str(caught.value).startswith(said)


def test_names_and_aliases_count_once() -> None:
    assert campaign(func="c_epoll,cpp_epoll,selector,c_epoll").func == ("c_epoll", "selector")
    assert not campaign().all_rows
    assert campaign(func="all").all_rows and "gevent" in campaign(func="all").func


def test_values_of_a_campaign_file_need_not_be_text() -> None:
    made = campaign(func=["selector", "thread"], conns=[10, "1k"], runtime=2, no_pin=True)
    assert made.func == ("selector", "thread") and made.conns == (10, 1000)
    assert made.runtime_ns == 2 * 10**9 and not made.pin


def test_think_time() -> None:
    assert campaign(think="5ms:15ms").think_us == (5000, 15000)
    assert campaign(think="20us").think_us == (20, 20)


def test_record_round_trip() -> None:
    made = campaign(server="[::1]:9", think="1ms:2ms", runtime="250ms", bind="::1", rounds="7")
    record = made.to_record()
    assert Campaign.from_record(decode(encode(record).encode(), CampaignRecord)) == made
    with pytest.raises(PybenchError, match=r"campaign\.conns: missing"):
        Campaign.from_record(structs.replace(record, conns=UNSET))


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"rounds": 10**9}, "campaign.rounds: 1000000000 is out of range: 1 to 1000000"),
        ({"conns": []}, "campaign.conns: ''"),
        ({"msize": 10**9}, "campaign.msize: 1000000000 is out of range"),
        ({"runtime_s": 1e300}, "campaign.runtime_s: '10000000000000000525...' is not a duration"),
        ({"runtime_s": 1e-12}, "campaign.runtime_s: 0s is out of range: 1ms to 86400s"),
        ({"think_us": [5, 1]}, "campaign.think_us: the shortest think time, 5us, is above"),
        ({"busy_poll_us": 10**12}, "campaign.busy_poll_us: 1000000000000us is out of range"),
        ({"rate": [10**15]}, "campaign.rate: 1000000000000000 is out of range"),
        ({"engine": "x"}, "campaign.engine: 'x' is not one of: epoll uring null"),
        ({"cluster": "x"}, "campaign.cluster: 'x' is no scheduler of Dask"),
        ({"bind": "x"}, "campaign.bind: 'x' is not a numeric"),
        ({"server": "x,x"}, "campaign.server: x:33331 comes twice"),
        ({"cpu": []}, "campaign.cpu: ''"),
        ({"server_cpus": [10**6]}, "campaign.server_cpus: '1000000' is not a list of CPUs"),
        ({"env_sets": [[["A", "\0"]]]}, "campaign.env_sets: 'A=\\x00' is not a variable"),
        ({"func": []}, "campaign.func: empty"),
        ({"func": ["x"]}, "campaign.func: no row is called 'x'"),
        ({"options": {"workers": [0]}}, "campaign.workers: 0 is out of range: 1 to 64"),
        ({"options": {"transport": {}}}, "campaign.transport: {} is neither text nor"),
        ({"pin": False, "cpu": 0}, "campaign.cpu and campaign.pin exclude each other"),
    ],
    ids=str,
)
def test_a_header_takes_what_its_options_take(changed: dict[str, Any], said: str) -> None:
    """Whoever wrote the file: rounds without end and a CPU list of none are no campaign."""
    record = json.loads(encode(campaign().to_record())) | changed
    with pytest.raises(ResultFormatError) as caught:
        Campaign.from_record(convert(record, CampaignRecord))
    assert str(caught.value).startswith(said)


ALLOWED = sorted(os.sched_getaffinity(0))


def test_worker_and_server_share_no_cpu_where_there_are_two() -> None:
    placed = placement.place(campaign())
    assert placed.worker_cpu == ALLOWED[0]
    assert placed.server_cpus and set(placed.server_cpus) <= set(ALLOWED)
    if len(ALLOWED) > 1:
        assert ALLOWED[0] not in placed.server_cpus
    assert placed.server_threads == min(3, len(placed.server_cpus))


def test_a_single_cpu_is_shared_and_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {5})
    placed = placement.place(campaign())
    assert (placed.worker_cpu, placed.server_cpus, placed.shared_cpus) == (5, (5,), (5,))
    assert placement.place(campaign(no_pin=True)).shared_cpus == (5,)


def test_smt_siblings_of_the_worker_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    monkeypatch.setattr(placement, "smt_siblings", lambda cpu: frozenset({cpu, cpu ^ 1}))
    assert placement.place(campaign()).server_cpus == (2, 3)
    placed = placement.place(campaign(cpu="1", server_cpus="0,2"))
    assert (placed.worker_cpu, placed.server_cpus, placed.shared_cpus) == (1, (0, 2), (0,))


def test_a_remote_server_is_not_placed() -> None:
    placed = placement.place(campaign(server="10.0.0.2:9"))
    assert (placed.server_cpus, placed.server_threads) == (None, None)
