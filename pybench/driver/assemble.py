"""Puts together what load server and worker said about a round. Neither prints nor measures.

`measured` is the facts, `with_stamps` adds what must be known before they are believed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from pybench.analysis import stamps
from pybench.analysis.queue_share import estimated_queue_share
from pybench.analysis.stats import percentile_ns
from pybench.driver.control import Measurement
from pybench.driver.meter import WindowUsage
from pybench.driver.meter import sum_of as sum_of_window
from pybench.driver.workerprocess import Usage
from pybench.driver.workers import sum_of as sum_of_whole
from pybench.machine.interference import Monitor
from pybench.machine.placement import Placement
from pybench.result import (
    ClientUsage,
    Latency,
    ListenerShare,
    PerConn,
    Resident,
    Result,
    Series,
    ServerPart,
    ServerUsage,
    Status,
)
from pybench.spec import OPTIONS, Cell, HostPort, axes
from pybench.units import NS_PER_S, NS_PER_US, format_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What the driver knows of the server. connect_s: how long it took to connect all.

    address: of several all, commas between.  parts: what each of several did.
    """

    address: HostPort | str
    connect_s: float
    parts: tuple[ServerPart, ...] = ()


def measured(
    blank: Result,
    measurement: Measurement,
    client: ClientUsage,
    *,
    server: Server,
) -> Result:
    """The result of a round that ran to its end, without warnings; `failed` when no echo came, or
    when so many connections were lost that the figure is of the few that were left.

    blank: as `empty_result` makes it.  client: as `client_usage` makes it.
    """
    window_s = measurement.window_ns / NS_PER_S
    mps = measurement.messages / window_s if window_s else 0.0
    result = structs.replace(
        blank,
        messages=measurement.messages,
        window_s=window_s,
        mps=mps,
        latency_ns=_latency(
            measurement.histogram, measurement.latency_sum_ns, measurement.latency_max_ns
        ),
        histogram=measurement.histogram,
        per_conn=_per_conn(measurement),
        in_flight=_in_flight(measurement),
        idle_lost=measurement.idle_lost,
        client=client,
        server=_server(server, measurement),
    )
    result = _with_corrected(result, measurement)
    if (silent := _silent_listener(blank, measurement)) is not None:
        return failed(result, f"{silent} answered no ping within {window_s:.3g} s")
    if (reason := stamps.too_many_lost(result)) is not None:
        return failed(result, reason)
    if result.latency_ns is None:
        return failed(result, _nothing_came(blank, measurement, window_s))
    return _with_queue(result, measurement)


def who_serves(number: int, workers: int, loops: int) -> str:
    """Whose a listener is: `worker 2 of 3`, `loop 1 of 2`. number: of the listener, from 0."""
    worker, loop = divmod(number, loops)
    of_workers = f"worker {worker + 1} of {workers}"
    of_loops = f"loop {loop + 1} of {loops}"
    if loops == 1:
        return of_workers
    return of_loops if workers == 1 else f"{of_loops} in {of_workers}"


def _silent_listener(blank: Result, measurement: Measurement) -> str | None:
    """Whose had no echo in the window, though another's had: a hung worker is no slow one."""
    if not measurement.messages:
        return None
    for number, listener in enumerate(measurement.listeners):
        if not listener.messages:
            return who_serves(number, blank.workers, blank.loops)
    return None


def missed_the_window(measurement: Measurement) -> bool:
    """Whether no echo came in the window, though the row was alive: some came after it. It had no
    CPU then, or not for long enough; that is no fault of its own."""
    return measurement.messages == 0 and bool(measurement.drained)


def _nothing_came(blank: Result, measurement: Measurement, window_s: float) -> str:
    nothing = f"no echo came back in {window_s:.3g} s"
    if missed_the_window(measurement):
        return (
            f"{nothing}, {measurement.drained} came after that: the machine is too busy for"
            " so short a round, or the row too slow: a longer --runtime"
        )
    think_us, _ = blank.think_us
    if blank.warmup_s and think_us >= 1e6 * window_s:  # all that was due, was so before the window
        think = format_duration(NS_PER_US * think_us)
        return f"{nothing}, which is no longer than a --think of {think}: a longer --runtime"
    return nothing if measurement.drained is None else f"{nothing}, nor in the 2 s after"


