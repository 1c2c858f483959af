"""The figures of docs/findings.md: measured anew, kept as small files, written into the page.

    python tests/bench/docs_data.py [--only NAME,...] [--write] [--list]

Each experiment below is one campaign or two, kept as docs/data/NAME.jsonl: the lines of a results
file without their histograms, for `pybench report` and anyone else to read. Its table stands in the
page between `<!-- data NAME -->` and `<!-- end -->`, under the command that makes it. All of them
take less than four minutes (`make docs-data`), so rounds are short: who wants better figures runs
the command with a longer --runtime.

--write makes the tables anew from the files, and measures nothing.
"""

import argparse
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from msgspec import structs

from pybench.analysis.load import load_files
from pybench.analysis.model import CellRounds, Group
from pybench.driver import campaign
from pybench.driver.plan import make_plan
from pybench.driver.progress import make_reporter
from pybench.errors import PybenchError
from pybench.report.tables import modes_text
from pybench.report.text import MISSING, duration_text, rate_text, share_text
from pybench.result import Result
from pybench.result.file import ResultWriter
from pybench.spec import Campaign
from pybench.units import count_label, format_duration

ROOT: Final = Path(__file__).parent.parent.parent
DATA: Final = ROOT / "docs" / "data"
PAGE: Final = ROOT / "docs" / "findings.md"
KEPT: Final = ("pybench", "python", "libc", "kernel", "cpu_model", "cpus", "libraries", "placement")
"""Of the environment, in every line."""

Options = Mapping[str, str | list[str]]
Column = tuple[str, Callable[[CellRounds], str]]


def _span(quantity: str, write: Callable[[float], str]) -> Callable[[CellRounds], str]:
    """The rounds as least to most, one figure where they are written alike."""

    def text(cell: CellRounds) -> str:
        values = cell.values(quantity)
        if not values:
            return MISSING
        low, high = write(min(values)), write(max(values))
        return low if low == high else f"{low} to {high}"

    return text


def _speeds(cell: CellRounds) -> str:
    """Every round, rising, or its two groups."""
    speeds = ", ".join(map(rate_text, sorted(cell.values("mps"))))
    return f"{speeds} ({modes_text(cell.modes)})" if cell.modes else speeds


def _fairness(cell: CellRounds) -> str:
    starved = max(cell.values("starved"), default=0)
    jain = _span("jain", lambda index: f"{index:.3f}")(cell)
    return f"{jain}, {starved:.0f} starved" if starved else jain


def _us(value: float) -> str:
    return f"{value:.1f} us"


SPEED: Final[Column] = ("messages/s", _span("mps", rate_text))
SPEEDS: Final[Column] = ("messages/s of each round", _speeds)
CPU: Final[Column] = ("CPU per message", _span("cpu_us_per_msg", _us))
FAULTS: Final[Column] = ("page faults per message", _span("faults_per_msg", lambda n: f"{n:.2g}"))
FAIRNESS: Final[Column] = ("fairness (Jain)", _fairness)
MEDIAN: Final[Column] = ("p50", _span("lat50_ns", duration_text))
P95: Final[Column] = ("p95", _span("lat95_ns", duration_text))
LONGEST: Final[Column] = ("longest", _span("latmax_ns", duration_text))
MEAN: Final[Column] = ("mean latency", _span("latmean_ns", duration_text))
QUEUE: Final[Column] = (
    "of the latency in the load server's queue",
    _span("server_queue_pct", lambda share: f"{share_text(share)}%"),
)
STAMPS: Final[Column] = ("stamped", lambda cell: ", ".join(f"`{code}`" for code in cell.codes))


@dataclass(frozen=True, slots=True)
class Experiment:
    """name: of its file and its table.  campaigns: options as on the command line."""

    name: str
    columns: Sequence[Column]
    campaigns: Sequence[Options]

    @property
    def file(self) -> Path:
        """What it measured."""
        return DATA / f"{self.name}.jsonl"

    def commands(self) -> list[str]:
        """What anybody would type for it."""
        return [shlex.join(["pybench", *_words(options)]) for options in self.campaigns]


