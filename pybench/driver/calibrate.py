"""Learn what this machine can and cannot tell: its noise, the load server's ceiling, its limits.

Half a minute of short runs and a look at the kernel's limits. The noise is for people: it says
whether to ask for more rounds. The stamp `generator_bound` names the ceiling. Nothing of the system
is changed; what a person could tune is printed. What was found is kept per machine in the user's
cache folder.
"""

import gc
import math
import os
import socket
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from pybench import backends
from pybench.analysis.stats import student_t_quantile
from pybench.driver import campaign
from pybench.driver.plan import make_plan
from pybench.driver.progress import PlainReporter
from pybench.errors import PreflightError, PybenchError
from pybench.machine import environment
from pybench.machine.calibration import Calibration
from pybench.machine.limits import of_machine
from pybench.result import Result
from pybench.spec import ENGINES, Campaign

NOISE_ROW: Final = "selector"
CONNS: Final = 100
NOISE_RUNS: Final = 10
RUNTIME: Final = "800ms"
WARMUP: Final = "200ms"
FASTEST_ROWS: Final = ("c_uring", "c_epoll")

REPEATS: Final = 40
CALLS: Final = 300
NO_NOISE: Final = 0.005
"""Less than this is not believed of ten short runs."""

SHORT_RUNS: Final = 5
SHORT_RUNTIME: Final = "300ms"
SHORT_WARMUP: Final = "100ms"
"""Of a look that is not kept: a quarter of the time, and a noise that is known half as well."""

Notify = Callable[[str], None]


def calibrate(notify: Notify, *, short: bool = False) -> Calibration:
    """Measure everything. notify: is told of progress, line by line.  short: in some seconds.

    Raises PybenchError when a run fails, KeyboardInterrupt on Ctrl-C.
    """
    runs = SHORT_RUNS if short else NOISE_RUNS
    times = (SHORT_RUNTIME, SHORT_WARMUP) if short else (RUNTIME, WARMUP)
    notify(f"{runs} runs of {NOISE_ROW}, for the noise")
    alike = _run(NOISE_ROW, times, rounds=runs)
    ceiling, unavailable = _ceilings(notify, times, rounds=1 if short else 2)
    send_ns, recv_ns = loopback_cost_ns()
    limits, env = of_machine(), environment.collect()
    disturbed = [r.disturbance for r in alike if r.disturbance is not None]
    return Calibration(
        measured_at=datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds"),
        machine=environment.describe(env),
        noise_floor=noise_floor([r.mps for r in alike]),
        noise_of=f"{NOISE_ROW}, {CONNS} connections, {runs} runs of {times[0]}",
        runs=[round(r.mps) for r in alike],
        ceiling_mps=ceiling,
        unavailable=unavailable,
        syscall_ns=syscall_cost_ns(),
        send_ns=send_ns,
        recv_ns=recv_ns,
        limits=limits,
        other=statistics.median(d.other for d in disturbed) if disturbed else 0.0,
        steal=statistics.median(d.steal for d in disturbed) if disturbed else 0.0,
        advice=advice(limits, env, unavailable),
    )


def noise_floor(speeds: Sequence[float]) -> float:
    """The share by which two runs of one row differ at most, 95 times of 100.

    speeds: messages/s of at least two runs of the same. The difference of two normally distributed
    logarithms of standard deviation s is within t * sqrt(2) * s that often, where t is Student's
    for as many runs as s is estimated from.
    """
    deviation = statistics.stdev(math.log(speed) for speed in speeds)
    t = student_t_quantile(0.975, len(speeds) - 1)
    return max(NO_NOISE, math.exp(t * math.sqrt(2) * deviation) - 1)


def _ceilings(
    notify: Notify, times: tuple[str, str], rounds: int
) -> tuple[dict[str, float], dict[str, str]]:
    """Engine -> the most messages/s it drove; and engine -> why it is not to be had."""
    rows = [row for row in FASTEST_ROWS if backends.unavailable(backends.find(row)) is None]
    found: dict[str, float] = {}
    missing: dict[str, str] = {}
    for engine in ENGINES:
        notify(f"the load server's {engine} engine against {' and '.join(rows)}")
        try:
            results = _run(",".join(rows), times, rounds=rounds, engine=engine)
        except PreflightError as exc:
            missing[engine] = str(exc)
            continue
        found[engine] = max(result.mps for result in results)
    return found, missing


