"""Which side held the connections, judged without the kernel's receive times. Numbers only.

With receive times (`--timestamps kernel`) nothing need be estimated: see `assemble.py`.
"""

from typing import Final

from pybench.analysis.parallel import client_cpus
from pybench.result import Result

BATCHES_HIDDEN: Final = frozenset({"uring"})
"""Engines whose waits end after a few events however many lie ready, so that the size of a batch
does not tell how long the queue is. io_uring's deferred task work is such: a wait for one runs but
some twenty (IO_LOCAL_TW_DEFAULT_MAX in the kernel's io_uring.c)."""

SATURATED: Final = 0.97
"""From this busy share on, such an engine counts as always busy: only then can it have a queue."""


POLLS: Final = 0.9
"""Below this busy share a load server that is told to poll has time to do so."""

RECEIVING: Final = 1 / 3
"""Of what a paced ping costs an engine that polls: to wait for its time, to send it, to receive its
echo. With a third the estimate of the share is within 0.1 of what the kernel's receive times say
(tests/bench/queue_agreement.py --rate 4k,20k,60k)."""

FEW: Final = 4.5
"""Pings in flight for a thread, up to which one that arrives often finds it asleep."""

ONE_EVENT: Final = 1.02
"""Events squared over events, up to which the batches count as batches of one."""

FAIR_SHARE: Final = 0.5
"""Of a CPU, beside one other process that wants it."""

IN_PIECES: Final = 1 << 16
"""Bytes of a message from which on it arrives in several pieces, each an event or none, and is
waited for by an idle load server in between."""

WHOLE: Final = 1.5
"""Events per message up to which an event counts as a message, whatever its size."""

SLICE_S: Final = 0.003
"""How long another process keeps a CPU: the base slice of Linux's scheduler, about 3 ms."""


def estimated_queue_share(result: Result) -> float | None:
    """The share of the mean latency that echoes spent in the load server's own queue, 0 to 1.

    A wait that gives n echoes is followed by reading them one after the other, s seconds each,
    while the next ones arrive. On average an echo waits n*s/2 for the wait that finds it and n*s/2
    in its batch, its own reading included; over all messages that is s * sum(n^2) / sum(n), with
    s = busy time / messages. By Little's law messages * latency = window * pings in flight, so
    that the share is

        busy * (sum(n^2) / sum(n)) / in flight,

    busy being the busy time over the window, summed over the threads. On a quiet machine that is
    within a tenth of what the kernel's receive times say, from 2 connections to 1000
    (tests/bench/queue_agreement.py). On a busy one, busy time is CPU time over the share of the CPU
    that was left by others, and while they have it, a time slice long, all pings gather in the
    load server's queue, as fast as the worker can serve them. That happens to a thread that wants
    its fair share of the CPU or more; one that wants little is given it when it wakes.

    Where pings wait for a schedule or a think time, the load server wakes up twice for each, and no
    echo waits for the one that sends: half of the busy time counts. One that polls meanwhile is
    not woken for an echo, and finds it at once: of a ping's cost only the receiving is left, and of
    the two waits only the second.

    An engine with hidden batches is held against the worker instead, when it is always busy: two
    queues in a circle, in which each ping needs s of the one or c of the other, in exponentially
    distributed amounts. With x = s/c and N pings in flight the load server holds
    sum(n * x^n) / sum(x^n), n = 0..N, of them (the closed queueing network of Gordon and Newell,
    1967): all when it is much the slower one, half when both are equally slow.
    Where every batch is of one event, as with one connection, no echo waits behind another: the
    half of the busy time in which the next ping is sent is not waited through by any. With a few
    connections the first of the two waits is had only by an echo that finds the load server at
    work on another: of N pings in flight, that is the busy share that N - 1 of them make (the
    arrival theorem of closed networks), about busy * (N - 1) / N. Within 0.13 of a simulation of
    both sides from 1 to 4 connections (tests/analysis/test_queue_of_few.py), where to count both
    waits in full is up to twice the truth.

    With several pings in flight on a connection an event gives several echoes, as many as there are
    messages for each event: a batch is so many times as long.

    None when the load server did not say how many events it had, and for messages so large that
    each is several events: what is derived of batches does not hold for pieces.
    """
    server, latency = result.server, result.latency_ns
    if server is None or latency is None or not server.events or not result.window_s:
        return None
    in_flight = result.mps * latency.mean / 1e9
    pieces = result.msize >= IN_PIECES or server.events > WHOLE * result.messages
    if in_flight <= 0 or pieces:
        return None
    cpu = server.busy_s / result.window_s
    busy = min(cpu / _left(result), float(server.threads))
    reading = busy * _reading_share(result, in_flight)
    batch = server.events_squared / server.events
    if result.inflight > 1:
        batch *= max(1.0, result.messages / server.events)
    share = min(1.0, reading * batch / in_flight)
    greed = min(1.0, cpu / server.threads / FAIR_SHARE)
    lost = greed * (busy - cpu) / server.threads
    share += (1 - share) * lost * _gathered(result, in_flight)
    if server.engine in BATCHES_HIDDEN and busy >= SATURATED * server.threads:
        share = max(share, _held_by_server(result, round(in_flight)))
    return min(1.0, max(0.0, share))


