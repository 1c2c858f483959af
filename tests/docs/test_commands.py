"""Every command of the pages is one that there is: parsed by the real parsers, run by none.

Commands are the lines of fenced blocks that begin with a program of ours, and code spans in the
prose that do. Code of the pages must compile.
"""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import pytest

from pybench.cli.common import Parser
from pybench.cli.main import main
from pybench.driver.loadserver import executable
from pybench.spec import OPTIONS, Campaign
from tests.docs import PAGES, fenced, name, prose
from tests.support import ROOT

_PROMPT = re.compile(r"^(?:here|there)?\$ +")
_SPAN = re.compile(r"`((?:pybench|pybench-server|make) [^`\n]+)`")
_ASSIGNED = re.compile(r"[A-Z_]+=")
_COMMAND = re.compile(r"pybench [a-z][a-z-]*")
_OURS = ("pybench", "pybench-server", "make", "pytest", "python", "pip")
_UNKNOWN_HERE = ("python",)  # interpreters of the reader's machine
_INSTALLED = {"my_echo,thread": "my_echo:serve,thread"}  # rows that a page has installed before


class Parsed(BaseException):
    """The command line was taken. Not an Exception: nobody on the way may answer it."""

    def __init__(self, options: Any) -> None:
        self.options = options


@pytest.fixture(autouse=True)
def parse_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command ends where its arguments have been parsed."""
    parse = Parser.parse_args

    def parse_args(self: Parser, *arguments: Any) -> NoReturn:
        raise Parsed(parse(self, *arguments))

    monkeypatch.setattr(Parser, "parse_args", parse_args)


# ---- finding them ----


def commands(text: str) -> Iterator[list[str]]:
    """The commands of a page that are ours to check, as words."""
    lines = [line for block in fenced(text, "", "sh") for line in _lines(block)]
    for span in _SPAN.findall(prose(text)):  # one that only names a command has no arguments
        lines.append(f"{span} --help" if _COMMAND.fullmatch(span) else span)
    for line in lines:
        words = _words(line)
        if words and words[0] in _OURS and "..." not in words:
            yield words


def _lines(block: str) -> list[str]:
    """Logical lines: continued ones in one, here-documents and prompts left out."""
    whole = re.sub(r"<<'END'\n.*?^END$", "", block, flags=re.MULTILINE | re.DOTALL)
    return [_PROMPT.sub("", line) for line in whole.replace("\\\n", " ").splitlines()]


def _words(line: str) -> list[str]:
    """The words of a command without variables before it, `ip netns exec`, and `&` or `>` on."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # the first line of a quoted text that goes on: `python -c "`
        return []
    if words[:3] == ["ip", "netns", "exec"]:
        words = words[4:]
    while words and _ASSIGNED.match(words[0]):
        words.pop(0)
    ends = [words.index(end) for end in ("&", ">") if end in words]
    return words[: min(ends)] if ends else words


def every_command() -> list[Any]:
    found: dict[str, Any] = {}
    for page in PAGES:
        for words in commands(page.read_text()):
            text = f"{name(page)}: {shlex.join(words)}"
            found[text] = pytest.param(words, id=text)
    return list(found.values())


# ---- checking them ----


def check(words: list[str]) -> None:
    """Raise or fail when a command is none."""
    program_name, arguments = words[0], words[1:]
    if program_name == "pybench" and arguments[:1] == ["serve"]:
        check_server(arguments[1:])
    elif program_name == "pybench":
        check_pybench(arguments)
    elif program_name == "pybench-server":
        check_server(arguments)
    elif program_name == "make":
        check_make(arguments)
    else:
        check_other(program_name, arguments)


def check_pybench(arguments: list[str]) -> None:
    """Parse it; where it measures, make the campaign that it asks for as well."""
    try:
        status = main(arguments)
    except Parsed as parsed:
        options = vars(parsed.options)
        given = {key: value for key, value in options.items() if key in OPTIONS}
        if "func" in given:
            make_campaign(given)
        return
    except SystemExit as left:  # --help, --version
        status = int(left.code or 0)
    assert status == 0, "not taken: see standard error"


def make_campaign(given: dict[str, Any]) -> None:
    """What the options ask for, but for what only the reader's machine has."""
    known = {key: value for key, value in given.items() if key not in _UNKNOWN_HERE}
    known["func"] = [_INSTALLED.get(text, text) for text in known["func"]]
    Campaign.from_options(known, str)


def check_server(arguments: list[str]) -> None:
    done = subprocess.run(
        [executable(), *arguments, "--version"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def check_make(arguments: list[str]) -> None:
    folder = ROOT
    if arguments[:1] == ["-C"]:
        folder, arguments = ROOT / arguments[1], arguments[2:]
    targets = re.findall(r"^([a-z0-9-]+):", (folder / "Makefile").read_text(), re.MULTILINE)
    for word in arguments:
        assert _ASSIGNED.match(word) or word in targets, f"make: no target {word!r} in {folder}"


def check_other(program_name: str, arguments: list[str]) -> None:
    """Our options of pytest, our scripts and modules, our extras."""
    if program_name == "pytest":
        ours = [word for word in arguments if word.startswith("--pybench")]
        text = (ROOT / "pybench" / "gate" / "plugin.py").read_text()
        assert [word for word in ours if f'"{word}"' not in text] == []
    elif program_name == "python" and arguments[0] != "-m":
        script = ROOT / arguments[0]
        options = [word for word in arguments[1:] if word.startswith("--")]
        assert [word for word in options if f'"{word}"' not in script.read_text()] == []
    elif program_name == "python" and arguments[1] == "pybench":
        check_pybench(arguments[2:])
    elif program_name == "python":
        assert find_spec(arguments[1]), f"python -m {arguments[1]}: no such module"
    elif program_name == "pip":
        (what,) = [word for word in arguments[1:] if not word.startswith("-")]
        extra = re.fullmatch(r"\.(?:\[([a-z]+)\])?", what)
        assert extra, f"pip install {what}: of this tree only"
        text = (ROOT / "pyproject.toml").read_text()
        assert extra[1] is None or f"\n{extra[1]} = [" in text


@pytest.mark.parametrize("words", every_command())
def test_command_is_taken(words: list[str]) -> None:
    check(words)


@pytest.mark.parametrize(
    "line",
    [
        "pybench --func selector --conns 10 --no-such-option",
        "pybench --func selectr --conns 10",
        "pybench --func selector --conns ten",
        "pybench raport x.jsonl",
        "pybench serve --listen 33331",
        "pybench-server --no-such-option",
        "make no-such-target",
        "make -C docs/examples no-such-target",
        "pytest --pybench-no-such-option",
        "python tests/bench/limits.py --no-such-option",
        "python -m pybench.no_such_module",
        "pip install something",
    ],
)
def test_what_is_no_command_is_found(line: str) -> None:
    (words,) = commands(f"```\n{line}   # so\n```\n")
    with pytest.raises(Exception, match=r"."):
        check(words)


