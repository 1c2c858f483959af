"""Run every command of the pages: `make docs-commands`, or PAGE... or PAGE:LINE of a block.

Each page has a fresh folder, a home of its own and its commands in their order; the blocks of a
page are shells of their own. What is marked as not to be run here is listed with its reason
(tests/docs/marked.py), so that nothing is left out in silence. Durations are cut short, which each
line says: a race that is undecided for want of time has run. Exit status 1 when one failed.
"""

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT)]

from tests.docs import PAGES, marked, name  # noqa: E402 - the tree is no package that is installed
from tests.docs.marked import Block, Command  # noqa: E402
from tests.docs.shell import Shell  # noqa: E402

TIMEOUT_S: Final = 900.0
SHORTENED: Final = ("pybench", "pytest")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a command. verdict: `ok`, `failed` or `not here`."""

    page: str
    command: Command
    verdict: str
    why: str = ""
    appended: str = ""
    took_s: float = 0

    def __str__(self) -> str:
        lines = self.command.text.splitlines()
        first = lines[0].partition("   #")[0].rstrip() + (" ..." if len(lines) > 1 else "")
        more = f"  [+ {self.appended}]" if self.appended else ""
        why = f": {self.why}" if self.why else ""
        took = f"{self.took_s:6.1f} s" if self.took_s else " " * 8
        return f"{self.verdict:8} {took}  {self.page}:{self.command.line}  {first}{more}{why}"


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs pages. as_written: no duration is cut short."""

    scratch: Path
    timeout_s: float = TIMEOUT_S
    as_written: bool = False
    environment: dict[str, str] = field(default_factory=dict)

    def prepare(self) -> None:
        """Make what pages are given: shortened programs, files that pages show, a home."""
        shims, shown, home = (self.scratch / one for one in ("shims", "files", "home"))
        for folder in (shims, shown, home):
            folder.mkdir()
        for program in SHORTENED:
            shim = shims / program
            words = [sys.executable, str(Path(marked.__file__).with_name("shortened.py")), program]
            shim.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
            shim.chmod(0o755)
        for page in PAGES:
            for file, text in marked.files(page.read_text()).items():
                (shown / file).write_text(text)
        cache = os.environ.get("PIP_CACHE_DIR") or str(Path.home() / ".cache" / "pip")
        path = [str(shims), str(Path(sys.executable).parent), os.environ["PATH"]]
        self.environment.update(
            os.environ,
            PATH=os.pathsep.join(path), HOME=str(home), XDG_CACHE_HOME=str(home / ".cache"),
            PIP_CACHE_DIR=cache, PYTHONUNBUFFERED="1", COLUMNS="160", PYBENCH_DOCS_SHIMS=str(shims),
            TREE=str(ROOT), FILES=str(shown),
        )  # fmt: skip
        if not self.as_written:
            self.environment["PYBENCH_DOCS_APPENDED"] = str(self.scratch / "appended")

    def page(self, title: str, page: Sequence[Block]) -> Iterator[Outcome]:
        """Outcomes of the blocks of a page, as they come."""
        folder = self.scratch / title.replace("/", "-").removesuffix(".md")
        folder.mkdir(exist_ok=True)
        for block in page:
            yield from self._block(title, block, folder)

    def _block(self, title: str, block: Block, folder: Path) -> Iterator[Outcome]:
        here = [command for command in block.commands if not command.not_here]
        with contextlib.closing(
            Shell(folder, self.environment, own_network=block.own_network)
        ) as shell:
            prepared = self._prepared(shell, block.first) if here else ""
            for command in block.commands:
                if command.not_here:
                    yield Outcome(title, command, "not here", command.not_here)
                elif prepared or shell.lost:
                    why = prepared or "the shell did not come back from what went before"
                    yield Outcome(title, command, "failed", why)
                else:
                    yield self._command(title, command, shell)

    def _prepared(self, shell: Shell, first: Sequence[str]) -> str:
        """Why its preparation failed; nothing when it did not."""
        for text in first:
            serves = text.endswith("&")
            if (status := shell.run(text, self.timeout_s, serves=serves)) != 0:
                return f"first: {text}: status {status}: {_last_line(shell.output())}"
        return ""

    def _command(self, title: str, command: Command, shell: Shell) -> Outcome:
        log = self.scratch / "appended"
        log.unlink(missing_ok=True)
        began = time.monotonic()
        status = shell.run(command.text, self.timeout_s, serves=command.serves)
        took_s = time.monotonic() - began
        output = shell.output()
        appended = " | ".join(dict.fromkeys(log.read_text().splitlines())) if log.exists() else ""
        verdict, why = "failed", f"status {status}: {_last_line(output)}"
        open_end = len(command.statuses) > 1
        if status is None:
            why = f"not done after {took_s:.0f} s: {_last_line(output)}"
        elif status in command.statuses and not (open_end and status and has_error(output)):
            verdict, why = "ok", "" if status == 0 else f"status {status}"
        elif status == 1 and "--budget" in appended and is_undecided(output):
            verdict, why = "ok", "undecided in so short a time"
        return Outcome(title, command, verdict, why, appended, took_s)


