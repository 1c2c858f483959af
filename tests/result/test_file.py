"""Results files as others leave them: what is wrong is named with file, line and key."""

import gzip
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any, get_args

import pytest

from pybench.analysis.load import load_files
from pybench.analysis.verdict import METRICS as COMPARED
from pybench.cli import main
from pybench.driver import campaign as campaigns
from pybench.errors import ResultFormatError, UsageError
from pybench.result import Result
from pybench.result.campaign import CampaignRecord, Header
from pybench.result.file import ResultWriter, read_lines, read_sections
from pybench.result.histogram import Histogram
from pybench.result.types import MetricName
from pybench.spec.race import METRICS
from tests.support import DATA, ROOT
from tests.support.records import without_newer

HEADER, ROUND = (json.loads(x) for x in (DATA / "v0.1/full.jsonl").read_text().splitlines()[:2])
ABSENT = object()


def changed(record: Any, way: str, value: Any) -> Any:
    """The record with the value at the end of the dotted way, or without what is there."""
    copy = json.loads(json.dumps(record))
    *folders, name = way.split(".")
    inner = copy
    for folder in folders:
        inner = inner[folder]
    if value is ABSENT:
        del inner[name]
    else:
        inner[name] = value
    return copy


WRONG = [
    ("schema", 2, "schema 2 is not 1, which this version reads"),
    ("schema", True, "schema: expected int, got bool"),
    ("schema", ABSENT, "neither a header nor a result line"),
    ("mps", "1", "mps: expected float, got str"),
    ("mps", float("nan"), "mps: expected float >= 0.0 (JSON has no NaN)"),
    ("mps", float("inf"), "mps: expected float >= 0.0 (JSON has no Infinity)"),
    ("mps", None, "mps: expected float, got null"),
    ("mps", -1, "mps: expected float >= 0.0"),
    ("conns", 0, "conns: expected int >= 1"),
    ("conns", "ten", "conns: expected int, got str"),
    ("conns", 10**30, "conns: expected int <= 9223372036854775807"),
    ("conns", ABSENT, "conns: missing"),
    ("msize", 0, "msize: expected int >= 1"),
    ("round", 0, "round: expected int >= 1"),
    ("status", "fine", "status: invalid value 'fine'"),
    ("latency_ns.p99", "x", "latency_ns.p99: expected int, got str"),
    ("latency_ns.p99", ABSENT, "latency_ns.p99: missing"),
    ("histogram", {"x": 1}, "histogram: key: expected int, got str"),
    ("histogram", {"1": "x"}, "histogram[...]: expected int, got str"),
    ("histogram", {"-1": 1}, "histogram: key: expected int >= 0"),
    ("warnings", [{}], "warnings[0].code: missing"),
    ("python", [], "python: expected object, got array"),
    ("python.version", 3, "python.version: expected str, got int"),
    ("env.cpus", "2", "env.cpus: expected int, got str"),
    ("env.calibration", None, "env.calibration: expected object, got null"),
    ("env.calibration.noise_floor", "x", "env.calibration.noise_floor: expected float, got str"),
    ("env.placement.shared_cpus", 0, "env.placement.shared_cpus: expected array, got int"),
]


