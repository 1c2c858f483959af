"""How near the generator and the C rows come to what this machine can do.

    python tests/bench/limits.py [--rounds 7] [--runtime 1.5] [--conns 10,100] [--profile]
                                [--bare FOLDER]

Every comparison is the geometric mean of ratios, one a round: within a round all contenders run one
after the other, each generator on one CPU and each client on another, so that a slow minute of the
machine hits all alike. Behind it stand its 95% interval and whether a target is surely reached, by
pybench's own verdicts. On a noisy machine many short rounds say more than a few long ones.

The limits are the bare programs beside this file, in bare/: generators and echoes without features
or checks, run as `bare_load_epoll PORT CONNS WARMUP_S RUNTIME_S` and `bare_echo_epoll PORT CONNS`.
--bare takes others of the same names from another folder. Those on io_uring need liburing.
"""

import argparse
import os
import re
import resource
import select
import shlex
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pybench.analysis.ratio import paired_ratio
from pybench.analysis.verdict import demand, estimate_words, remedy_words
from pybench.backends import Row, find
from pybench.driver.control import ControlConnection, Measurement
from pybench.driver.loadserver import LoadServer
from pybench.driver.workerprocess import WorkerProcess
from pybench.explain.stacks import read_stacks
from pybench.explain.tools import PerfObserver
from pybench.machine.placement import BUSY_POLL_US, Placement
from pybench.spec import Cell

WARMUP_S = 0.2
PATIENCE_S = 60.0
ECHO_END_S = 10.0  # a full listen queue may have lost it a connection that it waits for
TRIES = 3  # of a run in which the machine had no time for a single message
HERE = Path(__file__).parent


@dataclass(frozen=True)
class Pair:
    """A generator and the client it drives. Bare ones are named for their program.

    busy_poll_us: of our own generator: as pybench has it, or 0 beside a bare one, which sleeps.
    """

    generator: str
    client: str
    busy_poll_us: int = BUSY_POLL_US

    def __str__(self) -> str:
        sleeps = "" if self.busy_poll_us else ", which sleeps,"
        return f"{self.generator}{sleeps} -> {self.client}"


@dataclass(frozen=True)
class Comparison:
    """`left` should do at least `target` times what `right` does, at these connection counts."""

    what: str
    left: Pair
    right: Pair
    target: float | None = None
    at: tuple[int, ...] | None = None


COMPARISONS = (
    Comparison(
        "epoll engine / bare epoll generator",
        Pair("epoll", "bare_echo_epoll", busy_poll_us=0),
        Pair("bare_load_epoll", "bare_echo_epoll"),
        0.95,
    ),
    Comparison(
        "uring engine / bare uring generator",
        Pair("uring", "bare_echo_uring", busy_poll_us=0),
        Pair("bare_load_uring", "bare_echo_uring"),
        0.95,
    ),
    Comparison(
        "uring engine / epoll engine",
        Pair("uring", "c_uring"),
        Pair("epoll", "c_uring"),
        1.4,
        (100, 1000),
    ),
    Comparison(
        "c_epoll / bare epoll echo",
        Pair("uring", "c_epoll"),
        Pair("uring", "bare_echo_epoll"),
        0.97,
    ),
    Comparison(
        "c_uring / c_epoll", Pair("uring", "c_uring"), Pair("uring", "c_epoll"), 1.3, (100,)
    ),
    Comparison(
        "bare uring generator / bare epoll one",
        Pair("bare_load_uring", "bare_echo_uring"),
        Pair("bare_load_epoll", "bare_echo_uring"),
    ),
    Comparison(
        "bare uring echo / bare epoll echo",
        Pair("bare_load_uring", "bare_echo_uring"),
        Pair("bare_load_uring", "bare_echo_epoll"),
    ),
    Comparison("c_poll / c_epoll", Pair("uring", "c_poll"), Pair("uring", "c_epoll")),
    Comparison("c_th / c_epoll", Pair("uring", "c_th"), Pair("uring", "c_epoll")),
    Comparison(
        "raw_selector / selector", Pair("uring", "raw_selector"), Pair("uring", "selector"), 1.3
    ),
    Comparison(
        "raw_selector / c_epoll", Pair("uring", "raw_selector"), Pair("uring", "c_epoll"), 0.75
    ),
)


