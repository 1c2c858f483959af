"""The gallery: races of today's rows under each CPython, and over each transport, kept as files.

    python tests/bench/gallery.py [--python NAME=PATH] [--transport NAME,...] [--total SECONDS]
                                  [--write] [--list]

Each cell is a race whose workers run in an environment of its own, build/gallery/NAME; it stays in
docs/gallery as a results file without its histograms. docs/gallery.md has the rankings, the README
a table; both are made of the files, and a test says so. Interpreters are those of pyenv and of the
PATH; the free-threaded one is $PYBENCH_FREETHREADED. What is not there is said and left out, and so
is its old file when all are measured.
All races together take eight minutes at most, and want a machine on which nothing else runs.

--write makes the texts anew from the files, and measures nothing.
"""

import argparse
import gzip
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Final

from docs_data import KEPT, small
from msgspec import structs

from pybench import backends
from pybench.analysis.load import load_files
from pybench.analysis.race import Contest, Standing, Standings, judge
from pybench.driver.raceplan import unavailable
from pybench.errors import PybenchError
from pybench.report.document import write_document
from pybench.report.ranking import ranking_document
from pybench.report.text import MISSING, letters
from pybench.result.campaign import CampaignRecord
from pybench.result.file import ResultWriter, read_sections
from pybench.spec.race import FACTORS, SHARED, Race

ROOT: Final = Path(__file__).parent.parent.parent
FILES: Final = ROOT / "docs" / "gallery"
PAGE: Final = ROOT / "docs" / "gallery.md"
README: Final = ROOT / "README.md"
PLACE: Final = ROOT / "build" / "gallery"

PYTHONS: Final = ("3.11", "3.12", "3.13", "3.13t")
TRANSPORTS: Final = ("tcp", "unix", "tls")
ROWS: Final = (
    *("c_epoll", "raw_selector", "selector", "uvloop_proto", "aiofastnet_proto", "asyncio_proto"),
    *("asyncio", "gevent", "trio", "thread"),
)
"""The first is what the others are set against."""
CONNS: Final = 100
TOTAL_S: Final = 480
LONGEST_S: Final = 80
OVER_ALL: Final = "3.13"
"""The CPython under which the transports other than TCP are raced, so that each race has time for
enough rounds. `--transport` has every one under every CPython."""

FREE_THREADED: Final = "PYBENCH_FREETHREADED"
_FREE_THREADED_KEPT: Final = "pybench/cpython-3.13t/bin/python3.13t"  # in the cache folder
_BLOCK: Final = re.compile(r"(<!-- gallery -->\n).*?(<!-- end -->)", re.DOTALL)

_HEAD: Final = """\
# Gallery

<!-- run page: not here: make gallery ran it, its file lies in docs/gallery -->

Races of today's rows under each CPython and over each transport, at {conns} connections: ratios
to `{base}`, with ties. Made by `make gallery`, which takes an environment of its own for each
interpreter; every table is what `pybench report` says of its file. How to read a race:
[race.md](race.md). Ratios of two files are of two hours: within a column they are sure, from one
column to the next they are a hint.

In the table letters are ties inside a column: who shares one is not surely different. `≤`: the load
server was the slower side of `{base}`'s figure (`generator_bound`), so that the true ratio may be
smaller; the rankings below have the intervals.
"""


@dataclass(frozen=True, slots=True)
class Cell:
    """One race. python: name of the interpreter, `3.13t`."""

    python: str
    transport: str

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.python}-{self.transport}"

    @property
    def title(self) -> str:
        """`CPython 3.13 without the GIL, tcp`."""
        free = self.python.endswith("t")
        version = self.python.removesuffix("t")
        return f"CPython {version}{' without the GIL' if free else ''}, {self.transport}"

    @property
    def label(self) -> str:
        """What sets its rows apart, as `--python` is told."""
        return f"py{self.python}"

    def command(self, rows: Sequence[str], budget: str, python: Path | str) -> list[str]:
        """The words of its race. python: path of the interpreter of the workers."""
        words = ["pybench", "race", *rows, "--python", f"{self.label}={python}"]
        words += ["--conns", str(CONNS)]
        words += [] if self.transport == TRANSPORTS[0] else ["--transport", self.transport]
        return [*words, "--budget", budget, "--output", f"{self.name}.jsonl"]


