"""The queue estimate with a few connections, held against a simulation of both sides."""

import heapq
import random
from dataclasses import dataclass

import pytest
from msgspec import structs

from pybench.analysis.queue_share import estimated_queue_share
from pybench.result import ServerUsage
from tests.support.synthetic import make_result

READ_US, SEND_US, WAIT_US = 1.2, 2.3, 0.5  # of the load server: an echo, a ping, a wait


@dataclass
class Simulated:
    """What the load server would count, in us; queue_us: what echoes really waited to be read."""

    passed_us: float = 0.0
    busy_us: float = 0.0
    latency_us: float = 0.0
    queue_us: float = 0.0
    waits: int = 0
    events: int = 0
    events_squared: int = 0


def simulate(conns: int, worker_us: float, pings: int = 3000) -> Simulated:
    """A load server that reads and answers each batch before the next wait, and a worker that
    serves one ping after the other; every step takes up to a fifth more or less."""
    rng = random.Random(f"{conns} {worker_us}")
    found, now, worker_free = Simulated(), 0.0, 0.0
    arriving: list[tuple[float, float]] = []  # when the echo arrives, when its ping was begun

    def about(us: float) -> float:
        return us * rng.uniform(0.8, 1.2)

    def send(now: float, free: float) -> tuple[float, float]:
        sent = now + about(SEND_US)
        free = max(free, sent) + about(worker_us)
        heapq.heappush(arriving, (free, now))
        return sent, free

    for _ in range(conns):
        now, worker_free = send(now, worker_free)
    began = now
    while found.events < pings:
        now = start = max(now, arriving[0][0])
        now += about(WAIT_US)
        batch = []
        while arriving and arriving[0][0] <= now:
            batch.append(heapq.heappop(arriving))
        for arrived, begun in batch:
            now += about(READ_US)
            found.queue_us += now - arrived
            found.latency_us += now - begun
            now, worker_free = send(now, worker_free)
        found.busy_us += now - start
        found.waits += 1
        found.events += len(batch)
        found.events_squared += len(batch) ** 2
    found.passed_us = now - began
    return found


def shares(conns: int, worker_us: float) -> tuple[float, float]:
    """Of the latency in the load server's queue: as it was, and as it is estimated."""
    found = simulate(conns, worker_us)
    window_s, pings = found.passed_us / 1e6, found.events
    result = make_result("selector", conns, mps=pings / window_s)
    assert result.latency_ns is not None
    server = ServerUsage(
        address="127.0.0.1:1",
        engine="epoll",
        threads=1,
        user_s=found.busy_us / 1e6,
        sys_s=0.0,
        wall_s=window_s,
        connect_s=0.0,
        waits=found.waits,
        events=found.events,
        events_squared=found.events_squared,
    )
    latency = structs.replace(result.latency_ns, mean=round(1000 * found.latency_us / pings))
    result = structs.replace(
        result, messages=pings, window_s=window_s, latency_ns=latency, server=server
    )
    estimate = estimated_queue_share(result)
    assert estimate is not None
    return found.queue_us / found.latency_us, estimate


@pytest.mark.parametrize("worker_us", [2.5, 4.0, 8.0, 20.0])
@pytest.mark.parametrize("conns", [1, 2, 3, 4])
def test_the_estimate_is_near_the_truth(conns: int, worker_us: float) -> None:
    truth, estimate = shares(conns, worker_us)
    assert estimate == pytest.approx(truth, abs=0.13)


def test_a_slow_worker_is_not_blamed_on_the_load_server() -> None:
    """Both waits in full were 25% here, and stamped generator_bound."""
    truth, estimate = shares(2, 8.0)
    assert truth < 0.15 and estimate < 0.2