def _row(client: str) -> Row:
    """A row, or what stands for one of the bare echoes."""
    bare = client.startswith("bare_")
    return Row(client, "without features or checks", "C", "") if bare else find(client)


class Bench:
    """Runs pairs, the client on one CPU and the generator on another.

    bare: folder of the compiled bare programs.
    """

    def __init__(self, server: LoadServer, bare: Path, runtime_s: float) -> None:
        self.server = server
        self.bare = bare
        self.runtime_s = runtime_s
        cpus = sorted(os.sched_getaffinity(0))
        self.client_cpu, self.generator_cpu = cpus[0], cpus[-1]

    def mps(self, pair: Pair, conns: int) -> float:
        """Messages per second of one run."""
        return self.run(pair, conns)[0]

    def run(self, pair: Pair, conns: int) -> tuple[float, float]:
        """Messages per second of one run, and the generator's CPU time per message in ns."""
        for _ in range(TRIES):
            rate, cpu_ns = self._try(pair, conns)
            if rate:
                return rate, cpu_ns
        raise SystemExit(f"{pair} at {conns}: no message in {TRIES} runs")

    def _try(self, pair: Pair, conns: int) -> tuple[float, float]:
        if pair.generator.startswith("bare_"):
            return self._try_bare(pair, conns)
        measured, _ = self.measure(pair, conns)
        assert measured.lost == 0, f"{pair}: {measured.lost} connections lost"
        if not measured.messages:
            return 0, 0
        cpu_ns = measured.user_ns + measured.sys_ns
        return measured.messages * 1e9 / measured.window_ns, cpu_ns / measured.messages

    def measure(self, pair: Pair, conns: int) -> tuple[Measurement, float]:
        """One run of our load server against a row or a bare echo, and seconds to connect."""
        cell = Cell(
            row=_row(pair.client),
            conns=conns,
            msize=64,
            runtime_ns=round(self.runtime_s * 1000) * 1_000_000,
            warmup_ns=round(WARMUP_S * 1000) * 1_000_000,
            engine=pair.generator,
        )
        placement = Placement(
            worker_cpu=self.client_cpu,
            server_cpus=None,
            server_threads=1,
            shared_cpus=(),
            busy_poll_us=pair.busy_poll_us,
        )
        with (
            self._client(pair, cell) as (port, is_ready),
            ControlConnection(self.server.address) as control,
        ):
            control.request("127.0.0.1", port, cell, placement)
            _await(control, lambda: control.connected)
            is_ready()
            control.ready()
            _await(control, lambda: control.measurement is not None)
            assert control.measurement is not None
            return control.measurement, control.connect_s

    @contextmanager
    def _client(self, pair: Pair, cell: Cell) -> Iterator[tuple[int, Callable[[], None]]]:
        """The port of a client under test, and how to wait until it has accepted all."""
        if not pair.client.startswith("bare_"):
            with WorkerProcess(cell, bind="127.0.0.1", cpu=self.client_cpu) as worker:
                _receive_until(worker, lambda: worker.port is not None)
                assert worker.port is not None
                yield worker.port, lambda: _receive_until(worker, lambda: worker.ready)
                _receive_until(worker, lambda: worker.usage is not None)
            return
        with self._bare_echo(pair.client, cell.conns) as port:
            yield port, lambda: None

    @contextmanager
    def _bare_echo(self, name: str, conns: int) -> Iterator[int]:
        """The port of a bare echo, which ends when all of its connections have been closed."""
        port = _free_port()
        echo = self._spawn(name, self.client_cpu, port, conns)
        try:
            _await_listening(port)
            yield port
            echo.wait(ECHO_END_S)
        except subprocess.TimeoutExpired:
            print(f"{name} at {conns} did not end, and was killed", file=sys.stderr)
        finally:
            if echo.poll() is None:
                echo.kill()
                echo.wait()

    def _try_bare(self, pair: Pair, conns: int) -> tuple[float, float]:
        with self._bare_echo(pair.client, conns) as port:
            load = self._spawn(
                pair.generator, self.generator_cpu, port, conns, WARMUP_S, self.runtime_s
            )
            out, _ = load.communicate(timeout=PATIENCE_S)
        found = re.search(r"mps (\d+) cpu_ns (\d+)", out)
        assert found, f"{pair} at {conns}: {out!r}"
        return float(found[1]), float(found[2])

    def _spawn(self, name: str, cpu: int, *words: object) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [str(self.bare / name), *map(str, words)],
            stdout=subprocess.PIPE,
            text=True,
            # as our own: a busy CPU is shared out by sessions (autogroups), not by processes
            start_new_session=True,
            preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
        )