def _in_flight(measurement: Measurement) -> float | None:
    if measurement.in_flight_ns is None or not measurement.window_ns:
        return None
    return measurement.in_flight_ns / measurement.window_ns


def with_series(
    result: Result,
    measurement: Measurement,
    used: Sequence[WindowUsage] | None,
    slice_ms: int,
) -> Result:
    """The result with how it came about, slice by slice. used: as for `client_usage`.

    Of a failed one as well: it may show when it failed.
    """
    slices = measurement.slices
    if not slices:
        return result
    series = Series(
        slice_ms=slice_ms,
        messages=[one.messages for one in slices],
        mean_ns=[round(one.latency_sum_ns / max(1, one.messages)) for one in slices],
        max_ns=[one.latency_max_ns for one in slices],
        cpu_ns=list(sum_of_window(used).slices_ns) if used is not None else [],
    )
    return structs.replace(result, series=series)


def with_stamps(result: Result, monitor: Monitor, *, worker_s: float, local_server: bool) -> Result:
    """The result with what else went on, and its warnings; a failed one as it is.

    worker_s: CPU time of the worker while the monitor looked.  local_server: whether the load
    server used CPUs of this machine too.
    """
    if not result.ok or result.server is None:
        return result
    server = result.server
    disturbance = monitor.disturbance(
        worker_s=worker_s,
        server_share=(server.user_s + server.sys_s) / server.wall_s if local_server else 0.0,
    )
    result = structs.replace(result, disturbance=disturbance)
    share = estimated_queue_share(result)
    if share is not None and result.server_queue is None:
        result = structs.replace(result, server_queue=share, server_queue_source="estimate")
    return structs.replace(result, warnings=stamps.run(result))


def _with_queue(result: Result, measurement: Measurement) -> Result:
    """With what the kernel's receive times say about the load server's own queue, if asked for.

    The mean time from an echo's arrival to its reading, over the mean latency.
    """
    queue = measurement.queue
    if queue is None or not queue.samples or not measurement.latency_sum_ns:
        return result
    mean_ns = measurement.latency_sum_ns / measurement.messages
    share = min(1.0, queue.sum_ns / queue.samples / mean_ns)
    return structs.replace(result, server_queue=share, server_queue_source="kernel")


def _with_corrected(result: Result, measurement: Measurement) -> Result:
    """With the figures of an open loop, if it was one."""
    found = measurement.corrected
    if found is None:
        return result
    return structs.replace(
        result,
        late=found.late,
        unsent=found.unsent,
        corrected_ns=_latency(found.histogram, found.sum_ns, found.max_ns),
        corrected_histogram=found.histogram,
        censored=found.censored,
        bounded_ns=Latency(**found.bounds) if found.bounds and found.censored else None,
    )


def empty_result(cell: Cell, number: int, started_at: str, env: dict[str, Any]) -> Result:
    """A result still without measurements.

    number: of the round, from 1.  started_at: ISO 8601.
    """
    return Result(
        func=cell.label,
        conns=cell.conns,
        msize=cell.msize,
        **axes.point(cell),
        round=number,
        started_at=started_at,
        status="ok",
        runtime_s=cell.runtime_ns / NS_PER_S,
        warmup_s=cell.warmup_ns / NS_PER_S,
        think_us=cell.think_us,
        rate=cell.rate,
        row=cell.row.name if cell.label != cell.row.name else "",
        family=cell.row.family,
        spec=cell.row.spec,
        python={} if cell.python is None else {"name": cell.python.name},
        env_set=dict(cell.env),
        options=_options(cell),
        env=env,
    )


def _options(cell: Cell) -> dict[str, Any]:
    """The options of the round that a result has no key for, where they are not the usual ones."""
    own = {*Result.__struct_fields__, *ServerUsage.__struct_fields__}
    return {
        option.key: value
        for option in OPTIONS.values()
        if option.of_round
        and option.key not in own
        and (value := getattr(cell, option.field)) != option.usual
    }


def with_interpreter(blank: Result, python: Mapping[str, Any]) -> Result:
    """With what the worker runs under. python: as it describes itself, empty for a program."""
    return structs.replace(blank, python={**blank.python, **python})


def failed(blank: Result, error: str, *, status: Status = "failed", details: str = "") -> Result:
    """A result that says why there are no figures. error: made one line.  details: a traceback."""
    return structs.replace(blank, status=status, error=" ".join(error.split()), details=details)


