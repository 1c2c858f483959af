"""A campaign: every cell, R rounds, in an order that lets slow drift of the machine hit all alike.

`run` is the way through: plan, then round after round, each result written when it is there.
Campaign files and resuming are read here; one round is `round.py`.
"""

import dataclasses
import random
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.resources import files
from pathlib import Path
from typing import Any

from pybench import backends
from pybench.analysis import stamps
from pybench.backends import interpreters
from pybench.driver import assemble, preflight
from pybench.driver.control import local_address_towards, unsupported
from pybench.driver.interrupts import InterruptError, Interrupts
from pybench.driver.loadserver import LoadServer, executable
from pybench.driver.progress import Reporter
from pybench.driver.round import RoundContext
from pybench.driver.round import run as run_round
from pybench.errors import PreflightError, ResultFormatError, UsageError
from pybench.machine import calibration, environment
from pybench.machine.placement import Placement, place
from pybench.result import Result
from pybench.result.file import ResultWriter, read_sections
from pybench.spec import OPTIONS, Campaign, Cell, HostPort, sweep

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Task:
    """One round of one cell, or of all steps of its sweep. number: of the round, from 1."""

    number: int
    cell: Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A campaign that can start: checked against this machine, nothing begun.

    done: results from before, when it is resumed.  tasks: what is left, in order.
    unavailable: cells that cannot run, with the reason; they are recorded as such.
    warnings: what the user should hear before it starts.
    """

    campaign: Campaign
    done: tuple[Result, ...]
    tasks: tuple[Task, ...]
    placement: Placement
    bind: str
    unavailable: Mapping[Cell, str]
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. interrupted: the signal that ended it early, or None."""

    results: tuple[Result, ...]
    interrupted: str | None


class Completed:
    """What is measured so far of a campaign, and so what a task still lacks."""

    def __init__(self, results: Iterable[Result] = ()) -> None:
        self._statuses: dict[tuple[str, int, int], dict[int, Result]] = {}
        for result in results:
            self.add(result)

    def add(self, result: Result) -> None:
        """A round has ended; one that failed counts as not measured."""
        if result.status in ("ok", "unavailable"):
            key = (result.func, result.conns, result.round)
            self._statuses.setdefault(key, {})[result.rate] = result

    def next_cell(self, task: Task) -> Cell | None:
        """The cell to measure next for the task: a step of its sweep, else its own; None: done.

        The first round of a sweep looks for the knee; later ones repeat its rates.
        """
        cell, found = task.cell, self._of(task.cell, task.number)
        if not cell.rate_auto:
            return None if cell.rate in found else cell
        if any(not result.ok for result in found.values()):
            return None
        if task.number == 1:
            rate = sweep.next_rate(_outcomes(found), cell.conns)
        else:
            rate = next((rate for rate in self._of(cell, 1) if rate not in found), None)
        return None if rate is None else dataclasses.replace(cell, rate=rate)

    def expected(self, tasks: Iterable[Task]) -> list[Cell]:
        """A cell for each round that the tasks will take, as far as that can be known."""
        cells: list[Cell] = []
        for task in tasks:
            if self.next_cell(task) is not None:
                cells += [task.cell] * self._rounds_left(task)
        return cells

    def _rounds_left(self, task: Task) -> int:
        found = self._of(task.cell, task.number)
        if not task.cell.rate_auto:
            return 1
        if task.number == 1:
            return max(1, sweep.steps_left(_outcomes(found)))
        first = self._of(task.cell, 1)
        return max(1, len(first) + sweep.steps_left(_outcomes(first)) - len(found))

    def _of(self, cell: Cell, number: int) -> Mapping[int, Result]:
        return self._statuses.get((cell.label, cell.conns, number), {})


def _outcomes(found: Mapping[int, Result]) -> dict[int, bool]:
    """rate -> whether it was too much."""
    return {rate: stamps.overloaded(result) is not None for rate, result in found.items()}


def plan(campaign: Campaign, cells: Sequence[Cell]) -> Iterator[Task]:
    """Rounds outermost; inside each the cells in an order drawn from the campaign's seed."""
    for number in range(1, campaign.rounds + 1):
        order = list(cells)
        random.Random(f"{campaign.seed}:{number}").shuffle(order)
        yield from (Task(number, cell) for cell in order)


