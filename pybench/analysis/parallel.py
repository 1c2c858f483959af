"""How many CPUs the measured side can be busy on at once, and how long they were to be had."""

import math

from pybench.result import Result


def client_cpus(result: Result) -> int:
    """Of a round: one for each worker, and for each of its loops where no GIL keeps them apart.

    Rows in C release the GIL while they serve: what was used counts, rounded up, where it is more.
    No more than the workers were pinned to.
    """
    client = result.client
    gil = client is None or client.gil is not False
    free = result.workers * (1 if gil else result.loops)
    used = 0.0
    if client is not None and client.wall_s > 0:
        used = (client.user_s + client.sys_s) / client.wall_s
    pinned = set(result.env.get("placement", {}).get("worker_cpus", ()))
    most = min(result.workers * result.loops, len(pinned) or result.workers * result.loops)
    return max(1, min(most, max(free, math.ceil(used - 0.1))))


def cpu_s_to_be_had(result: Result, wall_s: float) -> float:
    """CPU seconds that several workers could have had in so long, on CPUs that they share with the
    load server: what it did not take itself of these. What others took is not taken off."""
    whole_s = client_cpus(result) * wall_s
    placement, server = result.env.get("placement", {}), result.server
    shared, cpus = placement.get("shared_cpus", ()), placement.get("server_cpus") or ()
    if len(placement.get("worker_cpus", ())) < 2 or not shared or server is None:
        return whole_s
    taken_s = (server.user_s + server.sys_s) * len(shared) / max(1, len(cpus))
    return max(0.0, whole_s - taken_s * wall_s / server.wall_s)