def _await(control: ControlConnection, done: Callable[[], bool]) -> None:
    while not done():
        _sleep_until_readable(control.fileno())
        control.receive()


def _receive_until(worker: WorkerProcess, done: Callable[[], bool]) -> None:
    while not done():
        _sleep_until_readable(worker.events_fd)
        worker.receive()


def _sleep_until_readable(fd: int) -> None:
    """Both CPUs belong to the pair that is measured: whoever waits here must not spin."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    assert poll.poll(PATIENCE_S * 1000), "nothing was said for a minute"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_listening(port: int) -> None:
    """Wait until the kernel lists the port's listener: connecting would use up an accept."""
    wanted = f"0100007F:{port:04X} 00000000:0000 0A"
    deadline = time.monotonic() + PATIENCE_S
    while wanted not in Path("/proc/net/tcp").read_text():
        assert time.monotonic() < deadline, f"nothing listens on port {port}"
        time.sleep(0.01)


def build_bare(source: Path, out: Path) -> None:
    """Compile the bare programs of a folder, as fast as the compiler can make them here."""
    for program in sorted(source.glob("bare_*.c")):
        uring = ["-luring"] if program.stem.endswith("_uring") else []
        compiler = shlex.split(os.environ.get("CC", "cc"))
        subprocess.run(
            [*compiler, "-std=gnu11", "-O3", "-march=native", "-pthread", str(program), *uring,
             "-o", str(out / program.stem)],
            check=True,
        )  # fmt: skip


def compare_all(bench: Bench, counts: list[int], rounds: int) -> bool:
    """Print every comparison; returns whether no target was surely missed."""
    pairs = list(dict.fromkeys(pair for c in COMPARISONS for pair in (c.left, c.right)))
    reached = True
    for conns in counts:
        figures: dict[Pair, list[float]] = {pair: [] for pair in pairs}
        for number in range(rounds):
            order = pairs if number % 2 == 0 else pairs[::-1]
            for pair in order:
                figures[pair].append(bench.mps(pair, conns))
                print(f"\r{conns} connections, round {number + 1}/{rounds}: {pair}\033[K",
                      end="", file=sys.stderr, flush=True)  # fmt: skip
        print("\r\033[K", end="", file=sys.stderr)
        for pair in pairs:
            low, high = min(figures[pair]), max(figures[pair])
            middle = statistics.median(figures[pair])
            print(f"{conns:>6}  {pair!s:<40} {middle:>9,.0f}/s  ({low:,.0f} to {high:,.0f})")
        for comparison in COMPARISONS:
            reached &= print_comparison(comparison, conns, figures)
        print(flush=True)
    return reached


def print_comparison(c: Comparison, conns: int, figures: dict[Pair, list[float]]) -> bool:
    """One comparison; False where its target is surely not reached."""
    found = paired_ratio(figures[c.left], figures[c.right])
    verdict, missed = "", False
    if c.target is not None and (c.at is None or conns in c.at):
        judged = demand(found, at_least=c.target)
        missed = judged.outcome == "broken"
        said = {"kept": "reached", "broken": "not reached", "undecided": "undecided"}
        parts = [f"target {c.target:.2f}: {said[judged.outcome]}", remedy_words(judged)]
        verdict = ", ".join(part for part in parts if part)
    print(f"{conns:>6}  {c.what:<38} {estimate_words(found)}  {verdict}")
    return not missed