def prepare(campaign: Campaign, done: Sequence[Result] = ()) -> Prepared:
    """Check everything that can be checked before anything starts.

    done: results of the same campaign from before; only what they lack is left to do.
    Raises UsageError, PreflightError among them with all obstacles, and ServerError when a
    server that should be running is not there.
    """
    placement = place(campaign)
    if campaign.server is None:
        executable()
        bind = campaign.bind or LOOPBACK
    else:
        bind = campaign.bind or local_address_towards(campaign.server)
    _check_server(campaign, bind)
    unavailable, skipped = _sort_out(campaign, bind)
    cells = [cell for cell in campaign.cells if cell not in skipped]
    known = Completed(done)
    tasks = tuple(task for task in plan(campaign, cells) if known.next_cell(task) is not None)
    return Prepared(
        campaign=campaign,
        done=tuple(done),
        tasks=tasks,
        placement=placement,
        bind=bind,
        unavailable=unavailable,
        warnings=(
            *(f"{cell} is left out: {reason}" for cell, reason in skipped.items()),
            *preflight.notes(campaign),
        ),
    )


def _check_server(campaign: Campaign, bind: str) -> None:
    """Raise PreflightError when the load server lacks the engine or the times asked for."""
    if campaign.engine is None and campaign.timestamps is None:
        return
    with ExitStack() as stack:
        address = campaign.server
        if address is None:
            address = stack.enter_context(LoadServer(listen=bind)).address
        reason = unsupported(address, bind, campaign.cells[0])
    if reason is not None:
        raise PreflightError(f"the load server cannot do this: {reason}")


def _sort_out(campaign: Campaign, bind: str) -> tuple[dict[Cell, str], dict[Cell, str]]:
    """Cells to record as unavailable, and cells to leave out, each with the reason.

    Of `--func all` a row that meets a limit of its kind (threads) is unavailable; everything else
    that cannot run is left out when skipping was asked for, and otherwise an error.
    """
    unavailable = _unavailable(campaign)
    in_the_way = [o for o in preflight.obstacles(campaign, bind) if o.cell not in unavailable]
    skipped: dict[Cell, str] = {}
    fatal: list[preflight.Obstacle] = []
    for obstacle in in_the_way:
        if campaign.all_rows and obstacle.of_row:
            unavailable[obstacle.cell] = obstacle.text
        elif campaign.skip_impossible:
            skipped[obstacle.cell] = obstacle.text
        else:
            fatal.append(obstacle)
    if fatal:
        raise PreflightError(_refusal(fatal))
    if len(skipped) == len(campaign.cells):
        raise PreflightError(f"no cell can run here: {next(iter(skipped.values()))}")
    return unavailable, skipped


def _unavailable(campaign: Campaign) -> dict[Cell, str]:
    """Cells whose row cannot run under their interpreter, each with the reason."""
    here = {func: backends.unavailable(backends.find(func)) for func in campaign.func}
    elsewhere = {one: interpreters.unavailable(one, campaign.func) for one in campaign.pythons}
    reasons = {
        cell: here[cell.func] if cell.python is None else elsewhere[cell.python].get(cell.func)
        for cell in campaign.cells
    }
    return {cell: reason for cell, reason in reasons.items() if reason is not None}


def _refusal(obstacles: Sequence[preflight.Obstacle]) -> str:
    """All obstacles in one line, cells with the same one together."""
    cells: dict[str, list[str]] = {}
    for obstacle in obstacles:
        cells.setdefault(obstacle.text, []).append(str(obstacle.cell))
    parts = [f"{', '.join(names)}: {text}" for text, names in cells.items()]
    return "this machine cannot run " + "; ".join(parts)


def run(prepared: Prepared, reporter: Reporter, writer: ResultWriter | None) -> Outcome:
    """Run what is left to do. Results come in the order in which they were measured.

    Raises ServerError when no load server can be started; a round that fails is a result.
    """
    results, known = list(prepared.done), Completed(prepared.done)
    with ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        stack.enter_context(reporter)
        server = stack.enter_context(ServerKeeper(prepared))
        env = environment.collect() | {"placement": prepared.placement.to_record()}
        if (calibrated := calibration.load()) is not None:
            env["calibration"] = calibrated.to_env()
        for place, task in enumerate(prepared.tasks):
            while (cell := known.next_cell(task)) is not None:
                try:
                    interrupts.check()
                    reporter.round_started(cell, task.number)
                    result = _run_cell(cell, task, prepared, server, interrupts, env, reporter)
                except InterruptError as exc:
                    return Outcome(tuple(results), exc.signal_name)
                if writer is not None:
                    writer.write(result)
                results.append(result)
                known.add(result)
                reporter.round_finished(result)
                if cell.rate_auto:
                    reporter.expect(known.expected(prepared.tasks[place:]))
                if not result.ok:
                    break
    return Outcome(tuple(results), None)


