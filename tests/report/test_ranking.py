"""What is written of a race: the ranking, its notes, the picture and the page."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from pybench.analysis.race import Contest, judge
from pybench.report.charts.intervals import intervals_of, reach, ticks
from pybench.report.ranking import notes, ranking_document, sentence, with_races, write_ranking
from pybench.report.results import report_document
from pybench.result import Turns
from tests.analysis.test_race import asked, bounded, line
from tests.support.synthetic import make_failure


def contest(*contenders: str, speeds: tuple[int, ...] = (1000, 800, 100)) -> Contest:
    names = contenders or ("c_epoll", "selector", "asyncio")
    results = [
        line(func, n, [speed + n, speed - n])
        for n in range(1, 7)
        for func, speed in zip(names, speeds, strict=False)
    ]
    return Contest(id="x", asked=asked(*names), results=tuple(results))


def said(one: Contest) -> str:
    out = io.StringIO()
    write_ranking([one], "table", out)
    return out.getvalue()


def test_a_pair_is_one_sentence() -> None:
    text = said(contest("c_epoll", "selector"))
    assert "selector is slower than c_epoll at 100 connections: 0.80 (95% interval" in text


def test_many_are_said_by_their_ends() -> None:
    one = contest()
    (standings,) = judge(one.asked, one.results)
    assert sentence(standings) == (
        "c_epoll is ahead at 100 connections;"
        " asyncio comes last, with 0.1 times c_epoll's messages/s."
    )


def test_ties_are_named() -> None:
    one = contest("a", "b", "c", speeds=(1000, 1000, 100))
    (standings,) = judge(one.asked, one.results)
    assert sentence(standings).startswith("a and b (not surely different) are ahead at 100")
    assert "Tied: who shares a letter is not surely different." in list(notes(standings))


def test_no_difference_and_no_race_are_said() -> None:
    one = contest("a", "b", "c", speeds=(1000, 1000, 1000))
    (standings,) = judge(one.asked, one.results)
    assert sentence(standings).startswith("No difference in messages/s at 100 connections is sure")
    alone = [line("a", 1, [1]), structs.replace(make_failure("b", 100), turns=Turns(heat=1))]
    (standings,) = judge(asked("a", "b"), alone)
    assert sentence(standings).startswith("Nobody was measured at 100 connections, but for a")
    assert any(note.startswith("b: 1 of 1 rounds failed: accept") for note in notes(standings))


def test_a_sentence_does_not_contradict_a_verdict() -> None:
    """Pairs with the first are fewer than all pairs: a difference may be sure among the fewer."""
    one = contest("a", "b", "c", speeds=(1000, 1000, 100))
    (standings,) = judge(one.asked, one.results)
    tied = replace(standings, each=tuple(replace(s, groups=(0,)) for s in standings.each))
    assert sentence(tied) == (
        "c is slower than a at 100 connections;"
        " no other difference in messages/s is sure among all 3 contenders."
    )


def test_bounds_of_one_and_of_all_are_told() -> None:
    (one,) = judge(asked("a", "b"), bounded("b"))
    assert "b is only a bound (generator_bound)" in sentence(one)
    assert "b is stamped generator_bound: so it is" in list(notes(one))
    (both,) = judge(asked("a", "b"), bounded("a", "b"))
    assert any(note.startswith("All are stamped generator_bound") for note in notes(both))


def test_races_stand_behind_tables() -> None:
    document = with_races(report_document([], []), [contest()])
    assert [record["metric"] for record in document.record["races"]] == ["mps"]
    several = ranking_document([contest(), contest()])
    assert len(several.record["races"]) == 2 and len(several.lines) == 6


def test_an_axis_has_its_ticks_at_numbers_that_people_use() -> None:
    assert ticks(0.09, 1.1) == [0.1, 0.2, 0.5, 1.0]
    assert ticks(0.95, 1.06) == pytest.approx([0.96, 0.98, 1.0, 1.02, 1.04, 1.06])
    assert ticks(0.78, 1.05) == pytest.approx([0.8, 0.85, 0.9, 0.95, 1.0, 1.05])
    assert all(1.0 in ticks(1 / f, f) for f in (1.01, 1.1, 1.5, 1.9, 3, 30, 3000))


def test_a_panel_has_who_was_measured_and_what_is_open() -> None:
    (standings,) = judge(asked("a", "b"), bounded("b"))
    panel = intervals_of(standings, 0.03)
    of_b = next(one for one in panel.each if one.row == "b")
    assert (of_b.open_low, of_b.open_high) == (False, True)
    low, high = reach([panel])
    assert low < 1 / 1.03 and high > 1.03 and low < of_b.low <= of_b.high < high


def test_the_page_has_the_race_and_needs_no_chart_library(tmp_path: Path) -> None:
    pytest.importorskip("jinja2")
    from pybench.report.page.write import write_page

    write_page([], [], [], tmp_path / "race.html", contests=[contest()])
    page = (tmp_path / "race.html").read_text()
    assert len(page) < 100_000
    assert page.count('class="interval"') == 3 and "asyncio comes last" in page
    assert "<nav" not in page


def test_whoever_has_results_is_a_contender(tmp_path: Path) -> None:
    """A file may have rounds of a row that its header does not name."""
    pytest.importorskip("jinja2")
    from pybench.report.page.write import write_page

    found = contest()
    one = Contest.of("x", asked("c_epoll", "selector"), found.results)
    assert one.asked.contenders == found.asked.contenders
    write_page([], [], [], tmp_path / "race.html", contests=[one])
    assert (tmp_path / "race.html").read_text().count('class="interval"') == 3


def test_the_picture_is_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from pybench.report.plots.write import write_plots

    written = write_plots([], tmp_path, contests=[contest()])
    assert [path.name for path in written] == ["race.svg", "race.png"]
    assert all(path.stat().st_size > 5000 for path in written)


def test_why_one_of_several_is_undecided_is_a_note() -> None:
    results = [*bounded("b"), *(line("c", n, [100 + n, 100 - n]) for n in range(1, 7))]
    (standings,) = judge(asked("a", "b", "c"), results)
    assert any(
        note.startswith("b is undecided: b is only a bound (generator_bound)")
        for note in notes(standings)
    )
