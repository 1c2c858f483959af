"""Pages of the site that are made of what the code says: command line, stamps, API, schemas.

Needs pybench and its tests' made-up results, and nothing of mkdocs: the tests read these pages too.
"""

import argparse
import inspect
import re
import subprocess
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Final

from examples import EXAMPLES

import pybench
from pybench.analysis import stamps
from pybench.cli.common import Parser
from pybench.cli.main import COMMANDS, main
from pybench.driver.loadserver import executable
from pybench.result import schema
from pybench.spec import OPTIONS

API: Final = {
    "Running it": ("pybench", "pybench.cli"),
    "Results": ("pybench.result", "pybench.result.campaign"),
    "What is to be measured": ("pybench.spec",),
    "Tests of your own rows": ("pybench.testing",),
    "The pytest gate": ("pybench.gate",),
    "Errors": ("pybench.errors",),
    "Epoll without socket objects": ("pybench.rawselect",),
}
"""Modules whose names are stable, by what they are for."""


class _Asked(BaseException):
    """The parser of a command. Not an Exception: nobody on the way may answer it."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        self.parser = parser


@cache
def pages() -> Mapping[str, str]:
    """Path in the site -> Markdown of every page that is made."""
    return {
        "reference/command-line.md": command_line(),
        "reference/stamps.md": stamp_page(),
        "reference/api.md": api(),
        "reference/schema.md": schema_page(),
    }


def schemas() -> list[Path]:
    """The JSON Schemas that the package has."""
    return sorted(schema.SCHEMAS.glob("*.json"))


# ---- the command line ----


def command_line() -> str:
    """Every command with all its options, from the parsers themselves."""
    lines = [
        "# Command line",
        "",
        "Durations take a unit (`us ms s`; a bare number is seconds), counts take `k`. Results go"
        " to standard output, progress and warnings to standard error. Exit status: 0 every cell is"
        " ok (of a race: every pair is decided), 1 some cell failed (undecided), 2 the command line"
        " or this machine does not allow it, 130 interrupted.",
        "",
        "| command | what it does |",
        "|---|---|",
        *(
            f"| [`{_call(name)}`](#{_anchor(_call(name))}) | {what} |"
            for name, what in COMMANDS.items()
        ),
        "",
    ]
    for name, what in COMMANDS.items():
        lines += [f"## `{_call(name)}`", "", f"{_sentence(what)}", "", *_command(name)]
    return "\n".join(lines)


def _call(name: str) -> str:
    return "pybench" if name == "run" else f"pybench {name}"


def _anchor(text: str) -> str:
    return text.replace(" ", "-")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _command(name: str) -> Iterator[str]:
    parser = parser_of(name)
    if parser is None:
        shown = subprocess.run([executable(), "--help"], capture_output=True, text=True, check=True)
        yield from ("```text", shown.stdout.rstrip(), "```", "")
        return
    yield from (
        "```text",
        " ".join(parser.format_usage().split()).replace("usage: ", ""),
        "```",
        "",
    )
    for group in parser._action_groups:
        actions = [a for a in group._group_actions if a.help != argparse.SUPPRESS]
        if not actions:
            continue
        yield from (f"**{group.title}**", "", "| option | what |", "|---|---|")
        for action in actions:
            yield f"| {_option(action)} | {_help(parser, action)} |"
        yield ""
    if name == "run":
        yield from _campaign_keys()


def parser_of(name: str) -> argparse.ArgumentParser | None:
    """The parser of a command; None where its arguments are a program's own."""
    parse = Parser.parse_args

    def asked(self: Parser, *_: object) -> None:
        raise _Asked(self)

    if name == "serve":  # the load server's, which is in C
        return None
    try:
        Parser.parse_args = asked  # type: ignore[assignment,method-assign]
        main([name])
    except _Asked as found:
        return found.parser
    finally:
        Parser.parse_args = parse  # type: ignore[method-assign]
    raise AssertionError(f"pybench {name} parses nothing")


def _option(action: argparse.Action) -> str:
    names = ", ".join(action.option_strings) or str(action.metavar or action.dest)
    value = ""
    if action.option_strings and action.nargs != 0:
        value = str(action.metavar or (f"{{{','.join(map(str, action.choices))}}}" if action.choices
                                       else action.dest.upper()))  # fmt: skip
        value = f" [{value}]" if action.nargs == "?" else f" {value}"
    return f"`{names}{value}`".replace("|", r"\|")


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    text = parser._get_formatter()._expand_help(action) if action.help else ""
    text = " ".join(text.split())
    if action.choices and action.option_strings and "{" not in text:
        choices = ", ".join(f"`{choice}`" for choice in action.choices)
        text += f": {choices}" if text else choices
    return text.replace("|", r"\|").replace("<", "&lt;")