def _words(options: Options) -> list[str]:
    return [
        word
        for name, value in options.items()
        for one in ([value] if isinstance(value, str) else value)
        for word in (f"--{name.replace('_', '-')}", one)
    ]


MMAP: Final = "GLIBC_TUNABLES=glibc.malloc.mmap_threshold"
QUICK: Final = {"warmup": "200ms", "runtime": "500ms"}
BUSY: Final = {
    "func": "asyncio_proto,asyncio,tornado,gevent,selector,c_epoll", "conns": "100", "rounds": "2",
} | QUICK  # fmt: skip
PACED: Final = {
    "func": "asyncio_proto,selector", "conns": "100", "rate": "4k", "timestamps": "kernel",
} | QUICK  # fmt: skip

EXPERIMENTS: Final = (
    Experiment("mmap", (SPEED, CPU, FAULTS), [
        {"func": "asyncio_proto,asyncio", "conns": "100", "rounds": "3", **QUICK, "env": [
            f"{MMAP}=1048576", f"{MMAP}=1048576:glibc.malloc.trim_threshold=4194304",
        ]},
    ]),
    Experiment("tls", (SPEED, CPU, FAULTS), [
        {"func": "uvloop_proto,asyncio_proto,c_epoll", "transport": "tls", "conns": "100",
         "rounds": "3", **QUICK,
         "env": [f"{MMAP}=131072", f"{MMAP}=1048576:glibc.malloc.trim_threshold=4194304"]},
    ]),
    Experiment("sock", (SPEED, FAIRNESS, MEDIAN, P95, LONGEST), [
        {"func": "asyncio_sock", "conns": "10,100,1k", "warmup": "200ms", "runtime": "2s",
         "env": ["PYTHONASYNCIODEBUG=1"]},
    ]),
    Experiment("tornado", (SPEED, FAIRNESS, MEDIAN, LONGEST, STAMPS), [
        {"func": "tornado,asyncio,trio", "conns": "10,100,1k", "warmup": "200ms", "runtime": "1s"},
    ]),
    Experiment("rise", (SPEEDS, CPU, FAULTS), [
        {"func": "asyncio_proto", "conns": "1k,6k,10k,15k", "rounds": "5", "warmup": "200ms",
         "runtime": "300ms", "env": [f"{MMAP}=131072"]},
    ]),
    Experiment("counts", (SPEED, CPU), [
        {"func": "c_epoll,selector,uvloop_proto", "conns": "1k,5k,10k,15k", "rounds": "2",
         "warmup": "200ms", "runtime": "300ms"},
    ]),
    Experiment("sleep", (SPEED, CPU), [BUSY, BUSY | {"busy_poll": "0"}]),
    Experiment("paced", (MEAN, QUEUE, CPU), [PACED, PACED | {"busy_poll": "0"}]),
    Experiment("flips", (SPEED, QUEUE, CPU), [
        {"func": "c_epoll,selector,asyncio_proto", "conns": "100", "rounds": "6",
         "timestamps": "kernel", "warmup": "200ms", "runtime": "300ms"},
    ]),
    Experiment("window", (CPU, SPEED), [
        {"func": "c_epoll", "conns": "8k", "warmup": "500ms", "runtime": runtime}
        for runtime in ("200ms", "1s", "4s")
    ]),
)  # fmt: skip


