"""One round of a heat: workers that are alive together and pinged one at a time.

`run` is the table of contents. Who is not pinged sleeps and costs nothing, so that a stretch of
some tens of milliseconds of one stands beside one of another, and the machine's drift cancels in
their ratio. Whoever fails is out and says why; the others go on.

How long a window is and how many there are is found out here, from a first turn that is not
counted: a window holds several round trips of every connection, and all of them together are as
long as everything else in the round.
"""

import math
import random
import selectors
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from types import TracebackType
from typing import Any, Final

from msgspec import structs

from pybench.analysis import stamps
from pybench.analysis.queue_share import estimated_queue_share
from pybench.analysis.race import OF_RACES
from pybench.driver import assemble, control
from pybench.driver.control import ControlConnection
from pybench.driver.interrupts import Interrupts
from pybench.driver.memory import MemoryGauge
from pybench.driver.round import Timeouts
from pybench.driver.watch import DeadlineError, Watch
from pybench.driver.workers import Workers
from pybench.errors import ProtocolError, ServerError, WorkerError
from pybench.machine.cputime import cpu_time
from pybench.machine.placement import Placement
from pybench.result import Result, Status, Turn, Turns
from pybench.spec import Cell, HostPort
from pybench.worker.tree import descendants_of

MIN_WINDOW_US: Final = 40_000
MAX_WINDOW_US: Final = 4_000_000
ROUND_TRIPS: Final = 5
"""A window holds so many of every connection: with fewer, a turn is its own beginning and end."""
MIN_SETTLE_US: Final = 8_000
OTHER_THAN_START: Final = 1.2
"""What a round takes besides its turns, over what its start takes: the end is a fifth of that."""
TRIAL_US: Final = 50_000
"""The first turn of each worker is all settling: its pings are in no figure."""
BUSY_PAUSE_S: Final = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A contender as a heat runs it. cell, placement: what worker and load server are told."""

    label: str
    cell: Cell
    placement: Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatContext:
    """What all heats of a race have in common.

    server: where the load server listens.  bind: the workers' numeric address.
    env: recorded with every result.  seed: of the order of turns.
    longest_s: how long the turns of one heat may take, so that a race's budget has room for rounds.
    """

    server: HostPort
    bind: str
    interrupts: Interrupts
    env: dict[str, Any]
    seed: int
    longest_s: float = 30.0
    timeouts: Timeouts = field(default_factory=Timeouts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a contender's turns go, in microseconds."""

    settle_us: int
    window_us: int

    @property
    def turn_s(self) -> float:
        """How long a turn takes, about: a drain is a round trip, and so is settling."""
        return (2 * self.settle_us + self.window_us) / 1e6


def run(entrants: Sequence[Entrant], number: int, heat: int, context: HeatContext) -> list[Result]:
    """Run one round of a heat; a result for each, in order; what goes wrong is in them.

    number: of the round, from 1.  heat: which of it, from 1.
    Raises InterruptError on Ctrl-C, and ServerError when the load server has gone: without it none
    can go on. No process is left.
    """
    timeouts, begun = context.timeouts, time.monotonic()
    rng = random.Random(f"{context.seed}:{entrants[0].cell.conns}:{number}:{heat}")
    with ExitStack() as stack:
        eyes = stack.enter_context(_Eyes(context.interrupts))
        placed = seat_order(len(entrants), number, rng)
        seats = [stack.enter_context(_Seat(entrants[i], number, context, eyes)) for i in placed]
        for seat in seats:  # all at once: what one waits for is another's time to work
            seat.start()
        eyes.all_of(seats, _Seat.listens, timeouts.listen, "did not listen after its start")
        for seat, pids in _pids_of(seats):
            seat.connect(pids)
        eyes.all_of(seats, _Seat.is_connected, timeouts.connect, "was not connected to")
        eyes.all_of(seats, _Seat.is_ready, timeouts.ready, "did not accept all connections")
        for seat, pids in _pids_of(seats):
            seat.begin(pids)
        _find_paces(seats)
        first = time.monotonic()
        passes = find_passes([s.pace for s in seats], first - begun, context.longest_s)
        _take_turns(seats, turn_order(len(seats), passes, rng))
        last = time.monotonic()
        for seat in seats:
            seat.stop()
        eyes.all_of(seats, _Seat.has_result, timeouts.silence, "got no result")
        for seat in seats:
            seat.finish()
        conns = sum(one.cell.all_conns for one in entrants)
        end_s = timeouts.finish + timeouts.per_conn * conns
        eyes.all_of(seats, _Seat.has_ended, end_s, "did not end after its last turn")
    if (gone := next((s.server_gone for s in seats if s.server_gone is not None), None)) and all(
        seat.server_gone is not None for seat in seats
    ):
        raise gone
    shared = Turns(heat=heat, start_s=round(first - begun, 6), turns_s=round(last - first, 6))
    in_place = dict(zip(placed, seats, strict=True))
    return [in_place[i].result(shared) for i in range(len(entrants))]


