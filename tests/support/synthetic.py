"""Results that look like measured ones, made from a seed: for tests of reports and comparisons."""

import math
import random
from collections.abc import Sequence
from typing import Any

from pybench.analysis.model import Round, rounds_of_section
from pybench.analysis.stats import bucket_width_ns, percentile_ns
from pybench.result import (
    ClientUsage,
    Latency,
    PerConn,
    Result,
    Series,
    ServerUsage,
    Stamp,
    Status,
)
from pybench.result.campaign import CampaignRecord
from pybench.units import NS_PER_S

# row -> (messages/s at 10, 100, 1000 and 10000 connections, user mode's share of CPU)
SPEEDS: dict[str, tuple[tuple[int, int, int, int], float]] = {
    "asyncio": ((33_000, 38_000, 34_000, 26_000), 0.90),
    "asyncio_proto": ((30_000, 31_000, 30_500, 28_000), 0.45),
    "asyncio_sock": ((41_000, 42_000, 40_000, 36_000), 0.88),
    "uvloop": ((70_000, 74_000, 66_000, 47_000), 0.78),
    "uvloop_proto": ((96_000, 102_000, 98_000, 87_000), 0.38),
    "uvloop_sock": ((72_000, 75_000, 71_000, 60_000), 0.70),
    "gevent": ((58_000, 61_000, 56_000, 50_000), 0.80),
    "selector": ((92_000, 97_000, 93_000, 80_000), 0.55),
    "thread": ((88_000, 84_000, 60_000, 41_000), 0.32),
    "c_epoll": ((128_000, 139_000, 131_000, 112_000), 0.06),
    "c_poll": ((125_000, 134_000, 118_000, 61_000), 0.05),
    "c_th": ((110_000, 108_000, 92_000, 78_000), 0.07),
    "raw_selector": ((115_000, 124_000, 119_000, 101_000), 0.33),
}
COUNTS = (10, 100, 1000, 10_000)

ENV: dict[str, Any] = {
    "cpu_model": "Example CPU 3000 @ 3.40GHz",
    "cpus": 4,
    "kernel": "6.18.0",
    "python": "3.11.7",
    "libraries": {"uvloop": "0.21.0", "gevent": "24.2.1"},
    "governor": "performance",
    "load_average": 0.25,
}

GENERATOR_BOUND = Stamp(
    code="generator_bound",
    text="34% of the latency passed in the load server's own queue: the figure is a lower bound",
    remedy="give the load server more CPUs (--server-cpus)",
)
UNFAIR = Stamp(
    code="unfair",
    text="Jain's index 0.71, 38 connections starved",
    remedy="do not compare this row's speed with the others",
)


def lower_edge(value_ns: float) -> int:
    """Lower edge of the bucket that holds value_ns."""
    whole = int(value_ns)
    return whole - whole % bucket_width_ns(whole)


def histogram(rng: random.Random, median_ns: float, spread: float, samples: int) -> dict[int, int]:
    """Bucket counts of a lognormal distribution with a thin slow tail."""
    counts: dict[int, int] = {}
    for _ in range(samples):
        value = median_ns * math.exp(rng.gauss(0, spread))
        if rng.random() < 0.004:
            value *= rng.uniform(2, 12)
        edge = lower_edge(value)
        counts[edge] = counts.get(edge, 0) + 1
    return dict(sorted(counts.items()))