def main() -> int:
    """Measure, keep, write; 1 when an experiment could not be made."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", help="names, separated by commas", metavar="NAME,...")
    parser.add_argument("--write", action="store_true", help="measure nothing")
    parser.add_argument("--list", action="store_true", help="names and commands")
    args = parser.parse_args()
    known = {one.name: one for one in EXPERIMENTS}
    names = args.only.split(",") if args.only else list(known)
    if unknown := [name for name in names if name not in known]:
        parser.error(f"--only {unknown[0]}: there are {', '.join(known)}")
    if args.list:
        for name in names:
            print(name, *known[name].commands(), sep="\n    ")
        return 0
    failed = [name for name in names if not args.write and not _measure(known[name])]
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 1 if failed else 0


def _measure(experiment: Experiment) -> bool:
    """Whether all could be measured; what was, is kept, and the file of before otherwise."""
    found: list[tuple[Campaign, Sequence[Result]]] = []
    try:
        for options in experiment.campaigns:
            asked = {**options, "seed": "1", "skip_impossible": "true"}
            plan = make_plan(Campaign.from_options(asked, lambda key: f"--{key}"))
            cells = [task.cell for task in plan.tasks]
            reporter = make_reporter(cells, plan.campaign.rounds, sys.stderr)
            outcome = campaign.run(plan, reporter, None)
            if outcome.interrupted:
                raise KeyboardInterrupt
            found.append((plan.campaign, outcome.results))
    except PybenchError as exc:
        print(f"docs_data: {experiment.name}: {exc}", file=sys.stderr)
        return False
    DATA.mkdir(exist_ok=True)
    experiment.file.unlink(missing_ok=True)
    for (made, results), command in zip(found, experiment.commands(), strict=True):
        header = campaign.header(made, shlex.split(command))
        writer = ResultWriter(experiment.file, structs.replace(header, env=_short(header.env)))
        for result in results:
            writer.write(small(result))
        writer.close()
    return True


def _short(env: Mapping[str, object]) -> dict[str, object]:
    return {key: env[key] for key in KEPT if key in env}


def small(result: Result) -> Result:
    """A result without what the tables do not need."""
    per_conn = result.per_conn and structs.replace(result.per_conn, percentiles=[])
    nothing: dict[int, int] = {}
    return structs.replace(
        result, histogram=nothing, corrected_histogram=nothing, series=None, per_conn=per_conn,
        env=_short(result.env),
    )  # fmt: skip


def with_tables(page: str) -> str:
    """The page with the table of each experiment that has a file."""
    for experiment in EXPERIMENTS:
        if not experiment.file.exists():
            continue
        groups = load_files([experiment.file]).groups()
        block = re.compile(rf"(<!-- data {experiment.name} -->\n).*?(<!-- end -->)", re.DOTALL)
        text = "\n".join(table(experiment, groups))
        page = block.sub(lambda m, text=text: f"{m[1]}{text}\n{m[2]}", page)  # type: ignore[misc]
    return page


def table(experiment: Experiment, groups: Sequence[Group]) -> list[str]:
    """Command and file, then a line a cell; what sets the campaigns apart stands in the first
    column."""
    made = "`, `".join(experiment.commands())
    where = experiment.file.relative_to(PAGE.parent)
    heads = ["", "connections", *(head for head, _ in experiment.columns)]
    lines = [f"`{made}`", f"([{where}]({where})):", "", _line(heads), "|---" * len(heads) + "|"]
    for group in groups:
        for cell in sorted(
            group.cells.values(), key=lambda c: (group.rows.index(c.func), c.column)
        ):
            if not cell.good:
                continue
            name = f"{cell.func}{_apart(group, groups)}"
            figures = [write(cell) for _, write in experiment.columns]
            lines.append(_line([name, count_label(cell.rounds[0].conns), *figures]))
    return lines


def _apart(group: Group, groups: Sequence[Group]) -> str:
    """`, 4s rounds` and `, no busy poll`, where the groups differ in that."""
    settings = [one.setting for one in groups]
    parts = []
    if len({one.runtime_s for one in settings}) > 1:
        parts.append(f", {format_duration(round(1e9 * group.setting.runtime_s))} rounds")
    if len({one.busy_poll_us for one in settings}) > 1 and not group.setting.busy_poll_us:
        parts.append(", `--busy-poll 0`")
    return "".join(parts)


def _line(words: Sequence[str]) -> str:
    return f"| {' | '.join(words)} |"


if __name__ == "__main__":
    sys.exit(main())
