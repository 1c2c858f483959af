"""The HTML page in a headless browser: it works, keeps to itself, and fits a phone."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pybench.backends.names import FAMILY_ORDER
from pybench.cli import main
from pybench.result import Result
from pybench.result.file import ResultWriter
from pybench.spec import Campaign
from tests.driver.test_openloop import open_round
from tests.support import synthetic

pytest.importorskip("plotly")
pytest.importorskip("jinja2")

ARGV = ["--func", "all", "--conns", "10,1k", "--rounds", "3", "--runtime", "2s"]
ROWS = ("asyncio_proto", "asyncio_sock", "uvloop_proto", "selector", "thread", "c_epoll")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a campaign with stamps, a hung round and a hostile name."""
    folder = tmp_path_factory.mktemp("page")
    writer = ResultWriter(folder / "r.jsonl", {"id": "x", "command": ARGV})
    campaign = synthetic.make_campaign(
        funcs=ROWS, counts=(10, 1000, 10_000), rounds=3, stamps=True, samples=300
    )
    for result in campaign:
        writer.write(result)
    writer.write(synthetic.make_failure("</script><b>x", 10, error="<img src=x onerror=alert(1)>"))
    writer.close()
    target = folder / "report.html"
    argv = ["report", str(folder / "r.jsonl"), "--table", "mps", "--reference", "2016"]
    assert main([*argv, "--html", str(target)]) == 0
    return target


class Visit:
    """The page, open, with everything it said and asked for."""

    def __init__(self, browser: Any, path: Path, **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.context.set_default_timeout(60_000)  # a busy machine is slow, not broken
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console",
            lambda message: (
                self.complaints.append(message.text)
                if message.type in ("error", "warning")
                else None
            ),
        )
        self.url = path.as_uri()
        self.page.goto(self.url)
        self.page.wait_for_selector("html[data-ready=true]")

    def lines(self, chart: str) -> set[str]:
        """The names of the lines in a chart."""
        script = (
            "chart => document.querySelector(`[data-chart=${chart}] .plot`).data.map(t => t.name)"
        )
        return set(self.page.evaluate(script, chart))

    def column(self, number: int, table: str = "mps") -> list[str]:
        """The texts of a column of a table's visible rows."""
        rows = self.page.locator(f'[data-table="{table}"] tbody tr:not([hidden])')
        texts = rows.evaluate_all("(rows, n) => rows.map(r => r.cells[n].innerText.trim())", number)
        assert isinstance(texts, list)
        return texts


@pytest.fixture(scope="module")
def desktop(browser: Any, page_file: Path) -> Iterator[Visit]:
    """One visit of a desktop's size for all tests that leave no trace."""
    here = Visit(browser, page_file, viewport={"width": 1280, "height": 900}, color_scheme="light")
    yield here
    here.context.close()


@pytest.fixture
def visit(desktop: Visit) -> Iterator[Visit]:
    """The desktop's visit, all rows shown; the test has neither asked for anything nor upset it."""
    yield desktop
    desktop.page.get_by_role("button", name="All", exact=True).click()
    assert desktop.complaints == []
    assert desktop.requests == [desktop.url]


def test_the_page_is_one_file_without_addresses(page_file: Path) -> None:
    text = page_file.read_text()
    assert "default-src 'none'" in text
    markup = re.sub(r"(?s)<(script|style)[^>]*>.*?</\1>", "", text)
    assert not re.search(r"(?:src|href)=\"(?!#|data:)", markup)
    assert "<img" not in markup and "<b>x" not in markup, "names and errors are escaped"


def test_a_row_is_switched_off_everywhere(visit: Visit) -> None:
    button = visit.page.get_by_role("button", name="thread", exact=True)
    assert button.get_attribute("aria-pressed") == "true"
    assert "thread" in visit.lines("mps") and "thread" in visit.column(0)
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert "thread" not in visit.column(0)
    for chart in ("mps", "lat", "distribution", "series"):
        assert "thread" not in visit.lines(chart), chart
    assert "selector" in visit.lines("mps")
    button.click()
    assert "thread" in visit.column(0) and "thread" in visit.lines("mps")


def test_the_series_has_a_line_a_row_and_a_gap_a_round(visit: Visit) -> None:
    """Three rounds of 20 slices each; the quantity can be changed."""
    lines = "document.querySelector('[data-chart=series] .plot').data"
    script = f"{lines}.find(t => t.name == 'selector').y"
    speeds = visit.page.evaluate(script)
    assert len(speeds) == 63 and [i for i, y in enumerate(speeds) if y is None] == [20, 41, 62]
    visit.page.locator("[data-chart=series] select.metric").select_option("max")
    longest = visit.page.evaluate(script)
    assert longest[0] != speeds[0] and len(longest) == 63
    visit.page.locator("[data-chart=series] select.metric").select_option("mps")


