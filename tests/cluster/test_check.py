"""What machines are asked and say, and that whatever a machine cannot do is one clear line."""

import io
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from msgspec import structs

from pybench.cli import main
from pybench.cluster import pool, remote
from pybench.cluster.check import Finding, Question, look
from pybench.cluster.dispatch import Answer
from pybench.cluster.remote import MachineError, clean, run_unit
from pybench.cluster.survey import survey, survey_machines
from pybench.cluster.unit import Unit, result_from_bytes
from pybench.machine import calibration
from pybench.machine.identity import LOCK_FOLDER, machine_id, measuring_alone
from pybench.report.cluster import check_document
from pybench.report.document import write_document
from pybench.result import Machine
from pybench.spec import Campaign
from tests.machine.test_calibrate import KNOWN
from tests.support import processes

ASKED = {"func": "c_epoll", "conns": "5", "runtime": "50ms", "warmup": "0"}
CAMPAIGN = Campaign.from_options(ASKED, str)
QUESTION = Question(campaign=CAMPAIGN.to_record(), calibrate=False)


def finding(name: str = "a", **changes: object) -> Finding:
    found = Finding(
        machine=Machine(id=f"{name}-id", name=name, kind="Example, 2 CPUs"),
        version="0.1.0", python="CPython 3.11.7", obstacles=(), notes=(), calibration=None,
    )  # fmt: skip
    return structs.replace(found, **changes)


class FakePool:
    """Answers what it is given; whoever has nothing to say goes."""

    def __init__(self, answers: dict[str, Callable[[bytes], bytes] | str]) -> None:
        self._answers = answers
        self._asked: dict[str, tuple[str, bytes]] = {}
        self.calibrated: list[str] = []
        self.there = sorted(answers)

    def workers(self) -> Sequence[str]:
        return list(self.there)

    def call(self, name: str, function: Callable[[bytes], bytes], data: bytes, worker: str) -> None:
        assert function is remote.run_check
        self._asked[name] = worker, data
        if json.loads(data)["calibrate"]:
            self.calibrated.append(worker)

    def answers(self, timeout_s: float) -> Sequence[Answer]:
        found = []
        for name, (worker, data) in list(self._asked.items()):
            answer = self._answers[worker]
            if answer == "":
                self.there.remove(worker)
                continue
            del self._asked[name]
            if isinstance(answer, str):
                found.append(Answer(name, error=answer))
            else:
                found.append(Answer(name, data=answer(data)))
        return found

    def drop(self, name: str) -> None:
        del self._asked[name]


def says(found: Finding) -> Callable[[bytes], bytes]:
    from pybench.result.codec import encode

    return lambda data: encode(found).encode()


def test_a_machine_says_what_preflight_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = Campaign.from_options(ASKED | {"conns": "5,1000k", "func": "c_epoll,thread"}, str)
    found = look(Question(campaign=asked.to_record(), calibrate=False))
    assert not found.fit and found.calibration is None
    assert all(" x 1000000: " in obstacle for obstacle in found.obstacles)
    calibration.save(KNOWN)
    again = look(QUESTION)
    assert again.fit and again.calibration == KNOWN


def test_everyone_is_asked_and_whoever_goes_is_said() -> None:
    """One of them in a process of its own, as on a machine."""
    pool = FakePool({"a": remote.run_check, "b": "no pybench there", "c": ""})
    found = survey(pool, QUESTION)
    assert isinstance(found["a"], Finding) and found["a"].fit
    assert (found["b"], found["c"]) == ("no pybench there", "it has gone")


def test_a_machine_is_calibrated_once() -> None:
    pool = FakePool({"w1": says(finding("a")), "w2": says(finding("a")), "w3": says(finding("b"))})
    survey_machines(pool, CAMPAIGN.to_record(), calibrate=True)
    assert pool.calibrated == ["w1", "w3"]


def written(answers: dict[str, Finding | str], fmt: str = "markdown") -> str:
    file = io.StringIO()
    write_document(check_document(answers), fmt, file)  # type: ignore[arg-type]
    return file.getvalue()


