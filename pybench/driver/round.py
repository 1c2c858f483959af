"""One round of one cell, from spec to result: read `run` first, the table of contents.

The driver only starts, watches and ends; it is not in the data path. Waiting is in `watch.py`, the
workers' processes in `workers.py` and `workerprocess.py`, the protocol in `control.py`.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from typing import Any, Protocol

from msgspec import structs

from pybench.driver import assemble
from pybench.driver import control as control_protocol
from pybench.driver.control import Measurement, Progress
from pybench.driver.interrupts import Interrupts
from pybench.driver.memory import MemoryGauge
from pybench.driver.meter import Meters
from pybench.driver.servers import Servers
from pybench.driver.watch import DeadlineError, Watch
from pybench.driver.workerprocess import Usage
from pybench.driver.workers import Workers
from pybench.errors import ProtocolError, ServerError, WorkerError
from pybench.machine.interference import Monitor
from pybench.machine.placement import Placement
from pybench.result import Result, Status
from pybench.spec import Cell, HostPort
from pybench.units import NS_PER_MS, NS_PER_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long each step of a round may take, in seconds, before the round is given up.

    listen: the worker's start and imports.  connect: all connections up; the server gives up
    itself when no further one comes up.  ready: the backend's last accept after that.  silence:
    between two progress lines.  finish: the worker's end after the test's.  close: the server's end
    of a test that was given up.  per_conn: more for everything that is done to each connection: ten
    thousand threads that end one by one on a busy machine are not hung, nor is a server that
    connects, or closes, sixty thousand.
    """

    listen: float = 60.0
    connect: float = 90.0
    ready: float = 60.0
    silence: float = 15.0
    finish: float = 20.0
    close: float = 15.0
    per_conn: float = 0.004

    def for_all(self, step: float, cell: Cell) -> float:
        """Seconds for a step that is taken with each connection of the cell."""
        return step + self.per_conn * cell.all_conns


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundContext:
    """What all rounds of a campaign have in common.

    server: where the load server listens.  more_servers: others, among which and that one the
    connections are dealt out.  bind: the worker's numeric address.
    env: recorded with every result.  slices: whether the load server can cut the window.
    """

    server: HostPort
    bind: str
    placement: Placement
    interrupts: Interrupts
    env: dict[str, Any]
    slices: bool = True
    timeouts: Timeouts = Timeouts()
    more_servers: tuple[HostPort, ...] = ()


OnProgress = Callable[[Progress], None]


class Observer(Protocol):
    """Something that watches a worker from outside. Each call returns when it has taken effect.

    What an observer raises is not the round's failure, and comes out of `run`.
    """

    def attach(self, pid: int) -> None:
        """The process is there and has no thread yet of those to be observed."""

    def begin(self) -> None:
        """All is ready; the first ping leaves when this returns."""

    def end(self) -> None:
        """The process has done its work; it ends now or has ended."""

    def close(self) -> None:
        """Leave no process behind, whatever has happened."""


class Nobody:
    """The observer of a round that only measures."""

    def attach(self, pid: int) -> None:
        """See Observer."""

    def begin(self) -> None:
        """See Observer."""

    def end(self) -> None:
        """See Observer."""

    def close(self) -> None:
        """See Observer."""


ATTEMPTS = 3
"""At a round in whose window no echo came, though some came after it: on a busy machine a short
window may pass before the worker has had the CPU at all."""


class _MissedError(Exception):
    """See ATTEMPTS. Holds the result, which has failed."""

    def __init__(self, result: Result) -> None:
        super().__init__(result.error)
        self.result = result


def run(
    cell: Cell,
    number: int,
    context: RoundContext,
    on_progress: OnProgress = lambda progress: None,
    observer: Observer = Nobody(),  # noqa: B008 - it has no state
) -> Result:
    """Run one round; whatever goes wrong in it becomes a result that says so.

    number: of the round, from 1.  on_progress: called about once a second while pings run.
    observer: of the worker; with one that costs time, what is measured is no measurement.
    Raises InterruptError on Ctrl-C, what the observer raises, and nothing else for a round that
    fails. No process is left. Without an observer a round that missed its window is tried again.
    """
    attempts = ATTEMPTS if isinstance(observer, Nobody) else 1
    for attempt in range(1, attempts + 1):
        try:
            result = _run_once(cell, number, context, on_progress, observer)
        except _MissedError as exc:
            result = exc.result
            if attempt < attempts:
                continue
        return structs.replace(result, attempts=attempt) if attempt > 1 else result
    raise AssertionError("it has returned")


