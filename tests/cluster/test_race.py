"""A race on a cluster: which machine gets which round, and that each is in the file once."""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest
from msgspec import structs

from pybench.cli import main
from pybench.cluster import pool
from pybench.cluster import race as on_cluster
from pybench.cluster.dispatch import DEATHS
from pybench.cluster.heatunit import HeatUnit, results_to_bytes
from pybench.cluster.remote import UnfitError, run_heat
from pybench.cluster.unit import Unit
from pybench.driver.race import Outcome
from pybench.driver.raceplan import plan_elsewhere
from pybench.driver.raceprogress import SilentRaceReporter
from pybench.errors import ResultFormatError, ServerError, UsageError
from pybench.result import Machine, Result
from pybench.result.file import read_sections
from pybench.spec.race import Race
from tests.support.fakeheats import FakeHeats
from tests.support.fakepool import FakeDask, FakePool, round_of

ASKED = {"conns": "5", "seed": "1", "cluster": "tcp://127.0.0.1:1", "budget": "30s"}
PAIR = ("c_epoll", "selector")


class Machines:
    """What workers send of a round: heats that nobody measured. takes_s: of the budget.

    speeds: worker -> what selector does there, messages/s.
    """

    def __init__(
        self,
        heats: FakeHeats | None = None,
        takes_s: float = 1.0,
        speeds: Mapping[str, float] | None = None,
    ) -> None:
        self.heats = heats or FakeHeats(noise=0.002)
        self.heats.takes_s = takes_s
        self._speeds = speeds or {}

    def __call__(self, unit: HeatUnit, worker: str) -> bytes:
        race = HeatUnit.from_bytes(unit.to_bytes()).unpacked()
        self.heats.speeds = {"selector": self._speeds.get(worker, 40_000)}
        (heat,) = plan_elsewhere(race).heats[unit.field]
        made = self.heats(heat, unit.round, 1, {})
        on = Machine(id=f"{worker}-id", name=worker, kind="Example")
        return results_to_bytes([structs.replace(result, machine=on) for result in made])


def run(
    *workers: str,
    machines: Machines | None = None,
    script: dict[int, Callable[[FakePool], None]] | None = None,
    unfit: dict[str, str] | None = None,
    late: bool = True,
    rows: Sequence[str] = PAIR,
    **asked: str,
) -> tuple[Outcome, list[str], FakePool]:
    """Runs the race; the outcome, what was said, and the workers."""
    said: list[str] = []
    made = machines or Machines()
    fake = FakePool(*workers, script=script, measure=made)
    fake.unfit, fake.answers_late = unfit or {}, late
    plan = plan_elsewhere(Race.from_options(rows, ASKED | asked, str))
    outcome = on_cluster.run(plan, fake, SilentRaceReporter(), None, said.append, made.heats.clock)
    return outcome, said, fake


def rounds(results: Sequence[Result]) -> Counter[tuple[str, int, int]]:
    return Counter((r.func, r.conns, r.round) for r in results)


def names(results: Sequence[Result], conns: int = 5) -> set[str]:
    return {r.machine.name for r in results if r.machine is not None and r.conns == conns}


def test_a_unit_carries_the_race_and_finds_its_field() -> None:
    words = ("c_epoll", "mine=selector", "selector")
    asked = {"conns": "5,10", "msize": "64,1k", "env": "A=1", "transport": "tcp,tls",
             "inflight": "4", "busy_poll": "0,auto", "cluster": "tcp://a:1"}  # fmt: skip
    race = Race.from_options(words, asked, str)
    kept = [one.label for one in race.contenders][1:]
    unit = HeatUnit.from_bytes(HeatUnit.of(race, kept, (10, 1000), 3).to_bytes())
    found = unit.unpacked()
    assert found.contenders == race.only(kept).contenders and len(kept) > 20
    assert found.campaign == race.campaign and found.budget_ns == race.budget_ns
    assert (unit.field, unit.round) == ((10, 1000), 3) and unit.field in found.fields
    with pytest.raises(UsageError, match=r"9\.9 with the driver: install one version"):
        structs.replace(unit, version="9.9").unpacked()
    strange = structs.replace(unit.contenders[0], func="no_such_row")
    with pytest.raises(ResultFormatError, match="no_such_row"):
        structs.replace(unit, contenders=(strange,)).unpacked()