def test_rows_are_switched_with_the_keyboard(visit: Visit) -> None:
    """Tab reaches the buttons, space and enter press them."""
    visit.page.locator("#theme").focus()
    for _ in range(40):
        visit.page.keyboard.press("Tab")
        focused = visit.page.evaluate("document.activeElement.dataset.toggle || ''")
        if focused == "c_epoll":
            break
    assert focused == "c_epoll"
    visit.page.keyboard.press("Space")
    assert "c_epoll" not in visit.lines("mps")
    visit.page.keyboard.press("Enter")
    assert "c_epoll" in visit.lines("mps")


def test_many_rows_at_once(visit: Visit) -> None:
    visit.page.get_by_role("button", name="None", exact=True).click()
    assert visit.column(0) == []
    assert visit.page.locator("[data-chart=mps] .empty").is_visible()
    visit.page.get_by_role("button", name="Without C", exact=True).click()
    assert visit.lines("mps") == set(ROWS) - {"c_epoll"}
    visit.page.get_by_role("button", name="All", exact=True).click()
    assert visit.lines("mps") == set(ROWS)


def test_a_table_is_sorted(visit: Visit) -> None:
    head = visit.page.locator('[data-table="mps"] thead th').nth(2)
    sort = head.get_by_role("button")
    original = visit.column(0)

    def figures() -> list[float]:
        return [float(text.partition("k")[0]) for text in visit.column(2) if text != "---"]

    sort.click()
    assert head.get_attribute("aria-sort") == "descending"
    assert figures() == sorted(figures(), reverse=True) and visit.column(0) != original
    assert visit.column(2)[-1] == "---", "missing figures stay last"
    sort.click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert figures() == sorted(figures()) and visit.column(2)[-1] == "---"
    names = visit.page.locator('[data-table="mps"] thead th').nth(0)
    names.get_by_role("button").click()
    assert names.get_attribute("aria-sort") == "ascending"
    assert head.get_attribute("aria-sort") == "none"
    assert visit.column(0) == sorted(visit.column(0), key=str.lower)


def test_the_scale_is_switched(visit: Visit) -> None:
    script = "document.querySelector('[data-chart=mps] .plot').layout.yaxis.type"
    assert visit.page.evaluate(script) == "linear"
    chart = visit.page.locator("[data-chart=mps]")
    chart.get_by_role("button", name="Log").click()
    assert visit.page.evaluate(script) == "log"
    assert chart.get_by_role("button", name="Log").get_attribute("aria-pressed") == "true"
    assert chart.get_by_role("button", name="Linear").get_attribute("aria-pressed") == "false"


def test_connections_of_a_chart_are_chosen(visit: Visit) -> None:
    script = "document.querySelector('[data-chart=cpu] .plot').data[0].x"
    before = visit.page.evaluate(script)
    visit.page.locator("[data-chart=cpu] select").select_option("10")
    assert visit.page.evaluate(script) != before


def test_stamped_points_are_hollow_on_the_page_as_well(visit: Visit) -> None:
    """Filled with the ground, so that neither line nor error bar shows through."""
    script = (
        "document.querySelector('[data-chart=mps] .plot').data"
        ".find(trace => trace.name === 'c_epoll').marker.color"
    )
    first, *stamped = visit.page.evaluate(script)
    assert first != "#ffffff" and stamped == ["#ffffff", "#ffffff"]


def test_the_median_is_marked_in_the_chart_of_fairness(visit: Visit) -> None:
    axis = visit.page.evaluate("document.querySelector('[data-chart=fairness] .plot').layout.xaxis")
    assert 1 in axis["tickvals"] and axis["range"][1] >= 1.6, "and not at the edge"


def test_hovering_shows_figures(visit: Visit) -> None:
    point = visit.page.locator("[data-chart=mps] .scatterlayer .point").first
    point.scroll_into_view_if_needed()
    point.hover(force=True)
    label = visit.page.locator("[data-chart=mps] .hoverlayer .hovertext").first
    label.wait_for()
    assert "95% CI" in label.text_content()
    faded = visit.page.locator("[data-chart=mps] .faded")
    assert faded.count() == len(ROWS) - 1, "the others stand back"
    visit.page.locator("#theme").hover()
    faded.first.wait_for(state="detached")