def _campaign_keys() -> Iterator[str]:
    """What a campaign file calls the same options, and what the load server is told."""
    yield from (
        "**In a campaign file**, and to the load server",
        "",
        "| key | default | value | told to the load server as |",
        "|---|---|---|---|",
    )
    for option in OPTIONS.values():
        default = "" if option.default is None else f"`{option.default}`"
        value = "true or false" if option.flag else f"`{option.metavar}`".replace("|", r"\|")
        yield f"| `{option.name}` | {default} | {value} | {_wire(option.name)} |"
    yield ""


def _wire(name: str) -> str:
    """The words of a request, tried out on a value that is not the usual."""
    option = OPTIONS[name]
    if option.wire is None:
        return ""
    usual = 10_000_000  # us, ns and counts alike
    tried: object = {"think": (1, 2), "arrivals": "poisson"}.get(name, usual)
    try:
        words = option.wire(tried)
    except (TypeError, AttributeError):  # a text is wanted
        words = option.wire(option.metavar.split("|")[-1])
    return " ".join(f"`{word}=`" for word in words)


# ---- stamps ----


def stamp_page() -> str:
    """A section for every stamp: class, cause, what it looks like, remedy."""
    order = [check.__name__ for check in stamps.CHECKS] + ["modes"]
    lines = [
        "# Stamps",
        "",
        "What must be known before a figure is believed. The list is closed: these are all there"
        " are. The class says what a verdict makes of a stamp"
        " ([how to read the numbers](../numbers.md#stamps)); the example is what pybench says of a"
        " made-up result, in its own words.",
        "",
        "| stamp | class |",
        "|---|---|",
        *(f"| [`{code}`](#{code}) | {stamps.class_of(code)} |" for code in order),
        "",
    ]
    for code in order:
        lines += _stamp(code)
    return "\n".join(lines)


def _stamp(code: str) -> list[str]:
    check: Callable[..., object] = getattr(stamps, code)
    example = EXAMPLES[code]()
    what, _, rest = inspect.cleandoc(check.__doc__ or "").partition("\n\n")
    return [
        f"## `{code}`",
        "",
        f"{_joined(what)} Class: **{stamps.class_of(code)}**.",
        "",
        *([_joined(rest), ""] if rest else []),
        f"> !a {code}: {example.text}",
        ">",
        f"> -> {example.remedy}",
        "",
        "**What to do:** " + _code_options(_sentence(example.remedy)),
        "",
    ]


def _joined(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


def _code_options(text: str) -> str:
    return re.sub(r"(?<![\w`])(--[a-z][a-z-]*)", r"`\1`", text)


# ---- the API and the schemas ----


def api() -> str:
    """The stable names, from their docstrings."""
    lines = [
        "# API",
        "",
        "Names that others may build on: they stay, or say a version before that they will not."
        " Everything else moves without notice.",
        "",
    ]
    for title, modules in API.items():
        lines += [f"## {title}", ""]
        for module in modules:
            lines += [f"### `{module}`", "", *_members(module)]
    return "\n".join(lines)


def _members(module: str) -> Iterator[str]:
    found = import_module(module)
    names = getattr(found, "__all__", None)
    if names is None:
        names = [n for n, what in vars(found).items() if getattr(what, "__module__", "") == module]
    if module == "pybench":
        yield from ("```text", (pybench.__doc__ or "").strip(), "```", "")
    for name in sorted(set(names)):
        what = getattr(found, name)
        if inspect.isclass(what) or inspect.isfunction(what):
            home = what.__module__ if what.__module__.startswith("pybench") else module
            yield from (f"::: {home}.{what.__name__}", "    options: {heading_level: 4}", "")
        elif inspect.isbuiltin(what):
            yield from (f"#### `{module}.{name}`", "", inspect.getdoc(what) or "", "")


def schema_page() -> str:
    """The JSON Schemas, to read and to take."""
    lines = [
        "# JSON Schema",
        "",
        "Draft 2020-12, one for each kind of record; [Files](../formats.md) has the same as tables"
        " with every key's meaning and history. They are part of the package:"
        " `python -m pybench.result.schema result` prints one.",
        "",
    ]
    for path in schemas():
        lines += [
            f"## {path.stem}",
            "",
            f"[{path.name}]({path.name})",
            "",
            f'??? note "{path.name}"',
            "",
            "    ```json",
            *(f"    {line}" for line in path.read_text(encoding="utf-8").splitlines()),
            "    ```",
            "",
        ]
    return "\n".join(lines)
