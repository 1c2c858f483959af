"""Every relative link, anchor and path of the pages leads to something that is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs import PAGES, name, prose
from tests.support import ROOT

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"(?:pybench|server|ext|tests|docs|\.ci|\.github)/[A-Za-z0-9_./-]*")
_BUILT = ("docs/examples/build/", "pybench/bin/")


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings: small letters, no punctuation, `-` for spaces."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower())
        anchor = plain.strip().replace(" ", "-")
        again = sum(1 for other in found if re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", other))
        found.add(f"{anchor}-{again}" if again else anchor)
    return found


def broken_links(page: Path, text: str) -> Iterator[str]:
    """Relative links of a page, read as text, whose file or anchor is not there."""
    for link in _LINK.findall(_CODE.sub("", prose(text))):
        if re.match(r"[a-z]+:", link):
            continue
        where, _, anchor = link.partition("#")
        target = (page.parent / where).resolve() if where else page
        if not target.exists():
            yield f"{link}: no such file"
        elif anchor and anchor not in anchors(text if target == page else target.read_text()):
            yield f"{link}: no such heading"


def missing_paths(text: str) -> Iterator[str]:
    """Paths of the tree in code spans that are not in the tree."""
    for span in _CODE.findall(prose(text)):
        if _PATH.fullmatch(span) and not span.startswith(_BUILT) and not (ROOT / span).exists():
            yield span


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_resolve(page: Path) -> None:
    assert list(broken_links(page, page.read_text())) == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_paths_exist(page: Path) -> None:
    assert list(missing_paths(page.read_text())) == []


def test_what_does_not_resolve_is_found() -> None:
    text = (
        "# One `two`: three?\n## Again\n## Again\n"
        "[a](#one-two-three) [b](#again-1) [c](docs/limits.md) [d](http://a.b/) `[e](no.md)`\n"
        "[f](#one) [g](docs/no.md) [h](docs/limits.md#no)\n"
        "`pybench/errors.py` `docs/examples/` `server/no.c` `pybench/bin/pybench-server`\n"
        "```\n[i](no.md) `server/none.c`\n```\n"
    )
    assert [link.partition(":")[0] for link in broken_links(ROOT / "README.md", text)] == [
        "#one",
        "docs/no.md",
        "docs/limits.md#no",
    ]
    assert list(missing_paths(text)) == ["server/no.c"]


def test_every_page_of_docs_is_reached() -> None:
    """From the README, by a link or by its path."""
    reached, ahead = set[Path](), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached:
            continue
        reached.add(page)
        text = page.read_text()
        words = {link.partition("#")[0] for link in _LINK.findall(text)}
        linked = {(page.parent / word).resolve() for word in words}
        ahead += [other for other in PAGES if other in linked or name(other) in text]
    assert [name(page) for page in PAGES if page not in reached] == []