def test_stamps_failures_environment_and_commands_are_there(visit: Visit) -> None:
    page = visit.page
    stamped = page.locator('[data-table="mps"] tr[data-row="c_epoll"] td.stamped').first
    assert stamped.locator("abbr").get_attribute("title").startswith("generator_bound: 34%")
    warnings = page.locator(".warnings")
    assert "generator_bound" in warnings.inner_text() and "--server-cpus" in warnings.inner_text()
    assert "thread at 10k: hung (1 of 3 rounds): no echo for 5 s" in page.inner_text("main")
    assert "Example CPU 3000" in page.inner_text("main")
    commands = page.inner_text("pre")
    assert f"python -m pybench {' '.join(ARGV)}" in commands
    assert "python -m pybench report" in commands and "--html" in commands


def test_the_summary_is_a_sentence_with_an_interval(visit: Visit) -> None:
    headline = visit.page.inner_text(".headline")
    assert re.match(
        r"uvloop_proto serves 3\.\dx asyncio_proto at 10k connections \(95% CI \d\.\d to \d\.\d\); "
        r"c_epoll 1\.\d+x that \(95% CI 1\.\d+ or more\)\.",
        headline,
    ), headline
    stamps = "Not to be taken at face value: c_epoll at 10k (generator_bound)."
    assert visit.page.locator(".also").first.inner_text() == stamps


# A page with many rows.


@pytest.fixture(scope="module")
def many_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 38 rows, and one that measured nothing."""
    folder = tmp_path_factory.mktemp("many")
    return write_page(
        folder,
        [
            *synthetic.make_many(counts=(10, 1000), rounds=2),
            synthetic.make_failure("future_loop", 10),
        ],
    )


def write_page(folder: Path, results: Sequence[Result]) -> Path:
    writer = ResultWriter(folder / "r.jsonl", {"id": "x"})
    for result in results:
        writer.write(result)
    writer.close()
    target = folder / "report.html"
    assert main(["report", str(folder / "r.jsonl"), "--html", str(target)]) == 0
    return target


@pytest.fixture
def many(browser: Any, many_file: Path) -> Iterator[Visit]:
    """A visit of its own to the page with many rows, which stays without complaint."""
    here = Visit(browser, many_file, viewport={"width": 1280, "height": 900}, color_scheme="light")
    yield here
    assert here.complaints == [] and here.requests == [here.url]
    here.context.close()


FAMILY = {row: family for row, family, _ in synthetic.MANY_ROWS} | {"future_loop": "other"}
FASTEST = {
    *("asyncio_proto[py3.13]", "uvloop_proto", "rloop_proto", "curio", "twisted", "gevent"),
    *("raw_selector", "thread", "c_uring", "c-echo", "fastecho"),
}


def listed(visit: Visit, table: str = "mps") -> list[str]:
    """The names of a table's visible rows."""
    rows = visit.page.locator(f'[data-table="{table}"] tbody tr:not([hidden])')
    names = rows.evaluate_all("rows => rows.map(row => row.dataset.row)")
    assert isinstance(names, list)
    return names


def press(visit: Visit, name: str) -> Any:
    """Click the button of that name."""
    button = visit.page.get_by_role("button", name=name, exact=True)
    button.click()
    return button


def test_many_rows_are_all_listed_and_the_fastest_of_each_family_drawn(many: Visit) -> None:
    assert len(listed(many)) == 39 and listed(many)[:2] == ["asyncio", "asyncio[py3.13]"]
    families = [FAMILY[row] for row in listed(many)]
    assert families == sorted(families, key=FAMILY_ORDER.index), "one family after the other"
    for chart in ("mps", "lat", "distribution"):
        assert many.lines(chart) == FASTEST, chart
    assert many.page.inner_text("#status") == (
        "Tables list all 39 rows; charts draw 11, the fastest of each family."
    )
    assert "averaged over the columns" in many.page.text_content(".picks .note")


