"""`pybench doctor`: looks for real at this machine, with a calibration that is known."""

import csv
import io
import json
from collections.abc import Iterator

import jsonschema
import pytest
from msgspec import structs

from pybench import cli
from pybench.driver import calibrate, doctor
from pybench.driver.calibrate import Notify
from pybench.errors import PybenchError
from pybench.result.calibration import Calibration
from pybench.result.schema import schema
from tests.analysis.test_fitness import CALIBRATION


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Calibration | PybenchError]]:
    """What calibrating finds; its last is taken."""
    found: list[Calibration | PybenchError] = [CALIBRATION]

    def calibrated(notify: Notify, *, short: bool) -> Calibration:
        assert short
        notify("some runs")
        if isinstance(found[-1], PybenchError):
            raise found[-1]
        return found[-1]

    monkeypatch.setattr(doctor, "calibrate", calibrated)
    yield found


def test_a_noisy_machine_is_not_fit(
    known: list[Calibration | PybenchError], capsys: pytest.CaptureFixture[str]
) -> None:
    known.append(structs.replace(CALIBRATION, steal=0.3))
    assert cli.main(["doctor"]) == cli.FAILED
    shown = capsys.readouterr()
    assert "30.0% of the CPU time went to other guests" in shown.out
    assert "Not fit to measure: " in shown.out and "steal: a machine of one's own" in shown.out
    assert shown.err == "pybench: some runs\n"


def test_in_every_format(
    known: list[Calibration | PybenchError], capsys: pytest.CaptureFixture[str]
) -> None:
    status = cli.main(["doctor", "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator(schema("doctor")).validate(found)
    assert status == (cli.OK if found["fit"] else cli.FAILED)
    assert found["fit"] == all(one["verdict"] != "bad" for one in found["checks"])
    by_name = {one["name"]: one for one in found["checks"]}
    assert by_name["noise"]["verdict"] == "good" and by_name["open files"]["value"]
    cli.main(["doctor", "--format", "csv"])
    lines = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert lines[0] == ["name", "value", "verdict", "remedy"]
    assert [line[0] for line in lines[1:]] == list(by_name)
    cli.main(["doctor", "--format", "markdown"])
    assert "| Check | Verdict | Found |" in capsys.readouterr().out


def test_a_load_server_that_is_not_there_is_a_finding(
    known: list[Calibration | PybenchError], capsys: pytest.CaptureFixture[str]
) -> None:
    known.append(PybenchError("pybench-server is not built"))
    assert cli.main(["doctor"]) == cli.FAILED
    assert "pybench-server is not built" in capsys.readouterr().out


def test_a_short_calibration_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, tuple[str, str], int]] = []

    def run(
        func: str, times: tuple[str, str], *, rounds: int, engine: str | None = None
    ) -> tuple[object, ...]:
        asked.append((func, times, rounds))
        from tests.support.synthetic import make_result

        return tuple(make_result(func, 100, n + 1, mps=50_000.0 + n) for n in range(rounds))

    monkeypatch.setattr(calibrate, "_run", run)
    monkeypatch.setattr(calibrate, "REPEATS", 2)
    short = calibrate.calibrate(lambda line: None, short=True)
    assert {times for _, times, _ in asked} == {("300ms", "100ms")}
    assert len(short.runs) == 5 and short.noise_of.endswith("5 runs of 300ms")
    asked.clear()
    assert len(calibrate.calibrate(lambda line: None).runs) == 10
    assert {times for _, times, _ in asked} == {("800ms", "200ms")}


def test_bad_format(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", "--format", "pdf"]) == cli.USAGE
    assert "pdf" in capsys.readouterr().err
