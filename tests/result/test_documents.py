"""Calibration, baseline and explanation: what is wrong in them is named with file and key."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pybench.errors import PybenchError
from pybench.explain import read_explanation
from pybench.gate import baseline
from pybench.machine import calibration
from tests.result.test_file import ABSENT, changed
from tests.support import DATA

READERS: dict[str, Callable[[Path], Any]] = {
    "explain": read_explanation,
    "baseline": lambda path: baseline.load([path], 0.9),
}


@pytest.mark.parametrize(
    ("name", "way", "value", "words"),
    [
        ("explain", "schema", 2, "schema 2 is not 1"),
        ("explain", "schema", ABSENT, "schema: missing"),
        ("explain", "cells", {}, "cells: expected array, got object"),
        ("explain", "env", [], "env: expected object, got array"),
        ("baseline", "schema", "1", "schema '1' is not 1"),
        ("baseline", "ratios", ABSENT, "ratios: missing"),
        ("baseline", "ratios", [{"test": 1}], "ratios[0].test: expected str, got int"),
    ],
)
def test_what_is_wrong_is_named(
    name: str, way: str, value: Any, words: str, tmp_path: Path
) -> None:
    path = tmp_path / f"{name}.json"
    path.write_text(
        json.dumps(changed(json.loads((DATA / f"v0.1/{name}.json").read_text()), way, value))
    )
    with pytest.raises(PybenchError) as found:
        READERS[name](path)
    assert f"{name}.json: not " in str(found.value) and words in str(found.value)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("speeds", [1.0, 2.0], r"ratios\[0\]: 2 speeds against 3"),
        ("ratios", [0.9, 1e308], r"ratios\[0\]: 1e\+308 is no ratio of two rows"),
        ("speeds", [1e300, 1.0, 1.0], r"ratios\[0\]: .* is no ratio of two rows"),
        ("speeds", [0.0, 1.0, 2.0], r"ratios\[0\]\.speeds\[\.*0?\.*\]: expected float > 0"),
        (
            "options",
            {"runtime": ["1s"]},
            r"ratios\[0\]\.options\[\.\.\.\]: expected str, got array",
        ),
    ],
)
def test_a_ratio_that_cannot_be_compared(key: str, value: Any, words: str, tmp_path: Path) -> None:
    record = json.loads((DATA / "v0.1/baseline.json").read_text())
    record["ratios"][0][key] = value
    path = tmp_path / "b.json"
    path.write_text(json.dumps(record))
    with pytest.raises(PybenchError, match=words):
        baseline.load([path], 0.9)


def test_a_ratio_of_no_round(tmp_path: Path) -> None:
    record = json.loads((DATA / "v0.1/baseline.json").read_text())
    record["ratios"][0] |= {"speeds": [], "against_speeds": []}
    (path := tmp_path / "b.json").write_text(json.dumps(record))
    with pytest.raises(PybenchError, match=r"ratios\[0\]: no round is in it"):
        baseline.load([path], 0.9)


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this machine's calibration is; that of version 0.1.0 lies there."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = calibration.path()
    path.parent.mkdir()
    path.write_text((DATA / "v0.1/calibration.json").read_text())
    return path


def test_a_calibration_is_kept_and_found(kept: Path) -> None:
    found = calibration.load()
    assert found is not None and found.noise_floor == pytest.approx(0.106, abs=0.001)
    kept.unlink()
    assert calibration.load() is None
    assert calibration.save(found) == kept
    assert calibration.load() == found


@pytest.mark.parametrize(
    ("way", "value"),
    [("schema", 2), ("noise_floor", "0.1"), ("ceiling_mps", None), ("runs", ABSENT)],
)
def test_a_calibration_that_is_none_is_as_if_there_were_none(
    way: str, value: Any, kept: Path
) -> None:
    kept.write_text(json.dumps(changed(json.loads(kept.read_text()), way, value)))
    assert calibration.load() is None
