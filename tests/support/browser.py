"""Headless Chromium of the system; its tests are skipped where there is none."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

_CHROMIUM: Final = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser of Playwright's synchronous API."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if not _CHROMIUM.exists():
        pytest.skip(f"no {_CHROMIUM}: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=str(_CHROMIUM), args=["--no-sandbox"], timeout=60_000
        )
        yield running
        running.close()