def _run_once(
    cell: Cell, number: int, context: RoundContext, on_progress: OnProgress, observer: Observer
) -> Result:
    """One attempt. Raises as `run`, and _MissedError."""
    started_at = datetime.now(timezone.utc).astimezone().isoformat(timespec="milliseconds")
    blank = assemble.empty_result(cell, number, started_at, context.env)
    placed = context.placement.for_cell(cell)
    timeouts, monitor = context.timeouts, Monitor(placed)
    slice_ms = control_protocol.slice_ms(cell.runtime_ns) if context.slices else 0
    try:
        with ExitStack() as stack:
            stack.callback(observer.close)
            workers = stack.enter_context(Workers(cell, bind=context.bind, placement=placed))
            watch = stack.enter_context(workers.watch(context.interrupts))
            _await_listening(watch, workers, timeouts)
            observer.attach(workers.each[0].pid)  # of several there is no observer: see cli/run.py
            blank = assemble.with_interpreter(blank, workers.python)
            control = stack.enter_context(_sessions(context, cell))
            watch.add(control)
            monitor.connecting()
            meters = Meters(worker.pids for worker in workers.each)
            memory = MemoryGauge(cell.runtime_ns, cell.workers, cell.loops)
            memory.before(workers.measured_pids())
            control.on_mark(partial(_mark, meters, memory))
            placement = placed.for_conns(cell.all_conns)
            control.request(
                workers.addr, workers.ports, cell, placement,
                pin=workers.pin, seed=number, slice_ms=slice_ms,
            )  # fmt: skip
            _await_ready(watch, workers, control, cell, timeouts)
            monitor.connected()
            meters.begin()
            memory.idle(workers.measured_pids(meters.pids))
            observer.begin()
            monitor.begin()
            control.ready()
            measurement = _await_result(watch, control, cell, timeouts, on_progress)
            monitor.end()
            workers.finish()
            usages = _await_done(watch, workers, timeouts.for_all(timeouts.finish, cell))
            observer.end()
    except WorkerError as exc:
        status: Status = "hung" if exc.hung else "failed"
        return assemble.failed(blank, str(exc), status=status, details=exc.details)
    except (ServerError, ProtocolError) as exc:
        older = cell.listeners > 1 and control_protocol.takes_one_port(str(exc))
        hint = ": this load server is older than --workers and --loops" if older else ""
        return assemble.failed(blank, f"{exc}{hint}")
    server = assemble.Server(address=control.name, connect_s=control.connect_s, parts=control.parts)
    used = meters.usages(measurement.window_ns, slice_ms * NS_PER_MS, usages)
    client = assemble.client_usage(usages, used, measurement, placed, cell, memory.resident)
    result = assemble.measured(blank, measurement, client, server=server)
    if assemble.missed_the_window(measurement) and not result.ok:
        raise _MissedError(result)
    result = assemble.with_series(result, measurement, used, slice_ms)
    worker_s = sum(usage.user_s + usage.sys_s for usage in usages)
    return assemble.with_stamps(result, monitor, worker_s=worker_s, local_server=control.local)


@contextmanager
def _sessions(context: RoundContext, cell: Cell) -> Iterator[Servers]:
    """A session with each load server. When the round is given up the end of its test is awaited,
    so that the next one finds a server that is free."""
    with Servers((context.server, *context.more_servers)) as control:
        try:
            yield control
        except (WorkerError, ServerError, ProtocolError) as exc:
            close_s = context.timeouts.for_all(context.timeouts.close, cell)
            if not control.leave(close_s, context.interrupts):
                late = f"{close_s:.3g} s after that the load server had not ended its test"
                exc.args = (f"{exc}; {late}",)  # its class knows more than the message
            raise


def _mark(meters: Meters, memory: MemoryGauge, t_ns: int) -> None:
    meters.mark(t_ns)  # first: what comes behind it takes a millisecond
    memory.mark(t_ns)


def _await_listening(watch: Watch, workers: Workers, timeouts: Timeouts) -> None:
    """All workers have their ports. Their backend is imported by then."""
    try:
        watch.until(lambda: workers.listening, timeouts.listen)
    except DeadlineError:
        raise _hung(workers, f"did not listen within {timeouts.listen:g} s of its start") from None


def _await_ready(
    watch: Watch,
    workers: Workers,
    control: Servers,
    cell: Cell,
    timeouts: Timeouts,
) -> None:
    """All connections are up for the server and accepted by the backend."""
    connect_s = timeouts.for_all(timeouts.connect, cell)
    try:
        watch.until(lambda: control.connected, connect_s)
    except DeadlineError:
        raise ServerError(
            "timeout", f"{control.behind} did not connect all within {connect_s:.0f} s"
        ) from None
    ready_s = timeouts.for_all(timeouts.ready, cell)
    try:
        watch.until(lambda: workers.ready, ready_s)
    except DeadlineError:
        raise _hung(workers, f"did not accept all connections within {ready_s:.0f} s") from None


def _await_result(
    watch: Watch,
    control: Servers,
    cell: Cell,
    timeouts: Timeouts,
    on_progress: OnProgress,
) -> Measurement:
    """The server's result; progress is passed on, and must keep coming.

    The server closes all connections before it answers, and says nothing meanwhile.
    """
    silence_s = timeouts.for_all(timeouts.silence, cell)
    end = time.monotonic() + (cell.warmup_ns + cell.runtime_ns) / NS_PER_S + silence_s
    while control.measurement is None:
        seen = control.progress
        patience_s = min(silence_s, end - time.monotonic())
        try:
            watch.until(partial(_has_news, control, seen), patience_s)
        except DeadlineError:
            raise ServerError(
                "timeout", f"{control.behind} fell silent: nothing for {patience_s:.0f} s"
            ) from None
        if control.progress is not None and control.progress is not seen:
            on_progress(control.progress)
    return control.measurement


def _has_news(control: Servers, seen: Progress | None) -> bool:
    return control.measurement is not None or control.progress is not seen


def _await_done(watch: Watch, workers: Workers, timeout_s: float) -> list[Usage]:
    """Each worker's usage; they end by themselves once the server has closed all connections."""
    try:
        watch.until(lambda: workers.usages is not None, timeout_s)
    except DeadlineError:
        raise _hung(workers, f"did not end within {timeout_s:.0f} s after the test") from None
    assert workers.usages is not None
    return workers.usages


def _hung(workers: Workers, what: str) -> WorkerError:
    return WorkerError(f"{workers.behind} hung: it {what} and was killed", hung=True)
