"""The schedule of an open loop, and what is counted of it."""

import itertools
import time
from pathlib import Path

import pytest

from tests.support.wire import Peer, load_server


def switches(pid: int) -> dict[str, int]:
    """How often each thread of the process has gone to sleep."""
    return {
        task.name: int(
            (task / "status").read_text().split("voluntary_ctxt_switches:")[1].split()[0]
        )
        for task in Path(f"/proc/{pid}/task").iterdir()
    }


@pytest.mark.alone
@pytest.mark.parametrize("threads", [2, 3])
def test_every_thread_has_its_part_of_the_rate_all_the_time(threads):
    """Threads that took turns would each bear the whole of it in theirs."""
    with load_server() as server, Peer() as peer, server.client() as client:
        client.request(
            peer.port, conns=120, rate=300, warmup_ms=0, runtime_ms=1200, threads=threads
        )
        client.await_verb("connected")
        client.send("ready\n")
        time.sleep(0.1)
        samples = []
        for _ in range(9):  # a round of all connections takes 0.4 s
            samples.append(switches(server.process.pid))
            time.sleep(0.1)
        client.finish()
    slept = [
        {task: after[task] - before[task] for task in after}
        for before, after in itertools.pairwise(samples)
    ]
    pinging = [task for task in samples[0] if samples[-1][task] - samples[0][task] > 20]
    assert len(pinging) == threads
    assert all(tenth[task] > 0 for tenth in slept for task in pinging), slept
