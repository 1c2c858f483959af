"""`measure`, `run` and `race`: what is asked for, what comes back, who hears of it."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import pybench
from pybench import errors
from pybench.api.alone import alone
from pybench.cluster import pool
from pybench.driver import campaign
from pybench.machine import limits
from pybench.result import Result
from tests.support.fakeheats import FakeHeats
from tests.support.fakepool import FakeDask, FakePool
from tests.support.fakerounds import FakeRounds
from tests.support.limits import full_disk


def test_measure_returns_a_result(rounds: FakeRounds) -> None:
    found = pybench.measure("selector", conns=20, runtime=0.3, warmup="50ms", msize="1KiB")
    ((cell, number),) = rounds.asked
    assert (cell.row.name, cell.conns, cell.msize, number) == ("selector", 20, 1024, 1)
    assert (cell.runtime_ns, cell.warmup_ns) == (300_000_000, 50_000_000)
    assert isinstance(found, Result) and found.ok and found.mps == 50_000
    assert Result.from_dict(json.loads(found.to_json())).mps == found.mps
    assert "| selector |  20   |" in str(found) and "<table" in found._repr_html_()


def test_run_takes_what_python_has(rounds: FakeRounds, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    found = pybench.run(
        ["selector", "thread"], conns=(10, "1k"), rounds=2, env={"A": "1"}, seed=4, output=path,
        think=None, no_pin=True,
    )  # fmt: skip
    assert len(found) == len(rounds.asked) == 16 and found.ok
    assert {r.func for r in found} == {
        "selector", "selector[A=1]", "thread", "thread[A=1]"
    }  # fmt: skip
    assert {cell.conns for cell, _ in rounds.asked} == {10, 1000}
    again = pybench.load(path)
    assert [r.to_json() for r in again] == [r.to_json() for r in found]
    (campaign,) = again.campaigns
    assert campaign.seed == 4 and campaign.pin is False and campaign.command == ()


def test_a_function_is_a_row(rounds: FakeRounds) -> None:
    from tests.support.badbackends import good

    pybench.measure(good, conns=5)
    ((cell, _),) = rounds.asked
    assert cell.func == "tests.support.badbackends:good"


@pytest.mark.parametrize(
    ("rows", "options", "says"),
    [
        ("selector", {}, "run: conns is missing, for example run: conns 100,1k"),
        ("selector", {"conns": 0}, "run: conns: 0 is out of range"),
        ("selector", {"conns": 1, "run_time": 3}, "no option 'run_time'"),
        ("selector", {"conns": 1, "runtime": "3 weeks"}, "run: runtime: '3 weeks' is not a dur"),
        ("selectr", {"conns": 1}, "selectr"),
        (5, {"conns": 1}, "run: rows: 5 is no row"),
        (lambda: None, {"conns": 1}, "a worker cannot import"),
        ("selector", {"conns": object()}, "is neither text nor a number"),
        ("selector", {"conns": 1, "output": 5}, "output: 5 is no path"),
        ("selector", {"conns": 1, "output": "a\0b"}, r"output: 'a\x00b' is no path"),
        ("selector", {"conns": 1, "on_progress": "x"}, "on_progress: 'x' is no function"),
    ],
)
def test_what_cannot_be_asked_for(rows: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(errors.UsageError, match=r".") as raised:
        pybench.run(rows, **options)
    assert says in str(raised.value) and "\n" not in str(raised.value)


def test_measure_is_of_one_cell(rounds: FakeRounds) -> None:
    with pytest.raises(errors.UsageError, match="several cells, which run takes: selector x 1, "):
        pybench.measure("selector", conns=[1, 2])
    assert not rounds.asked


def test_a_round_that_fails(rounds: FakeRounds) -> None:
    rounds._fails = ["thread"]
    found = pybench.run("selector,thread", conns=10)
    assert not found.ok and [r.status for r in found if r.func == "thread"] == ["failed"]
    with pytest.raises(errors.PybenchError, match="thread, 10 connections: accept: Too many open"):
        pybench.measure("thread", conns=10)


def test_progress_is_heard(rounds: FakeRounds) -> None:
    heard: list[pybench.Event] = []
    found = pybench.run("selector", conns="10,20", seed=1, on_progress=heard.append)
    kinds = [type(one) for one in heard]
    assert kinds == 2 * [pybench.RoundStarted, pybench.RoundFinished]
    assert [(e.done, e.total) for e in heard if isinstance(e, pybench.RoundFinished)] == [
        (1, 2), (2, 2)
    ]  # fmt: skip
    finished = [e.result for e in heard if isinstance(e, pybench.RoundFinished)]
    assert [r.to_json() for r in finished] == [r.to_json() for r in found]


def test_the_load_server_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """About once a second, as its line says it."""
    line = pybench.Progress(1000, 50_000, 10)

    @contextmanager
    def measuring(*_: Any) -> Iterator[campaign.Measure]:
        def measured(cell: Any, number: int, env: Any, on_progress: Any) -> Result:
            on_progress(line)
            return FakeRounds()(cell, number, env, on_progress)

        yield measured

    monkeypatch.setattr(campaign, "measuring", measuring)
    heard: list[pybench.Event] = []
    pybench.measure("selector", conns=10, on_progress=heard.append)
    assert [type(one) for one in heard] == [
        pybench.RoundStarted, pybench.Progress, pybench.RoundFinished
    ]  # fmt: skip
    assert heard[1] is line


def test_what_is_left_out_is_noted(rounds: FakeRounds, monkeypatch: pytest.MonkeyPatch) -> None:
    few = limits.Limit(1000, "open files", "raise it")
    monkeypatch.setattr(limits, "open_files", lambda: iter([few]))
    heard: list[pybench.Event] = []
    found = pybench.run(
        "selector", conns=[10, 5000], skip_impossible=True, on_progress=heard.append
    )
    assert isinstance(heard[0], pybench.Note)
    assert (heard[0].text,) == found.notes
    assert found.notes[0].startswith("selector x 5000 is left out: ")
    assert len(rounds.asked) == 1 and "is left out" in str(found)
    with pytest.raises(errors.PreflightError, match="cannot run selector x 5000"):
        pybench.run("selector", conns=5000)


def test_who_hears_may_end_it(rounds: FakeRounds, tmp_path: Path) -> None:
    """What had been measured is in the file, and the next measurement can begin."""

    def enough(event: pybench.Event) -> None:
        if isinstance(event, pybench.RoundFinished):
            raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        pybench.run("selector", conns="10,20", on_progress=enough, output=tmp_path / "r.jsonl")
    assert len(rounds.asked) == len(pybench.load(tmp_path / "r.jsonl")) == 1
    assert pybench.measure("selector", conns=10).ok


def test_ctrl_c_keeps_what_there_is(rounds: FakeRounds) -> None:
    rounds._interrupted_after = 2
    with pytest.raises(pybench.Interrupted) as raised:
        pybench.run("selector", conns="10,20,30")
    assert isinstance(raised.value, KeyboardInterrupt) and raised.value.signal_name == "SIGINT"
    assert isinstance(raised.value.results, pybench.Results) and len(raised.value.results) == 2


def test_a_full_disk_keeps_what_there_is(
    rounds: FakeRounds, heats: FakeHeats, tmp_path: Path
) -> None:
    with full_disk(5000), pytest.raises(errors.OutputError, match="File too large") as raised:
        pybench.run("selector", conns="10,20,30", output=tmp_path / "r.jsonl")
    assert isinstance(raised.value.results, pybench.Results)
    assert len(raised.value.results) == len(rounds.asked) < 3
    with full_disk(12_000), pytest.raises(errors.OutputError) as raised:
        pybench.race("c_epoll", "selector", output=tmp_path / "race.jsonl")
    assert isinstance(raised.value.results, pybench.RaceResult) and raised.value.results.records


def test_ctrl_c_in_a_race_keeps_its_rounds(heats: FakeHeats) -> None:
    heats.interrupted_in = 3
    with pytest.raises(pybench.Interrupted) as raised:
        pybench.race("c_epoll", "selector")
    assert isinstance(raised.value.results, pybench.RaceResult)
    assert len(raised.value.results.records) == 6


def test_inside_a_running_loop(rounds: FakeRounds) -> None:
    """In threads, one after another; the loop goes on."""

    async def both() -> list[Result]:
        return list(
            await asyncio.gather(
                *(
                    asyncio.to_thread(pybench.measure, row, conns=5)
                    for row in ("selector", "thread")
                )
            )
        )

    assert [r.func for r in asyncio.run(both())] == ["selector", "thread"]


def test_one_at_a_time() -> None:
    inside = threading.Event()
    order: list[str] = []

    def second() -> None:
        with alone("second"):
            order.append("second")
            inside.set()

    with alone("first"):
        thread = threading.Thread(target=second)
        thread.start()
        assert not inside.wait(0.05)
        order.append("first")
        with (
            pytest.raises(errors.UsageError, match="inner: a measurement is under way"),
            alone("inner"),
        ):
            raise AssertionError("two at once")
    thread.join(20)
    assert order == ["first", "second"]


def test_a_script_that_a_worker_imports_does_not_measure_itself(tmp_path: Path) -> None:
    """For real: the worker says what to do, instead of starting another."""
    script = tmp_path / "script.py"
    script.write_text("import pybench\ndef serve(*_): ...\npybench.measure(serve, conns=1)\n")
    with pytest.raises(errors.WorkerError, match="call it below if __name__ == '__main__':"):
        pybench.measure(f"{script}:serve", conns=1, runtime=0.1, warmup=0)


def test_race(heats: FakeHeats, tmp_path: Path) -> None:
    heats.speeds = {"selector": 40_000}
    heard: list[pybench.Event] = []
    found = pybench.race(
        "c_epoll", "selector", conns=[10, 100], precision=0.05, output=tmp_path / "r.jsonl",
        on_progress=heard.append,
    )  # fmt: skip
    assert found.decided and found.contenders == ("c_epoll", "selector")
    assert [(v.contender, v.against, v.conns, v.verdict) for v in found] == [
        ("selector", "c_epoll", 10, "slower"),
        ("selector", "c_epoll", 100, "slower"),
    ]
    one = found.verdicts[0]
    assert one.low is not None and one.high is not None and one.ratio is not None
    assert one.low < one.ratio < one.high < 1
    assert "selector is slower than c_epoll at 10 connections" in str(found)
    assert {type(e) for e in heard} == {
        pybench.RaceRoundStarted, pybench.RaceRoundFinished, pybench.Looked
    }  # fmt: skip
    (again,) = pybench.load(tmp_path / "r.jsonl").races
    assert again.verdicts == found.verdicts and str(again) == str(found)


def test_a_race_takes_lists_of_engines(heats: FakeHeats) -> None:
    found = pybench.race("c_epoll", "selector", busy_poll=["0", "auto"], budget="3s")
    assert found.contenders == (
        "c_epoll[busy_poll=0]", "c_epoll[busy_poll=auto]",
        "selector[busy_poll=0]", "selector[busy_poll=auto]",
    )  # fmt: skip
    assert {conns for conns, *_ in heats.asked} == {100}


def test_a_load_server_that_dies_is_noted(heats: FakeHeats) -> None:
    heats.server_dies_in = 3
    found = pybench.race("c_epoll", "selector")
    assert found.notes == ("it ended early: load server killed by signal 9 (SIGKILL)",)
    assert len(found.records) == 4 and not found.decided
    assert "it ended early" in found._repr_html_()


def test_who_is_left_out_is_heard(heats: FakeHeats) -> None:
    heats.fails = {"asyncio": 1}
    heard: list[pybench.Event] = []
    pybench.race("c_epoll", "selector", "asyncio", budget="6s", on_progress=heard.append)
    assert [e.contender for e in heard if isinstance(e, pybench.LeftOut)] == ["asyncio"]


@pytest.mark.parametrize(
    ("rows", "options", "says"),
    [
        (("selector",), {}, "needs two contenders"),
        ((), {}, "needs two contenders"),
        (("a=selector", "a=thread"), {}, "write one of them as NAME=thread"),
        (("selector", "thread"), {"on_progress": 5}, "on_progress: 5 is no function"),
        (("selector", "thread"), {"margin": 3}, "race: margin: 3 is out of range"),
        (("selector", "thread"), {"rounds": 3}, "race: no option 'rounds'"),
    ],
)
def test_no_race(rows: tuple[str, ...], options: dict[str, Any], says: str) -> None:
    with pytest.raises(errors.UsageError, match=says):
        pybench.race(*rows, **options)


# ---- going on, files of options, races behind a campaign ----


def test_what_a_file_lacks_is_measured(rounds: FakeRounds, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    rounds._interrupted_after = 3
    with pytest.raises(pybench.Interrupted):
        pybench.run("selector", conns="10,20", rounds=2, seed=1, output=path)
    with path.open("a") as file:
        file.write("{torn\n")
    heard: list[pybench.Event] = []
    rounds._interrupted_after = 0
    found = pybench.run(resume=path, on_progress=heard.append)
    assert len(found) == 4 and len(rounds.asked) == 3 + 1
    assert {(r.conns, r.round) for r in found} == {(c, n) for c in (10, 20) for n in (1, 2)}
    (torn,) = found.errors
    assert torn.startswith(f"{path}:5: ") and heard[0] == pybench.Note(torn)
    first, again = pybench.load(path).campaigns
    assert (first.resumed, again.resumed) == (False, True) and first.id == again.id
    assert len(pybench.run(resume=path)) == 4 and len(rounds.asked) == 4, "nothing was left to do"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"conns": 5}, "run: resume takes everything from its file: without run: conns"),
        ({"races": "9s"}, "run: resume takes everything from its file: without run: races"),
        ({}, "run: resume none.jsonl: "),
    ],
)
def test_what_cannot_be_resumed(options: dict[str, Any], says: str) -> None:
    with pytest.raises(errors.UsageError, match=says):
        pybench.run(resume="none.jsonl", **options)


def test_a_race_is_not_resumed(heats: FakeHeats, tmp_path: Path) -> None:
    pybench.race("c_epoll", "selector", budget="3s", output=tmp_path / "r.jsonl")
    with pytest.raises(errors.UsageError, match=r"run: resume .*r\.jsonl: a race is not resumed"):
        pybench.run(resume=tmp_path / "r.jsonl")


def test_options_come_from_a_campaign_file(rounds: FakeRounds, tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text('func = "selector,thread"\nconns = [10, 20]\nruntime = "300ms"\n')
    assert len(pybench.run(campaign=file)) == 4
    assert {cell.runtime_ns for cell, _ in rounds.asked} == {300_000_000}
    assert [(r.func, r.conns) for r in pybench.run("gevent", campaign=file, conns=5)] == [
        ("gevent", 5)
    ]
    assert pybench.measure("selector", campaign=file, conns=10).conns == 10
    with pytest.raises(errors.UsageError, match=r"several cells, which run takes"):
        pybench.measure(campaign=file)
    file.write_text("conns = 10\nrounds = 3\nskip_impossible = true\n")
    with pytest.raises(errors.UsageError, match=r"file asks for 3 rounds, which run takes"):
        pybench.measure("selector", campaign=file)
    file.write_text('func = "selector"\nconns = "soon"\n')
    with pytest.raises(errors.UsageError, match=rf"{file}: conns: "):
        pybench.run(campaign=file)
    file.write_text("rows = 5\n")
    with pytest.raises(errors.UsageError, match=rf"run: campaign {file}: unknown key 'rows'"):
        pybench.run(campaign=file)


def test_families_race_behind_a_campaign(
    rounds: FakeRounds, heats: FakeHeats, tmp_path: Path
) -> None:
    heats.speeds = {"selector": 40_000}
    heard: list[pybench.Event] = []
    path = tmp_path / "r.jsonl"
    found = pybench.run(
        "selector,raw_selector,c_epoll", conns=10, races=9, output=path, on_progress=heard.append
    )
    (race,) = found.races
    assert race.contenders == ("selector", "raw_selector") and len(found) == 3
    assert [v.verdict for v in race] == ["faster"]
    assert "raw_selector is faster than selector" in str(found)
    assert pybench.Note("1 family races inside, 0:09 at most") in heard and found.notes == ()
    again = pybench.load(path)
    assert again.races[0].verdicts == race.verdicts and len(again) == 3
    heats.interrupted_in = 2
    with pytest.raises(pybench.Interrupted) as raised:
        pybench.run("selector,raw_selector", conns=10, races="9s")
    assert isinstance(raised.value.results, pybench.Results) and len(raised.value.results) == 2
    with pytest.raises(errors.UsageError, match="run: races is for messages/s"):
        pybench.run("selector,raw_selector", conns=10, rate=5, races=9)


def test_on_a_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is measured here."""

    def lose(pool: FakePool) -> None:
        raise errors.ServerError("unreachable", "lost the scheduler at tcp://a:1: gone")

    made = FakeDask("a", "b")
    monkeypatch.setattr(pool, "DaskPool", lambda scheduler: made)
    found = pybench.run("selector", conns=5, rounds=4, cluster="tcp://a:1")
    assert len(made.started) == len(found) == 4
    assert {r.machine.name for r in found if r.machine is not None} == {"a", "b"}
    assert pybench.measure("selector", conns=5, cluster="tcp://a:1").machine is not None
    made = FakeDask("a", script={4: lose})
    path = tmp_path / "r.jsonl"
    found = pybench.run("selector", conns=5, rounds=4, cluster="tcp://a:1", output=path)
    assert found.notes == ("it ended early: lost the scheduler at tcp://a:1: gone",)
    assert len(found) == 2 and len(pybench.load(path)) == 2
    made = FakeDask("b")
    assert len(pybench.run(resume=path, cluster="tcp://b:1")) == 4 and len(made.started) == 2
    made = FakeDask("a", script={2: lose})
    with pytest.raises(errors.ServerError, match="it ended early: lost the scheduler"):
        pybench.measure("selector", conns=5, cluster="tcp://a:1")
    made = FakeDask("a", script={2: lose})
    raced = pybench.race("selector", "thread", conns=5, cluster="tcp://a:1")
    assert raced.notes == ("it ended early: lost the scheduler at tcp://a:1: gone",)
    with pytest.raises(errors.UsageError, match="explain: no option 'cluster'"):
        pybench.explain("selector", conns=5, cluster="tcp://a:1")


def test_signatures_are_the_table() -> None:
    import inspect

    from pybench.spec import OPTIONS
    from pybench.spec.race import ELSEWHERE, FACTORS, RACE_OPTIONS, SHARED

    own = {"on_progress", "output"}
    of_run = set(inspect.signature(pybench.run).parameters) - own
    assert of_run - {"rows", "campaign", "resume", "races"} == set(OPTIONS) - {"func"}
    of_run -= {"rows", "campaign", "resume", "races"}
    of_measure = set(inspect.signature(pybench.measure).parameters) - own - {"row", "campaign"}
    assert of_measure == of_run - {"rounds", "skip_impossible"}
    of_race = set(inspect.signature(pybench.race).parameters) - own - {"rows"}
    assert of_race == {*SHARED, *ELSEWHERE, *FACTORS, *RACE_OPTIONS}
    assert "    conns: numbers of connections" in (pybench.run.__doc__ or "")
