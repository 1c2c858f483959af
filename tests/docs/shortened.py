"""`pybench` and `pytest` with durations cut short, as tests/docs/run_commands.py puts them before
the real ones in PATH: options that shorten are appended, since of an option that is given twice
the last one counts. What was appended is noted in the file $PYBENCH_DOCS_APPENDED.
"""

import itertools
import os
import shutil
import sys
from pathlib import Path
from typing import Final

from pybench.errors import UsageError
from pybench.units import parse_counts, parse_duration_ns

RUNTIME: Final = "200ms"
MANY: Final = 2000
RUNTIME_OF_MANY: Final = "2s"
"""With so many connections: every one of them is to be served within the window."""
WARMUP: Final = "50ms"
BUDGET: Final = "4s"
ROUNDS: Final = 3
DEMAND_BUDGET: Final = "3s"


def appended(program: str, words: list[str]) -> list[str]:
    """What is appended to a command. words: its arguments."""
    if program == "pytest":
        return ["--pybench-budget", DEMAND_BUDGET]
    if {"--help", "-h", "--list", "--version", "--resume"} & set(words):
        return []
    if words[:1] == ["race"]:
        return ["--budget", BUDGET]
    if words and not words[0].startswith("-") and words[0] != "run":
        return []
    found = []
    runtime = RUNTIME_OF_MANY if _most_conns(words) > MANY else RUNTIME
    for option, least in (("--runtime", runtime), ("--warmup", WARMUP)):
        if not _is_at_most(_value(words, option), least):
            found += [option, least]
    rounds = _value(words, "--rounds")
    if rounds.isdecimal() and int(rounds) > ROUNDS:
        found += ["--rounds", str(ROUNDS)]
    return found


def _value(words: list[str], option: str) -> str:
    """The option's last value; nothing where it has none."""
    given = [value for word, value in itertools.pairwise(words) if word == option]
    return given[-1] if given else ""


def _most_conns(words: list[str]) -> int:
    try:
        return max(parse_counts(_value(words, "--conns")))
    except UsageError:
        return 0


def _is_at_most(text: str, least: str) -> bool:
    try:
        return parse_duration_ns(text) <= parse_duration_ns(least)
    except UsageError:
        return False


def main() -> None:
    program, words = sys.argv[1], sys.argv[2:]
    log = os.environ.get("PYBENCH_DOCS_APPENDED")
    more = appended(program, words) if log else []
    if log and more:
        with Path(log).open("a") as file:
            print(*more, file=file)
    shims = os.environ["PYBENCH_DOCS_SHIMS"]
    rest = os.pathsep.join(one for one in os.environ["PATH"].split(os.pathsep) if one != shims)
    real = shutil.which(program, path=rest)
    if real is None:
        sys.exit(f"{program}: not in PATH")
    os.execv(real, [real, *words, *more])


if __name__ == "__main__":
    main()