def test_rounds_go_to_all_machines_until_it_is_settled() -> None:
    outcome, said, fake = run("a", "b", "c", "d", "e", "f")
    assert outcome.interrupted is outcome.broken is None and said == []
    (standings,) = outcome.standings
    assert standings.settled and 6 <= standings.rounds < 12
    (pair,) = standings.pairs
    assert pair.verdict is not None and pair.verdict.kind == "slower"
    assert set(pair.machines) == {f"{name} ({name}-id)" for name in "abcdef"}
    assert pair.estimate is not None and pair.estimate.level == "machine"
    assert set(rounds(outcome.results).values()) == {1}
    assert len(fake.started) == standings.rounds
    (one,) = {r.campaign_id for r in outcome.results}
    assert fake.started[0][1] == f"pybench-{one}-5-64-1"


def test_what_is_undecided_ends_with_its_budget() -> None:
    """Two machines say little of others, however many rounds they run."""
    outcome, _, _ = run("a", "b", machines=Machines(speeds={"b": 30_000}), budget="9s")
    (standings,) = outcome.standings
    assert not standings.decided and 8 <= standings.rounds <= 10
    assert {one.rounds for one in standings.pairs[0].machines.values()} == {standings.rounds / 2}
    alone, _, _ = run("a", budget="9s")
    assert alone.standings[0].settled and alone.standings[0].rounds == 6


def test_each_machine_has_its_share_of_each_number_of_connections() -> None:
    outcome, _, _ = run("a", "b", conns="5,10", budget="12s")
    assert names(outcome.results, 5) == names(outcome.results, 10) == {"a", "b"}


def test_a_worker_that_goes_loses_nothing_and_its_round_runs_elsewhere() -> None:
    def stop(pool: FakePool) -> None:
        pool.silent.add("b")

    def go(pool: FakePool) -> None:
        pool.there.remove("b")

    outcome, said, fake = run("a", "b", script={2: stop, 4: go}, budget="9s")
    (lost,) = fake.dropped
    assert [worker for worker, name in fake.started if name == lost] == ["b", "a"]
    assert set(rounds(outcome.results).values()) == {1}, "though its answer came late, too"
    numbers = sorted({r.round for r in outcome.results})
    assert numbers == list(range(1, len(numbers) + 1))
    assert said == ["b has gone while it measured round 4 at 5 connections"]


def test_a_machine_that_cannot_gets_nothing_more_and_no_round_is_to_blame() -> None:
    why = "this machine cannot run c_epoll x 5: open files"
    outcome, said, _ = run("a", "b", "c", unfit={"b": why, "c": why}, budget="9s")
    assert all(r.ok for r in outcome.results) and names(outcome.results) == {"a"}
    assert said == [f"{name} has no result: {why}; it gets nothing more" for name in "bc"]
    assert outcome.standings[0].settled
    outcome, _, _ = run("b", "c", unfit={"b": why, "c": why})
    assert outcome.broken == f"no worker of the cluster can measure: b, c: {why}"
    assert outcome.results == ()


def test_a_machine_says_itself_that_it_cannot_and_why() -> None:
    race = Race.from_options(("thread", "selector"), {"conns": "1000k"}, str)
    unit = HeatUnit.of(race, [one.label for one in race.contenders], race.fields[0], 1)
    with pytest.raises(UnfitError, match=r"^this machine cannot run thread x 1000000: "):
        run_heat(unit.to_bytes())


def test_a_round_that_workers_die_of_is_a_failed_one() -> None:
    """Whoever gets it goes, and comes back under another name; twice is enough to end the race."""

    def replace(pool: FakePool) -> None:
        for worker, _ in list(pool.flying.values()):
            pool.there[pool.there.index(worker)] = worker + "'"
        pool.silent.update(pool.there)

    outcome, said, fake = run("a", script=dict.fromkeys(range(1, 100), replace), late=False)
    assert len(fake.started) == len(said) == 2 * DEATHS + 1  # a third round had begun
    assert {r.error for r in outcome.results} == {"tried 3 times in vain: its worker went"}
    assert rounds(outcome.results) == Counter((f, 5, n) for f in PAIR for n in (1, 2))


def test_a_contender_that_fails_again_is_out_everywhere() -> None:
    machines = Machines(FakeHeats(fails={"thread": 1}))
    outcome, _, _ = run("a", machines=machines, rows=(*PAIR, "thread"), budget="9s")
    assert [labels for _, _, _, labels in machines.heats.asked[2:4]] == [(*PAIR, "thread"), PAIR]
    assert len(outcome.standings[0].each) == 3