def _run_cell(
    cell: Cell,
    task: Task,
    prepared: Prepared,
    server: "ServerKeeper",
    interrupts: Interrupts,
    env: dict[str, Any],
    reporter: Reporter,
) -> Result:
    """One round, or the record that it cannot be. cell: the task's, or a step of its sweep."""
    env = env | {"load_average": environment.load_average()}
    reason = prepared.unavailable.get(task.cell)
    if reason is not None:
        now = datetime.now(timezone.utc).astimezone().isoformat(timespec="milliseconds")
        blank = assemble.empty_result(cell, task.number, now, env)
        return assemble.failed(blank, reason, status="unavailable")
    context = RoundContext(
        server=server.address(),
        bind=prepared.bind,
        placement=prepared.placement,
        interrupts=interrupts,
        env=env,
    )
    result = run_round(cell, task.number, context, reporter.live)
    return result if result.ok else server.explain(result)


class ServerKeeper:
    """The load server of a campaign: one that is given, or an embedded one that is kept alive.

    A context manager; leaving it stops the embedded server. It is started when first needed.
    """

    def __init__(self, prepared: Prepared) -> None:
        self._given = prepared.campaign.server
        self._bind = prepared.bind
        self._cpus = prepared.placement.server_cpus
        self._embedded: LoadServer | None = None

    def __enter__(self) -> "ServerKeeper":
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._embedded is not None:
            self._embedded.stop()

    def address(self) -> HostPort:
        """Where to connect to; starts the embedded server when there is none, or none any more."""
        if self._given is not None:
            return self._given
        if self._embedded is not None and self._embedded.exit_reason(0) is not None:
            self._embedded.stop()
            self._embedded = None
        if self._embedded is None:
            self._embedded = LoadServer(listen=self._bind, cpus=self._cpus)
        return self._embedded.address

    def explain(self, result: Result) -> Result:
        """A failed result; when the embedded server has died, with how."""
        died = None if self._embedded is None else self._embedded.exit_reason()
        return result if died is None else assemble.failed(result, died)


def load_file(name: str) -> dict[str, Any]:
    """The options in a campaign file: a path, or the bare name of one that comes with pybench.

    Raises UsageError when it cannot be read or has a key that is not an option.
    """
    path = Path(name)
    shipped = files("pybench") / "data" / "campaigns" / f"{name}.toml"
    try:
        if not path.exists() and "/" not in name and shipped.is_file():
            text = shipped.read_text(encoding="utf-8")
        else:
            text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except OSError as exc:
        raise UsageError(f"--campaign {name}: {exc.strerror}{_shipped_hint(exc)}") from exc
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise UsageError(f"--campaign {name}: not TOML: {' '.join(str(exc).split())}") from exc
    unknown = sorted(values.keys() - OPTIONS.keys())
    if unknown:
        known = " ".join(sorted(OPTIONS))
        raise UsageError(f"--campaign {name}: unknown key {unknown[0]!r}; known are {known}")
    return values


def _shipped_hint(exc: OSError) -> str:
    if not isinstance(exc, FileNotFoundError):
        return ""
    names = sorted(
        entry.name.removesuffix(".toml")
        for entry in (files("pybench") / "data" / "campaigns").iterdir()
        if entry.name.endswith(".toml")
    )
    return f"; campaigns that come with pybench: {' '.join(names)}"


def load_unfinished(path: Path) -> tuple[Campaign, list[Result]]:
    """The campaign that a results file began with, and what is done of it.

    A round counts as done when it is ok or unavailable; other rounds are run again.
    Raises UsageError when the file is not one that can be resumed.
    """
    try:
        sections = read_sections(path)
        if not sections or not sections[0].campaign:
            raise ResultFormatError("its first line does not record a campaign")
        campaign = Campaign.from_record(sections[0].campaign)
        for func in campaign.func:
            backends.find(func)
    except ResultFormatError as exc:
        raise UsageError(f"--resume {path}: {exc}") from exc
    mine = [s for s in sections if s.campaign.get("id") == campaign.id]
    done = [r for s in mine for r in s.results if r.status in ("ok", "unavailable")]
    return campaign, done


def header(campaign: Campaign, command: Sequence[str]) -> dict[str, Any]:
    """The header line's record: the campaign, the command that asked for it, and where it ran."""
    return campaign.to_record() | {
        "command": list(command),
        "started_at": datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds"),
        "env": environment.collect(),
    }
