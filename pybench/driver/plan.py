"""What is to be done: a campaign, what its file already holds and what this machine allows, made
into tasks. Read `make_plan`.

Everything that can be known before anything starts is found out here, once: the command line says
it, the campaign runs it.
"""

import dataclasses
import random
import socket
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from pybench import backends
from pybench.analysis import stamps
from pybench.backends import interpreters
from pybench.driver import certificate, preflight
from pybench.driver.control import (
    ControlConnection,
    local_address_towards,
    tokens,
    unsupported,
)
from pybench.driver.loadserver import LoadServer, executable
from pybench.errors import PreflightError, UsageError
from pybench.machine.placement import Placement, place
from pybench.result import Result
from pybench.spec import Campaign, Cell, HostPort, axes, sweep
from pybench.units import NS_PER_S

LOOPBACK = "127.0.0.1"
NOWHERE = Placement(worker_cpu=None, server_cpus=None, server_threads=None, shared_cpus=())
GUESSED_OVERHEAD_S = 0.5  # start, connect and end of a round, until some have been seen


@dataclass(frozen=True, slots=True)
class Task:
    """One round of one cell, or of all steps of its sweep. number: of the round, from 1."""

    number: int
    cell: Cell


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A campaign that can start: checked against this machine, nothing begun.

    done: results from before, when it is resumed.  tasks: what is left, in order.
    unavailable: cells that cannot run, with the reason; they are recorded as such.
    left_out: cells that are not even recorded, with the reason.
    expected: a cell for each round that the tasks will take, as far as that can be known.
    expected_s: how long these will take, about.
    warnings: what the user should hear before it starts.
    """

    campaign: Campaign
    done: tuple[Result, ...]
    tasks: tuple[Task, ...]
    placement: Placement
    bind: str
    unavailable: Mapping[Cell, str]
    left_out: Mapping[Cell, str]
    expected: tuple[Cell, ...]
    expected_s: float
    warnings: tuple[str, ...]

    @property
    def cells(self) -> list[Cell]:
        """Each cell that can run, once, in the order asked for; tasks repeat it, shuffled."""
        wanted = {task.cell for task in self.tasks if task.cell not in self.unavailable}
        return [cell for cell in self.campaign.cells if cell in wanted]


def make_plan(campaign: Campaign, done: Sequence[Result] = ()) -> Plan:
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
        _check_apart(campaign.servers)
        bind = campaign.bind or _address_towards(campaign.servers)
    check_transports(campaign)
    _check_server(campaign, bind)
    unavailable, left_out = _sort_out(campaign, bind)
    done = _still_done(done, unavailable)
    cells = [cell for cell in campaign.cells if cell not in left_out]
    completed = Completed(done)
    tasks = tuple(t for t in tasks_in_order(campaign, cells) if completed.next_cell(t) is not None)
    expected = tuple(completed.expected(tasks))
    return Plan(
        campaign=campaign,
        done=tuple(done),
        tasks=tasks,
        placement=placement,
        bind=bind,
        unavailable=unavailable,
        left_out=left_out,
        expected=expected,
        expected_s=sum(
            asked_s(cell) + GUESSED_OVERHEAD_S for cell in expected if cell not in unavailable
        ),
        warnings=(
            *(f"{cell} is left out: {reason}" for cell, reason in left_out.items()),
            *preflight.notes(campaign, placement),
        ),
    )


def plan_elsewhere(campaign: Campaign, done: Sequence[Result] = ()) -> Plan:
    """What is left to do where other machines do it; each of them checks by itself.

    done: as of `make_plan`. What one machine could not measure another may.
    """
    kept = [result for result in done if result.ok]
    completed = Completed(kept)
    order = tasks_in_order(campaign, campaign.cells)
    tasks = tuple(task for task in order if completed.next_cell(task) is not None)
    return Plan(
        campaign=campaign,
        done=tuple(kept),
        tasks=tasks,
        placement=NOWHERE,
        bind=LOOPBACK,
        unavailable={},
        left_out={},
        expected=tuple(task.cell for task in tasks),
        expected_s=sum(asked_s(task.cell) + GUESSED_OVERHEAD_S for task in tasks),
        warnings=(),
    )


def _still_done(done: Sequence[Result], unavailable: Iterable[Cell]) -> list[Result]:
    """What need not be measured: a row that was unavailable may have been installed since."""
    still = {_key(cell.label, cell) for cell in unavailable}
    return [r for r in done if r.status != "unavailable" or _key(r.func, r) in still]


_Key = tuple[object, ...]


def _key(label: str, of: Cell | Result) -> _Key:
    """What a cell is known by, however often and at whatever rate it is measured."""
    return label, of.conns, of.msize, *axes.key(of)


def asked_s(cell: Cell) -> float:
    """How long the pings of a round go on."""
    return (cell.runtime_ns + cell.warmup_ns) / NS_PER_S


def tasks_in_order(campaign: Campaign, cells: Sequence[Cell]) -> Iterator[Task]:
    """Rounds outermost; inside each the cells in an order drawn from the campaign's seed."""
    for number in range(1, campaign.rounds + 1):
        order = list(cells)
        random.Random(f"{campaign.seed}:{number}").shuffle(order)
        yield from (Task(number, cell) for cell in order)


def check_transports(campaign: Campaign) -> None:
    """Raise PreflightError when this machine cannot serve what connections are to be made of, and
    ServerError when the load server is not there."""
    if "tls" in campaign.transport and (reason := certificate.missing()) is not None:
        raise PreflightError(reason)
    if "unix" not in campaign.transport:
        return
    for server, secret in zip(campaign.servers, tokens(len(campaign.servers)), strict=True):
        with ControlConnection(server, secret) as control:
            if not control.local:
                raise PreflightError(
                    f"a Unix socket is of one machine, and the load server at {server} is"
                    " on another: leave out the transport unix, or --server"
                )


