"""Files of version 0.1.0: every kind that it wrote is read, and gives what it gave then.

`data/v0.1` holds the files; `data/v0.1/expected` what that version's commands printed of them. The
golden files are made by no code of ours any more: where a report is to look different on purpose,
the new text replaces the old one here, by hand and with a reason.
"""

import json
import shutil
from pathlib import Path

import pytest

from pybench.cli import main
from pybench.driver import campaign
from pybench.driver.plan import make_plan
from pybench.errors import Inconclusive
from pybench.explain import read_explanation
from pybench.gate import Ratio, baseline
from pybench.machine.calibration import Calibration
from tests.support import DATA

OLD = DATA / "v0.1"
FORMATS = {"table": "txt", "json": "json", "csv": "csv", "markdown": "md"}
COMMANDS = {
    "report": ["report", "full.jsonl"],
    "report-rate": ["report", "rate.jsonl"],
    "report-all": [
        *("report", "full.jsonl", "--table", "all"),
        *("--relative-to", "c_epoll", "--reference", "2016"),
    ],
    "report-two": ["report", "full.jsonl", "unavailable.jsonl"],
    "report-2016": ["report", "../raw_2016_small.yaml"],
    "compare-rows": ["compare", "full.jsonl", "--base-func", "selector", "--new-func", "c_epoll"],
    "compare-by-python": ["compare", "pythons.jsonl", "--by", "python"],
    "syscalls": ["report", "--syscalls", "explain.json"],
}


@pytest.mark.parametrize("fmt", FORMATS)
@pytest.mark.parametrize("name", COMMANDS)
def test_commands_print_what_they_printed(
    name: str,
    fmt: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(OLD)
    assert main([*COMMANDS[name], "--format", fmt]) == 0
    assert capsys.readouterr().out == (OLD / "expected" / f"{name}.{FORMATS[fmt]}").read_text()


def test_an_unfinished_campaign_is_resumed_where_it_stood(tmp_path: Path) -> None:
    path = Path(shutil.copy(OLD / "unfinished.jsonl", tmp_path))
    unfinished, done = campaign.load_unfinished(path)
    assert (unfinished.rounds, unfinished.seed, unfinished.runtime_ns) == (3, 1, 200_000_000)
    left = make_plan(unfinished, done).expected
    assert (len(done), len(left)) == (6, 12)
    # its seed and what is done decide the order: version 0.1.0 went on with these
    assert [str(cell) for cell in left[:2]] == ["c_epoll x 10", "c_epoll x 2"]


def test_a_baseline_gates_as_it_did() -> None:
    path = OLD / "baseline.json"
    (one,) = json.loads(path.read_text())["ratios"]
    ratio = Ratio(
        func="selector",
        against="c_epoll",
        conns=2,
        speeds=tuple(one["speeds"]),
        against_speeds=tuple(one["against_speeds"]),
        options={"runtime": "200ms", "warmup": "50ms"},
    )
    now = baseline.Taken("test_gate_gold.py::test_ratio", ratio)
    change = baseline.load([path], 0.9).change(now)
    assert change is not None
    assert change.value == pytest.approx(1.0)
    baseline.load([path], 0.5).check(now)
    with pytest.raises(Inconclusive):  # three rounds that scatter by a tenth
        baseline.load([path], 0.95).check(now)


def test_an_explanation_is_read() -> None:
    found = read_explanation(OLD / "explain.json")
    assert [cell.cell for cell in found.cells] == ["selector x 10", "c_epoll x 10"]
    assert all(cell.syscalls is not None and cell.cpu is not None for cell in found.cells)


def test_a_calibration_is_read() -> None:
    record = json.loads((OLD / "calibration.json").read_text())
    assert Calibration(**record).to_env()["ceiling_mps"] == {"epoll": 229246, "uring": 237171}
