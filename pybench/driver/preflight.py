"""Can this machine run what is asked for? Said before anything starts, with numbers and remedies.

What there is of each resource is in `machine/limits.py`, what a connection takes of it in the row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pybench.backends import Row
from pybench.machine import limits
from pybench.machine.limits import Limit
from pybench.machine.network import loopback_down
from pybench.machine.placement import Placement, too_few
from pybench.machine.procfs import proc_missing
from pybench.spec import Campaign, Cell

SPARE_TASKS = 64
SPARE_TRACKED = 16  # control connections, and what else this machine talks to meanwhile
SPARE_MAPPINGS = 1000
SLOW_BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One limit that a cell breaks.

    of_row: only rows of this kind meet it.  text: number needed, number available, remedy.
    everywhere: the row cannot on any machine.
    """

    cell: Cell
    text: str
    of_row: bool
    everywhere: bool = False

    def __str__(self) -> str:
        return f"{self.cell}: {self.text}"


def obstacles(campaign: Campaign, bind: str) -> list[Obstacle]:
    """Everything in the way of the campaign's cells, the first limit of each cell only.

    bind: the worker's address; loopback has source ports enough.
    """
    files = list(limits.open_files())
    tables = [] if campaign.server else list(limits.server_tables(campaign.server_threads))
    ports = [] if campaign.server or bind.startswith("127.") else list(limits.local_ports(bind))
    tracked = list(limits.tracked_connections())
    threads, mappings = list(limits.threads()), list(limits.mappings())
    found: list[Obstacle] = []
    down = loopback_down(bind) or proc_missing()
    if down is not None:
        return [Obstacle(cell, down, of_row=False) for cell in campaign.cells]
    for cell in campaign.cells:
        row, conns = cell.row, cell.all_conns
        if cell.loops > 1 and (why := _one_loop(row)):
            text = f"--loops {cell.loops}: {why}"
            found.append(Obstacle(cell, text, of_row=True, everywhere=True))
            continue
        if cell.conns < cell.listeners:
            text = f"{cell.listeners} listeners need a connection each: more --conns"
            found.append(Obstacle(cell, text, of_row=False))
            continue
        of_worker, of_listener = -(-conns // cell.workers), -(-conns // cell.listeners)
        over_ip = cell.transport != "unix"
        each = f", {row.mappings_per_conn} per thread,"
        of_all = [
            *_short(tables, limits.tables(conns), 0),
            *_short(ports, of_listener if over_ip else 0, 0),  # one port serves several listeners
            *_short(tracked, conns if over_ip else 0, SPARE_TRACKED),
        ]
        of_row = [
            *_short(files, 0 if row.own_tables else of_worker, limits.SPARE_FILES),
            *_short(threads, conns * row.threads_per_conn, SPARE_TASKS),
            *_short(mappings, of_worker * row.mappings_per_conn, SPARE_MAPPINGS, each),
        ]
        if of_all or of_row:
            found.append(Obstacle(cell, [*of_all, *of_row][0], of_row=not of_all))
    return found


def _one_loop(row: Row) -> str:
    """Why a row cannot run in several threads of one process; empty where it can."""
    why = "a program listens once" if row.command else row.one_loop
    return f"{why}; --workers starts several" if why else ""


def _short(of: Sequence[Limit], needed: int, spare: int, each: str = "") -> Iterator[str]:
    """What each limit says that has too little; nothing where nothing is needed.

    spare: what is needed of it besides.  each: how many one thing takes, for the message.
    """
    if needed:
        yield from (text for limit in of if (text := limit.check(needed + spare, each)))


def notes(campaign: Campaign, placement: Placement) -> list[str]:
    """What is no obstacle but worth knowing before it starts."""
    found = list(dict.fromkeys(filter(None, (too_few(placement, c) for c in campaign.cells))))
    backlog = limits.listen_queue()
    if backlog is not None and backlog < min(
        SLOW_BACKLOG, max(campaign.conns) + max(campaign.idle)
    ):
        found.append(
            f"only {backlog} connections can wait to be accepted, so connecting is slow: "
            "sysctl -w net.core.somaxconn=4096"
        )
    return found