def compare_cpu(bench: Bench, conns: int, rounds: int) -> None:
    """Print what each engine's messages cost in CPU time, beside the bare generator's.

    Others' load hardly touches that figure: on a shared machine it is the one to believe.
    """
    for comparison in COMPARISONS[:2]:
        pairs = (comparison.left, comparison.right)
        costs: dict[Pair, list[float]] = {pair: [] for pair in pairs}
        for number in range(rounds):
            for pair in pairs if number % 2 == 0 else pairs[::-1]:
                costs[pair].append(bench.run(pair, conns)[1])
        left, right = (costs[pair] for pair in pairs)
        print(
            f"{conns:>6}  {comparison.what}: {statistics.median(left):,.0f} ns of CPU time per "
            f"message, {estimate_words(paired_ratio(left, right))}"
        )


def null_cost(bench: Bench, conns: int, rounds: int) -> None:
    """Print what a message costs the generator before any byte is moved: the null engine's."""
    costs = [bench.run(Pair("null", "c_epoll"), conns)[1] for _ in range(rounds)]
    print(
        f"{conns:>6}  null engine: {statistics.median(costs):,.0f} ns of CPU time per message"
        f"  ({min(costs):,.0f} to {max(costs):,.0f})"
    )


def profile(bench: Bench, conns: int) -> None:
    """What share of each engine's CPU time is TCP itself, which no engine can spare, from perf."""
    for engine in ("epoll", "uring"):
        observer = PerfObserver("record", "-e", "cpu-clock", "-F", "997", "-g")
        try:
            observer.attach(bench.server.pid)
            observer.begin()
            bench.measure(Pair(engine, "c_uring"), conns)
            observer.end()
            stacks = read_stacks(observer.output)
        finally:
            observer.close()
            observer.discard()
        in_tcp = sum(
            count
            for stack, count in stacks.items()
            if any(frame.symbol in ("tcp_sendmsg", "tcp_recvmsg") for frame in stack)
        )
        share = in_tcp / stacks.total()
        print(
            f"{conns:>6}  {engine} engine: {share:.0%} of its CPU time is inside tcp_sendmsg and "
            f"tcp_recvmsg; sparing all the rest would make it {1 / share:.2f}x as fast"
        )


def connect_and_memory(bench: Bench, conns: int, rounds: int) -> bool:
    """Time to establish the connections to c_epoll, and the server's own memory for each."""
    times = []
    for _ in range(rounds):
        _, connect_s = bench.measure(Pair("epoll", "c_epoll"), conns)
        times.append(connect_s)
    peak_kib = int(re.search(r"VmHWM:\s+(\d+)", _status(bench.server.pid))[1])  # type: ignore[index]
    with LoadServer(cpus=[bench.generator_cpu]) as fresh:
        idle_kib = int(re.search(r"VmHWM:\s+(\d+)", _status(fresh.pid))[1])  # type: ignore[index]
    per_conn = (peak_kib - idle_kib) * 1024 / conns
    middle = statistics.median(times)
    print(f"{conns} connections to c_epoll up in {middle:.3f} s "
          f"({min(times):.3f} to {max(times):.3f}), target 0.5 s")  # fmt: skip
    print(f"load server: {per_conn:.0f} bytes per connection at its peak, target 1024")
    return middle < 0.5 and per_conn < 1024


def _status(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


def main() -> int:
    parser = argparse.ArgumentParser(description="the generator and the C rows against limits")
    parser.add_argument(
        "--bare", type=Path, default=HERE / "bare", help="folder of the bare generators and echoes"
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runtime", type=float, default=1.5, help="seconds of each run")
    parser.add_argument("--conns", default="10,100,1000,8000")
    parser.add_argument(
        "--profile", action="store_true", help="also where the engines' CPU time goes (needs perf)"
    )
    options = parser.parse_args()
    if len(os.sched_getaffinity(0)) < 2:
        parser.error("needs two CPUs: one for the generator, one for the client")
    counts = [int(word) for word in options.conns.split(",")]
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        build_bare(options.bare, Path(folder))
        with LoadServer(cpus=[max(os.sched_getaffinity(0))]) as server:
            bench = Bench(server, Path(folder), options.runtime)
            reached = connect_and_memory(bench, 10_000, min(options.rounds, 5))
            print(flush=True)
            reached &= compare_all(bench, counts, options.rounds)
            for conns in counts:
                compare_cpu(bench, conns, options.rounds)
                null_cost(bench, conns, min(options.rounds, 3))
            print(flush=True)
            if options.profile:
                for conns in counts:
                    profile(bench, conns)
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