def client_usage(
    usages: Sequence[Usage],
    windows: Sequence[WindowUsage] | None,
    measurement: Measurement,
    placement: Placement,
    cell: Cell,
    resident: Resident | None = None,
) -> ClientUsage:
    """What the window took of the workers; what the whole took where only that is known.

    usages: of each from ready to end, by its own account.  windows: of each in the window.
    placement: of the cell.  resident: what the connections cost in memory.
    Switches are known of the whole only: the window has its messages' part of them.
    """
    usage, used = sum_of_whole(usages), None if windows is None else sum_of_window(windows)
    part = 1.0 if used is None else measurement.messages / max(1, measurement.total)
    return ClientUsage(
        user_s=usage.user_s if used is None else used.user_s,
        sys_s=usage.sys_s if used is None else used.sys_s,
        wall_s=usage.wall_s if used is None else measurement.window_ns / NS_PER_S,
        max_rss_kb=usage.max_rss_kb,
        cpu=placement.worker_cpu,
        messages=measurement.total if used is None else measurement.messages,
        minor_faults=usage.minor_faults if used is None else used.minor_faults,
        voluntary_switches=_part_of(usage.voluntary_switches, part),
        involuntary_switches=_part_of(usage.involuntary_switches, part),
        rss_kb=resident,
        gil=usage.gil,
        shares=_shares(cell, measurement, placement, usages, windows),
    )


def _shares(
    cell: Cell,
    measurement: Measurement,
    placement: Placement,
    usages: Sequence[Usage],
    windows: Sequence[WindowUsage] | None,
) -> tuple[ListenerShare, ...]:
    """What each listener had of the round; none where there is but one."""
    used = [one.user_s + one.sys_s for one in windows or usages]
    cpus = placement.worker_cpus
    return tuple(
        ListenerShare(
            worker=number // cell.loops + 1,
            loop=number % cell.loops + 1,
            conns=listener.conns,
            messages=listener.messages,
            cpu=cpus[number] if cpus and cell.loops == 1 else None,
            cpu_s=used[number] if cell.loops == 1 else None,
        )
        for number, listener in enumerate(measurement.listeners)
    )


def _part_of(count: int | None, part: float) -> int | None:
    return None if count is None else round(part * count)


def _server(server: Server, measurement: Measurement) -> ServerUsage:
    return ServerUsage(
        address=str(server.address),
        engine=measurement.engine,
        threads=measurement.threads,
        user_s=measurement.user_ns / NS_PER_S,
        sys_s=measurement.sys_ns / NS_PER_S,
        wall_s=measurement.window_ns / NS_PER_S,
        connect_s=server.connect_s,
        handshake_s=None
        if measurement.handshake_ns is None
        else measurement.handshake_ns / NS_PER_S,
        tls_cipher=measurement.cipher,
        version=measurement.version,
        waits=measurement.waits,
        events=measurement.events,
        events_squared=measurement.events_squared,
        timestamps="kernel" if measurement.queue is not None else "",
        busy_poll_us=measurement.busy_poll_us,
        idle_s=measurement.idle_ns / NS_PER_S,
        parts=server.parts,
    )


def _latency(histogram: Mapping[int, int], sum_ns: int, top: int) -> Latency | None:
    """None when there were no messages. top: the true maximum; a bucket's edge may lie above it."""
    messages = sum(histogram.values())
    if messages == 0:
        return None
    quantiles = (0.50, 0.75, 0.90, 0.95, 0.99, 0.999)
    p50, p75, p90, p95, p99, p999 = (min(top, percentile_ns(histogram, q)) for q in quantiles)
    mean = round(sum_ns / messages)
    return Latency(mean=mean, p50=p50, p75=p75, p90=p90, p95=p95, p99=p99, p999=p999, max=top)


def _per_conn(measurement: Measurement) -> PerConn:
    percentiles = measurement.percentiles
    return PerConn(
        min=measurement.conn_min,
        p5=percentiles[0],
        p50=percentiles[9],
        p95=percentiles[18],
        max=measurement.conn_max,
        jain=measurement.jain,
        starved=measurement.starved,
        lost=measurement.lost,
        lost_by=measurement.lost_by,
        percentiles=list(percentiles),
    )