def _run(
    func: str, times: tuple[str, str], *, rounds: int, engine: str | None = None
) -> tuple[Result, ...]:
    """Short rounds, as a campaign would run them. times: runtime and warm-up."""
    runtime, warmup = times
    options: dict[str, Any] = {"func": func, "conns": CONNS, "rounds": rounds}
    options |= {"runtime": runtime, "warmup": warmup, "seed": 1}
    if engine is not None:
        options["engine"] = engine
    plan = make_plan(Campaign.from_options(options, lambda key: key))
    with Path(os.devnull).open("w", encoding="ascii") as nowhere:
        outcome = campaign.run(plan, PlainReporter(len(plan.tasks), rounds, nowhere), None)
    if outcome.interrupted is not None:
        raise KeyboardInterrupt
    for result in outcome.results:
        if not result.ok:
            raise PybenchError(f"calibrate: {result.func}: {result.error}")
    return outcome.results


def syscall_cost_ns() -> float:
    """An empty system call: getppid, less a call from Python that makes none."""
    return max(0.0, _cost_ns(os.getppid) - _cost_ns(gc.isenabled))


def loopback_cost_ns() -> tuple[float, float]:
    """Sending and receiving 64 bytes over a loopback TCP connection, from one thread.

    Python's own share, some 0.1 us a call, is taken off. The kernel delivers inside the send.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    with near, far:
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        message, nothing = bytes(64), _cost_ns(gc.isenabled)
        near_fd, far_fd = near.fileno(), far.fileno()
        sends, receives = [], []
        for _ in range(REPEATS):
            send_ns = recv_ns = 0
            for _ in range(CALLS):
                start = time.perf_counter_ns()
                os.write(near_fd, message)
                middle = time.perf_counter_ns()
                os.read(far_fd, 64)
                recv_ns += time.perf_counter_ns() - middle
                send_ns += middle - start
            sends.append(send_ns / CALLS)
            receives.append(recv_ns / CALLS)
    clock = _cost_ns(time.perf_counter_ns)
    overhead = nothing + clock
    return max(0.0, min(sends) - overhead), max(0.0, min(receives) - overhead)


def clock_cost_ns() -> float:
    """Reading the clock that everything is timed with."""
    return max(0.0, _cost_ns(time.perf_counter_ns) - _cost_ns(gc.isenabled))


def _cost_ns(call: Callable[[], object]) -> float:
    """One call, in ns: the best of several series, for a disturbance only ever adds."""
    best = math.inf
    for _ in range(REPEATS):
        start = time.perf_counter_ns()
        for _ in range(CALLS):
            call()
        best = min(best, (time.perf_counter_ns() - start) / CALLS)
    return best


def advice(
    limits: Mapping[str, int], env: Mapping[str, Any], unavailable: Mapping[str, str]
) -> list[str]:
    """What a person could tune here, each line with its reason and its command."""
    wishes = (
        ("open files", 65536, "more connections: raise the hard limit (nofile in limits.conf)"),
        (
            "ports",
            60000,
            "more connections from one address: sysctl -w"
            " net.ipv4.ip_local_port_range='1024 65535'",
        ),
        ("threads", 32000, "the thread rows at 30k: sysctl -w kernel.pid_max=4194304"),
        ("mappings", 262144, "Python's thread row at 30k: sysctl -w vm.max_map_count=1000000"),
        ("listen queue", 4096, "faster connecting: sysctl -w net.core.somaxconn=65535"),
    )
    lines = [
        f"{text} (now {limits[name]})"
        for name, wish, text in wishes
        if limits.get(name, wish) < wish
    ]
    if env.get("governor") not in (None, "performance"):
        lines.append(
            "a steady clock: cpupower frequency-set -g performance"
            f" (the governor is {env['governor']})"
        )
    if env.get("turbo"):
        lines.append("a steady clock: turn turbo off (no_turbo of intel_pstate, or cpufreq/boost)")
    if env.get("clocksource") not in (None, "tsc", "kvm-clock", "arch_sys_counter"):
        lines.append(f"a cheap clock: the clock source is {env['clocksource']}, tsc is faster")
    if len(env.get("allowed_cpus", (0, 1))) < 2:
        lines.append("a second CPU: worker and load server share one, every figure is stamped")
    return lines + [f"the {engine} engine: {reason}" for engine, reason in unavailable.items()]
