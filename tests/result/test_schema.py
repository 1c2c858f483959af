"""The schemas that are shipped and the tables of docs/formats.md are what the types say."""

import json
import re
import subprocess
import sys
from collections import Counter
from typing import Any

import jsonschema
import pytest

from pybench.machine import environment
from pybench.result.env import Environment
from pybench.result.schema import DOCS, FORMATS, SCHEMAS, schema, schema_text, tables, with_tables
from tests.result.test_file import ABSENT, HEADER, ROUND, changed
from tests.support import DATA

REMEDY = "run: python -m pybench.result.schema --write"
DOCUMENTS = {
    "calibration": "v0.1/calibration.json",
    "baseline": "v0.1/baseline.json",
    "explain": "v0.1/explain.json",
}
LINES = ("v0.1/full.jsonl", "v0.1/pythons.jsonl", "v0.1/rate.jsonl", "v0.1/unavailable.jsonl")
LINES += ("v0.1/unfinished.jsonl", "results_small.jsonl")


def validator(name: str) -> Any:
    """Of the schema as it is shipped."""
    shipped = json.loads((SCHEMAS / f"{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(shipped)
    return jsonschema.Draft202012Validator(shipped)


@pytest.mark.parametrize("name", FORMATS)
def test_the_shipped_schema_is_what_the_types_say(name: str) -> None:
    shipped = (SCHEMAS / f"{name}.json").read_text()
    assert json.loads(shipped) == json.loads(schema_text(name)), REMEDY


def test_no_schema_is_left_over() -> None:
    assert {path.stem for path in SCHEMAS.iterdir()} == FORMATS.keys()


def test_the_tables_of_the_documentation_are_what_the_types_say() -> None:
    text = DOCS.read_text()
    assert text == with_tables(text), REMEDY


def test_every_record_has_its_table_once() -> None:
    text = DOCS.read_text()
    assert Counter(re.findall(r"<!-- table (\w+) -->", text)) == Counter(list(tables()))
    links = set(re.findall(r"\]\(#([\w-]+)\)", text))
    heads = {re.sub(r"[^\w -]", "", head) for head in re.findall(r"(?m)^#+ (.*)$", text)}
    assert links <= {head.lower().replace(" ", "-") for head in heads}


def test_every_key_has_a_description() -> None:
    for name in FORMATS:
        for part in schema(name)["$defs"].values():
            assert part["description"]
            for key in part["properties"].values():
                assert key["description"]


@pytest.mark.parametrize("path", LINES)
def test_lines_of_version_0_1_are_valid(path: str) -> None:
    result, header = validator("result"), validator("header")
    for line in (DATA / path).read_text().splitlines():
        record = json.loads(line)
        (result if "func" in record else header).validate(record)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_of_version_0_1_are_valid(name: str) -> None:
    validator(name).validate(json.loads((DATA / DOCUMENTS[name]).read_text()))


@pytest.mark.parametrize(
    ("name", "way", "value"),
    [
        ("result", "conns", 0),
        ("result", "mps", "1"),
        ("result", "schema", 2),
        ("result", "schema", ABSENT),
        ("result", "latency_ns.p99", ABSENT),
        ("result", "histogram", {"x": 1}),
        ("result", "env.cpus", "2"),
        ("result", "python", []),
        ("header", "campaign.conns", [0]),
        ("header", "campaign", ABSENT),
    ],
)
def test_the_schemas_refuse_what_reading_refuses(name: str, way: str, value: Any) -> None:
    record = changed(ROUND if name == "result" else HEADER, way, value)
    with pytest.raises(jsonschema.ValidationError):
        validator(name).validate(record)


def test_what_is_recorded_of_a_machine_is_described() -> None:
    assert environment.collect().keys() <= Environment.__annotations__.keys()


def test_the_command_prints_a_schema() -> None:
    command = [sys.executable, "-m", "pybench.result.schema"]
    done = subprocess.run([*command, "header"], capture_output=True, text=True, check=True)
    assert done.stdout == schema_text("header")
    done = subprocess.run([*command, "headers"], capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "usage: " in done.stderr and "explain" in done.stderr
