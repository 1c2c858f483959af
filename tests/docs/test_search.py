"""Search on the site works from file://, where browsers start no Worker: see iframe-worker.js."""

from pathlib import Path
from typing import Any

import pytest

from tests.support import ROOT

SITE = ROOT / "build" / "site"
SHIM = "iframe-worker.js"


def test_a_frame_is_a_worker(browser: Any, tmp_path: Path) -> None:
    """What is posted before its script has been loaded arrives too, and in order."""
    (tmp_path / SHIM).write_text((ROOT / "docs" / SHIM).read_text())
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "twice.js").write_text(
        "addEventListener('message', (event) => postMessage(event.data.number * 2))"
    )
    (tmp_path / "page.html").write_text(
        f"<body><script src={SHIM}></script><script>const got = [];"
        "const worker = new Worker('sub/twice.js');"
        "worker.addEventListener('message', (event) => got.push(event.data));"
        "for (const number of [1, 2, 3]) worker.postMessage({ number });</script>"
    )
    page = browser.new_page()
    page.goto((tmp_path / "page.html").as_uri())
    page.wait_for_function("got.length == 3", timeout=60_000)
    assert page.evaluate("got") == [2, 4, 6]


def test_the_site_is_searched(browser: Any) -> None:
    """Nothing is asked of a network; what is found leads to a page that is there."""
    if not (SITE / SHIM).exists():
        pytest.skip("no site in build/site: make docs")
    asked: list[str] = []
    page = browser.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.goto((SITE / "reference" / "stamps.html").as_uri())
    page.locator("input[name=query]").first.fill("generator_bound")
    found = page.locator(".md-search-result__item").first
    found.wait_for(state="attached", timeout=60_000)
    assert "generator_bound" in found.text_content()
    target = page.evaluate("(item) => item.querySelector('a').href", found.element_handle())
    assert target.startswith("file://") and Path(target[7:].partition("?")[0]).exists()
    assert [url for url in asked if not url.startswith(("file:", "data:", "about:"))] == []