def test_each_machine_once_with_what_it_has() -> None:
    other = Machine(id="b-id", name="b", kind="Other, 64 CPUs")
    text = written(
        {
            "w1": finding(calibration=KNOWN),
            "w2": finding(calibration=KNOWN),
            "w3": finding("b", machine=other, version="9.9", obstacles=("thread x 9: too much",)),
            "w4": "no pybench there",
        }
    )
    assert text.count("a (a-id): Example, 2 CPUs") == 1 and "w1, w2" in text
    assert "they share the machine, and measure one at a time" in text
    assert "noise floor" in text and "none is kept there" in text
    assert "pybench 9.9, not " in text and "thread x 9: too much" in text
    assert "w4 has no answer: no pybench there" in text
    assert "2 machines of 2 kinds: each kind has tables of its own" in text
    read = json.loads(written({"w1": finding(), "w4": "gone"}, "json"))
    assert read["machines"][0]["workers"] == ["w1"] and read["silent"] == {"w4": "gone"}


def test_a_unit_is_measured_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYBENCH_MACHINE", "alone here")
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")  # by Dask's nanny
    result = result_from_bytes(run_unit(Unit.of(CAMPAIGN, CAMPAIGN.cells[0], 3).to_bytes()))
    assert result.ok or "no echo" in result.error  # its window is short
    assert (result.func, result.round, result.campaign_id) == ("c_epoll", 3, CAMPAIGN.id)
    assert result.machine is not None and result.machine.name == "alone here"


def test_a_unit_waits_until_nobody_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYBENCH_MACHINE", f"held by {os.getpid()}")
    lock = LOCK_FOLDER / f"pybench-{machine_id()}.lock"

    def waits() -> bool:
        child = processes.child_called(os.getpid(), "pybench.cluster.measure")
        files = Path(f"/proc/{child}/fd")
        with suppress(OSError):  # it may open and close others meanwhile
            return any(file.readlink() == lock for file in files.iterdir())
        return False

    unit = Unit.of(CAMPAIGN, CAMPAIGN.cells[0], 1).to_bytes()
    with ThreadPoolExecutor(1) as pool:
        with measuring_alone():
            running = pool.submit(run_unit, unit)
            processes.wait_for("a unit at the lock", waits, 30)
            released = datetime.now(timezone.utc)
        result = result_from_bytes(running.result(60))
    lock.unlink()
    assert datetime.fromisoformat(result.started_at) >= released - timedelta(milliseconds=1)
    assert result.machine is not None and result.machine.id == machine_id()


def test_what_dask_sets_for_its_workers_is_not_measured_with() -> None:
    assert clean({"MALLOC_TRIM_THRESHOLD_": "1", "OMP_NUM_THREADS": "1", "A": "2"}) == {"A": "2"}


def test_what_the_machine_cannot_run_is_a_result(monkeypatch: pytest.MonkeyPatch) -> None:
    huge = Campaign.from_options(ASKED | {"conns": "1000k", "func": "thread"}, str)
    result = result_from_bytes(run_unit(Unit.of(huge, huge.cells[0], 1).to_bytes()))
    assert result.status == "unavailable" and "this machine cannot run thread" in result.error
    assert result.machine is not None


def test_another_version_has_no_result() -> None:
    unit = structs.replace(Unit.of(CAMPAIGN, CAMPAIGN.cells[0], 1), version="9.9")
    with pytest.raises(MachineError, match=r"^pybench .* here, 9\.9 with the driver: install"):
        run_unit(unit.to_bytes())


class FakeDask(FakePool):
    """In place of `DaskPool`."""

    def __enter__(self) -> "FakeDask":
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert not self._asked


@pytest.mark.parametrize(
    ("answer", "status"),
    [(finding(), 0), (finding(obstacles=("thread x 9: too much",)), 1), ("gone mad", 1)],
)
def test_the_command_says_it_and_whether_all_are_fit(
    answer: Finding | str, status: int,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    worker = answer if isinstance(answer, str) else says(answer)
    monkeypatch.setattr(pool, "DaskPool", lambda scheduler: FakeDask({"w1": worker}))
    assert main(["cluster-check", "tcp://there:8786"]) == status
    out = capsys.readouterr().out
    assert (answer if isinstance(answer, str) else "a (a-id): Example, 2 CPUs") in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("there:8786",), "cluster-check: 'there:8786' is no scheduler of Dask: write tcp://"),
        (("tcp://there:8786",), "tcp://there:8786 has no worker that measures: dask worker"),
        (("tcp://there:8786", "--conns", "0"), "--conns"),
    ],
)
def test_what_cannot_be_asked(
    arguments: tuple[str, ...], said: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(pool, "DaskPool", lambda scheduler: FakeDask({}))
    assert main(["cluster-check", *arguments]) == 2
    assert said in capsys.readouterr().err