def _reading_share(result: Result, in_flight: float) -> float:
    """The part of the load server's busy time in which echoes wait for it."""
    server = result.server
    if not (result.rate or result.think_us[1]):
        if server is None or server.engine in BATCHES_HIDDEN:
            return 1.0
        of_thread = in_flight / max(1, server.threads)
        if of_thread <= FEW:
            return (1 + server_busy(result) * max(0.0, 1 - 1 / of_thread)) / 2
        return 1 / 2 if server.events_squared <= ONE_EVENT * server.events else 1.0
    polls = result.server is not None and result.server.busy_poll_us > 0
    return RECEIVING / 2 if polls and server_busy(result) < POLLS else 1 / 2


def server_busy(result: Result) -> float:
    """How busy the load server's threads were, of what others left of their CPUs; 1 is always."""
    server = result.server
    if server is None or not server.threads or not result.window_s:
        return 0.0
    cpu = server.busy_s / server.threads / result.window_s
    return min(1.0, cpu / _left(result))


def _gathered(result: Result, in_flight: float) -> float:
    """The share of the pings that wait for the load server on average while it has lost its CPU.

    The worker serves all of them in in_flight * c seconds, c being its CPU time per message; the
    number that waits rises evenly until then, or until the slice is over.
    """
    client = result.client
    if client is None or not client.messages:
        return 0.0
    per_echo = (client.user_s + client.sys_s) / client.messages / client_cpus(result)
    slices = in_flight * per_echo / SLICE_S
    return 1 - slices / 2 if slices < 1 else 1 / (2 * slices)


def _left(result: Result) -> float:
    """The share of its CPUs' time that others left to the load server."""
    found = result.disturbance
    return 1.0 if found is None else max(0.25, 1 - found.server_taken)


def _held_by_server(result: Result, in_flight: int) -> float:
    """The share of the pings that the load server holds, by CPU time per message of both sides."""
    server, client = result.server, result.client
    if server is None or client is None or not client.messages or not result.messages:
        return 0.0
    per_ping = server.busy_s / server.threads / result.messages
    per_echo = (client.user_s + client.sys_s) / client.messages / client_cpus(result)
    if per_echo <= 0 or in_flight < 1:
        return 0.0
    return mean_held(per_ping / per_echo, in_flight) / in_flight


def mean_held(ratio: float, pings: int) -> float:
    """The mean of n weighted with ratio^n for n = 0..pings.

    ratio: of the service times, >= 0.  pings: >= 1.
    """
    if ratio > 1:  # the other side's view, so that the powers fall
        return pings - mean_held(1 / ratio, pings)
    weights = [1.0]
    while len(weights) <= pings and weights[-1] > 1e-12:
        weights.append(weights[-1] * ratio)
    return sum(n * weight for n, weight in enumerate(weights)) / sum(weights)