def seat_order(contenders: int, number: int, rng: random.Random) -> list[int]:
    """Who is started, connected and tried first in a round, and who next, as indices from 0.

    Whoever always came first would have the emptier machine each time. Two change places
    from round to round; more come in a fresh random order.
    """
    order = list(range(contenders))
    if contenders == 2:
        return order if number % 2 else order[::-1]
    rng.shuffle(order)
    return order


def turn_order(
    contenders: int, passes: int, rng: random.Random
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Who is pinged when: for each pass through all of them its block, from 1, and the order of
    its turns, as indices from 0.

    Two take A B B A and B A A B in turn, so that a trend inside a block, or over two, cancels: a
    block is two passes, there and back. More come in a fresh random order, each pass a block.
    """
    first = rng.randrange(2)
    for number in range(passes):
        if contenders == 2:
            one = first ^ (number + number // 2) % 2
            yield number // 2 + 1, (one, 1 - one)
        else:
            order = list(range(contenders))
            rng.shuffle(order)
            yield number + 1, tuple(order)


def find_pace(conns: int, per_second: float) -> Pace:
    """For workers of which the slowest answers so many pings a second; 0 where none was answered.

    Settling takes a round trip of every connection, a window several.
    """
    trip_us = 1e6 * conns / per_second if per_second else float(MAX_WINDOW_US)
    window = min(MAX_WINDOW_US, max(MIN_WINDOW_US, round(ROUND_TRIPS * trip_us)))
    settle = min(window, max(MIN_SETTLE_US, round(trip_us)))
    return Pace(settle_us=settle, window_us=window)


def find_paces(conns: int, rates: Sequence[float]) -> list[Pace]:
    """One for each rate, pings a second.

    A pair has windows of one length, right for the slower one: a burst of something else weighs as
    much in the turns of both. Of more than two each has its own, because a block of all at the
    slowest one's pace would be longer than the drift that is to cancel inside it.
    """
    if len(rates) == 2:
        rates = [min(rates)] * 2
    return [find_pace(conns, rate) for rate in rates]


def find_passes(paces: Sequence[Pace], start_s: float, longest_s: float) -> int:
    """How many passes through all contenders make the windows as long as all the rest of a round.

    Two processes of one row differ more than the turns of one do, so rounds are what is replicated,
    and no pass more is taken than their start is worth. Two blocks where there is time; where there
    is none for one, a pair goes there and not back.
    start_s: what has passed since the round's start.  longest_s: how long all turns may take.
    """
    block = 2 if len(paces) == 2 else 1
    pass_s = sum(pace.turn_s for pace in paces)
    window_s = sum(pace.window_us for pace in paces) / 1e6
    gained_s = 2 * window_s - pass_s  # its windows, less what a pass costs besides
    needed = OTHER_THAN_START * start_s / gained_s if gained_s > 0 else math.inf
    allowed = int(max(1.0, longest_s / pass_s))
    wanted = min(allowed, max(2 * block, math.ceil(min(needed, 1e6))))
    if block == 2 and wanted > 1:
        wanted += wanted % 2 if wanted < allowed else -(wanted % 2)
    return wanted


def blank_of(entrant: Entrant, number: int, started_at: str, env: dict[str, Any]) -> Result:
    """A contender's result before anything is measured. number: of the round, from 1."""
    blank = assemble.empty_result(entrant.cell, number, started_at, env)
    row = entrant.cell.row.name
    return structs.replace(blank, func=entrant.label, row=row if row != entrant.label else "")


class _Eyes:
    """Watches everybody in a heat at once, and the user's Ctrl-C. A context manager."""

    def __init__(self, interrupts: Interrupts) -> None:
        self._selector = selectors.DefaultSelector()
        self._selector.register(interrupts, selectors.EVENT_READ, interrupts.check)

    def __enter__(self) -> "_Eyes":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._selector.close()

    def add(self, watch: Watch, hear: Callable[[], None]) -> None:
        self._selector.register(watch, selectors.EVENT_READ, hear)

    def forget(self, watch: Watch) -> None:
        with suppress(KeyError):
            self._selector.unregister(watch)

    def until(self, happened: Callable[[], bool], timeout_s: float) -> None:
        """Hear everybody until happened() is true. Raises DeadlineError, and InterruptError."""
        deadline = time.monotonic() + timeout_s
        while not happened():
            if time.monotonic() > deadline:
                raise DeadlineError
            for key, _ in self._selector.select(max(0.0, deadline - time.monotonic())):
                key.data()

    def rest(self, pause_s: float) -> None:
        """Hear everybody for so long."""
        with suppress(DeadlineError):
            self.until(lambda: False, pause_s)

    def all_of(
        self,
        seats: Sequence["_Seat"],
        happened: Callable[["_Seat"], bool],
        timeout_s: float,
        otherwise: str,
    ) -> None:
        """Until it has happened to everybody who is left; who is too late has failed.

        otherwise: what is said of them, behind `worker hung: it`.
        """
        with suppress(DeadlineError):
            self.until(lambda: all(not s.alive or happened(s) for s in seats), timeout_s)
        for seat in seats:
            if seat.alive and not happened(seat):
                text = f"{seat.behind} hung: it {otherwise} within {timeout_s:g} s and was killed"
                seat.fail(WorkerError(text, hung=True))


class _Seat:
    """One contender's place in a heat: its worker, its session at the load server, its turns.

    A context manager; leaving it ends whatever still runs. Nothing raises but the interrupts: what
    goes wrong ends this seat (`fail`), and `alive` says so.
    """

    def __init__(self, entrant: Entrant, number: int, context: HeatContext, eyes: _Eyes) -> None:
        self.entrant = entrant
        self.turns: list[Turn] = []
        self.pace = Pace(settle_us=MIN_SETTLE_US, window_us=MIN_WINDOW_US)
        self.server_gone: ServerError | None = None
        self._context = context
        self._eyes = eyes
        self._stack = ExitStack()
        self._memory = MemoryGauge(0, entrant.cell.workers, entrant.cell.loops)
        self._failure: tuple[Status, str, str] | None = None
        self._deserted = False
        started_at = datetime.now(timezone.utc).astimezone().isoformat(timespec="milliseconds")
        env = context.env
        if "placement" in env:  # of this contender: another may have more workers
            env = env | {"placement": entrant.placement.to_record()}
        self._blank = blank_of(entrant, number, started_at, env)

    def __enter__(self) -> "_Seat":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    @property
    def alive(self) -> bool:
        return self._failure is None

    @property
    def racing(self) -> bool:
        """Whether it can be pinged. Without connections the result will say what became of them."""
        return self.alive and not self._deserted

    def fail(self, error: WorkerError | ServerError | ProtocolError) -> None:
        """Out of the race, for this round. What it still has is ended now."""
        if not self.alive:
            return
        status: Status = "failed"
        details = ""
        if isinstance(error, WorkerError):
            status, details = "hung" if error.hung else "failed", error.details
        elif isinstance(error, ServerError) and error.code == "unreachable":
            self.server_gone = error
        self._failure = (status, str(error), details)
        self._stack.close()

    # ---- one step each ----

    def start(self) -> None:
        """Start the worker; how it goes on is heard."""
        context, stack = self._context, self._stack
        try:
            self._workers = stack.enter_context(
                Workers(self.entrant.cell, bind=context.bind, placement=self.entrant.placement)
            )
        except WorkerError as exc:
            self.fail(exc)
            return
        self._watch = stack.enter_context(self._workers.watch(None))
        self._eyes.add(self._watch, self._hear)
        stack.callback(self._eyes.forget, self._watch)

    def firsts(self) -> list[int]:
        """The process ids of what is measured."""
        return self._workers.firsts()

    @property
    def behind(self) -> str:
        """Of its workers the one that has come least far."""
        return self._workers.behind

    def connect(self, pids: Sequence[int]) -> None:
        """Have the load server connect to the worker; nothing is sent before its first turn.

        pids: of what is measured, and of all that it has started.
        """
        self._blank = assemble.with_interpreter(self._blank, self._workers.python)
        self._memory.before(pids)
        try:
            self._control = self._stack.enter_context(ControlConnection(self._context.server))
            self._watch.add(self._control)
            self._control.request(
                self._workers.addr,
                self._workers.ports,
                self.entrant.cell,
                self.entrant.placement,
                pin=self._workers.pin,
                turns=True,
            )
        except (ServerError, ProtocolError) as exc:
            self.fail(exc)

    def begin(self, pids: Sequence[int]) -> None:
        """The worker has accepted all. pids: as those of `connect`, by now."""
        self._say(self._control.ready)
        self._pids = pids
        self._memory.idle(pids)

    def stop(self) -> None:
        """No turn follows."""
        if self.alive:
            self._memory.busy()
            self._say(self._control.stop)

    def finish(self) -> None:
        """Its connections have ended: so does the worker."""
        if self.alive:
            self._workers.finish()

    def listens(self) -> bool:
        return self._workers.listening

    def is_connected(self) -> bool:
        return self._control.connected

    def is_ready(self) -> bool:
        return self._workers.ready

    def has_result(self) -> bool:
        return self._control.measurement is not None

    def has_ended(self) -> bool:
        return self._workers.usages is not None

    # ---- turns ----

    def take_turn(self, pace: Pace, block: int, place: int) -> "_Taken | None":
        """Be pinged, alone. None when it failed meanwhile.

        block, place: where the turn stands.
        """
        before, begun = self._cpu_ns(), time.monotonic()
        done = self._await_turn(pace)
        took_s, after = time.monotonic() - begun, self._cpu_ns()
        if done is None:
            return None
        self._deserted = not done.alive
        if not done.total and done.alive:  # the load server has waited long enough, see control.h
            text = f"worker hung: it answered no ping within {took_s:.1f} s and was killed"
            self.fail(WorkerError(text, hung=True))
            return None
        cpu_ns = None if before is None or after is None else max(0, after - before)
        return _Taken(
            took_s=took_s,
            turn=Turn(
                block=block,
                place=place,
                messages=done.messages,
                window_ns=done.window_ns,
                latency_sum_ns=done.latency_sum_ns,
                total=done.total,
                cpu_ns=cpu_ns,
                unanswered=done.unanswered,
            ),
        )

    def _await_turn(self, pace: Pace) -> control.Turn | None:
        """What the load server says of the turn; None when there is none."""
        session, silence_s = self._control, self._context.timeouts.silence
        patience_s = pace.turn_s + silence_s
        deadline = time.monotonic() + patience_s
        while self.alive:
            self._say(lambda: session.turn(pace.settle_us, pace.window_us))
            try:
                self._eyes.until(
                    lambda: not self.alive or session.busy or session.turned is not None,
                    deadline - time.monotonic(),
                )
            except DeadlineError:
                text = f"load server fell silent: nothing of a turn for {patience_s:.3g} s"
                self.fail(ServerError("timeout", text))
            if session.turned is not None:
                return session.turned
            self._eyes.rest(BUSY_PAUSE_S)  # somebody else's test runs there
        return None

    def _cpu_ns(self) -> int | None:
        """CPU time so far of the worker and what it has forked."""
        try:
            return cpu_time(*self._pids).cpu_ns
        except OSError:  # one has ended
            return None

    # ---- what is heard ----

    def _hear(self) -> None:
        try:
            self._watch.receive()
        except (WorkerError, ServerError, ProtocolError) as exc:
            self.fail(exc)

    def _say(self, say: Callable[[], None]) -> None:
        try:
            say()
        except (ServerError, ProtocolError) as exc:
            self.fail(exc)

    def result(self, shared: Turns) -> Result:
        """What came of it. shared: what all of the heat have of the record."""
        turns = structs.replace(
            shared,
            settle_us=self.pace.settle_us,
            window_us=self.pace.window_us,
            each=tuple(self.turns),
        )
        blank = structs.replace(
            self._blank,
            turns=turns,
            runtime_s=round(len(self.turns) * self.pace.window_us / 1e6, 6),
            warmup_s=0.0,
        )
        if self._failure is not None:
            status, text, details = self._failure
            return assemble.failed(blank, text, status=status, details=details)
        measurement, usages = self._control.measurement, self._workers.usages
        assert measurement is not None and usages is not None
        server = assemble.Server(address=self._context.server, connect_s=self._control.connect_s)
        placement, cell = self.entrant.placement, self.entrant.cell
        client = assemble.client_usage(
            usages, None, measurement, placement, cell, self._memory.resident
        )
        return _stamped(assemble.measured(blank, measurement, client, server=server))


@dataclass(frozen=True, slots=True)
class _Taken:
    """A turn. took_s: from the request to its answer."""

    turn: Turn
    took_s: float


def _stamped(result: Result) -> Result:
    """The result with the stamps that mean something in turns; a failed one as it is."""
    if not result.ok:
        return result
    share = estimated_queue_share(result)
    if share is not None and result.server_queue is None:
        result = structs.replace(result, server_queue=share, server_queue_source="estimate")
    kept = tuple(stamp for stamp in stamps.run(result) if stamp.code in OF_RACES)
    return structs.replace(result, warnings=kept)


def _pids_of(seats: Sequence[_Seat]) -> Iterator[tuple[_Seat, list[int]]]:
    """Those who are left, each with the processes that are measured: found by one look for all."""
    alive = [seat for seat in seats if seat.alive]
    below = descendants_of(pid for seat in alive for pid in seat.firsts())
    for seat in alive:
        firsts = seat.firsts()
        yield seat, [*firsts, *(pid for first in firsts for pid in below[first])]


def _find_paces(seats: Sequence[_Seat]) -> None:
    """From a turn of each that is not counted: the first pings of a process are slow."""
    rates = []
    for seat in seats:
        taken = seat.take_turn(Pace(settle_us=TRIAL_US, window_us=1), 1, 1) if seat.alive else None
        per_second = taken.turn.total / taken.took_s if taken is not None else math.inf
        rates.append(per_second / seat.entrant.cell.inflight)  # it is as many times as deep
    for seat, pace in zip(seats, find_paces(seats[0].entrant.cell.conns, rates), strict=True):
        seat.pace = pace


def _take_turns(seats: Sequence[_Seat], order: Iterable[tuple[int, Sequence[int]]]) -> None:
    """Turn after turn, as long as two are left who can be set against each other."""
    places: Counter[int] = Counter()
    for block, indices in order:
        for index in indices:
            if sum(seat.racing for seat in seats) < 2:
                return
            seat = seats[index]
            places[block] += 1
            if seat.racing:
                taken = seat.take_turn(seat.pace, block, places[block])
                if taken is not None:
                    seat.turns.append(taken.turn)