def main() -> int:
    """Measure, write; 1 when a race could not be held."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="only this interpreter, or environment that has pybench; may be repeated",
    )
    parser.add_argument("--transport", metavar="NAME,...", help="these under every CPython")
    parser.add_argument("--total", type=int, default=TOTAL_S, help="seconds of all races together")
    parser.add_argument("--write", action="store_true", help="texts from the files, no race")
    parser.add_argument("--list", action="store_true", help="show the cells and leave")
    options = parser.parse_args()
    if options.write:
        write_texts()
        return 0
    found = interpreters(options.python)
    cells = list(cells_of(found, options.transport))
    for python in PYTHONS:
        if python not in found and not options.python:
            say(f"CPython {python} is not here: left out ({how_to_give(python)})")
    seconds = min(LONGEST_S, options.total // max(1, len(cells)))
    if options.list:
        for cell in cells:
            print(f"{cell.name}  {seconds} s  {found[cell.python]}")
        return 0
    held = [cell for cell in cells if race(cell, found[cell.python], seconds)]
    if not (options.python or options.transport):
        remove_all_but(cells)
    write_texts()
    return int(len(held) < len(cells))


def remove_all_but(cells: Sequence[Cell]) -> None:
    """Files of what is not measured any more."""
    for path in FILES.glob("*.jsonl.gz"):
        if path.name.removesuffix(".jsonl.gz") not in {cell.name for cell in cells}:
            say(f"{path.name}: not measured this time, removed")
            path.unlink()


def say(text: str) -> None:
    """A line on standard error."""
    print(f"gallery: {text}", file=sys.stderr, flush=True)


# ---- what there is to race ----


def interpreters(given: Sequence[str]) -> dict[str, Path]:
    """Name -> path, in the order of PYTHONS, of those that are there; given ones come first."""
    asked = dict(text.split("=", 1) for text in given)
    found = {python: path for python in PYTHONS if (path := _find(python)) is not None}
    found |= {name: Path(path) for name, path in asked.items()}
    if asked:
        found = {name: found[name] for name in asked}
    return found


def _find(python: str) -> Path | None:
    if python.endswith("t"):
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        kept = Path(os.environ.get(FREE_THREADED) or Path(cache) / _FREE_THREADED_KEPT)
        return kept if kept.exists() else None
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    versions = [p for p in pyenv.glob(f"{python}.*/bin/python") if p.parent.parent.name[-1:] != "t"]
    if versions:
        return max(versions, key=lambda p: int(p.parent.parent.name.split(".")[2]))
    on_path = shutil.which(f"python{python}")
    return Path(on_path) if on_path else None


def how_to_give(python: str) -> str:
    """What makes a missing interpreter known."""
    if python.endswith("t"):
        return f"{FREE_THREADED}=PATH"
    return f"--python {python}=PATH"


def cells_of(found: Iterable[str], asked: str | None) -> Iterator[Cell]:
    """What is to be raced. found: interpreters.  asked: transports for all of them, a,b."""
    if asked:
        yield from (Cell(python, transport) for python in found for transport in asked.split(","))
        return
    others = TRANSPORTS[1:] if "transport" in (*SHARED, *FACTORS) else ()
    for python in found:
        yield Cell(python, TRANSPORTS[0])
        if python == OVER_ALL:
            yield from (Cell(python, transport) for transport in others)


# ---- racing ----


@cache
def environment(python: str, path: Path) -> Path | None:
    """The Python of an environment for workers: this tree, and what libraries of the rows go in.

    One that has pybench is taken as it is. Libraries without a wheel for it are left out. The
    driver's own are not wanted there: not every Python can have them.
    None where it cannot be made, which is said.
    """
    if _has_pybench(path):
        return path
    made = PLACE / python / "bin" / "python"
    pip = [made, "-m", "pip", "install", "--quiet"]
    say(f"CPython {python}: installing into {PLACE / python}")
    try:
        if not made.exists():
            subprocess.run([path, "-m", "venv", PLACE / python], check=True)
        subprocess.run([*pip, "--no-deps", str(ROOT)], check=True, capture_output=True)
        for library in sorted({lib for row in ROWS for lib in backends.ROWS[row].libraries}):
            # built from source here it would be another library than what users have, and slow
            subprocess.run(
                [*pip, "--only-binary", ":all:", library], check=False, capture_output=True
            )
    except (OSError, subprocess.CalledProcessError) as exc:
        say(f"CPython {python}: {exc}")
        return None
    return made


def _has_pybench(python: Path) -> bool:
    asked = [python, "-I", "-c", "import pybench.backends"]
    return subprocess.run(asked, check=False, stderr=subprocess.DEVNULL).returncode == 0


def rows_for(cell: Cell, python: Path) -> list[str]:
    """Those that can run under it and over the transport; why not, is said of the others."""
    given = {"python": [f"{cell.label}={python}"]}
    given |= {} if cell.transport == TRANSPORTS[0] else {"transport": cell.transport}
    contenders = Race.from_options(ROWS, given, lambda name: f"--{name}").contenders
    reasons = {row: unavailable(one) for row, one in zip(ROWS, contenders, strict=True)}
    for row, reason in reasons.items():
        if reason is not None:
            say(f"{cell.title}: without {row}: {reason}")
    return [row for row, reason in reasons.items() if reason is None]


def race(cell: Cell, interpreter: Path, seconds: int) -> bool:
    """Hold it, and keep its file when it was held."""
    python = environment(cell.python, interpreter)
    if python is None:
        return False
    try:
        rows = rows_for(cell, python)
    except PybenchError as exc:
        say(f"{cell.title}: {exc}")
        return False
    PLACE.mkdir(parents=True, exist_ok=True)
    raw = PLACE / f"{cell.name}.jsonl"
    raw.unlink(missing_ok=True)
    say(f"{cell.title}: {len(rows)} rows, {seconds} s")
    words = cell.command(rows, f"{seconds}s", python)
    run = [sys.executable, "-m", *words]
    status = subprocess.run(run, check=False, cwd=PLACE, stdout=subprocess.DEVNULL).returncode
    if status not in (0, 1):  # 1: some pair was undecided at the end
        say(f"{cell.title}: the race ended with status {status}")
        return False
    keep(raw, FILES / f"{cell.name}.jsonl.gz")
    return True


def keep(raw: Path, kept: Path) -> None:
    """The file without what a ranking does not need, packed."""
    kept.parent.mkdir(exist_ok=True)
    slim = raw.with_suffix(".slim")
    slim.unlink(missing_ok=True)
    for section in read_sections(raw):
        if section.campaign is None:
            continue
        writer = ResultWriter(slim, _public(section.campaign))
        for result in section.results:
            python = {k: v for k, v in result.python.items() if k != "executable"}
            writer.write(structs.replace(small(result), python=python))
        writer.close()
    kept.write_bytes(gzip.compress(slim.read_bytes(), mtime=0))
    slim.unlink()


def _public(campaign: CampaignRecord) -> CampaignRecord:
    """A header without what is true of one machine's folders only."""
    return structs.replace(
        campaign,
        env={key: value for key, value in campaign.env.items() if key in KEPT},
        command=tuple(re.sub(r"(^|=)/.*/", r"\1", word) for word in campaign.command),
        pythons=tuple(structs.replace(p, path=Path(p.path).name) for p in campaign.pythons),
    )


