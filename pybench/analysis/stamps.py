"""The closed list of stamps: what a reader must know before believing a result.

A check is a function from a result to a warning with its number and its remedy, or None; `CHECKS`
lists them all. A check neither prints nor measures. One stamp is not about one result but about a
cell's rounds together: `modes`.
Each stamp is of a class, which says what a verdict makes of it: `CLASSES`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal

from pybench.analysis import steadiness
from pybench.analysis.parallel import client_cpus, cpu_s_to_be_had
from pybench.analysis.queue_share import server_busy
from pybench.result import Result, Stamp

Class = Literal["invalid", "bound", "caution", "machine"]

CLASSES: Final[Mapping[str, Class]] = {
    "corrupt": "invalid",
    "lost": "invalid",
    "idle_lost": "invalid",
    "littles_law": "invalid",
    "unfair": "invalid",
    "null_engine": "invalid",
    "generator_bound": "bound",
    "client_idle": "bound",
    "overloaded": "bound",
    "shared_core": "caution",
    "steal": "caution",
    "few_cpus": "caution",
    "uneven": "caution",
    "gil_on": "caution",
    "busy_machine": "caution",
    "throttled": "caution",
    "backlog": "caution",
    "short_run": "caution",
    "modes": "caution",
    "page_faults": "caution",
    "unsteady": "caution",
    "frequency": "machine",
}
"""invalid: no figure of the side can be judged, a demand on it is broken.
bound: the figure is only a bound of what the row can do (`verdict.py` knows of which metrics).
caution: said beside it.  machine: true of every cell measured there, and said once."""

LITTLE_TOLERANCE = 0.05
SHORT_OF_CYCLES = 0.25
"""Of the window: with a longer cycle of a connection than this, what is missing from the law is the
cut ends of cycles."""
SHORT_RUN_S = 1.0
FAIR_JAIN = 0.9
QUEUE_SHARE = 0.2
SERVER_BUSY = 0.9
CLIENT_BUSY = 0.9
STEAL_SHARE = 0.02
OTHER_SHARE = 0.05
THROTTLED_SHARE = 0.02
KEPT_RATE = 0.98
LATE_SHARE = 0.5
UNEVEN = 1.25
"""Most messages of a worker or loop over their mean, up to which it is no stamp."""
PINGS_TO_BE_FAIR = 4
DRAWN_TO_BE_FAIR = 40
"""As many, where each connection's number of pings is drawn: Jain's index of Poisson's numbers is
1 / (1 + 1/m), and one in exp(m) of them is 0."""
FAULTS_PER_MESSAGE = 0.5
LOST_SHARE = 0.01
"""Of the connections: with more of them lost or corrupt, the figure is one of the survivors, and
the round has failed. Up to there it is stamped."""


def littles_law(result: Result) -> Stamp | None:
    """In a closed loop, connections = messages/s * (mean latency + mean think time), within 5%, and
    with several pings in flight on each the pings.

    Broken where connections wait for an answer that does not come inside the window: their waits
    are in no latency, though the pings in flight, which are counted, are as many as they should be.
    Each end of the window cuts through one ping of every connection, which is worth up to a latency
    in the window's length: the 99th percentile is allowed for, so that a short run is not blamed
    for that, and a think time, which is not measured. Where a window has room for few cycles of a
    connection, ping and think time, that is all there is to say.
    Not asked of a result with lost connections: their number is not one then; nor of an
    open loop, where connections wait for their schedule.
    """
    if result.latency_ns is None or result.per_conn is None or result.per_conn.lost or result.rate:
        return None
    latency, thinks_s = result.latency_ns, result.think_us[1] / 1e6
    cycle_s = latency.mean / 1e9 + sum(result.think_us) / 2 / 1e6
    found = result.mps * cycle_s
    asked, what = result.conns * result.inflight, "connections" if result.inflight == 1 else "pings"
    counted = asked if result.in_flight is None else _in_cycle(result, result.in_flight)
    longest_s = latency.max / 1e9 + thinks_s
    short = longest_s > SHORT_OF_CYCLES * result.window_s
    if (off := abs(counted / asked - 1)) > LITTLE_TOLERANCE:
        if off <= LITTLE_TOLERANCE + thinks_s / result.window_s:
            return _too_short(result, longest_s)
        if thinks_s and counted < asked:
            return _thought_longer(result)
        return Stamp(
            code="littles_law",
            text=f"{counted:.4g} {what} were at work on average, not {asked}:"
            " the load server's count is wrong",
            remedy="report it: no figure of this round can be used",
        )
    tolerance = LITTLE_TOLERANCE + (latency.p99 / 1e9 + thinks_s) / result.window_s
    if abs(found / asked - 1) <= tolerance:
        return None
    if short:
        return _too_short(result, longest_s)
    return Stamp(
        code="littles_law",
        text=f"messages/s x latency gives {found:.4g} {what}, not {asked}:"
        " the others waited too long to be in any latency",
        remedy="a longer --runtime; if it stays, the backend starves connections",
    )


def _thought_longer(result: Result) -> Stamp:
    """Who is not in flight thinks: longer than asked, when the load server wakes up late."""
    thought_us = 1e6 * (result.conns - (result.in_flight or 0.0)) / result.mps
    return Stamp(
        code="littles_law",
        text=f"connections thought for {thought_us:,.0f} us on average instead of"
        f" {sum(result.think_us) / 2:,.0f}: the load server was late with their pings",
        remedy="longer think times, fewer connections, or more CPUs for the load server",
    )


def _too_short(result: Result, longest_s: float) -> Stamp:
    """longest_s: what a ping and its think time may take."""
    return Stamp(
        code="littles_law",
        text=f"a window of {result.window_s:.3g} s is too short for Little's law: a connection's"
        f" ping and think time take up to {longest_s:.3g} s",
        remedy=f"--runtime of {longest_s / LITTLE_TOLERANCE:.2g}s or more",
    )


def _in_cycle(result: Result, in_flight: float) -> float:
    """Pings in flight and connections that think: all there are."""
    return in_flight + result.mps * sum(result.think_us) / 2 / 1e6


def too_many_lost(result: Result) -> str | None:
    """Why a round with lost or corrupt connections has measured nothing; None where it has.

    Of few connections a single one is too many: above LOST_SHARE of them.
    """
    if result.per_conn is None or result.per_conn.lost <= LOST_SHARE * result.conns:
        return None
    if result.per_conn.lost >= result.conns:
        return _lost_of(result)
    return f"{_lost_of(result)}, more than {100 * LOST_SHARE:g}%: what is left is no measurement"


def _lost_of(result: Result) -> str:
    assert result.per_conn is not None
    count, causes = result.per_conn.lost, result.per_conn.lost_by
    told = ", ".join(f"{n} {cause}" for cause, n in causes.items() if n)
    some = f"all {result.conns}" if count >= result.conns else f"{count} of {result.conns}"
    return f"{some} connections were lost" + (f" ({told})" if told else "")


def lost(result: Result) -> Stamp | None:
    """Connections that ended before the test did."""
    if result.per_conn is None or result.per_conn.lost == 0:
        return None
    return Stamp(
        code="lost",
        text=_lost_of(result),
        remedy="look for errors of the backend, and for limits of files, memory or the network",
    )


def idle_lost(result: Result) -> Stamp | None:
    """Idle connections that did not stay as they were opened."""
    if result.idle_lost == 0:
        return None
    return Stamp(
        code="idle_lost",
        text=f"{result.idle_lost} of {result.idle} idle connections had ended, or been written to,"
        " when the test did",
        remedy="look for a time limit of the backend on connections that say nothing",
    )


def corrupt(result: Result) -> Stamp | None:
    """Connections whose echo had wrong or too many bytes."""
    count = result.per_conn.lost_by.get("corrupt", 0) if result.per_conn else 0
    if count == 0:
        return None
    return Stamp(
        code="corrupt",
        text=f"{count} of {result.conns} connections echoed wrong bytes",
        remedy="the backend is at fault: no figure of this row can be used",
    )


def null_engine(result: Result) -> Stamp | None:
    """No ping reached the row: each was its own echo inside the load server."""
    if result.server is None or result.server.engine != "null":
        return None
    cost_ns = 1e9 * (result.server.user_s + result.server.sys_s) / max(result.messages, 1)
    return Stamp(
        code="null_engine",
        text="the null engine moves no bytes: the load server itself spends"
        f" {cost_ns:.0f} ns of CPU time on a message, and the row did nothing",
        remedy="--engine epoll or uring to measure the row",
    )


def generator_bound(result: Result) -> Stamp | None:
    """Echoes waited for the load server more than for anything else to be believed: it is the
    bottleneck, and the row could do more.

    Above 20% of the mean latency in the load server's own queue. Its figure is an estimate where
    the kernel was not asked for receive times (`bottleneck.py`). Where pings wait for a schedule or
    a think time, an echo may be waited for by an idle load server, and to wake up and read it may
    be a good part of a short latency: there it must be busy for 90% of the time as well.
    """
    share = result.server_queue
    if share is None or share <= QUEUE_SHARE:
        return None
    if (result.rate or result.think_us[1]) and server_busy(result) < SERVER_BUSY:
        return None
    source = {"kernel": "kernel receive times", "estimate": "estimated"}
    return Stamp(
        code="generator_bound",
        text=f"{100 * share:.0f}% of the latency passed in the load server's own queue"
        f" ({source.get(result.server_queue_source, result.server_queue_source)}):"
        f" a lower bound of what the row can do{_ceiling(result)}",
        remedy=_faster_generator(result),
    )


def _ceiling(result: Result) -> str:
    """What calibration, which is over TCP, found the engine to be able to do here, if it did."""
    if result.transport != "tcp":
        return ""
    engine = result.server.engine if result.server else ""
    ceiling = result.env.get("calibration", {}).get("ceiling_mps", {}).get(engine)
    return f"; the {engine} engine reaches {ceiling:,.0f} messages/s here" if ceiling else ""


def _faster_generator(result: Result) -> str:
    only = result.transport == "tls"  # that engine knows none
    if only or (result.server is not None and result.server.engine == "uring"):
        return "more CPUs for the load server (--server-cpus, --server-threads, or --server)"
    return "--engine uring, or more CPUs for the load server (--server-cpus, --server)"


def client_idle(result: Result) -> Stamp | None:
    """The worker was not busy: the figure is made by latency, not by what the row can do.

    Its CPU time is held against the wall time of warm-up and window, less what others took of its
    CPU: the time to close the connections at the end is not asked for. Not said of an open loop or
    of think time, where idling is meant, nor of a worker that was throttled.
    """
    client = result.client
    if client is None or result.rate or result.think_us[1] or throttled(result):
        return None
    wall_s = min(client.wall_s, result.warmup_s + result.window_s)
    taken = result.disturbance.taken if result.disturbance else 0.0
    if wall_s <= 0 or taken >= 1:
        return None
    cpus, had_s = client_cpus(result), cpu_s_to_be_had(result, wall_s) * (1 - taken)
    busy = (client.user_s + client.sys_s) / had_s if had_s > 0 else 1.0
    if busy >= CLIENT_BUSY:
        return None
    who = "the worker was" if cpus == 1 else f"the {cpus} CPUs of the workers were"
    return Stamp(
        code="client_idle",
        text=f"{who} busy for {100 * busy:.0f}% of the time: the figure measures latency,"
        " not capacity",
        remedy="more connections; if it stays, look for what the worker waits for",
    )


def _arrives_at_random(result: Result) -> bool:
    return bool(result.options.get("arrivals") == "poisson")


def unfair(result: Result) -> Stamp | None:
    """Connections served far less than others: the mean hides that some stood still.

    Not said of a rate so low, or think times so long, that each connection was to have but a few
    pings.
    """
    spread = result.per_conn
    if spread is None or (spread.jain >= FAIR_JAIN and spread.starved == 0):
        return None
    if result.think_us[1] / 1e6 * PINGS_TO_BE_FAIR > result.window_s:
        return None
    needed = DRAWN_TO_BE_FAIR if _arrives_at_random(result) else PINGS_TO_BE_FAIR
    if result.rate and result.rate * result.window_s < needed * result.conns:
        return None
    return Stamp(
        code="unfair",
        text=f"Jain's index {spread.jain:.3f}, {spread.starved} of {result.conns} connections"
        " got no echo",
        remedy="a longer --runtime; if it stays, the backend starves connections",
    )


def overloaded(result: Result) -> Stamp | None:
    """An open loop that could not keep its schedule: more was asked for than can be done.

    Less than 98% of the pings that were due had their echo, more than 2% were never sent, or more
    than half were sent late: a hiccup of the machine delays some, a schedule that is lost all. Of
    arrivals at random more or fewer may fall into the window, by four standard deviations.
    """
    if not result.rate or not result.ok:
        return None
    due = result.rate * result.window_s
    chance = 4 * math.sqrt(due) if _arrives_at_random(result) else 0.0
    # a ping more or less falls into the window
    kept = result.messages >= KEPT_RATE * due - 1 - chance
    sent_in_time = result.late <= LATE_SHARE * due
    if kept and sent_in_time and result.unsent <= (1 - KEPT_RATE) * due + 1:
        return None
    return Stamp(
        code="overloaded",
        text=f"{result.mps:,.0f} of {result.rate:,} messages/s were reached,"
        f" {result.late} pings were sent late and {result.unsent} not at all",
        remedy="a lower --rate; the latency from the due time grows with the length of the run",
    )


def shared_core(result: Result) -> Stamp | None:
    """Worker and embedded load server on the same CPU, or on SMT siblings."""
    shared = result.env.get("placement", {}).get("shared_cpus", ())
    if not shared:
        return None
    cpus = ",".join(map(str, shared))
    return Stamp(
        code="shared_core",
        text=f"the load server takes time from the worker on CPU {cpus}",
        remedy="more CPUs, --server-cpus, or a load server on another machine (--server)",
    )


def few_cpus(result: Result) -> Stamp | None:
    """Workers, or their loops, that had to share CPUs with each other."""
    cpus = result.env.get("placement", {}).get("worker_cpus", ())
    if len(set(cpus)) >= len(cpus):
        return None
    return Stamp(
        code="few_cpus",
        text=f"{len(cpus)} loops had {len(set(cpus))} CPUs: they took time from each other",
        remedy="more CPUs, or fewer workers and loops (--cpu gives them a list)",
    )


def uneven(result: Result) -> Stamp | None:
    """One worker, or loop, did much more than its part."""
    client = result.client
    if client is None or client.unevenness <= UNEVEN:
        return None
    share = max(client.shares, key=lambda one: one.messages)
    whole = sum(one.messages for one in client.shares)
    who = f"worker {share.worker}" if result.loops == 1 else f"loop {share.loop}"
    if result.loops > 1 and result.workers > 1:
        who += f" of worker {share.worker}"
    return Stamp(
        code="uneven",
        text=f"{who} had {100 * share.messages / whole:.0f}% of the messages, of"
        f" {len(client.shares)} listeners: {client.unevenness:.2f} times the mean",
        remedy="a CPU of its own for each, connections enough to deal out evenly, longer rounds",
    )


def gil_on(result: Result) -> Stamp | None:
    """A Python that was built to run without the GIL ran with it."""
    client = result.client
    if client is None or not client.gil or not result.python.get("gil_disabled_build"):
        return None
    library = result.python.get("library", "") or "a module of the row"
    return Stamp(
        code="gil_on",
        text=f"the free-threaded Python ran with its GIL on: {library} needs it, or PYTHON_GIL=1"
        " or -X gil=1 asks for it",
        remedy="a version of the library that declares Py_MOD_GIL_NOT_USED; --env PYTHON_GIL=0"
        " keeps it off, at the library's own risk",
    )


def steal(result: Result) -> Stamp | None:
    """The hypervisor gave CPU time to other guests."""
    found = result.disturbance
    if found is None or found.steal <= STEAL_SHARE:
        return None
    return Stamp(
        code="steal",
        text=f"the hypervisor took {100 * found.steal:.0f}% of the CPU time",
        remedy="more rounds at other hours, or a machine that is not shared",
    )


def busy_machine(result: Result) -> Stamp | None:
    """Other processes ran on the CPUs of the test."""
    found = result.disturbance
    if found is None or found.other <= OTHER_SHARE:
        return None
    return Stamp(
        code="busy_machine",
        text=f"other processes took {100 * found.other:.0f}% of the CPU time",
        remedy="end them, or pin the test to CPUs that they do not use (--cpu, --server-cpus)",
    )


def throttled(result: Result) -> Stamp | None:
    """The control group of the test, a container mostly, had used up its CPU time."""
    found = result.disturbance
    if found is None or found.throttled_s <= THROTTLED_SHARE * result.window_s:
        return None
    return Stamp(
        code="throttled",
        text=f"the limit of CPU time of this container or control group stopped it"
        f" {found.throttled_times} times, for {1000 * found.throttled_s:.0f} ms"
        f" of {1000 * result.window_s:.0f} ms",
        remedy="raise it or lift it (docker run --cpus, resources.limits.cpu, systemd CPUQuota=)",
    )


def frequency(result: Result) -> Stamp | None:
    """The clock of the CPUs may change from one round to the next."""
    governor, turbo = result.env.get("governor"), result.env.get("turbo")
    parts = []
    if governor not in (None, "performance"):
        parts.append(f"governor {governor}")
    if turbo:
        parts.append("turbo on")
    if not parts:
        return None
    span = result.env.get("frequency_mhz")
    between = f", {span[0]} to {span[1]} MHz" if span else ""
    return Stamp(
        code="frequency",
        text=f"the CPUs' clock varies ({', '.join(parts)}{between})",
        remedy="cpupower frequency-set -g performance, and turbo off, while measuring",
    )


def backlog(result: Result) -> Stamp | None:
    """Connections met a full listen queue while the test connected. What is counted is TCP's."""
    found = result.disturbance if result.transport != "unix" else None
    if found is None or not (found.listen_overflows or found.listen_drops):
        return None
    return Stamp(
        code="backlog",
        text=f"the listen queue overflowed {found.listen_overflows} times and dropped"
        f" {found.listen_drops} connections while the test connected",
        remedy="sysctl -w net.core.somaxconn=65535; messages/s and latency are not concerned",
    )