def test_a_family_is_switched_off_and_shown_alone(many: Visit) -> None:
    button = press(many, "uvloop 4")
    assert button.get_attribute("aria-pressed") == "false"
    assert not any(FAMILY[row] == "uvloop" for row in listed(many))
    assert many.lines("mps") == FASTEST - {"uvloop_proto"}
    only = press(many, "Only uvloop")
    uvloop = [row for row in FAMILY if FAMILY[row] == "uvloop"]
    assert only.get_attribute("aria-pressed") == "true"
    assert button.get_attribute("aria-pressed") == "true"
    for table in ("mps", "lat95", "cpu"):
        assert listed(many, table) == uvloop, table
    assert many.lines("mps") == set(uvloop), "few enough to draw them all"
    assert many.page.inner_text("#status") == ("Tables list 4 of 39 rows; charts draw them all.")
    press(many, "asyncio 8")
    assert len(listed(many)) == 12 == len(many.lines("mps"))
    assert only.get_attribute("aria-pressed") == "false"
    press(many, "C 4")
    four = "Tables list 16 of 39 rows; charts draw 12, the fastest, up to 4 of each family."
    assert many.page.inner_text("#status") == four
    press(many, "All families")
    assert len(listed(many)) == 39 and many.lines("mps") == FASTEST


def test_only_one_family_again_is_all_of_them(many: Visit) -> None:
    press(many, "Only trio")
    assert {FAMILY[row] for row in listed(many)} == {"trio"}
    press(many, "Only trio")
    assert len(listed(many)) == 39


def test_rows_are_found_by_name(many: Visit) -> None:
    box = many.page.get_by_role("searchbox")
    box.fill("PY3.13")
    found = {"asyncio_proto[py3.13]", "asyncio[py3.13]"}
    assert set(listed(many)) == found == many.lines("mps")
    box.fill("echo, trio")
    found = {"exec:go-echo", "c-echo", "fastecho", "trio", "anyio_trio"}
    assert set(listed(many)) == found == many.lines("mps")
    press(many, "plug-ins 2")
    assert set(listed(many)) == found - {"fastecho"}, "the search and the families both count"
    box.fill("nosuchrow")
    assert listed(many) == [] and many.page.locator("[data-chart=mps] .empty").is_visible()
    box.fill("")
    assert len(listed(many)) == 37


def test_any_row_is_drawn_by_one_click(many: Visit) -> None:
    many.page.get_by_text("Choose the rows of the charts").click()
    best = many.page.get_by_role("button", name="Fastest of each family")
    button = press(many, "tornado")
    assert button.get_attribute("aria-pressed") == "true"
    assert best.get_attribute("aria-pressed") == "false"
    assert many.lines("mps") == FASTEST | {"tornado"}
    press(many, "c-echo")
    assert many.lines("mps") == (FASTEST | {"tornado"}) - {"c-echo"}
    assert len(listed(many)) == 39, "tables list the others all the same"
    many.page.get_by_label("Only these rows in the tables too").check()
    assert set(listed(many)) == (FASTEST | {"tornado"}) - {"c-echo"}
    press(many, "All")
    assert len(many.lines("mps")) == 38 and len(listed(many)) == 39
    labels = many.page.locator("[data-chart=mps] .annotation-text").all_inner_texts()
    assert len(labels) == 38, "each line has its name beside it"
    press(many, "Without C")
    assert many.lines("mps") == {row for row in FAMILY if FAMILY[row] not in ("C", "other")}
    best.click()
    assert many.lines("mps") == FASTEST


def test_sorting_goes_back_to_the_families(many: Visit) -> None:
    before = listed(many)
    by_name = many.page.evaluate("names => [...names].sort((a, b) => a.localeCompare(b))", before)
    assert by_name != before
    name = many.page.locator('[data-table="mps"] thead th').nth(0)
    for order, expected in [
        ("ascending", by_name),
        ("descending", by_name[::-1]),
        ("none", before),
    ]:
        name.get_by_role("button").click()
        assert name.get_attribute("aria-sort") == order
        assert listed(many) == expected
    press(many, "Only C")
    speed = many.page.locator('[data-table="mps"] thead th').nth(1)
    speed.get_by_role("button").click()
    assert listed(many) == ["c_uring", "c_epoll", "c_poll", "c_th"]


def test_families_are_filtered_with_the_keyboard(many: Visit) -> None:
    many.page.get_by_role("searchbox").focus()
    for _ in range(40):
        many.page.keyboard.press("Tab")
        focused = many.page.evaluate("document.activeElement.dataset.only || ''")
        if focused == "greenlets":
            break
    many.page.keyboard.press("Enter")
    assert set(listed(many)) == {"gevent", "eventlet"}
    assert many.page.locator("#status").get_attribute("role") == "status"


@pytest.mark.parametrize("width", [360, 390])
def test_many_rows_on_a_small_screen(browser: Any, many_file: Path, width: int) -> None:
    """Nothing scrolls sideways, and the chart has its names under it."""
    here = Visit(browser, many_file, viewport={"width": width, "height": 800}, has_touch=True)
    for summary in here.page.locator("summary").all():
        summary.click()
    assert here.page.evaluate("document.documentElement.scrollWidth") <= width
    legend = here.page.locator("[data-chart=mps] .legend li").all_inner_texts()
    assert set(legend) == FASTEST
    assert here.complaints == []
    here.context.close()