def make_result(
    func: str,
    conns: int,
    number: int = 1,
    *,
    mps: float = 50_000.0,
    user_share: float = 0.5,
    seed: object = 0,
    server: str = "127.0.0.1:40001",
    warnings: Sequence[Stamp] = (),
    jain: float = 0.998,
    starved: int = 0,
    samples: int = 2000,
    **changes: Any,
) -> Result:
    """One good round with figures that fit together: Little's law holds, the CPU was busy.

    samples: how many round-trip times the histogram has.  changes: fields of Result to replace.
    """
    rng = random.Random(f"{seed}/{func}/{conns}/{number}")
    messages = int(mps * 2)
    counts = histogram(rng, conns / mps * 1e9 * 0.97, 0.12, samples)
    fields: dict[str, Any] = {
        "func": func,
        "conns": conns,
        "msize": 64,
        "round": number,
        "started_at": f"2026-01-02T03:{number:02}:00+00:00",
        "status": "ok",
        "runtime_s": 2.0,
        "warmup_s": 0.5,
        "messages": messages,
        "window_s": 2.0,
        "mps": mps,
        "latency_ns": make_latency(counts, int(conns / mps * 1e9)),
        "histogram": counts,
        "per_conn": make_per_conn(messages / conns, jain, starved),
        "client": ClientUsage(
            user_s=2.5 * user_share,
            sys_s=2.5 * (1 - user_share),
            wall_s=2.55,
            max_rss_kb=18_000 + 6 * conns,
            cpu=1,
            messages=int(mps * 2.5),
        ),
        "server": ServerUsage(
            address=server,
            engine="epoll",
            threads=1,
            user_s=0.4,
            sys_s=1.5,
            wall_s=2.0,
            connect_s=0.002 + conns * 20e-6,
        ),
        "series": make_series(messages, int(conns / mps * 1e9)),
        "warnings": tuple(warnings),
        "env": ENV,
    }
    return Result(**(fields | changes))


def make_latency(counts: dict[int, int], mean_ns: int) -> Latency:
    """The percentiles of a histogram."""
    share = {q: percentile_ns(counts, q) for q in (0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0)}
    return Latency(
        mean=mean_ns,
        p50=share[0.5],
        p75=share[0.75],
        p90=share[0.9],
        p95=share[0.95],
        p99=share[0.99],
        p999=share[0.999],
        max=share[1.0],
    )


def make_per_conn(each: float, jain: float, starved: int) -> PerConn:
    """each: messages of a connection in the middle."""
    return PerConn(
        min=int(each * (0 if starved else 0.9)),
        p5=int(each * 0.95),
        p50=int(each),
        p95=int(each * 1.05),
        max=int(each * 1.1),
        jain=jain,
        starved=starved,
        lost=0,
    )