def page_faults(result: Result) -> Stamp | None:
    """Memory is mapped anew for more than every second message."""
    client = result.client
    if client is None or client.minor_faults is None or not client.messages:
        return None
    each = client.minor_faults / client.messages
    if each <= FAULTS_PER_MESSAGE:
        return None
    return Stamp(
        code="page_faults",
        text=f"{each:.2g} page faults per message: the worker has memory mapped anew all the time",
        remedy="--env GLIBC_TUNABLES=glibc.malloc.mmap_threshold=1048576"
        ":glibc.malloc.trim_threshold=4194304, where it is malloc that does it (docs/findings.md)",
    )


def unsteady(result: Result) -> Stamp | None:
    """The speed changed within the window: a jump, or a trend (`steadiness.py`).

    Of whole slices. Not asked of an open loop, whose speed is what was asked for.
    """
    series = result.series
    if series is None or result.rate:
        return None
    whole = int(1000 * result.window_s / series.slice_ms + 1e-6)
    found = steadiness.change(series.messages[:whole])
    if found is None:
        return None
    per_s = 1000 / series.slice_ms
    return Stamp(
        code="unsteady",
        text=f"about {found.before * per_s:,.0f} messages/s until {found.at / per_s:.2g} s of the"
        f" window's {result.window_s:.2g} s, and {found.after * per_s:,.0f} after",
        remedy="a longer --warmup where it always settles, else more --rounds; --html draws it",
    )


