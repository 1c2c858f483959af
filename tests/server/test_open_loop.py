"""The schedule of an open loop, and what is counted of it."""

import itertools
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.wire import Peer, load_server, server_program


def skip_without(engine: str) -> None:
    done = subprocess.run(
        [server_program(), "--engine", engine, "--version"], capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip(done.stderr.strip())


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


@pytest.mark.alone
@pytest.mark.parametrize("engine", ["epoll", "uring"])
def test_a_stall_at_the_end_counts_like_one_in_the_middle(engine):
    """What has no echo yet has waited no less than until the end of the window."""
    began = []

    def stall(peer, connection, data):
        began.append(time.monotonic())
        if began[-1] - began[0] < 0.5:
            peer.echo(connection, data)

    skip_without(engine)
    with load_server("--engine", engine) as server, Peer(stall) as peer:
        answer = server.run(peer.port, conns=20, rate=1000, warmup_ms=0, runtime_ms=1000)
    found = {key: int(value) for key, value in answer.words("corrected").items()}
    assert 350 < found["censored"] < 600
    assert found["censored"] - 20 <= found["unsent"] < found["censored"]
    assert found["censored"] + answer.count("messages") == pytest.approx(1000, abs=3)
    hist = answer.words("corrected_hist")
    assert sum(map(int, hist.values())) == answer.count("messages")
    assert 400e6 < found["bound_p99_ns"] <= found["bound_p999_ns"] <= found["bound_max_ns"] < 600e6
    # half a second of waiting evenly spread over half of the pings
    assert 80e6 < found["bound_mean_ns"] < 190e6
    assert found["max_ns"] < found["bound_max_ns"]


def due(answer) -> int:
    """The pings that were due in a window that began with the first one."""
    return answer.count("messages") + int(answer.words("corrected")["censored"])


POISSON = {"arrivals": "poisson", "warmup_ms": 0, "runtime_ms": 400, "conns": 20, "rate": 1000}


@pytest.mark.parametrize("engine", ["epoll", "uring"])
def test_arrivals_are_those_of_their_seed(engine):
    """However many threads there are, and whether they can be sent or are only counted; their
    distribution is test_arrivals.c's."""
    began = []

    def stall(peer, connection, data):
        began.append(time.monotonic())
        if began[-1] - began[0] < 0.1:
            peer.echo(connection, data)

    skip_without(engine)
    with load_server("--engine", engine) as server, Peer() as peer, Peer(stall) as stalling:
        first = due(server.run(peer.port, **POISSON, seed=1, threads=1))
        assert due(server.run(peer.port, **POISSON, seed=1, threads=3)) == first
        stalled = server.run(stalling.port, **POISSON, seed=1)
        assert due(stalled) == first
        assert int(stalled.words("corrected")["unsent"]) > 50
        others = {due(server.run(peer.port, **POISSON, seed=seed)) for seed in (2, 3, 4)}
        assert others != {first} and all(300 < other < 500 for other in others)
        even = server.run(peer.port, **{**POISSON, "arrivals": "even"})
        assert due(even) == pytest.approx(400, abs=1)


def test_a_random_schedule_that_ran_away_is_counted_at_once():
    """As if it were even, from where nobody would tell the difference."""
    with load_server() as server, Peer() as peer:
        answer = server.run(peer.port, **{**POISSON, "rate": 1_000_000_000, "runtime_ms": 200})
    assert due(answer) == pytest.approx(200_000_000, rel=0.01)


def test_unsent_are_the_windows_alone():
    """Of a schedule that runs away during the warm-up too."""
    with load_server() as server, Peer() as peer:
        answer = server.run(peer.port, conns=2, warmup_ms=400, runtime_ms=400, rate=1_000_000)
    assert int(answer.words("corrected")["unsent"]) <= 400_000


@pytest.mark.alone
def test_echoes_are_read_between_pings_that_are_due_together(tmp_path):
    """An echo that came at once does not wait for all other connections' pings."""
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    calls = tmp_path / "calls"
    with load_server("--engine", "epoll") as server, Peer(backlog=1000) as peer:
        command = ["strace", "-f", "-o", calls, "-e", "trace=sendto,epoll_wait,epoll_pwait2"]
        tracer = subprocess.Popen(
            [*command, "-p", str(server.process.pid)], stderr=subprocess.PIPE, text=True
        )
        try:
            if "attached" not in tracer.stderr.readline():
                pytest.skip("strace may not attach here")
            answer = server.run(
                peer.port, conns=300, threads=1, warmup_ms=0, runtime_ms=300,
                think_min_us=20_000, think_max_us=20_000,
            )  # fmt: skip
        finally:
            tracer.terminate()
            tracer.wait()
            tracer.stderr.close()
    assert answer.count("total") >= 300, "each was sent a ping, all at the same time"
    longest = row = 0
    for line in calls.read_text().splitlines():
        row = row + 1 if " sendto(" in line else 0
        longest = max(longest, row)
    assert 0 < longest <= 64 * 2
