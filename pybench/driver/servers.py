"""The load servers of one round as one: what a round asks of its load server, asked of all.

Each has its share of the connections, and a control connection of its own. Nothing is sent on any
connection before all of all servers are up. What they answer is made one in `merge.py`; whichever
ends or says an error ends the round with its name.
"""

import dataclasses
import ipaddress
import selectors
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TypeVar

from pybench.driver.control import ControlConnection, Measurement, Progress, tokens
from pybench.driver.interrupts import Interrupts
from pybench.driver.merge import merge
from pybench.errors import ProtocolError, ServerError
from pybench.machine.placement import Placement
from pybench.result import ServerPart
from pybench.spec import Cell, HostPort
from pybench.units import NS_PER_S

_Item = TypeVar("_Item")

SEED_STEP = 1 << 24
"""Between the seeds of two servers: the same one would give both the same arrivals."""


class _One:
    """One of them. first: the listener that it begins with.  told: its progress that is in the last
    progress of all.  began_ns: when its window did, by our clock."""

    def __init__(self, control: ControlConnection) -> None:
        self.control = control
        self.conns = 0
        self.first = 0
        self.told: Progress | None = None
        self.began_ns: int | None = None
        self.round_trip_ns = 0

    @property
    def ended(self) -> bool:
        return self.control.measurement is not None

    @property
    def measurement(self) -> Measurement | None:
        """What it measured, its listeners in the order of all."""
        found = self.control.measurement
        if found is None or not found.listeners:
            return found
        return dataclasses.replace(found, listeners=tuple(_turned(found.listeners, -self.first)))

    @property
    def has_news(self) -> bool:
        return self.ended or self.control.progress is not self.told


class Servers:
    """A session with each of the load servers, one or more. A context manager; leaving it ends the
    tests of all.

    Raises ServerError when one cannot be reached or breaks; of several the message names it.
    """

    def __init__(self, servers: Sequence[HostPort]) -> None:
        self.progress: Progress | None = None
        self.measurement: Measurement | None = None
        self._on_mark: Callable[[int], object] = lambda t_ns: None
        with ExitStack() as stack:
            self._selector = stack.enter_context(selectors.EpollSelector())
            self._each: list[_One] = []
            for server, secret in zip(servers, tokens(len(servers)), strict=True):
                one = _One(stack.enter_context(ControlConnection(server, secret)))
                one.control.on_mark(partial(self._mark, one))
                self._selector.register(one.control, selectors.EVENT_READ, one)
                self._each.append(one)
            self._stack = stack.pop_all()

    def __enter__(self) -> "Servers":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def fileno(self) -> int:
        """For selectors: readable when `receive` has something to take."""
        return self._selector.fileno()

    @property
    def name(self) -> str:
        """`host:port` of all, commas between."""
        return ",".join(str(_known_as(one.control)) for one in self._each)

    @property
    def local(self) -> bool:
        """Whether all are on this machine."""
        return all(one.control.local for one in self._each)

    @property
    def connected(self) -> bool:
        """Whether all connections of all are up."""
        return all(one.control.connected for one in self._each)

    @property
    def connect_s(self) -> float:
        """How long the slowest took to open its connections, in seconds."""
        return max(one.control.connect_s for one in self._each)

    @property
    def behind(self) -> str:
        """Those that are waited for, as a message calls them."""
        if len(self._each) == 1:
            return "load server"
        late = [
            str(one.control.server)
            for one in self._each
            if not (one.has_news if self.connected else one.control.connected)
        ]
        return f"load server {' and '.join(late)}" if late else "load servers"

    def on_mark(self, call: Callable[[int], object]) -> None:
        """Have each mark of the first server told as soon as it is heard, in ns since its window's
        beginning; the others' windows are as long, and begin when `parts` says."""
        self._on_mark = call

    def request(
        self,
        addr: str,
        ports: Sequence[int],
        cell: Cell,
        placement: Placement,
        *,
        pin: str,
        seed: int,
        slice_ms: int,
    ) -> None:
        """Ask each for its share of the test of the workers at addr and ports; see `request_line`.

        Each begins with the listener behind the last one's: all that is asked for is dealt out in
        turn, whoever connects.
        """
        shares = dealt_out(cell, len(self._each))
        before = 0
        for place, (one, share) in enumerate(zip(self._each, shares, strict=True)):
            one.conns = share.conns
            one.first = before % len(ports)
            before += share.all_conns
            own_seed = seed + place * SEED_STEP
            sockets = ",".join(_turned(addr.split(","), one.first)) if "," in addr else addr
            with self._named(one):
                one.control.request(
                    sockets, _turned(ports, one.first), share, placement,
                    pin=pin, seed=own_seed, slice_ms=slice_ms,
                )  # fmt: skip

    def ready(self) -> None:
        """Say to all that the worker has accepted all connections, to the farthest first."""
        for one in self._each:
            one.round_trip_ns = one.control.round_trip_ns
        for one in sorted(self._each, key=lambda one: -one.round_trip_ns):
            with self._named(one):
                one.control.ready()

    def stop(self) -> None:
        """Ask all to end the test now; a result still comes."""
        for one in self._each:
            with self._named(one):
                one.control.stop()

    def leave(self, timeout_s: float, interrupts: Interrupts) -> bool:
        """Give the tests of all up, and wait until the servers have ended them: one that has many
        connections to close would tell the next client that it is busy.

        Whether all have within timeout_s. Raises InterruptError on Ctrl-C.
        """
        deadline = time.monotonic() + timeout_s
        for one in self._each:
            one.control.leave()
        left = {one.control for one in self._each if not one.control.has_ended()}
        with selectors.DefaultSelector() as selector:
            selector.register(interrupts, selectors.EVENT_READ)
            for control in left:
                selector.register(control, selectors.EVENT_READ)
            while left and (patience_s := deadline - time.monotonic()) > 0:
                selector.select(patience_s)
                interrupts.check()
                for control in [one for one in left if one.has_ended()]:
                    selector.unregister(control)
                    left.remove(control)
        return not left

    def receive(self) -> None:
        """Take in what has arrived, without waiting."""
        for key, _ in self._selector.select(0):
            one: _One = key.data
            with self._named(one):
                one.control.receive()
            if one.ended:  # nothing follows but its end, for ever readable
                self._selector.unregister(one.control)
        self._gather()

    @property
    def parts(self) -> tuple[ServerPart, ...]:
        """What each of several did, once the measurement is there; nothing of a single one."""
        if len(self._each) == 1:
            return ()
        first_ns = min((one.began_ns for one in self._each if one.began_ns is not None), default=0)
        return tuple(_part(one, first_ns) for one in self._each)

    def _gather(self) -> None:
        """What all say together, once each has said more."""
        found = [one.measurement for one in self._each]
        measured = [one for one in found if one is not None]
        if len(measured) == len(found):
            self.measurement = merge(measured, [one.conns for one in self._each])
        elif all(one.has_news for one in self._each):
            for one in self._each:
                one.told = one.control.progress
            told = [one.told for one in self._each if one.told is not None]
            self.progress = Progress(
                t_ms=max(one.t_ms for one in told),
                messages=sum(one.messages for one in told),
                alive=sum(one.alive for one in told),
            )

    def _mark(self, one: _One, t_ns: int) -> None:
        at_ns = time.monotonic_ns()
        if one is self._each[0]:
            self._on_mark(t_ns)
        if t_ns == 0:
            one.began_ns = at_ns - one.round_trip_ns // 2

    @contextmanager
    def _named(self, one: _One) -> Iterator[None]:
        """Whatever goes wrong inside names its load server, where there are several."""
        name = str(one.control.server)
        try:
            yield
        except ServerError as exc:
            if len(self._each) == 1 or name in str(exc):
                raise
            raise ServerError(exc.code, f"load server {name}: {exc}") from exc
        except ProtocolError as exc:
            if len(self._each) == 1:
                raise
            raise ProtocolError(f"load server {name}: {exc}") from exc