def make_series(messages: int, latency_ns: int, slices: int = 20) -> Series:
    """Of a window of 2 s that went on evenly."""
    return Series(
        slice_ms=2000 // slices,
        messages=[messages // slices] * slices,
        mean_ns=[latency_ns] * slices,
        max_ns=[3 * latency_ns] * slices,
        cpu_ns=[2 * NS_PER_S // slices] * slices,
    )


def make_failure(
    func: str,
    conns: int,
    number: int = 1,
    *,
    status: Status = "failed",
    error: str = "accept: Too many open files",
    msize: int = 64,
) -> Result:
    """One round that measured nothing: no figures, no server, no environment."""
    return Result(
        func=func,
        conns=conns,
        msize=msize,
        round=number,
        started_at="2026-01-02T03:00:00+00:00",
        status=status,
        error=error,
        runtime_s=2.0,
        warmup_s=0.5,
    )


def make_campaign(
    *,
    funcs: Sequence[str] = tuple(SPEEDS),
    counts: Sequence[int] = COUNTS,
    rounds: int = 5,
    noise: float = 0.03,
    drift: float = 0.02,
    seed: object = 0,
    speed: dict[str, float] | None = None,
    stamps: bool = False,
    samples: int = 2000,
) -> list[Result]:
    """A campaign: rounds outermost, a drift of the machine that a whole round shares, and noise.

    noise, drift: standard deviations of the logarithm.  speed: row -> factor on its figures.
    stamps: the C rows at 1000 and more connections are generator_bound, asyncio_sock is unfair at
    10,000, and threads hang there in the last round.
    """
    rng = random.Random(f"campaign/{seed}")
    results = []
    for number in range(1, rounds + 1):
        common = math.exp(rng.gauss(0, drift))
        for func in funcs:
            rates, user = SPEEDS[func]
            for conns in counts:
                base = rates[min(3, max(0, round(math.log10(conns)) - 1))]
                mps = base * (speed or {}).get(func, 1.0) * common * math.exp(rng.gauss(0, noise))
                extra: dict[str, Any] = {}
                if stamps and func.startswith("c_") and conns >= 1000:
                    extra["warnings"] = [GENERATOR_BOUND]
                if stamps and func == "asyncio_sock" and conns >= 10_000:
                    extra = {"warnings": [UNFAIR], "jain": 0.71, "starved": 38}
                if stamps and func == "thread" and conns >= 10_000 and number == rounds:
                    results.append(
                        make_failure(func, conns, number, status="hung", error="no echo for 5 s")
                    )
                    continue
                results.append(
                    make_result(
                        func,
                        conns,
                        number,
                        mps=mps,
                        user_share=user,
                        seed=seed,
                        samples=samples,
                        **extra,
                    )
                )
    return results


# Rows of a report on everything: name, the family in the results, speed relative to selector.
MANY_ROWS: tuple[tuple[str, str, float], ...] = (
    ("asyncio", "asyncio", 0.37),
    ("asyncio_proto", "asyncio", 0.42),
    ("asyncio_sock", "asyncio", 0.45),
    ("asyncio_buffered", "asyncio", 0.44),
    ("asyncio_eager", "asyncio", 0.40),
    ("uvloop", "uvloop", 0.72),
    ("uvloop_proto", "uvloop", 1.04),
    ("uvloop_sock", "uvloop", 0.76),
    ("uvloop_buffered", "uvloop", 1.01),
    ("rloop", "other loops", 0.66),
    ("rloop_proto", "other loops", 0.97),
    ("rloop_sock", "other loops", 0.61),
    ("aiofastnet", "other loops", 0.55),
    ("aiofastnet_proto", "other loops", 0.82),
    ("aiofastnet_buffered", "other loops", 0.80),
    ("trio", "trio", 0.19),
    ("anyio", "trio", 0.28),
    ("curio", "trio", 0.33),
    ("anyio_trio", "trio", 0.15),
    ("twisted", "frameworks", 0.31),
    ("tornado", "frameworks", 0.24),
    ("gevent", "greenlets", 0.62),
    ("eventlet", "greenlets", 0.35),
    ("selector", "selectors", 1.0),
    ("raw_selector", "selectors", 1.27),
    ("thread", "threads", 0.92),
    ("socketserver", "threads", 0.70),
    ("c_epoll", "C", 1.43),
    ("c_poll", "C", 1.40),
    ("c_th", "C", 1.15),
    ("c_uring", "C", 1.62),
    ("exec:go-echo", "programs", 1.08),
    ("c-echo", "programs", 1.41),
    ("mine:serve", "plug-ins", 0.50),
    ("fastecho", "plug-ins", 0.88),
    ("asyncio_proto[py3.12]", "asyncio", 0.47),
    ("asyncio_proto[py3.13]", "asyncio", 0.51),
    ("asyncio[py3.13]", "asyncio", 0.43),
)


def make_many(counts: Sequence[int] = (10, 100, 1000), rounds: int = 3) -> list[Result]:
    """A campaign of 38 rows, plug-ins and programs among them; `c_poll` slows down with counts."""
    rng = random.Random("many")
    results = []
    for number in range(1, rounds + 1):
        for row, family, speed in MANY_ROWS:
            for place, conns in enumerate(counts):
                slower = 0.8 if row in ("c_poll", "thread") else 0.96
                mps = 92_000 * speed * slower**place * math.exp(rng.gauss(0, 0.02))
                user = 0.06 if family == "C" else 0.6
                results.append(
                    make_result(
                        row, conns, number, mps=mps, user_share=user, family=family, samples=400
                    )
                )
    return results


def as_rounds(results: Sequence[Result], campaign: str = "") -> list[Round]:
    """The results as the reports see them, of one interleaved campaign when it is named."""
    return rounds_of_section(results, CampaignRecord(id=campaign) if campaign else None)
