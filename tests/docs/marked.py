"""The commands of a page in their order, and what the page says of running them.

A page says it in comments, `<!-- run: ... -->` before a block or, for all that follows,
`<!-- run page: ... -->`. Where TEXT is given, of commands that contain it:

    not here[, "TEXT"]: WHY     it cannot be run on one machine by a script
    status N[, "TEXT"]: WHY     it ends with this status; `0 or 1` where that is the machine's, and
                                1 without an error
    serves[, "TEXT"]            it goes on until the block ends: started in the background
    first: COMMAND              run before it; $TREE is the checkout, $FILES has what pages show as
                                files (code that begins with its name); `environment NAME...`
                                makes some that have what this one has, `inside NAME` goes into
                                one, `checkout FOLDER` makes a checkout of pybench
    own network                 a network namespace, as root, where ports are free
    with NAME=VALUE ...         what the names of the reader's machines are here
    with its output             below the command stands what it printed

The site leaves these comments out (docs/site/hooks.py).
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

_COMMENT: Final = re.compile(r"<!-- run( page)?: (.*?) *-->\n?", re.DOTALL)
_PART: Final = re.compile(
    r"<!-- run(?P<page> page)?: (?P<note>.*?) *-->|<!--.*?-->"
    r"|^```(?P<language>\w*)\n(?P<block>.*?)^```$|(?<!`)`(?P<span>[^`\n]+)`(?!`)",
    re.DOTALL | re.MULTILINE,
)
_NOTE: Final = re.compile(
    r"(?P<verb>not here|status (?P<n>\d+(?: or \d+)*)"
    r"|serves|first|own network|with its output|with)"
    r'(?:, "(?P<about>[^"]+)")?(?:: *| +|$)(?P<rest>.*)',
    re.DOTALL,
)
_PROMPT: Final = re.compile(r"^(here|there\d*)\$ +")
_HERE_DOCUMENT: Final = re.compile(r"<<'(\w+)'")
_ASSIGNED: Final = re.compile(r"[A-Z_]+=")
_FILE: Final = re.compile(r"^```(?:python|toml|yaml)\n# ([\w.-]+\.\w+)\n(.*?)^```$", re.M | re.S)
_NAMED_ONLY: Final = re.compile(r"(?:pybench|make) [a-z][a-z-]*")
"""A span that names a command, or a target, and is none."""

SPANS: Final = ("pybench", "pybench-server", "python", "pytest", "pip", "make", "strace")
"""What commands in the prose begin with."""
PROGRAMS: Final = (*SPANS, "git", "cat", "ip", "dask", "helm", "for", "cd", "mkdir")
"""What the first command of a block begins with."""


class BadNote(Exception):
    """A comment that says nothing that is known."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command. line: where it stands; statuses: with which it may end."""

    line: int
    text: str
    serves: bool = False
    statuses: tuple[int, ...] = (0,)
    not_here: str = ""


@dataclass(frozen=True, slots=True)
class Block:
    """Commands that are typed into one shell, and what is run before them."""

    line: int
    first: tuple[str, ...]
    commands: tuple[Command, ...]
    own_network: bool = False


@dataclass(frozen=True, slots=True)
class Note:
    verb: str
    about: str
    rest: str
    statuses: tuple[int, ...] = ()


def blocks(text: str) -> Iterator[Block]:
    """All commands of a page. A span is a block of one. Raises BadNote."""
    of_page: list[Note] = []
    of_next: list[Note] = []
    ran = set[str]()
    for part in _PART.finditer(text):
        line = text.count("\n", 0, part.start()) + 1
        if part["note"] is not None:
            (of_page if part["page"] else of_next).append(_note(line, part["note"]))
            continue
        if part["block"] is not None:
            found = _commands(part["language"], part["block"], line + 1, of_next)
            notes, of_next = [*of_page, *of_next], []
        elif part["span"] and _is_command(part["span"]) and part["span"] not in ran:
            found, notes = [Command(line, part["span"])], of_page
        else:
            continue
        ran |= {command.text for command in found}
        if found:
            first = tuple(note.rest for note in notes if note.verb == "first")
            commands = tuple(_with_notes(command, notes) for command in found)
            own_network = any(note.verb == "own network" for note in notes)
            yield Block(line, first, commands, own_network)
        elif notes != of_page:
            raise BadNote(f"line {line}: a note on a block without a command")
    if of_next:
        raise BadNote(f"a note on no block: {of_next[0].verb} {of_next[0].rest}")


