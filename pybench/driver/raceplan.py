"""What a race will do: contenders, what this machine allows, and so the heats. Read `make_plan`.

Those of one heat are alive together, which takes threads, memory and tracked connections for all. A
race that is too large for that runs in several heats, of which each has the first contender: by way
of it all ratios connect.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Final

from pybench import backends
from pybench.backends import interpreters
from pybench.driver import preflight
from pybench.driver.control import local_address_towards, unsupported
from pybench.driver.heat import Entrant
from pybench.driver.loadserver import LoadServer, executable
from pybench.driver.plan import LOOPBACK, NOWHERE, check_transports
from pybench.errors import PreflightError
from pybench.machine import limits
from pybench.machine.limits import Limit
from pybench.machine.placement import Placement, place
from pybench.spec.cell import USUAL_MSIZE
from pybench.spec.race import Contender, Field, Race

WORKER_KIB: Final = 40 * 1024  # an interpreter with a library
CONNECTION_KIB: Final = 32  # of both sides, the kernel's share and a thread's stack included

Heats = tuple[tuple[Entrant, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RacePlan:
    """A race that can start: checked against this machine, nothing begun.

    heats: number of connections and size of a message -> the heats of each round.
    """

    race: Race
    placement: Placement
    bind: str
    heats: Mapping[Field, Heats]
    warnings: tuple[str, ...]


def make_plan(race: Race) -> RacePlan:
    """Check everything that can be checked before anything starts.

    Raises UsageError, PreflightError among them, and ServerError when a server that should be
    running is not there.
    """
    campaign = race.campaign
    placement = place(campaign)
    if campaign.server is None:
        executable()
        bind = campaign.bind or LOOPBACK
    else:
        bind = campaign.bind or local_address_towards(campaign.server)
    check_transports(campaign)
    _check_rows(race)
    _check_server(race, bind)
    if obstacles := preflight.obstacles(campaign, bind):
        raise PreflightError(f"this machine cannot run {'; '.join(map(str, obstacles))}")
    heats = {field: _heats(race, *field) for field in race.fields}
    return RacePlan(
        race=race,
        placement=placement,
        bind=bind,
        heats=heats,
        warnings=(*_split_notes(heats), *preflight.notes(campaign, placement)),
    )


def plan_elsewhere(race: Race) -> RacePlan:
    """A race that other machines run; each of them checks by itself, and makes its own heats."""
    return RacePlan(
        race=race,
        placement=NOWHERE,
        bind=LOOPBACK,
        heats={
            field: (
                tuple(
                    Entrant(label=one.label, cell=race.cell(one, *field), placement=NOWHERE)
                    for one in race.contenders
                ),
            )
            for field in race.fields
        },
        warnings=(),
    )


def _check_rows(race: Race) -> None:
    """Raise PreflightError when a row cannot run under its interpreter: no race without it."""
    reasons = [
        f"{one.label}: {reason}"
        for one in race.contenders
        if (reason := unavailable(one)) is not None
    ]
    if reasons:
        raise PreflightError("; ".join(dict.fromkeys(reasons)))


def unavailable(contender: Contender) -> str | None:
    """Why its row cannot run under its interpreter, or None when it can."""
    if contender.python is None:
        return backends.unavailable(contender.row, contender.transport)
    if reason := contender.row.cannot(contender.transport):
        return reason
    func = contender.row.asked_for_as
    return interpreters.unavailable(contender.python, [func]).get(func)


def _check_server(race: Race, bind: str) -> None:
    """Raise PreflightError when the load server lacks an engine that was asked for, or TLS."""
    asked = {
        (c.engine, c.transport == "tls"): c
        for c in race.contenders
        if c.engine is not None or c.transport == "tls"
    }
    if not asked:
        return
    with ExitStack() as stack:
        address = race.campaign.server
        if address is None:
            address = stack.enter_context(LoadServer(listen=bind)).address
        for contender in asked.values():
            reason = unsupported(address, bind, race.cell(contender, 1, USUAL_MSIZE))
            if reason is not None:
                raise PreflightError(f"the load server cannot do this: {reason}")


def _heats(race: Race, conns: int, msize: int) -> Heats:
    """All contenders in as few heats as the machine allows, the first one in each.

    Raises PreflightError when it does not allow two at once.
    """
    entrants = [_entrant(race, one, conns, msize) for one in race.contenders]
    if (text := _too_much(entrants)) is None:
        return (tuple(entrants),)
    pivot, *others = entrants
    heats: list[list[Entrant]] = []
    for one in others:
        if heats and _too_much([*heats[-1], one]) is None:
            heats[-1].append(one)
            continue
        if (text := _too_much([pivot, one])) is not None:
            raise PreflightError(f"{pivot.label} and {one.label} x {conns} at once: {text}")
        heats.append([pivot, one])
    return tuple(map(tuple, heats))


def _entrant(race: Race, contender: Contender, conns: int, msize: int) -> Entrant:
    """With the placement that its own busy poll makes."""
    campaign = replace(race.campaign, busy_poll_us=contender.busy_poll_us)
    cell = race.cell(contender, conns, msize)
    return Entrant(
        label=contender.label,
        cell=cell,
        placement=place(campaign).for_cell(cell).for_conns(cell.all_conns),
    )


def _too_much(entrants: Sequence[Entrant]) -> str | None:
    """What the machine has too little of to run all of them at once; None when it has enough."""
    return next(_short(entrants), None)


def _short(entrants: Sequence[Entrant]) -> Iterator[str]:
    """Of what all of them share. Open files they do not: each worker is a process, and each of
    the load server's threads has a table of its own; `preflight` looks at each cell's."""
    cells = [one.cell for one in entrants]
    conns = sum(cell.all_conns for cell in cells)
    threads = sum(cell.all_conns * cell.row.threads_per_conn for cell in cells)
    needs: list[tuple[int, Iterator[Limit]]] = [
        (conns + preflight.SPARE_TRACKED, limits.tracked_connections()),
        (
            sum(cell.workers for cell in cells) * WORKER_KIB + conns * CONNECTION_KIB,
            limits.memory(),
        ),
    ]
    if threads:
        needs.append((threads + preflight.SPARE_TASKS * len(cells), limits.threads()))
    for needed, of in needs:
        yield from (text for limit in of if (text := limit.check(needed)) is not None)


def _split_notes(heats: Mapping[Field, Heats]) -> Iterator[str]:
    by_conns = {conns: each for (conns, _), each in heats.items()}  # sizes take no more of anything
    for conns, each in by_conns.items():
        if len(each) > 1:
            text = _too_much([each[0][0], *(one for heat in each for one in heat[1:])])
            yield (
                f"at {conns} connections the race is in {len(each)} heats, each with"
                f" {each[0][0].label}, by way of which their ratios connect: {text}"
            )