def _check_server(campaign: Campaign, bind: str) -> None:
    """Raise PreflightError when the load server lacks the engine, the times or TLS asked for."""
    over_tls = "tls" in campaign.transport
    if campaign.engine is None and campaign.timestamps is None and not over_tls:
        return
    with ExitStack() as stack:
        servers = campaign.servers or (stack.enter_context(LoadServer(listen=bind)).address,)
        trial = dataclasses.replace(
            campaign.cells[0], transport="tls" if over_tls else axes.AXES["transport"].usual
        )
        for address, secret in zip(servers, tokens(len(servers)), strict=True):
            reason = unsupported(address, bind, trial, secret)
            if reason is not None:
                named = f" {address}" if len(servers) > 1 else ""
                raise PreflightError(f"the load server{named} cannot do this: {reason}")


def _check_apart(servers: Sequence[HostPort]) -> None:
    """Raise UsageError when two names are of one load server, which does one test at a time."""
    found: dict[object, HostPort] = {}
    ports = [server.port for server in servers]
    for server in servers:
        if ports.count(server.port) == 1:
            continue
        with suppress(OSError, UnicodeError):  # who cannot be found is told by who connects
            for info in socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM):
                other = found.setdefault(info[4][:2], server)
                if other is not server:
                    raise UsageError(f"--server: {other} and {server} are the same load server")


def _address_towards(servers: Sequence[HostPort]) -> str:
    """The address of this machine that all load servers see; one worker listens at one."""
    seen = {local_address_towards(server): server for server in servers}
    if len(seen) > 1:
        which = ", ".join(f"{address} by {server}" for address, server in seen.items())
        raise PreflightError(
            f"the load servers see different addresses of this machine ({which}): --bind one that"
            " all can reach, and have it allowed where it is not the one seen (--allow)"
        )
    return next(iter(seen))


def _sort_out(campaign: Campaign, bind: str) -> tuple[dict[Cell, str], dict[Cell, str]]:
    """Cells to record as unavailable, and cells to leave out, each with the reason.

    Of `--func all` a row that meets a limit of its kind (threads) is unavailable, and so is one
    that cannot on any machine, where others can; everything else that cannot run is left out when
    skipping was asked for, and otherwise an error.
    """
    unavailable = _unavailable(campaign)
    in_the_way = [o for o in preflight.obstacles(campaign, bind) if o.cell not in unavailable]
    skipped: dict[Cell, str] = {}
    fatal: list[preflight.Obstacle] = []
    for obstacle in in_the_way:
        if obstacle.everywhere or (campaign.all_rows and obstacle.of_row):
            unavailable[obstacle.cell] = obstacle.text
        elif campaign.skip_impossible:
            skipped[obstacle.cell] = obstacle.text
        else:
            fatal.append(obstacle)
    hopeless = [obstacle for obstacle in in_the_way if obstacle.everywhere]
    if len(hopeless) == len(campaign.cells):  # nothing is left
        fatal = hopeless
    if fatal:
        raise PreflightError(_refusal(fatal))
    if unavailable and all(c.row.cannot(c.transport) for c in campaign.cells):
        raise PreflightError("; ".join(dict.fromkeys(map(_cannot, unavailable))))
    if len(skipped) == len(campaign.cells):
        raise PreflightError(f"no cell can run here: {next(iter(skipped.values()))}")
    return unavailable, skipped


def _unavailable(campaign: Campaign) -> dict[Cell, str]:
    """Cells whose row cannot run under their interpreter, each with the reason."""
    here = {
        (row, transport): backends.unavailable(row, transport)
        for row in campaign.rows
        for transport in campaign.transport
    }
    elsewhere = {one: interpreters.unavailable(one, campaign.func) for one in campaign.pythons}
    reasons = {
        cell: here[cell.row, cell.transport]
        if cell.python is None
        else cell.row.cannot(cell.transport) or elsewhere[cell.python].get(cell.func)
        for cell in campaign.cells
    }
    return {cell: reason for cell, reason in reasons.items() if reason is not None}


def _cannot(cell: Cell) -> str:
    return f"{cell.label} cannot serve {cell.transport}: {cell.row.cannot(cell.transport)}"


def _refusal(obstacles: Sequence[preflight.Obstacle]) -> str:
    """All obstacles in one line, cells with the same one together."""
    cells: dict[str, list[str]] = {}
    for obstacle in obstacles:
        cells.setdefault(obstacle.text, []).append(str(obstacle.cell))
    parts = [f"{', '.join(names)}: {text}" for text, names in cells.items()]
    return "this machine cannot run " + "; ".join(parts)


class Completed:
    """What is measured so far of a campaign, and so what a task still lacks."""

    def __init__(self, results: Iterable[Result] = ()) -> None:
        self._statuses: dict[tuple[int, _Key], dict[int, Result]] = {}
        for result in results:
            self.add(result)

    def add(self, result: Result) -> None:
        """A round has ended; one that failed counts as not measured."""
        if result.status in ("ok", "unavailable"):
            key = (result.round, _key(result.func, result))
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
        return self._statuses.get((number, _key(cell.label, cell)), {})


def _outcomes(found: Mapping[int, Result]) -> dict[int, bool]:
    """rate -> whether it was too much."""
    return {rate: stamps.overloaded(result) is not None for rate, result in found.items()}