# ---- the texts ----


def write_texts() -> None:
    """The page and the README's table, from the files that there are."""
    races = kept_races()
    PAGE.write_text(page(races), encoding="utf-8")
    README.write_text(with_table(README.read_text(encoding="utf-8"), races), encoding="utf-8")


def kept_races(folder: Path = FILES) -> dict[Cell, Contest]:
    """The races of the files, in the order of PYTHONS and TRANSPORTS; others come last."""
    found = {}
    for path in folder.glob("*.jsonl.gz"):
        python, _, transport = path.name.removesuffix(".jsonl.gz").rpartition("-")
        (found[Cell(python, transport)],) = load_files([path]).contests
    return dict(sorted(found.items(), key=lambda item: _place(item[0])))


def _place(cell: Cell) -> tuple[int, int, str]:
    python = PYTHONS.index(cell.python) if cell.python in PYTHONS else len(PYTHONS)
    transport = TRANSPORTS.index(cell.transport) if cell.transport in TRANSPORTS else 9
    return transport, python, cell.name


def page(races: Mapping[Cell, Contest]) -> str:
    """docs/gallery.md."""
    parts = [_HEAD.format(conns=CONNS, base=ROWS[0]), *table(races), ""]
    for cell, contest in races.items():
        parts += ["", f"## {cell.title}", "", *_about(cell, contest)]
    return "\n".join(parts).rstrip() + "\n"