def test_ctrl_c_lets_go_of_what_flies_and_a_lost_scheduler_ends_it() -> None:
    def interrupt(pool: FakePool) -> None:
        pool.silent.update(pool.there)
        os.kill(os.getpid(), signal.SIGINT)

    def lose(pool: FakePool) -> None:
        raise ServerError("unreachable", "lost the scheduler at tcp://x:1: gone")

    outcome, _, fake = run("a", "b", script={3: interrupt})
    assert (outcome.interrupted, len(outcome.results), len(fake.dropped)) == ("SIGINT", 8, 2)
    outcome, _, _ = run("a", "b", script={3: lose})
    assert (outcome.broken, len(outcome.results)) == ("lost the scheduler at tcp://x:1: gone", 8)


def test_it_waits_for_a_machine_and_no_longer_than_its_budget() -> None:
    def come(pool: FakePool) -> None:
        pool.there.append("a")

    outcome, said, _ = run(script={3: come}, budget="9s")
    assert outcome.standings[0].settled and "--resources pybench=1" in said[0]
    machines = Machines()

    def gone(pool: FakePool) -> None:
        pool.there.clear()
        machines.heats.now_s += 60

    outcome, said, _ = run("a", machines=machines, script={5: gone})
    assert outcome.standings[0].rounds == 4 and len(said) == 1


def test_the_command_runs_shows_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    machines = Machines(takes_s=20.0, speeds={"b": 30_000})
    fake = FakeDask("a", "b", measure=machines)
    monkeypatch.setattr(pool, "DaskPool", lambda scheduler: fake)
    asked = ("race", *PAIR, "--conns", "5", "--cluster", "tcp://there:8786", "--budget", "45s")
    monkeypatch.setattr(on_cluster, "run", partial(on_cluster.run, clock=machines.heats.clock))
    assert main([*asked, "--output", "r.jsonl"]) == 1  # two machines, undecided
    out, err = capsys.readouterr()
    assert "2 contenders at 5 connections on 2 workers of tcp://there:8786, until" in err
    assert "[round 1, 5 connections] on a: c_epoll 64,388, selector 51,362 messages/s" in err
    assert "messages/s; 0:05 left" in err and "[round 2, 5 connections] on b: " in err
    words = " ".join(out.split())
    assert "machine by machine" in words and "| b (b-id) | 1 |" in words and "| all 2" in words
    (section,) = read_sections(Path("r.jsonl"))
    assert section.campaign is not None and section.campaign.cluster == "tcp://there:8786"
    assert rounds(section.results) == Counter((f, 5, n) for f in PAIR for n in (1, 2))
    assert main(["report", "r.jsonl", "--format", "json"]) == 0
    (count,) = json.loads(capsys.readouterr().out)["counts"]
    assert count["contenders"][1]["machines"].keys() == {"a (a-id)", "b (b-id)"}


def test_families_race_behind_a_campaign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    heats = Machines()

    def measure(unit: HeatUnit | Unit, worker: str) -> bytes:
        return heats(unit, worker) if isinstance(unit, HeatUnit) else round_of(unit, worker)

    monkeypatch.setattr(pool, "DaskPool", lambda scheduler: FakeDask("a", measure=measure))
    rows = "selector,raw_selector,c_epoll,c_poll,gevent"
    asked = ("--func", rows, "--conns", "5", "--cluster", "tcp://there:8786")
    assert main([*asked, "--races", "20s", "--output", "r.jsonl"]) == 0
    out, err = capsys.readouterr()
    assert "2 families race inside, 0:20 at most" in err
    assert "[round 6, 5 connections] on a: selector 5" in err
    assert "raw_selector is faster than selector at 5 connections" in out
    campaign, *races = read_sections(Path("r.jsonl"))
    assert len(campaign.results) == 5
    assert [len(one.results) for one in races] == [12, 12]
    assert {r.machine for one in races for r in one.results} == {
        Machine(id="a-id", name="a", kind="Example")
    }


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("--cluster", "x:1"), "--cluster: 'x:1' is no scheduler of Dask"),
        (("--cluster", "tcp://x:1", "--server", "a:1"), "--server and --cluster exclude"),
    ],
)
def test_what_does_not_go_together(
    given: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["race", *PAIR, *given]) == 2
    assert says in capsys.readouterr().err
