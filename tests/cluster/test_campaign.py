"""Who measures what, and that every round is written once, whatever becomes of the workers."""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from msgspec import structs

from pybench.cli import main
from pybench.cluster import campaign as on_cluster
from pybench.cluster import pool
from pybench.cluster.campaign import Outcome
from pybench.cluster.dispatch import ERRORS, Answer
from pybench.cluster.unit import Unit
from pybench.driver.campaign import header, load_unfinished
from pybench.driver.plan import plan_elsewhere
from pybench.driver.progress import SilentReporter
from pybench.errors import ServerError, UsageError
from pybench.result import Result
from pybench.result.file import ResultWriter, read_sections
from pybench.spec import Campaign
from tests.support.fakepool import FakeDask, FakePool, measured
from tests.support.limits import full_disk

ASKED = {"func": "selector,thread", "conns": "5,10", "rounds": "3", "seed": "1",
         "cluster": "tcp://127.0.0.1:1"}  # fmt: skip
CAMPAIGN = Campaign.from_options(ASKED, str)


def measure(
    pool: FakePool, done: Sequence[Result] = (), campaign: Campaign = CAMPAIGN,
    writer: ResultWriter | None = None,
) -> tuple[Outcome, list[str]]:  # fmt: skip
    """Runs the campaign; the outcome and what was said."""
    said: list[str] = []
    plan = plan_elsewhere(campaign, done)
    return on_cluster.run(plan, pool, SilentReporter(), writer, said.append), said


def rounds(results: Sequence[Result]) -> list[tuple[str, int, int]]:
    return sorted((r.func, r.conns, r.round) for r in results)


EVERY = sorted((f, c, n) for f in ("selector", "thread") for c in (5, 10) for n in (1, 2, 3))


def machines_of_blocks(results: Sequence[Result]) -> dict[tuple[int, int], set[str]]:
    found: dict[tuple[int, int], set[str]] = {}
    for r in results:
        assert r.machine is not None
        found.setdefault((r.conns, r.round), set()).add(r.machine.name)
    return found


def test_a_unit_carries_everything_and_finds_its_cell() -> None:
    asked = {**ASKED, "env": "A=1", "msize": "64,1k", "engine": "epoll", "think": "1ms:2ms"}
    campaign = Campaign.from_options(asked, str)
    for cell in campaign.cells:
        unit = Unit.from_bytes(Unit.of(campaign, cell, 2).to_bytes())
        assert unit.unpacked() == (campaign, cell)
    names = {Unit.of(campaign, cell, n).name for cell in campaign.cells for n in (1, 2)}
    assert len(names) == 2 * len(campaign.cells)


def test_another_version_is_refused() -> None:
    unit = structs.replace(Unit.of(CAMPAIGN, CAMPAIGN.cells[0], 1), version="9.9")
    with pytest.raises(UsageError, match=r"9\.9 with the driver: install one version"):
        unit.unpacked()


def test_every_round_once_and_each_block_on_one_machine() -> None:
    pool = FakePool("a", "b")
    outcome, said = measure(pool)
    assert rounds(outcome.results) == EVERY
    assert {len(names) for names in machines_of_blocks(outcome.results).values()} == {1}
    assert {worker for worker, _ in pool.started} == {"a", "b"}
    assert all(r.campaign_id == CAMPAIGN.id for r in outcome.results)
    assert said == []


def test_a_worker_that_goes_loses_nothing_and_its_round_runs_elsewhere() -> None:
    def stop(pool: FakePool) -> None:
        pool.silent.add("b")

    def go(pool: FakePool) -> None:
        pool.there.remove("b")

    pool = FakePool("a", "b", script={2: stop, 4: go})
    outcome, said = measure(pool)
    assert rounds(outcome.results) == EVERY
    assert len(pool.dropped) == 1
    tried = [worker for worker, name in pool.started if name == pool.dropped[0]]
    assert tried == ["b", "a"]
    assert len(said) == 1 and said[0].startswith("b has gone while it measured ")


def test_workers_may_come_late() -> None:
    def come(pool: FakePool) -> None:
        pool.there.append("a")

    outcome, said = measure(FakePool(script={3: come}))
    assert rounds(outcome.results) == EVERY
    assert len(said) == 1 and "--resources pybench=1" in said[0]


def test_a_round_that_workers_die_of_is_a_failed_one() -> None:
    """Each worker that gets it goes, and comes back under another name."""

    def replace(pool: FakePool) -> None:
        poison = Unit.of(CAMPAIGN, CAMPAIGN.cells[0], 1).name
        for worker, name in pool.started:
            if name == poison and worker in pool.there and name in pool.flying:
                pool.there.remove(worker)
                pool.there.append(worker + "'")

    pool = FakePool("a", script=dict.fromkeys(range(1, 100), replace))
    answers = pool.answers

    def but_poison(timeout_s: float) -> Sequence[Answer]:
        poison = Unit.of(CAMPAIGN, CAMPAIGN.cells[0], 1).name
        held = pool.flying.pop(poison, None)
        found = [one for one in answers(timeout_s) if one.name != poison]
        if held is not None:
            pool.flying[poison] = held
        return found

    pool.answers = but_poison  # type: ignore[method-assign]
    outcome, _ = measure(pool)
    assert rounds(outcome.results) == EVERY
    (failed,) = [r for r in outcome.results if not r.ok]
    assert failed.error == "tried 3 times in vain: its worker went"
    assert pool.there == ["a'''"]


def test_a_worker_that_cannot_measure_gets_nothing_more() -> None:
    pool = FakePool("a", "b")
    pool.errors["b"] = "No module named 'pybench'"
    outcome, said = measure(pool)
    assert rounds(outcome.results) == EVERY
    assert all(r.ok for r in outcome.results)
    assert [worker for worker, _ in pool.started].count("b") == ERRORS
    assert said[-1].endswith("No module named 'pybench'; it gets nothing more")