def without_notes(text: str) -> str:
    """The page without its comments on running it."""
    return _COMMENT.sub("", text)


def files(text: str) -> Mapping[str, str]:
    """Name -> contents of what a page shows as a file."""
    return {name: f"# {name}\n{code}" for name, code in _FILE.findall(text)}


def _note(line: int, text: str) -> Note:
    found = _NOTE.fullmatch(text)
    needs_rest = found and found["verb"] not in ("serves", "own network", "with its output")
    if not found or bool(found["rest"]) != bool(needs_rest):
        raise BadNote(f"line {line}: run: {text!r} says nothing that is known")
    statuses = tuple(int(n) for n in (found["n"] or "").split(" or ") if n)
    rest = " ".join(found["rest"].split())
    return Note(
        found["verb"].split()[0] if statuses else found["verb"],
        found["about"] or "",
        rest,
        statuses,
    )


def _commands(language: str, block: str, line: int, notes: list[Note]) -> list[Command]:
    if language not in ("", "sh"):
        return []
    found = list(_logical_lines(block, line))
    if any(note.verb == "with its output" for note in notes):
        found = found[:1]
    if language == "" and not (found and _begins_with_program(found[0].text)):
        return []
    return found


def _logical_lines(block: str, line: int) -> Iterator[Command]:
    """Commands with all their lines: continued, quoted, and their here-documents."""
    lines: list[str] = []
    ends = ""
    for number, text in enumerate(block.splitlines(), line):
        lines.append(text)
        if ends and text != ends:
            continue
        if not ends and (document := _HERE_DOCUMENT.search(text)):
            ends = document[1]
            continue
        whole = "\n".join(lines)
        if not ends and (text.endswith("\\") or not _is_closed(whole)):
            continue
        if not _is_empty(whole):
            prompt = _PROMPT.match(whole)
            there = bool(prompt and prompt[1] != "here")
            command = _PROMPT.sub("", whole)
            serves = there or _without_comment(command).endswith("&")
            yield Command(number - len(lines) + 1, command, serves)
        lines, ends = [], ""


def _is_closed(text: str) -> bool:
    """Whether every quotation mark has its other one."""
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True


def _is_empty(text: str) -> bool:
    return not text.strip() or text.lstrip().startswith("#")


def _without_comment(text: str) -> str:
    return re.sub(r"\s+# .*$", "", text).rstrip()


def _begins_with_program(text: str) -> bool:
    words = text.split()
    return words[0] in PROGRAMS or bool(_ASSIGNED.match(words[0]))


def _is_command(span: str) -> bool:
    words = span.split()
    form = " [" in span or "..." in span  # it shows where something goes
    return len(words) > 1 and words[0] in SPANS and not form and not _NAMED_ONLY.fullmatch(span)


def _with_notes(command: Command, notes: list[Note]) -> Command:
    for note in notes:
        if note.about not in command.text:
            continue
        if note.verb == "not here":
            command = replace(command, not_here=note.rest)
        elif note.verb == "status":
            command = replace(command, statuses=note.statuses)
        elif note.verb == "serves":
            command = replace(command, serves=True)
        elif note.verb == "with":
            for pair in note.rest.split():
                name, _, value = pair.partition("=")
                command = replace(command, text=re.sub(rf"\b{name}\b", value, command.text))
    return command
