"""The live table of a campaign, and of a race: on terminals of several widths, and on none."""

import io
from collections.abc import Callable
from functools import partial

import pytest
from msgspec import structs
from rich.console import Console

from pybench.driver import race as races
from pybench.driver.control import Progress
from pybench.driver.progress import LiveReporter, PlainReporter, make_reporter
from pybench.driver.raceplan import make_plan
from pybench.driver.raceprogress import LiveRaceReporter
from pybench.driver.rowtable import BLOCKS, LETTERS, short_rate, sparkline, where_label
from pybench.spec import Campaign
from pybench.spec.race import Race
from tests.support import synthetic
from tests.support.fakeheats import FakeHeats

ROWS = "selector,asyncio_buffered,asyncio_proto@a.module.of.ours:with_a_long_name,thread,c_epoll"


def campaign(rows: str = ROWS) -> Campaign:
    return Campaign.from_options({"func": rows, "conns": "10,1k", "msize": "64,16k"}, str)


def shown(reporter: LiveReporter | LiveRaceReporter, width: int, encoding: str = "utf-8") -> str:
    """What stands on the terminal now."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    console = Console(file=file, width=width, force_terminal=False, legacy_windows=False)
    console.height = reporter._console.height
    reporter._console = console
    console.print(reporter._render())
    return file.buffer.getvalue().decode(encoding)  # type: ignore[attr-defined]


def under_way(width: int, height: int = 30) -> tuple[LiveReporter, Console]:
    """Four rounds are over, one of them failed, one is stamped; another runs."""
    asked = campaign()
    screen = Console(file=io.StringIO(), force_terminal=True, width=width, height=height)
    reporter = LiveReporter(asked.cells, 1, screen)
    for cell, mps, stamps in (
        (asked.cells[0], 98_400, ()),
        (asked.cells[1], 1_064_000, ()),
        (asked.cells[4], 45_000, (synthetic.UNFAIR,)),
    ):
        reporter.round_started(cell, 1)
        made = synthetic.make_result(
            cell.label, cell.conns, msize=cell.msize, mps=mps, warnings=stamps, samples=50
        )
        assert made.series is not None
        halved = structs.replace(made.series, messages=[1000] * 20 + [500] * 20)
        reporter.round_finished(structs.replace(made, series=halved))
    reporter.round_started(asked.cells[12], 1)
    reporter.round_finished(synthetic.make_failure("thread", 10, error="no threads left"))
    reporter.round_started(asked.cells[16], 1)
    for t_ms, messages in ((1000, 50_000), (2000, 150_000), (3000, 150_000)):
        reporter.live(Progress(t_ms, messages, 9))
    return reporter, screen


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_line_a_row_as_wide_as_the_terminal(width: int) -> None:
    reporter, screen = under_way(width)
    lines = shown(reporter, width).splitlines()
    assert max(map(len, lines)) <= width
    head, *rows = lines[2:]
    assert [row.split()[0][:8] for row in rows] == [
        "selector", "asyncio_", "asyncio_", "thread", "c_epoll"
    ]  # fmt: skip
    assert head.split()[:3] == ["Row", "Conns", "msg/s"]
    assert ("p50, p95" in head, "So far" in head) == (width >= 72, width >= 100)
    selector, buffered, ours, thread, c_epoll = rows
    assert " 10 16kB " in selector and " 1.06M " in selector and selector.split()[0] == "selector"
    half = sum(selector.count(letter) for letter in "▄▅")
    assert half == selector.count("█") > 3, "the window's second half at half the speed"
    assert "45.0k!" in buffered and "failed" in thread and "0/4" in ours
    assert "▅█▁" in c_epoll and "150,000" not in c_epoll
    if width >= 100:
        assert "10: 98.4k" in selector and "[unfair]" in buffered
    said = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "thread, 10 connections: failed: no threads left" in said
    assert "messages/s, latency" not in said, "what is good is in the table, in place"


def test_only_as_many_rows_as_there_is_room_for() -> None:
    """Those that something was heard of last."""
    reporter, _ = under_way(80, height=7)
    lines = shown(reporter, 80).splitlines()
    assert [line.split()[0] for line in lines[3:]] == ["thread", "c_epoll", "and"]
    assert lines[-1] == "and 3 rows more"


def test_letters_for_a_terminal_without_blocks() -> None:
    reporter, _ = under_way(80)
    text = shown(reporter, 80, encoding="ascii")
    assert "####" in text and not set(BLOCKS) & set(text)


def test_rounds_are_counted_anew_where_a_sweep_changes_them() -> None:
    reporter, _ = under_way(80)
    asked = campaign()
    reporter.expect(asked.cells[16:18])
    lines = shown(reporter, 80).splitlines()[3:]
    assert [line.split()[-1] for line in lines] == ["2/2", "1/1", "0/0", "1/1", "0/2"]


@pytest.mark.parametrize(
    ("values", "width", "line"),
    [
        ([], 8, ""),
        ([5, 5], 8, "██"),
        ([0, 0, 0], 8, "▁▁▁"),
        ([0, 4, 8], 8, "▁▅█"),
        ([8, 8, 0, 0, 4, 4], 3, "█▁▅"),
        ([1] * 100, 4, "████"),
        ([1, 2], 0, ""),
    ],
)
def test_sparkline(values: list[float], width: int, line: str) -> None:
    assert sparkline(values, width) == line
    assert len(LETTERS) == len(BLOCKS)


def test_short_texts() -> None:
    assert [short_rate(n) for n in (0, 850, 999.4, 999.9, 9_994, 98_400, 999_800, 1_064_000)] == [
        "0", "850", "999", "1.00k", "9.99k", "98.4k", "1.00M", "1.06M"
    ]  # fmt: skip
    assert [where_label(*cell) for cell in ((1000, 64, 0), (10, 16_384, 0), (5, 64, 20_000))] == [
        "1k", "10 16384B", "5 @20k/s"
    ]  # fmt: skip


class Terminal(io.StringIO):
    """What says that it is one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "live", "colours"),
    [
        ({"TERM": "xterm-256color"}, True, True),
        ({"TERM": "xterm-256color", "NO_COLOR": "1"}, True, False),
        ({"TERM": "dumb"}, False, False),
    ],
)
def test_what_terminals_get(
    variables: dict[str, str], live: bool, colours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    screen = Terminal()
    cells = campaign("selector").cells
    with make_reporter(cells, 1, screen) as reporter:
        assert isinstance(reporter, LiveReporter if live else PlainReporter)
        reporter.round_started(cells[0], 1)
        reporter.round_finished(synthetic.make_failure("selector", 10))
    text = screen.getvalue()
    assert ("\x1b[31m" in text) == colours and "selector, 10 connections: failed" in text
    assert ("\x1b[" in text) == live, "moves the cursor where there is one"


def test_it_is_drawn_twice_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    """The driver shares the machine with what is measured."""
    asked: list[float] = []
    for module, make in (
        ("progress", partial(LiveReporter, campaign("selector").cells, 1)),
        ("raceprogress", partial(LiveRaceReporter, 60.0)),
    ):
        make_live: Callable[..., object] = lambda *_, refresh_per_second, **__: asked.append(  # noqa: E731
            refresh_per_second
        )
        monkeypatch.setattr(f"pybench.driver.{module}.Live", make_live)
        make(Console(file=io.StringIO()))
    assert len(asked) == 2 and max(asked) <= 2


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_race_on_one_line_a_pair(width: int) -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=width)
    heats = FakeHeats({"selector": 40_000})
    one = Race.from_options(("c_epoll", "selector", "asyncio"), {"seed": "1"}, str)
    with LiveRaceReporter(60.0, console) as reporter:
        races.run(make_plan(one), reporter, None, heats, heats.clock)
        lines = shown(reporter, width).splitlines()
    assert len(lines) == 3 and max(map(len, lines)) <= width
    selector = next(line for line in lines if "selector" in line)
    assert ("slower" in selector and "0.7" in selector) or "0.8" in selector
    assert ("selector / c_epoll" in selector, " to " in selector) == (width >= 80, width >= 80)
