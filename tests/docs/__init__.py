"""The pages that people read: what they link to, and what they tell to type and to install."""

import re
from pathlib import Path

from tests.support import ROOT

PAGES = tuple(sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]))

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    """A page as messages name it: `docs/numbers.md`."""
    return str(page.relative_to(ROOT))


def fenced(text: str, *languages: str) -> list[str]:
    """The fenced blocks of a page in one of the languages; of no language is `""`."""
    return [block for language, block in _FENCED.findall(text) if language in languages]


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return _FENCED.sub("", text)