@pytest.mark.parametrize(
    ("way", "value", "words"),
    WRONG,
    ids=lambda value: "absent" if value is ABSENT else str(value)[:30],
)
def test_what_is_wrong_is_named(
    way: str, value: Any, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.jsonl"
    later = ROUND | {"round": 9}
    lines = [HEADER, ROUND, changed(ROUND, way, value), later]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = [record for _, record in read_lines(path)]
    assert [type(record) for record in found] == [Header, Result, ResultFormatError, Result]
    assert str(found[2]) == f"{path}:3: {words}"
    assert main(["report", str(path)]) == 1
    out, err = capsys.readouterr()
    assert err == f"pybench: error: {path}:3: {words}\n"
    assert str(ROUND["func"]) in out  # what can be read is shown


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("null", "expected object, got null"),
        ("\0" * 100, "zero bytes, as a machine that crashed leaves them"),
        ("[]", "expected object, got array"),
        ("{}", "neither a header nor a result line"),
        ('{"schema": 1}', "neither a header nor a result line"),
        ('{"schema": 1, "func"', "not JSON: "),
        ('{"schema": 1, "func": ' + "[" * 100_000, "not JSON: nested too deeply"),
        ('{"schema": 1, "func": "\udcff"}', "not JSON: 'utf-8' codec can't decode byte 0xff"),
        ('{"schema": 1, "campaign": {"conns": 10}}', "campaign.conns: expected array, got int"),
        ('{"schema": 1, "campaign": {"conns": [0]}}', "campaign.conns[0]: expected int >= 1"),
        ('{"schema": 1, "campaign": {"env": {"cpus": "2"}}}', "campaign.env.cpus: expected int"),
    ],
    ids=lambda text: text[:40],
)
def test_lines_that_are_no_record(line: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(line.encode(errors="surrogateescape") + b"\n\n{}\n")
    with pytest.raises(ResultFormatError) as found:
        read_sections(path)
    assert str(found.value).startswith(f"{path}:1: {words}")


@pytest.mark.parametrize("fmt", ["table", "csv", "markdown"])
def test_what_others_wrote_commands_no_terminal(
    fmt: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.jsonl"
    bad = ROUND | {"func": "\x1b[31mred\nrow", "round": 9}
    path.write_bytes(lines_of(HEADER, ROUND, bad))
    assert main(["report", str(path), "--format", fmt]) == 0
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err and r"\x1b[31mred\nrow" in out


def test_nor_in_a_race_or_a_stamp(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with gzip.open(ROOT / "docs/data/race.jsonl.gz", "rt") as file:
        race = file.read().replace('"c_epoll"', r'"\u001b[31mred\udcff"')
    (tmp_path / "race.jsonl").write_text(race)
    stamp = {"code": "odd", "text": "\x1b[31mred", "remedy": "none"}
    (tmp_path / "r.jsonl").write_bytes(lines_of(HEADER, ROUND | {"warnings": [stamp]}))
    assert main(["report", *(str(tmp_path / name) for name in ("race.jsonl", "r.jsonl"))]) == 0
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err and r"\x1b[31mred\udcff" in out


@pytest.mark.parametrize(
    ("mps", "words"),
    [(0.0, "no message in its window"), (1e308, "1e+308, which nothing measures")],
)
def test_a_figure_that_cannot_be_is_no_measurement(
    mps: float, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.jsonl"
    others = [ROUND | {"func": "selector", "round": n} for n in (1, 2)]
    path.write_bytes(lines_of(HEADER, *others, *(one | {"mps": mps} for one in (ROUND,) * 2)))
    arguments = ["report", str(path), "--html", str(tmp_path / "x.html"), "--table", "mps,rel"]
    assert main([*arguments, "--relative-to", "selector"]) == 0
    assert words in capsys.readouterr().out
    assert main(["report", "--history", str(tmp_path)]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_options_of_a_newer_version_may_hold_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.jsonl"
    newer = ROUND | {"options": {"burst": {"of": [1, {"two": 2}]}}, "round": 9}
    path.write_bytes(lines_of(HEADER, ROUND, newer))
    assert main(["report", str(path)]) == 0
    assert "burst" in capsys.readouterr().out


def test_a_window_of_no_length_is_no_traceback(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds = (DATA / "v0.1/rate.jsonl").read_text().splitlines()[1:]
    path = tmp_path / "r.jsonl"
    path.write_text(
        "".join(json.dumps(changed(json.loads(line), "window_s", 0)) + "\n" for line in rounds)
    )
    assert main(["report", str(path)]) == 0
    assert "c_epoll" in capsys.readouterr().out


def test_keys_of_a_newer_version_are_ignored(tmp_path: Path) -> None:
    header = changed(changed(HEADER, "news", [1]), "campaign.news", {})
    newer = changed(changed(changed(ROUND, "news", {"a": 1}), "client.news", 2), "env.news", [3])
    path = tmp_path / "r.jsonl"
    path.write_text(f"{json.dumps(header)}\n{json.dumps(newer)}\n")
    (section,) = read_sections(path)
    (result,) = section.results
    assert section.campaign is not None and section.campaign.id == HEADER["campaign"]["id"]
    assert result.env["news"] == [3]  # its keys are free: what is there is kept
    assert result == Result.from_dict(changed(ROUND, "env.news", [3]))


def test_a_line_is_written_as_version_0_1_wrote_it() -> None:
    text = (DATA / "v0.1/full.jsonl").read_text().splitlines()[1]
    now = without_newer(json.loads(Result.from_dict(json.loads(text)).to_json()), json.loads(text))
    now = json.dumps(now, separators=(",", ":"))
    assert now == text


def test_the_edges_of_a_histogram_rise_in_the_file() -> None:
    result = Result.from_dict(ROUND | {"histogram": {"100": 1, "9": 2, "64": 3}})
    assert '"histogram":{"9":2,"64":3,"100":1}' in result.to_json()


def test_a_histogram_in_little_memory_is_that_dictionary() -> None:
    counts = {9: 2, 64: 2**63 - 1, 2**63 - 1: 0}
    found = Histogram({64: 2**63 - 1, 2**63 - 1: 0, 9: 2})
    assert found == counts and counts == found and found != {9: 2}
    assert list(found.items()) == list(counts.items())
    assert list(found.values()) == list(counts.values())
    assert [found[edge] for edge in found] == list(counts.values())
    assert 10 not in found and 2**62 not in found and not Histogram({})
    with pytest.raises(KeyError):
        found[2**64]


def test_a_round_with_many_buckets_takes_little_memory(tmp_path: Path) -> None:
    wide = ROUND | {"histogram": {str(edge * 1000): 100_000 + edge for edge in range(600)}}
    path = tmp_path / "r.jsonl"
    path.write_text((json.dumps(wide) + "\n") * 100)
    tracemalloc.start()
    sections = read_sections(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(sections[0].results) == 100
    assert peak < 100 * 30_000, "600 buckets in a dictionary are 52 kB, in two arrays 10"


def test_a_byte_order_mark_does_not_stop_a_campaign_from_being_resumed(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + (DATA / "v0.1/unfinished.jsonl").read_bytes())
    assert len(campaigns.load_unfinished(path)[1]) == 6


@pytest.mark.parametrize(
    ("way", "value", "words"),
    [
        ("campaign.seed", ABSENT, "campaign.seed: missing"),
        ("campaign.runtime_s", ABSENT, "campaign.runtime_s: missing"),
        ("campaign.func", [], "campaign.func: empty"),
        ("campaign.conns", [], "campaign.conns: '' is not a list"),
        ("campaign.idle", [], "campaign.idle: '' is not a list"),
        ("campaign.rounds", 0, "1: campaign.rounds: expected int >= 1"),
        ("campaign.server", "a b", "campaign.server: 'a b' is not an address"),
        ("campaign.pythons", [{}], "1: campaign.pythons[0].path: missing"),
        ("campaign", {}, "campaign.func: missing"),
    ],
)
def test_a_header_that_cannot_be_resumed(way: str, value: Any, words: str, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(changed(HEADER, way, value)) + "\n")
    with pytest.raises(UsageError) as found:
        campaigns.load_unfinished(path)
    assert str(found.value).startswith(f"--resume {path}: ") and words in str(found.value)


def test_a_race_of_a_metric_that_there_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with gzip.open(ROOT / "docs/data/race.jsonl.gz", "rt") as file:
        race = file.read().replace('"metric":"mps"', '"metric":"beauty"')
    (path := tmp_path / "race.jsonl").write_text(race)
    assert main(["report", str(path)]) == 1
    said = capsys.readouterr().err
    assert "campaign.race.metric: " in said and "Traceback" not in said


def test_every_metric_of_a_race_has_its_name_in_files() -> None:
    assert get_args(MetricName) == METRICS == tuple(COMPARED)


def test_a_torn_line_that_a_later_run_has_closed_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(HEADER) + "\n" + json.dumps(ROUND)[:1000])
    writer = ResultWriter(path, CampaignRecord(id="later"))
    writer.write(Result.from_dict(ROUND))
    writer.close()
    assert [(n, type(record)) for n, record in read_lines(path)] == [
        (1, Header),
        (3, Header),
        (4, Result),
    ]
    first, second = read_sections(path)
    assert first.results == () and len(second.results) == 1
    assert second.campaign == CampaignRecord(id="later")


def lines_of(*records: Any) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


WHOLE = lines_of(HEADER, ROUND, ROUND | {"round": 9})


@pytest.mark.parametrize(
    "data",
    [
        WHOLE.removesuffix(b"\n"),
        WHOLE.replace(b"\n", b"\r\n"),
        WHOLE.replace(b"\n", b"\r"),
        WHOLE.replace(b"\n", b"\r").removesuffix(b"\r"),
        b"\xef\xbb\xbf" + WHOLE,
        b"\xef\xbb\xbf"
        + lines_of(HEADER, ROUND)
        + b"\xef\xbb\xbf"
        + lines_of(ROUND | {"round": 9}),
        gzip.compress(WHOLE),
        gzip.compress(lines_of(HEADER, ROUND)) + gzip.compress(lines_of(ROUND | {"round": 9})),
        WHOLE.decode().encode("utf-16"),
        b"\n\n" + WHOLE + WHOLE[:900],
    ],
    ids=[
        *("no newline", "CR LF", "CR", "CR, none at the end"),
        *("BOM", "two BOMs", "gzip", "two gzips", "UTF-16", "torn"),
    ],
)
def test_files_that_went_through_others_hands(
    data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(data)
    assert [r.round for s in read_sections(path) for r in s.results] == [ROUND["round"], 9]
    assert main(["report", str(path)]) == 0
    out, err = capsys.readouterr()
    assert str(ROUND["func"]) in out and err == ""


def test_a_packed_file_that_ends_too_early(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.jsonl.gz"
    noise = "".join(f"{n * 7919 % 10007:05}" for n in range(20_000))
    path.write_bytes(gzip.compress(lines_of(HEADER, ROUND, ROUND | {"error": noise}))[:-1000])
    assert main(["report", str(path)]) == 1
    out, err = capsys.readouterr()
    assert err.startswith(f"pybench: error: {path}:3: gzip: ") and err.count("\n") == 1
    assert str(ROUND["func"]) in out


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x28\xb5\x2f\xfd1234", "packed with zstd: unpack it"),
        (b"\xfd7zXZ\x001234", "packed with xz"),
        (b'{\n "schema": 1,\n "tables": {}\n}\n', "this is what --format json printed"),
        (b'[\n {"schema": 1, "tables": {}}\n]\n', "this is what --format json printed"),
        (b'{"schema": 1, "cells": [], "notes": []}', "this is what compare --format json printed"),
        (b'{"schema": 1, "ratios": []}', "this is a baseline of pytest --pybench-save"),
        (json.dumps([ROUND], indent=1).encode(), "rounds, but not one a line"),
        (lines_of(HEADER), "no rounds in it"),
        (b"{}\n{}\n", "1: neither a header nor a result line (and 1 more such lines)"),
        (gzip.compress(b"", mtime=0), "empty"),
        (b"\x1f\x8b1234", ""),
    ],
)
def test_what_is_no_results_file_is_told_what_it_is(
    data: bytes, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(data)
    assert main(["report", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith(f"pybench: error: {path}:") and words in err


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (gzip.compress(WHOLE, mtime=0), "nothing is appended to gzip"),
        (b"# Notes\n", "is no results file"),
        (b'[{"schema": 1}]', "is no results file"),
    ],
)
def test_nothing_is_appended_to_what_is_no_results_file(
    data: bytes, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=words):
        ResultWriter(path, CampaignRecord())
    assert path.read_bytes() == data


def test_a_bad_line_does_not_keep_a_campaign_from_being_resumed(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    unfinished = (DATA / "v0.1/unfinished.jsonl").read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*unfinished[:3], b"{}\n", *unfinished[3:]]))
    errors: list[ResultFormatError] = []
    _, done = campaigns.load_unfinished(path, errors.append)
    assert len(done) == 6
    assert [str(error) for error in errors] == [f"{path}:4: neither a header nor a result line"]


def test_rounds_before_any_header_have_no_campaign(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(ROUND) + "\n")
    (section,) = read_sections(path)
    assert section.campaign is None and len(section.results) == 1


def test_what_users_and_the_plug_in_import_stays_light() -> None:
    code = (
        "import sys, pybench.result, pybench.result.file\n"
        "heavy = {'rich', 'jsonschema', 'pybench.spec', 'pybench.analysis',"
        " 'pybench.driver', 'pybench.backends'}\n"
        "print(*sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


TWICE = "stand there more than once: copies are left out"


@pytest.mark.parametrize(
    ("records", "rounds", "told"),
    [
        ([HEADER, ROUND, ROUND], 1, "1 round stands there more than once"),
        ([HEADER, ROUND, HEADER, ROUND, ROUND | {"round": 9}], 2, "1 round stands"),
        ([ROUND, ROUND], 1, "1 round stands"),
        ([ROUND, ROUND | {"started_at": "2026-02-01T00:00:00+00:00"}], 2, ""),
        ([HEADER, *(changed(ROUND, "round", n) for n in (1, 2, 3, 1, 2, 3))], 3, "3 rounds stand"),
        ([HEADER, ROUND | {"status": "failed", "error": "x"}, ROUND], 2, ""),
        ([HEADER, ROUND | {"status": "unavailable", "error": "x"}, ROUND], 1, ""),
    ],
)
def test_a_round_that_stands_there_twice_is_one(
    records: list[Any], rounds: int, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(lines_of(*records))
    loaded = load_files([path])
    assert len(loaded.rounds) == rounds
    assert "".join(loaded.notes).startswith(told) and bool(told) == bool(loaded.notes)


def test_a_file_that_is_given_twice_or_as_a_copy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, copy = tmp_path / "r.jsonl", tmp_path / "copy.jsonl"
    path.write_bytes(WHOLE)
    copy.write_bytes(WHOLE)
    assert main(["report", str(path), "--format", "json"]) == 0
    once = capsys.readouterr().out
    for files, words in (
        ([path, path], f"{path} is given 2 times and read once"),
        ([path, copy], f"2 rounds {TWICE}"),
    ):
        assert main(["report", *map(str, files), "--format", "json"]) == 0
        out, err = capsys.readouterr()
        assert out == once and err == f"pybench: warning: {words}\n"
    old = DATA / "raw_2016_small.yaml"
    copy.write_bytes(old.read_bytes())
    assert len(load_files([old, copy]).rounds) == len(load_files([old]).rounds)


def test_rounds_say_which_campaign_they_belong_to(tmp_path: Path) -> None:
    """Two that write at once: every round is under the second header, and half belong there."""
    path = tmp_path / "r.jsonl"
    other = changed(HEADER, "campaign.id", "other")
    mine = ROUND | {"campaign_id": HEADER["campaign"]["id"]}
    path.write_bytes(lines_of(HEADER, other, mine, ROUND | {"campaign_id": "other"}))
    assert [r.campaign for r in load_files([path]).rounds] == [HEADER["campaign"]["id"], "other"]
    _, done = campaigns.load_unfinished(path)
    assert [r.campaign_id for r in done] == [HEADER["campaign"]["id"]]


def test_a_file_is_written_by_one_campaign_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    first = ResultWriter(path, CampaignRecord(id="first"))
    before = path.read_bytes()
    with pytest.raises(UsageError, match=r"r\.jsonl: another campaign is writing to it: wait"):
        ResultWriter(path, CampaignRecord(id="second"))
    assert path.read_bytes() == before
    first.close()
    ResultWriter(path, CampaignRecord(id="second")).close()
    assert len(read_sections(path)) == 2


def test_a_device_is_everybodys() -> None:
    null = Path("/dev/null")
    first = ResultWriter(null, CampaignRecord())
    ResultWriter(null, CampaignRecord()).close()
    first.close()