def test_commands_of_a_page() -> None:
    text = (
        "Run `pybench --list` or `pybench check`, or `pybench`.\n"
        "```\nhere$  pybench --func a \\\n    --conns 1   # why\nA=1 pybench-server &\nls\n"
        "ip netns exec here  pybench --list\ncat > x <<'END'\npybench no\nEND\n```\n"
        "```python\npybench = 1\n```\n"
    )
    assert list(commands(text)) == [
        ["pybench", "--func", "a", "--conns", "1"],
        ["pybench-server"],
        ["pybench", "--list"],
        ["pybench", "--list"],
        ["pybench", "check", "--help"],
    ]


# ---- code ----


def examples(text: str) -> Iterator[str]:
    """Python on a page: fenced as such, written by a here-document, or given to `python -c`."""
    yield from fenced(text, "python")
    for block in fenced(text, "", "sh"):
        yield from re.findall(r"\.py <<'END'\n(.*?)^END$", block, re.MULTILINE | re.DOTALL)
        yield from re.findall(r'^python -c "(.*?)"$', block, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_python_compiles(page: Path) -> None:
    for number, code in enumerate(examples(page.read_text()), 1):
        compile(code, f"{name(page)}: example {number}", "exec")


def test_code_that_does_not_compile_is_found() -> None:
    text = (
        "```python\na = 1\n```\n```\npython -c \"\nb = 2\"\ncat > x.py <<'END'\nc = = 3\nEND\n```\n"
    )
    found = list(examples(text))
    assert found == ["a = 1\n", "c = = 3\n", "\nb = 2"]
    with pytest.raises(SyntaxError):
        compile(found[1], "x", "exec")


def test_this_python_runs_the_module() -> None:
    """What the pages call `pybench` is `python -m pybench` where no script was installed."""
    done = subprocess.run(
        [sys.executable, "-m", "pybench", "--version"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and done.stdout.startswith("pybench ")