def test_nobody_can_measure() -> None:
    pool = FakePool("a")
    pool.errors["a"] = "it is another version"
    outcome, _ = measure(pool)
    assert outcome.interrupted is None and outcome.results == ()
    assert outcome.broken == "no worker of the cluster can measure: a: it is another version"


def test_the_file_has_every_round_once_after_a_kill(tmp_path: Path) -> None:
    """What was written before stays; the rest, and no more, is measured when it is resumed."""

    class LostError(Exception):
        pass

    def kill(pool: FakePool) -> None:
        raise LostError

    path = tmp_path / "r.jsonl"
    writer = ResultWriter(path, header(CAMPAIGN, ["pybench"]))
    with pytest.raises(LostError):
        measure(FakePool("a", "b", script={4: kill}), writer=writer)
    writer.close()
    campaign, done = load_unfinished(path)
    assert campaign == CAMPAIGN
    assert 0 < len(done) < len(EVERY)
    writer = ResultWriter(path, header(campaign, ["pybench"], resumed=True))
    pool = FakePool("c")
    outcome, _ = measure(pool, done, campaign, writer)
    writer.close()
    written = [r for section in read_sections(path) for r in section.results]
    assert rounds(written) == rounds(outcome.results) == EVERY
    assert len(pool.started) == len(EVERY) - len(done)


def test_what_one_machine_could_not_another_may() -> None:
    done = [structs.replace(measured(Unit.of(CAMPAIGN, CAMPAIGN.cells[0], 1), "a"), status=status)
            for status in ("unavailable",)]  # fmt: skip
    assert len(plan_elsewhere(CAMPAIGN, done).tasks) == len(EVERY)


def test_ctrl_c_lets_go_of_what_flies() -> None:
    def interrupt(pool: FakePool) -> None:
        pool.silent.update(pool.there)
        os.kill(os.getpid(), signal.SIGINT)

    pool = FakePool("a", "b", script={3: interrupt})
    outcome, _ = measure(pool)
    assert outcome.interrupted == "SIGINT"
    assert len(outcome.results) == 4
    assert len(pool.dropped) == 2


def test_a_lost_scheduler_loses_nothing_that_was_measured() -> None:
    def lose(pool: FakePool) -> None:
        raise ServerError("unreachable", "lost the scheduler at tcp://x:1: gone")

    outcome, _ = measure(FakePool("a", "b", script={3: lose}))
    assert outcome.broken == "lost the scheduler at tcp://x:1: gone"
    assert len(outcome.results) == 4


def test_a_full_disk_loses_nothing_that_was_measured(tmp_path: Path) -> None:
    writer = ResultWriter(tmp_path / "r.jsonl", header(CAMPAIGN, ["pybench"]))
    pool = FakePool("a", "b")
    with full_disk(6000):
        outcome, _ = measure(pool, writer=writer)
        writer.close()
    assert "File too large" in str(outcome.unkept) and not pool.flying
    kept = sum(len(section.results) for section in read_sections(tmp_path / "r.jsonl"))
    assert kept < len(outcome.results) <= kept + 2 < len(EVERY)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"cluster": "x:1"}, "--cluster: 'x:1' is no scheduler of Dask: write tcp://HOST:8786"),
        ({"server": "a:1"}, "--server and --cluster exclude each other"),
        ({"bind": "10.0.0.1"}, "--bind and --cluster exclude each other"),
        ({"rate": "auto"}, "--rate auto and --cluster exclude each other"),
    ],
)
def test_what_does_not_go_together(given: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Campaign.from_options(ASKED | given, lambda name: f"--{name}")


def test_explanations_are_of_one_machine(invoke: Callable[..., object]) -> None:
    done = invoke("--func", "selector", "--conns", "5", "--cluster", "tcp://a:1", "--explain")
    assert done.returncode == 2  # type: ignore[attr-defined]
    assert "--explain and --cluster exclude" in done.stderr  # type: ignore[attr-defined]


COMMAND = ("--func", "selector", "--conns", "5", "--rounds", "3", "--cluster", "tcp://there:8786")


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command line in an empty folder, with a pool that is given."""
    monkeypatch.chdir(tmp_path)

    def call(workers: FakeDask, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(pool, "DaskPool", lambda scheduler: workers)
        return main(list(arguments)), *capsys.readouterr()

    return call


def test_the_command_runs_shows_and_resumes(run: Callable[..., tuple[int, str, str]]) -> None:
    def lose(pool: FakePool) -> None:
        raise ServerError("unreachable", "lost the scheduler at tcp://there:8786: gone")

    status, out, err = run(FakeDask("a", script={4: lose}), *COMMAND, "--output", "r.jsonl")
    assert status == 1 and "selector" in out, "what was measured is shown"
    assert "3 rounds on 1 worker of tcp://there:8786 to measure" in err
    assert "[1/3] selector, 5 connections (round 1/3) on a: " in err
    assert "interrupted (lost the scheduler at tcp://there:8786: gone): 2 of 3 rounds" in err
    assert "to go on: pybench --resume r.jsonl" in err
    again = FakeDask("b")
    status, _, err = run(again, "--resume", "r.jsonl", "--cluster", "tcp://elsewhere:8786")
    assert status == 0 and len(again.started) == 1
    assert "1 round on 1 worker of tcp://elsewhere:8786 to measure" in err
    assert "[1/1] selector, 5 connections (round 3/3) on b: " in err
    status, out, _ = run(FakeDask("b"), "--resume", "r.jsonl")
    assert status == 0 and "selector" in out, "nothing is left to do"