def _about(cell: Cell, contest: Contest) -> Iterator[str]:
    """The command, what it ran on, the ranking as `report` prints it."""
    first = contest.results[0]
    env = first.env
    link = f"gallery/{cell.name}.jsonl.gz"
    names = row_names(contest)
    rows = [names.get(label, label) for label in contest.asked.contenders]
    words = cell.command(rows, f"{contest.asked.budget_s:g}s", f"python{cell.python}")
    yield from ("```", shlex.join(words), "```", "")
    version = first.python.get("version", cell.python)
    yield (
        f"[{cell.name}.jsonl.gz]({link}): CPython {version}, {first.started_at[:10]},"
        f" {env.get('cpu_model', 'CPU not known')}, {env.get('cpus', '?')} CPUs,"
        f" Linux {env.get('kernel', '?')}."
    )
    yield ""
    text = StringIO()
    write_document(ranking_document([contest]), "markdown", text)
    yield re.sub(r"^## ", "### ", text.getvalue().strip(), flags=re.MULTILINE)


def row_names(contest: Contest) -> dict[str, str]:
    """Label of a contender -> its row, without the interpreter."""
    return {r.func: r.row or r.func for r in contest.results}


def with_table(text: str, races: Mapping[Cell, Contest]) -> str:
    """The README with its table made anew."""
    block = "\n".join(table(races))
    return _BLOCK.sub(lambda found: f"{found[1]}{block}\n{found[2]}", text)


def table(races: Mapping[Cell, Contest]) -> list[str]:
    """Rows by cells: the ratio to the base, and the letters of ties inside its column."""
    columns = {cell: _standings(contest) for cell, contest in races.items()}
    names = {cell: row_names(contest) for cell, contest in races.items()}
    heads = ["", *(f"{cell.python} {cell.transport}" for cell in columns)]
    lines = [_line(heads), "|---" * len(heads) + "|"]
    for row in _order(columns, names):
        cells = [_entry(one, row, names[cell]) for cell, one in columns.items()]
        lines.append(_line([f"`{row}`", *cells]))
    return lines


def _standings(contest: Contest) -> Standings:
    (found,) = judge(contest.asked, contest.results)
    return found


def _order(columns: Mapping[Cell, Standings], names: Mapping[Cell, Mapping[str, str]]) -> list[str]:
    """By the first column, then what only others have."""
    rows = [names[cell][s.runner.label] for cell, one in columns.items() for s in one.each]
    return list(dict.fromkeys(rows))


def _entry(standings: Standings, row: str, names: Mapping[str, str]) -> str:
    """`0.86 b`; `≤` where a bound opens the lower end, as of a base that the load server held."""
    found = [s for s in standings.each if names[s.runner.label] == row]
    if not found or not found[0].runner.good:
        return MISSING
    ties = "".join(letters(group) for group in found[0].groups)
    if found[0].runner.label == standings.base:
        return f"1 {ties}"
    return f"{_bound(found[0])} {ties}"


def _bound(one: Standing) -> str:
    if one.estimate is None or one.verdict is None:
        return MISSING
    judged = one.verdict.estimate
    sign = "≤ " if judged.low <= 0 else "≥ " if judged.high == float("inf") else ""
    return f"{sign}{one.estimate.value:.2f}"


def _line(words: Sequence[str]) -> str:
    return f"| {' | '.join(words)} |"


if __name__ == "__main__":
    sys.exit(main())
