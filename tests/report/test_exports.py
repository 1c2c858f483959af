"""Formats of others: each is read by its consumer's own reader, or held against its schema."""

import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import pyperf
import pytest
from msgspec import structs
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from pybench.cli import main
from pybench.report.export import EXPORTS
from tests.driver.test_openloop import open_round
from tests.report.test_report import write_results
from tests.support import DATA, ROOT, synthetic

SMALL = DATA / "results_small.jsonl"
RACE = ROOT / "docs" / "data" / "race.jsonl.gz"

# Written from the README of benchmark-action/github-action-benchmark, "Usage".
GITHUB_SCHEMA: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "properties": {
            "name": {"type": "string", "minLength": 1},
            "unit": {"type": "string", "minLength": 1},
            "value": {"type": "number"},
            "range": {"type": "string"},
            "extra": {"type": "string"},
        },
        "required": ["name", "unit", "value"],
        "additionalProperties": False,
    },
}
# Written from https://bencher.dev/docs/reference/bencher-metric-format, with the lengths it names.
BMF_SCHEMA: dict[str, Any] = {
    "type": "object",
    "minProperties": 1,
    "propertyNames": {"minLength": 1, "maxLength": 1024},
    "additionalProperties": {
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": "^[a-z0-9-]{1,64}$"},
        "additionalProperties": {
            "type": "object",
            "properties": {
                "value": {"type": "number"},
                "lower_value": {"type": "number"},
                "upper_value": {"type": "number"},
            },
            "required": ["value"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture
def exported(capsys: pytest.CaptureFixture[str]) -> Any:
    """What `report` writes to standard output."""

    def call(*arguments: str | Path) -> str:
        assert main(["report", *map(str, arguments)]) == 0
        return capsys.readouterr().out

    return call


def mixed(folder: Path) -> Path:
    """Two sizes, an open loop, two lengths of a window; a name that needs escapes."""
    results = [
        *(synthetic.make_result("selector", 100, n, mps=9e4 + n, msize=m)
          for m in (64, 1024) for n in (1, 2)),
        synthetic.make_result('a"b\\c', 100, 1, mps=5e4),
        synthetic.make_result("selector", 100, 1, mps=8e4, runtime_s=4.0),
        open_round(10_000),
    ]  # fmt: skip
    return write_results(folder / "mixed.jsonl", results)


def test_pyperf_loads_it(exported: Any) -> None:
    suite = pyperf.BenchmarkSuite.load(io.StringIO(exported(SMALL, "--format", "pyperf")))
    speed = suite.get_benchmark("asyncio_proto conns=10 msize=64 seconds per message")
    assert speed.get_nvalue() == speed.get_nrun() == 3 and speed.get_unit() == "second"
    assert speed.mean() == pytest.approx(1 / 31_000, rel=0.01)
    assert speed.get_metadata()["cpu_model_name"] == "Example CPU 3000 @ 3.40GHz"
    latency = suite.get_benchmark("asyncio_proto conns=10 msize=64 lat50_ns")
    assert latency.median() == pytest.approx(319_487e-9)


def test_pyperf_has_memory_in_bytes(exported: Any, tmp_path: Path) -> None:
    text = exported(SMALL, "--format", "pyperf", "--table", "peak_memory")
    suite = pyperf.BenchmarkSuite.load(io.StringIO(text))
    assert {one.get_unit() for one in suite} == {"byte"}


def test_pyperf_compares_a_race(exported: Any) -> None:
    """Its rounds of windows are there; ratios, which it does not know, are not."""
    suite = pyperf.BenchmarkSuite.load(io.StringIO(exported(RACE, "--format", "pyperf")))
    assert len(suite) == 5 and all(one.get_nrun() > 5 for one in suite)


@pytest.mark.parametrize("what", [SMALL, RACE, "mixed"])
def test_github_and_bencher_files_are_as_their_schemas_say(
    exported: Any, what: Path | str, tmp_path: Path
) -> None:
    path = mixed(tmp_path) if isinstance(what, str) else what
    table = [] if path == RACE else ["--table", "lat50,lat99"]
    found = json.loads(exported(path, "--format", "github", *table))
    jsonschema.validate(found, GITHUB_SCHEMA)
    names = [entry["name"] for entry in found]
    assert len(set(names)) == len(names) > 3
    jsonschema.validate(json.loads(exported(path, "--format", "bmf")), BMF_SCHEMA)


def test_github_has_one_direction(exported: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(exported(SMALL, "--format", "github"))
    first = found[0]
    assert first["name"] == "asyncio_proto conns=10 msize=64 mps" and first["value"] == 31_000
    assert first["range"] == "2.852e+04 to 3.348e+04" and "rounds: 3" in first["extra"]
    assert main(["report", str(SMALL), "--format", "github", "--table", "mps,lat50"]) == 2
    assert "of mps more is better, of lat50_ns less" in capsys.readouterr().err


def test_of_a_race_go_its_ratios_with_the_ends_that_are_known(exported: Any) -> None:
    """The base was `generator_bound`: the ratio may be anything below its upper end."""
    found = json.loads(exported(RACE, "--format", "github"))
    assert {entry["unit"] for entry in found} == {"x c_epoll"}
    ratio = json.loads(exported(RACE, "--format", "bmf"))
    asyncio = ratio["asyncio conns=100 msize=64 base=c_epoll"]["mps-ratio"]
    assert asyncio.keys() == {"value", "upper_value"} and 0.1 < asyncio["value"] < 0.3


def test_bencher_gets_throughput_with_bounds(exported: Any) -> None:
    found = json.loads(exported(SMALL, "--format", "bmf"))
    speed = found["asyncio_proto conns=10 msize=64"]["throughput"]
    assert speed["lower_value"] < speed["value"] == 31_000 < speed["upper_value"]


@pytest.mark.parametrize("what", [SMALL, RACE, "mixed"])
def test_prometheus_parses_it(exported: Any, what: Path | str, tmp_path: Path) -> None:
    path = mixed(tmp_path) if isinstance(what, str) else what
    table = [] if path == RACE else ["--table", "all"]
    text = exported(path, "--format", "openmetrics", *table)
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert len(families) >= 3 and text.endswith("# EOF\n")
    for family in families.values():
        samples = [tuple(sorted(sample.labels.items())) for sample in family.samples]
        assert len(set(samples)) == len(samples), f"{family.name}: a sample twice"


def test_openmetrics_are_in_base_units(exported: Any, tmp_path: Path) -> None:
    text = exported(mixed(tmp_path), "--format", "openmetrics")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["pybench_lat50_seconds"].unit == "seconds"
    assert families["pybench_messages_per_second"].type == "gauge"
    assert all(s.value < 1 for s in families["pybench_lat50_seconds"].samples)
    labels = [s.labels for s in families["pybench_messages_per_second"].samples]
    assert {"row": 'a"b\\c', "conns": "100", "msize": "64", "runtime_s": "2"} in labels
    assert any(one.get("rate") == "10000" for one in labels)
    marked = text_string_to_metric_families(exported(SMALL, "--format", "openmetrics"))
    stamps = {f.name: f for f in marked}["pybench_stamp"].samples
    assert {s.labels["code"] for s in stamps} == {"unfair", "generator_bound"}


def test_what_is_unusual_is_in_the_name(exported: Any, tmp_path: Path) -> None:
    """And nothing else: the same figure of another file has the same name."""
    made = synthetic.make_result(
        "selector", 100, server="10.0.0.2:1", think_us=(0, 1000), options={"arrivals": "poisson"}
    )
    assert made.server is not None
    unusual = structs.replace(made, server=structs.replace(made.server, engine="uring"))
    path = write_results(tmp_path / "unusual.jsonl", [unusual])
    (name,) = json.loads(exported(path, "--format", "bmf"))
    assert name == (
        "selector conns=100 msize=64 server=10.0.0.2 think_us=0:1000 engine=uring arrivals=poisson"
    )


@pytest.mark.parametrize("fmt", EXPORTS)
def test_tables_that_it_cannot_hold_are_named(fmt: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(SMALL), "--format", fmt, "--reference", "2016"]) == 2
    assert f"--reference is for tables: --format {fmt} has none" in capsys.readouterr().err


def test_what_was_not_measured_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """No format of these has a place for it."""
    assert main(["report", str(SMALL), "--format", "bmf"]) == 0
    found = capsys.readouterr()
    assert "warning: not measured, and so not in it: thread at 1k" in found.err
    assert "thread conns=1000" not in found.out


def test_pyperf_says_what_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(SMALL), "--format", "pyperf", "--table", "jain"]) == 2
    assert "it holds times and sizes" in capsys.readouterr().err


def test_the_summary_is_appended_to_the_page_of_the_job(
    exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "summary.md"
    page.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    printed = exported(RACE, "--github-summary", "--format", "markdown")
    assert page.read_text() == f"before\n{printed}\n" and "| uvloop_proto" in printed
    exported(RACE, "--github-summary", "--format", "bmf")
    assert page.read_text() == f"before\n{printed}\n{printed}\n"


def test_a_summary_needs_a_runner(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    assert main(["report", str(RACE), "--github-summary"]) == 2
    found = capsys.readouterr()
    assert "$GITHUB_STEP_SUMMARY is not set" in found.err and not found.out
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    assert main(["report", str(RACE), "--github-summary"]) == 2
    assert f"--github-summary {tmp_path}: Is a directory" in capsys.readouterr().err