def is_undecided(output: str) -> bool:
    """Of a race: it ended as it should, but for the time that it had."""
    return "undecided" in output and "out of the race" not in output and not has_error(output)


def has_error(output: str) -> bool:
    """Where a status may be the machine's: what went wrong is the command's."""
    return "error:" in output or "Traceback (most recent call last)" in output


def _last_line(output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it printed nothing"


def chosen(what: Sequence[str]) -> Iterator[tuple[str, list[Block]]]:
    """Pages with their blocks. what: names of pages, with `:LINE` for one block; none: all."""
    pages = {name(page): page for page in PAGES}
    for one in what or pages:
        title, _, line = one.partition(":")
        if title not in pages:
            sys.exit(f"{title}: no page of that name; there are {' '.join(pages)}")
        try:
            found = list(marked.blocks(pages[title].read_text()))
        except marked.BadNote as exc:
            sys.exit(f"{title}: {exc}")
        if line:
            lines = {str(block.line): block for block in found}
            if line not in lines:
                sys.exit(f"{one}: no block with a command there; there are {' '.join(lines)}")
            found = [lines[line]]
        yield title, found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "what", nargs="*", metavar="PAGE[:LINE]", help="docs/race.md, docs/race.md:6"
    )
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, help="seconds a command has")
    parser.add_argument("--as-written", action="store_true", help="cut no duration short: hours")
    parser.add_argument("--list", action="store_true", help="show the commands, run none")
    options = parser.parse_args()
    pages = list(chosen(options.what))
    if options.list:
        for title, found in pages:
            for block in found:
                for command in block.commands:
                    why = command.not_here
                    print(Outcome(title, command, "not here" if why else "here", why))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    scratch = Path(tempfile.mkdtemp(prefix="pybench-docs-"))
    runner = Runner(scratch, options.timeout, options.as_written)
    runner.prepare()
    outcomes = []
    try:
        for title, found in pages:
            for outcome in runner.page(title, found):
                print(outcome, flush=True)
                outcomes.append(outcome)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return summary(outcomes)


def summary(outcomes: Sequence[Outcome]) -> int:
    """Counts, and what was not run, by its reason. Returns the exit status."""
    by = {
        verdict: [one for one in outcomes if one.verdict == verdict]
        for verdict in ("ok", "failed", "not here")
    }
    print("\n" + ", ".join(f"{len(found)} {verdict}" for verdict, found in by.items()))
    for why in dict.fromkeys(one.why for one in by["not here"]):
        where = [f"{one.page}:{one.command.line}" for one in by["not here"] if one.why == why]
        print(f"not here: {why}: {' '.join(where)}")
    for one in by["failed"]:
        print(one)
    return 1 if by["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