def test_few_rows_need_no_filter(visit: Visit) -> None:
    assert visit.page.locator("#search, [data-family], #follow").count() == 0


def test_the_knee_of_an_open_loop_is_marked(browser: Any, tmp_path: Path) -> None:
    results = [
        open_round(rate, number, func=func, kept=rate <= knee)
        for func, knee in (("selector", 2000), ("c_epoll", 8000))
        for rate in (1000, 2000, 4000, 8000)
        for number in (1, 2)
    ]
    here = Visit(browser, write_page(tmp_path, results), color_scheme="light")
    shapes = here.page.evaluate("document.querySelector('[data-chart=lat] .plot').layout.shapes")
    assert [(s["x0"], s["x1"]) for s in shapes] == [(2000, 2000)], "c_epoll has none in sight"
    line = here.page.locator("[data-chart=lat] .shapelayer path").bounding_box()
    point = here.page.locator("[data-chart=lat] .trace").first.locator(".point").nth(1)
    dot = point.bounding_box()
    assert abs(line["x"] + line["width"] / 2 - dot["x"] - dot["width"] / 2) < 3
    assert abs(line["y"] - dot["y"] - dot["height"] / 2) < 3, "it begins at the point"
    assert here.complaints == []
    here.context.close()


def test_light_and_dark(browser: Any, page_file: Path) -> None:
    """The system's wish is followed, the button overrules it, the charts change with it."""

    def grounds(here: Visit) -> tuple[str, str]:
        ground = here.page.evaluate("getComputedStyle(document.body).backgroundColor")
        line = here.page.evaluate(
            "document.querySelector('[data-chart=mps] .plot').data.at(-1).line.color"
        )
        return ground, line

    here = Visit(browser, page_file, color_scheme="dark")
    dark = grounds(here)
    here.page.get_by_role("button", name="Change between light and dark").click()
    light = grounds(here)
    assert light[0] == "rgb(255, 255, 255)" and dark[0] != light[0]
    assert dark[1] != light[1]
    assert here.complaints == []
    here.context.close()


@pytest.mark.parametrize("width", [360, 390])
def test_small_screens_do_not_scroll_sideways(browser: Any, page_file: Path, width: int) -> None:
    here = Visit(browser, page_file, viewport={"width": width, "height": 800}, has_touch=True)
    script = "[document.documentElement.scrollWidth, window.innerWidth]"
    wide, inner = here.page.evaluate(script)
    assert wide <= inner == width
    for summary in here.page.locator("summary").all():
        summary.click()
    wide, _ = here.page.evaluate(script)
    assert wide <= width, "nor with every table open"
    assert here.page.locator("[data-chart=mps] .plot svg").first.bounding_box()["width"] <= width
    assert here.complaints == [] and here.requests == [here.url]
    here.context.close()


def test_the_page_without_scripts_still_has_its_tables(browser: Any, page_file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.locator('[data-table="mps"] tbody tr').count() == len(ROWS) + 1
    assert page.locator(".headline").is_visible()
    context.close()


def test_a_browser_that_cannot_unpack_the_charts_says_so(browser: Any, page_file: Path) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.add_init_script("delete window.DecompressionStream")
    page.goto(page_file.as_uri())
    page.wait_for_selector("html[data-ready=true]")
    assert page.locator("[data-chart=mps] .unable").is_visible()
    page.get_by_role("button", name="thread", exact=True).click()
    assert page.locator('[data-table="mps"] tr[data-row="thread"]').is_hidden()
    context.close()


def test_the_page_is_small_and_names_the_library_in_it(many_file: Path) -> None:
    """Forty rows, and still what a mail can carry."""
    text = many_file.read_text()
    assert len(text.encode()) < 2_500_000
    notice = re.search(r'id="library" data-notice="([^"]*)"', text)
    assert notice is not None
    assert notice[1].startswith("plotly.js v") and "MIT license" in notice[1]


def test_the_command_that_is_put_together_again_can_be_typed() -> None:
    from pybench.report.page.origin import campaign_command

    record = Campaign.from_options(
        {"func": "selector", "conns": "10", "busy_poll": "50us", "seed": 1}, str
    ).to_record()
    words = shlex.split(campaign_command(record))
    assert words[:3] == ["python", "-m", "pybench"]
    assert words[words.index("--busy-poll") + 1] == "50us"
