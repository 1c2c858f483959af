"""The site: its made pages say what the code says, and no page is left out of it."""

import re
import sys
from importlib import import_module
from types import ModuleType

import pytest
import yaml

from pybench.analysis import stamps
from pybench.cli.main import COMMANDS
from pybench.spec import OPTIONS
from tests.docs import test_commands
from tests.support import ROOT

SITE = ROOT / "docs" / "site"
CODES = {check.__name__ for check in (*stamps.CHECKS, stamps.modes)}


def of_site(name: str) -> ModuleType:
    """A module of docs/site, which is no part of the package."""
    sys.path.insert(0, str(SITE))
    try:
        return import_module(name)
    finally:
        sys.path.remove(str(SITE))


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return of_site("reference")


@pytest.fixture(scope="module")
def links() -> ModuleType:
    return of_site("links")


def sections(text: str) -> dict[str, str]:
    """Headings of the second level with what stands under them."""
    head, *found = re.split(r"^## `?([^`\n]+)`?$", text, flags=re.MULTILINE)
    assert head.startswith("# ")
    return dict(zip(found[::2], found[1::2], strict=True))


def test_every_stamp_has_a_section_with_an_example_of_it(reference: ModuleType) -> None:
    found = sections(reference.stamp_page())
    assert found.keys() == CODES, "an example of each is made in docs/site/examples.py"
    for code, text in found.items():
        assert f"Class: **{stamps.class_of(code)}**" in text
        assert re.search(rf"^> !a {code}: .*[0-9a-z]", text, re.MULTILINE), code
        assert "**What to do:**" in text


def test_every_option_of_every_command_is_there(reference: ModuleType) -> None:
    found = sections(reference.command_line())
    assert list(found) == ["pybench", *(f"pybench {name}" for name in COMMANDS if name != "run")]
    for name, text in zip(COMMANDS, found.values(), strict=True):
        parser = reference.parser_of(name)
        if parser is None:
            assert "--listen" in text  # the load server's own help
            continue
        for action in parser._actions:
            for option in action.option_strings:
                assert f"`{option}" in text or f", {option}" in text, f"{name} {option}"
    for option in OPTIONS.values():
        assert f"\n| `{option.name}` |" in found["pybench"]


def test_commands_of_made_pages_are_taken(
    reference: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    parse = test_commands.Parser.parse_args

    def parse_args(self: test_commands.Parser, *arguments: object) -> None:
        raise test_commands.Parsed(parse(self, *arguments))  # type: ignore[arg-type]

    pages = [text for name, text in reference.pages().items() if not name.endswith("line.md")]
    monkeypatch.setattr(test_commands.Parser, "parse_args", parse_args)
    found = [words for text in pages for words in test_commands.commands(text)]
    for words in found:
        test_commands.check(words)


def test_the_api_names_what_is_stable(reference: ModuleType) -> None:
    text = reference.api()
    for name in ("pybench.testing.", "pybench.errors.UsageError", "pybench.gate", "Campaign"):
        assert name in text
    assert "`pybench.rawselect.recv`" in text


def test_every_page_is_in_the_navigation(reference: ModuleType, links: ModuleType) -> None:
    text = (ROOT / ".mkdocs.yml").read_text()
    nav = yaml.safe_load(text[text.index("nav:\n") :])["nav"]
    listed = set(re.findall(r"[\w/-]+\.md", str(nav)))
    there = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert there | set(links.TOP.values()) | set(reference.pages()) <= listed


def test_links_are_turned(links: ModuleType) -> None:
    text = (
        "[a](../README.md#rows) [b](race.md) [c](data/race.jsonl.gz) [`d`](../server/control.h)\n"
        "[e](../tests/bench) [f](https://a.b/c.md) [g](#here) `[h](../README.md)` ![i](rows.svg)\n"
        "[`j`](../SECURITY.md)\n```\n[k](../README.md)\n```\n"
    )
    assert links.turned(text, ROOT / "docs") == (
        "[a](readme.md#rows) [b](race.md) [c](data/race.jsonl.gz) `d`\n"
        "e (`tests/bench`) [f](https://a.b/c.md) [g](#here) `[h](../README.md)` ![i](rows.svg)\n"
        "[`j`](security.md)\n```\n[k](../README.md)\n```\n"
    )
    assert links.turned("[a](docs/race.md#x) ![b](docs/rows.svg)", ROOT) == (
        "[a](race.md#x) ![b](rows.svg)"
    )
    back = links.turned("[a](../../README.md) [b](../findings.md)", ROOT / "docs" / "data")
    assert back == "[a](../readme.md) [b](../findings.md)"


def test_arguments_of_docstrings_are_listed() -> None:
    text = (
        "What it does.\n\nMore: of it.\n\nnew, base: figures of\nboth.  margin: a share, 0.03: 3%."
        "\nrounds: how many.  Raises UsageError: why.\nReturns nothing.\n\nSee: `x`."
    )
    assert of_site("docstrings").listed(text) == (
        "What it does.\n\nMore: of it.\n\n- `new`, `base`: figures of both.\n"
        "- `margin`: a share, 0.03: 3%.\n- `rounds`: how many.\n\nRaises UsageError: why.\n\n"
        "Returns nothing.\n\nSee: `x`."
    )