def dealt_out(cell: Cell, servers: int) -> list[Cell]:
    """The cell as each load server has it: connections as even as can be, a rate in proportion."""
    shares, before = [], 0
    for place in range(servers):
        conns, idle = (len(range(place, n, servers)) for n in (cell.conns, cell.idle))
        due = cell.rate * (before + conns) // cell.conns - cell.rate * before // cell.conns
        rate = max(1, due) if cell.rate else 0  # no rate would be a closed loop
        shares.append(dataclasses.replace(cell, conns=conns, idle=idle, rate=rate))
        before += conns
    return shares


def _turned(items: Sequence[_Item], first: int) -> list[_Item]:
    """The same, beginning with the one at `first`."""
    return [*items[first:], *items[:first]]


def _known_as(control: ControlConnection) -> HostPort:
    """Where it listens; one on this machine has one name, whatever it was called."""
    if not control.local or _is_loopback(control.server.host):
        return control.server
    return dataclasses.replace(control.server, host="localhost")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _part(one: _One, first_ns: int) -> ServerPart:
    found = one.control.measurement
    assert found is not None
    return ServerPart(
        address=str(one.control.server),
        conns=one.conns,
        messages=found.messages,
        lost=found.lost,
        engine=found.engine,
        threads=found.threads,
        user_s=found.user_ns / NS_PER_S,
        sys_s=found.sys_ns / NS_PER_S,
        idle_s=found.idle_ns / NS_PER_S,
        connect_s=one.control.connect_s,
        start_s=None if one.began_ns is None else (one.began_ns - first_ns) / NS_PER_S,
        round_trip_s=one.round_trip_ns / NS_PER_S,
        version=found.version,
    )