def short_run(result: Result) -> Stamp | None:
    """A window too short for steady figures."""
    if result.window_s >= SHORT_RUN_S:
        return None
    return Stamp(
        code="short_run",
        text=f"measured for {result.window_s:.3g} s only",
        remedy=f"--runtime of {SHORT_RUN_S:g}s or more",
    )


def modes(speeds: Sequence[float]) -> Stamp | None:
    """The stamp on a cell whose rounds fall into two groups (`steadiness.py`): it has no mean.

    speeds: messages/s of its rounds.
    """
    found = steadiness.modes(speeds)
    if found is None:
        return None
    groups = ", ".join(f"{mode.rounds} of about {mode.speed:,.0f} messages/s" for mode in found)
    return Stamp(
        code="modes",
        text=f"the rounds fall into two groups: {groups}",
        remedy="look for what differs between two processes (page_faults, --explain); quote both,"
        " a mean is neither",
    )


def class_of(code: str) -> Class:
    """Its class; that of a code from a newer version is caution."""
    return CLASSES.get(code, "caution")


Check = Callable[[Result], Stamp | None]

CHECKS: tuple[Check, ...] = (
    corrupt,
    lost,
    idle_lost,
    null_engine,
    generator_bound,
    overloaded,
    client_idle,
    littles_law,
    unfair,
    shared_core,
    few_cpus,
    uneven,
    gil_on,
    steal,
    busy_machine,
    throttled,
    page_faults,
    unsteady,
    frequency,
    backlog,
    short_run,
)
"""In the order in which a reader should hear of them."""


def run(result: Result) -> tuple[Stamp, ...]:
    """All warnings of a measured result."""
    return tuple(warning for check in CHECKS if (warning := check(result)) is not None)
