"""Puts together what load server and worker said about a round. Neither prints nor measures."""

import dataclasses
from dataclasses import dataclass
from typing import Any

from pybench import checks
from pybench.control import Measurement
from pybench.result import ClientUsage, Latency, PerConn, Result, ServerUsage, Status
from pybench.spec import Cell, HostPort
from pybench.stats import percentile_ns
from pybench.units import NS_PER_S
from pybench.workerprocess import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What the driver knows of the server. connect_s: how long it took to connect all."""

    address: HostPort
    connect_s: float


def measured(
    blank: Result,
    measurement: Measurement,
    usage: Usage,
    *,
    cpu: int | None,
    server: Server,
) -> Result:
    """The result of a round that ran to its end, with its warnings; `failed` when no echo came.

    blank: as `unmeasured` makes it.  cpu: of the worker.
    """
    window_s = measurement.window_ns / NS_PER_S
    mps = measurement.messages / window_s if window_s else 0.0
    result = dataclasses.replace(
        blank,
        messages=measurement.messages,
        window_s=window_s,
        mps=mps,
        latency_ns=_latency(measurement),
        histogram=measurement.histogram,
        per_conn=_per_conn(measurement),
        client=ClientUsage(
            user_s=usage.user_s,
            sys_s=usage.sys_s,
            wall_s=usage.wall_s,
            max_rss_kb=usage.max_rss_kb,
            cpu=cpu,
            messages=measurement.total,
        ),
        server=ServerUsage(
            address=str(server.address),
            engine=measurement.engine,
            threads=measurement.threads,
            user_s=measurement.user_ns / NS_PER_S,
            sys_s=measurement.sys_ns / NS_PER_S,
            wall_s=window_s,
            connect_s=server.connect_s,
            version=measurement.version,
        ),
    )
    if measurement.lost >= blank.conns:
        causes = ", ".join(f"{n} {cause}" for cause, n in measurement.lost_by.items() if n)
        return failed(result, f"all {blank.conns} connections were lost ({causes})")
    if result.latency_ns is None:
        return failed(result, f"no echo came back in {window_s:.3g} s")
    return dataclasses.replace(result, warnings=checks.run(result))


def unmeasured(cell: Cell, number: int, started_at: str, env: dict[str, Any]) -> Result:
    """A result still without measurements.

    number: of the round, from 1.  started_at: ISO 8601.
    """
    return Result(
        func=cell.func,
        conns=cell.conns,
        msize=cell.msize,
        round=number,
        started_at=started_at,
        status="ok",
        runtime_s=cell.runtime_ns / NS_PER_S,
        warmup_s=cell.warmup_ns / NS_PER_S,
        think_us=cell.think_us,
        env=env,
    )


def failed(blank: Result, error: str, *, status: Status = "failed", details: str = "") -> Result:
    """A result that says why there are no figures. error: made one line.  details: a traceback."""
    return dataclasses.replace(blank, status=status, error=" ".join(error.split()), details=details)


def _latency(measurement: Measurement) -> Latency | None:
    """None when there were no messages. A bucket's upper edge may lie above the true maximum."""
    if measurement.messages == 0:
        return None
    top = measurement.latency_max_ns
    quantiles = (0.50, 0.75, 0.90, 0.95, 0.99, 0.999)
    p50, p75, p90, p95, p99, p999 = (
        min(top, percentile_ns(measurement.histogram, q)) for q in quantiles
    )
    mean = round(measurement.latency_sum_ns / measurement.messages)
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
