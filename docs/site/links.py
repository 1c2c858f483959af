"""Links of the tree's pages, turned into links of the site's.

Pages of the tree's top (README.md, ...) are pages of the site too. A link to another file of the
tree is its path as text: the site has no copy of the sources.
"""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent
TOP: Final = {
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages of the top -> what they are called in the site."""

_LINK: Final = re.compile(r"(!?)\[((?:[^][]|\[[^]]*\])*)\]\(([^)\s]+)\)")
_CODE: Final = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)


def turned(text: str, folder: Path) -> str:
    """The text with its links turned, but for those in code. folder: of the page."""
    parts = _CODE.split(text)
    return "".join(
        part if number % 2 else _LINK.sub(lambda link: _turned(link, folder), part)
        for number, part in enumerate(_joined_spans(parts))
    )


def _joined_spans(parts: list[str]) -> list[str]:
    """Code spans inside a link's text belong to the link: `[`x`](y)` is one part."""
    found = list(parts)
    number = 1
    while number < len(found) - 1:
        before, after = found[number - 1], found[number + 1]
        inside = before.count("[") > before.count("]") and not found[number].startswith("```")
        if inside and "]" in after:
            found[number - 1 : number + 2] = [before + found[number] + after]
        else:
            number += 2
    return found


def _turned(link: re.Match[str], folder: Path) -> str:
    picture, text, target = link.groups()
    where, _, anchor = target.partition("#")
    if not where or re.match(r"[a-z]+:", where):
        return link[0]
    path = (folder / where).resolve()
    if not path.is_relative_to(ROOT):
        return link[0]
    inside = path.relative_to(ROOT)
    if str(inside) in TOP:
        found = TOP[str(inside)]
    elif inside.parts[:1] == ("docs",) and inside.parts[1:2] not in (("examples",), ("site",)):
        found = str(Path(*inside.parts[1:]))
    else:
        return text if text.startswith("`") else f"{text} (`{inside}`)"
    back = len(folder.relative_to(ROOT).parts[1:])
    return f"{picture}[{text}]({'../' * back}{found}{'#' + anchor if anchor else ''})"
