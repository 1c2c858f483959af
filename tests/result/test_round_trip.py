"""Whatever a record's types allow is written and read back; whatever they do not is an error."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybench.errors import ResultFormatError
from pybench.result import Result
from pybench.result.baseline import BaselineRecord
from pybench.result.calibration import Calibration
from pybench.result.campaign import CampaignRecord, Header
from pybench.result.codec import decode, encode, read_document, write_document
from pybench.result.explanation import Explanation
from pybench.result.file import ResultWriter, read_lines, read_sections
from tests.support import DATA
from tests.support.records import PLAIN, records, without_newer

LINES = (DATA / "v0.1" / "full.jsonl").read_bytes().splitlines()[:2]
LINES += (DATA / "v0.1" / "rate.jsonl").read_bytes().splitlines()[1:2]


@pytest.mark.parametrize("kind", [Header, Calibration, Explanation])
@given(data=st.data())
def test_a_record_is_read_as_it_was_written(kind: type, data: st.DataObject) -> None:
    record = data.draw(records(kind))
    assert decode(encode(record).encode(), kind) == record


@settings(max_examples=50)
@given(result=records(Result))
def test_a_file_is_read_as_it_was_written(
    result: Result, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("file") / "r.jsonl"
    campaign = CampaignRecord(id="x", conns=(10,), command=("pybench", "\udc80"))
    writer = ResultWriter(path, campaign)
    writer.write(result)
    writer.close()
    (section,) = read_sections(path)
    assert section.campaign == campaign
    assert section.results == (result,)
    assert Result.from_dict(json.loads(result.to_json())) == result


@pytest.mark.parametrize("name", ["baseline", "calibration", "explain"])
def test_a_document_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    kinds = {"baseline": BaselineRecord, "calibration": Calibration, "explain": Explanation}
    old = DATA / "v0.1" / f"{name}.json"
    record: Any = read_document(old, kinds[name])
    write_document(tmp_path / "new.json", record)
    assert read_document(tmp_path / "new.json", kinds[name]) == record
    written = json.loads((tmp_path / "new.json").read_text())
    before = json.loads(old.read_text())
    assert without_newer(written, before) == before


def read_bytes(path: Path, data: bytes) -> list[Any]:
    """What the lines are; anything raised that is no ResultFormatError is the test's failure."""
    path.write_bytes(data + b"\n")
    try:
        return [record for _, record in read_lines(path)]
    except ResultFormatError as exc:  # the file as a whole
        return [exc]


SLICES = st.tuples(st.integers(0, 6000), st.integers(0, 40))
BITS = st.binary(max_size=8) | st.sampled_from(
    [b"NaN", b"null", b"-1", b"1e999", b'"1"', b"[]", b"{}", b"\\ud800", b"\xff", b"9" * 40, b"\n"]
)


@settings(max_examples=300)
@given(line=st.sampled_from(LINES), cut=SLICES, bits=BITS)
def test_no_spoilt_line_is_a_traceback(
    line: bytes, cut: tuple[int, int], bits: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    start, length = cut
    spoilt = line[:start] + bits + line[start + length :]
    read_bytes(tmp_path_factory.getbasetemp() / "spoilt.jsonl", spoilt)


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside a JSON value."""
    found = [way] if way else []
    if isinstance(value, list):
        value = dict(enumerate(value))
    for key, inner in value.items() if isinstance(value, dict) else ():
        found += places(inner, (*way, key))
    return found


def replaced(value: Any, way: tuple[Any, ...], new: Any) -> Any:
    """The value with another one at the end of the way."""
    if not way:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[way[0]] = replaced(value[way[0]], way[1:], new)
    return copy


RECORDS = [json.loads(line) for line in LINES]
ODD = PLAIN | st.sampled_from([float("nan"), float("inf"), -1, 0, 2**63, 10**400, True, "1"])


@settings(max_examples=300)
@given(data=st.data(), record=st.sampled_from(RECORDS), odd=ODD)
def test_no_wrong_value_is_a_traceback(
    data: st.DataObject, record: Any, odd: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    way = data.draw(st.sampled_from(places(record)))
    line = json.dumps(replaced(record, way, odd)).encode()
    read_bytes(tmp_path_factory.getbasetemp() / "wrong.jsonl", line)
