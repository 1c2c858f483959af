"""Is this machine fit to measure? Facts into checks, each with its verdict and its remedy.

`bad` is what spoils every figure, `caution` what spoils some, or allows less than the campaigns
that are shipped ask for. Limits of others' time are those of the stamps: what is bad here is
stamped there. Neither reads nor measures: facts come from `machine/health.py` and
`driver/doctor.py`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pybench.analysis.stamps import OTHER_SHARE, STEAL_SHARE, THROTTLED_SHARE
from pybench.machine.health import Health
from pybench.machine.limits import Limit
from pybench.result.calibration import Calibration
from pybench.result.checkup import Check, Grade
from pybench.units import count_label

NOISE_CAUTION: Final = 0.10
NOISE_BAD: Final = 0.50
"""Of two runs of one row. In races the machine's drift cancels, so that caution is enough."""

CLOCK_CAUTION_NS: Final = 200
LATE_CAUTION_US: Final = 1000
"""A schedule of pings is missed by as much; a ping counts as late from 1 ms on."""

CLOCKS: Final = ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter")
"""Those that are read without a system call."""

LEAST: Final = 1100
"""Connections of 1,000 and what is needed besides: with less of a resource, little can be asked."""

WISHES: Final[Mapping[str, tuple[int, int, str, str]]] = {
    "open files": (
        65_536, LEAST, "connections of a row that has one process",
        "ulimit -Hn 65536 as root, or nofile in /etc/security/limits.conf",
    ),
    "threads": (32_000, LEAST, "", ""),
    "ports": (
        60_000, LEAST, "connections from one address",
        "sysctl -w net.ipv4.ip_local_port_range='1024 65535'",
    ),
    "mappings": (262_144, 3 * LEAST, "three for each thread", ""),
    "firewall": (65_536, LEAST, "more connections that it can track", ""),
    "memory": (2 << 20, 256 << 10, "", ""),
}  # fmt: skip
"""Limit -> what leaves nothing to wish, what is too little, what it is of, a remedy of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedOut:
    """What was found out by doing it.

    calibration: None where it failed, `failure` says why.  throttled_s: how long CPUs waited
    meanwhile because the group's time was used up, of `took_s`.  clock_ns: reading the clock.
    late_us: how much later than asked each of some short sleeps ended.
    """

    calibration: Calibration | None
    failure: str
    throttled_s: float
    took_s: float
    clock_ns: float
    late_us: tuple[float, ...]


def checks(health: Health, tried: TriedOut) -> list[Check]:
    """Every check, in the order of the page: what it is, its CPUs, its quiet, its limits."""
    return [
        *_what_it_is(health),
        *_cpus(health),
        *_clock(health.env, tried),
        *_quiet(tried),
        *_load_server(tried),
        *_limits(health),
    ]


def _check(name: str, value: str, verdict: Grade, remedy: str = "") -> Check:
    return Check(name=name, value=value, verdict=verdict, remedy=remedy)


def _what_it_is(health: Health) -> Iterator[Check]:
    env = health.env
    where = [str(env.get("cpu_model", "an unknown processor"))]
    where += ["virtual machine"] if env.get("virtual_machine") else []
    where += [str(env["container"])] if env.get("container") else []
    yield _check("machine", ", ".join(where), "good")
    versions = (
        f"pybench {env.get('pybench')}, {env.get('implementation')} {env.get('python')},"
        f" Linux {env.get('kernel')}"
    )
    if health.debug_build:
        remedy = "a release build of Python (configure --enable-optimizations)"
        yield _check("versions", f"{versions}, a debug build", "bad", remedy)
    else:
        yield _check("versions", versions, "good")


# ---- CPUs ----


def _cpus(health: Health) -> Iterator[Check]:
    allowed = health.env.get("allowed_cpus", [])
    if len(allowed) < 2:
        remedy = "a second CPU (docker run --cpuset-cpus 0-1, taskset -c 0-1)"
        yield _check("CPUs", f"{len(allowed)}: worker and load server share it", "bad", remedy)
    else:
        yield _check("CPUs", f"{len(allowed)} may be used", "good")
    yield _placement(health)
    if len(allowed) > 1:
        yield _smt(health)
    yield _quota(health.quota_cpus, len(allowed))
    yield _governor(health.env)
    yield _turbo(health.env)


def _placement(health: Health) -> Check:
    placed = health.placement
    server = ",".join(map(str, placed.server_cpus or ()))
    where = f"worker on CPU {placed.worker_cpu}, load server on {server or 'any'}"
    if placed.shared_cpus:
        shared = ",".join(map(str, placed.shared_cpus))
        remedy = "more CPUs, or a load server on another machine (--server HOST:PORT)"
        return _check("placement", f"{where}: shared {shared}", "bad", remedy)
    return _check("placement", where, "good")


def _smt(health: Health) -> Check:
    """The worker's core: nothing else may run there."""
    others = health.siblings - {health.placement.worker_cpu}
    if not others:
        return _check("SMT", "the worker has a core of its own", "good")
    named = ",".join(map(str, sorted(others)))
    remedy = "echo off > /sys/devices/system/cpu/smt/control"
    if others & set(health.placement.server_cpus or ()):
        text = f"CPU {named} of the load server is on the worker's core"
        return _check("SMT", text, "bad", f"{remedy}, or more cores")
    return _check("SMT", f"CPU {named} shares the worker's core", "caution", remedy)


def _quota(cpus: float | None, allowed: int) -> Check:
    if cpus is None:
        return _check("CPU quota", "none", "good")
    if cpus >= allowed:
        return _check("CPU quota", f"{cpus:g} CPUs, as many as there are", "good")
    remedy = "no quota, whole CPUs instead (docker run --cpuset-cpus; systemd CPUQuota=)"
    grade: Grade = "bad" if cpus < 2 else "caution"  # worker and load server take one each
    return _check("CPU quota", f"{cpus:g} CPUs' time of {allowed}", grade, remedy)


def _governor(env: Mapping[str, Any]) -> Check:
    governor = env.get("governor")
    if governor is None:
        return _check("governor", "not told here", "good")
    if governor == "performance":
        return _check("governor", governor, "good")
    remedy = "cpupower frequency-set -g performance"
    return _check("governor", f"{governor}: the clock changes with the load", "caution", remedy)


def _turbo(env: Mapping[str, Any]) -> Check:
    if "turbo" not in env:
        return _check("turbo", "not told here", "good")
    if not env["turbo"]:
        return _check("turbo", "off", "good")
    remedy = (
        "echo 1 > /sys/devices/system/cpu/intel_pstate/no_turbo"
        " (elsewhere echo 0 > /sys/devices/system/cpu/cpufreq/boost)"
    )
    return _check("turbo", "on: the clock depends on the heat", "caution", remedy)


# ---- time ----


def _clock(env: Mapping[str, Any], tried: TriedOut) -> Iterator[Check]:
    source = env.get("clocksource")
    text = f"{source or 'unknown source'}, {tried.clock_ns:.0f} ns a reading"
    if (source is not None and source not in CLOCKS) or tried.clock_ns > CLOCK_CAUTION_NS:
        remedy = "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource"
        yield _check("clock", text, "caution", remedy)
    else:
        yield _check("clock", text, "good")
    late = sorted(tried.late_us)
    middle, most = late[len(late) // 2], late[-1]
    text = f"a sleep of 1 ms ends {middle:.0f} us late, {most:.0f} us at most"
    if middle > LATE_CAUTION_US:
        remedy = "no --rate here, whose schedule would be late: end what else runs, more CPUs"
        yield _check("timers", text, "caution", remedy)
    else:
        yield _check("timers", text, "good")


# ---- quiet ----


def _quiet(tried: TriedOut) -> Iterator[Check]:
    share = tried.throttled_s / tried.took_s if tried.took_s else 0.0
    text = f"{100 * share:.1f}% of the time without CPU, by the group's quota"
    if share > THROTTLED_SHARE:
        yield _check("throttling", text, "bad", "no CPU quota for this control group (cpu.max)")
    else:
        yield _check("throttling", "none" if not share else text, "good")
    found = tried.calibration
    if found is None:
        return
    yield _of_others(
        "steal", found.steal, STEAL_SHARE, "of the CPU time went to other guests",
        "a machine of one's own, or another hour; races (pybench race) suffer least",
    )  # fmt: skip
    yield _of_others(
        "interference", found.other, OTHER_SHARE, "of the CPU time went to other processes",
        "ps -eo pcpu,pid,comm --sort=-pcpu | head; end them, or --cpu and --server-cpus",
    )  # fmt: skip
    noise = f"two runs of one row differ by up to {100 * found.noise_floor:.0f}%"
    remedy = "pybench race, where drift cancels; else --rounds 9 and more"
    grade: Grade = "good"
    if found.noise_floor > NOISE_CAUTION:
        grade = "bad" if found.noise_floor > NOISE_BAD else "caution"
    yield _check("noise", noise, grade, "" if grade == "good" else remedy)


def _of_others(name: str, share: float, limit: float, what: str, remedy: str) -> Check:
    """Half of what is stamped is good, twice as much is bad."""
    grade: Grade = "good" if share <= limit / 2 else "caution" if share <= 2 * limit else "bad"
    return _check(name, f"{100 * share:.1f}% {what}", grade, "" if grade == "good" else remedy)


# ---- what there is ----


def _load_server(tried: TriedOut) -> Iterator[Check]:
    found = tried.calibration
    if found is None:
        remedy = "make server; pip install -e . builds it into the package (a C compiler)"
        yield _check("load server", tried.failure, "bad", remedy)
        return
    drove = ", ".join(f"{name} {count_label(round(mps))}" for name, mps in _rounded(found))
    if found.unavailable:
        ((engine, reason), *_) = found.unavailable.items()
        yield _check("load server", f"{drove} messages/s; no {engine}", "caution", reason)
    else:
        yield _check("load server", f"at most {drove} messages/s", "good")
    costs = f"system call {found.syscall_ns:.0f} ns, send {found.send_ns / 1000:.1f} us"
    yield _check("costs", f"{costs}, receive {found.recv_ns / 1000:.1f} us", "good")


def _rounded(found: Calibration) -> list[tuple[str, float]]:
    """Ceilings to two digits: more would not be true tomorrow."""
    return [(engine, float(f"{mps:.1e}")) for engine, mps in found.ceiling_mps.items()]


def _limits(health: Health) -> Iterator[Check]:
    for name, (wish, least, what, remedy) in WISHES.items():
        yield _limit(name, health.limits.get(name), wish, least, what, remedy)
    queue = health.listen_queue
    if queue is not None and queue < 4096:
        text = f"{queue} connections can wait: connecting is slow"
        yield _check("listen queue", text, "caution", "sysctl -w net.core.somaxconn=4096")
    elif queue is not None:
        yield _check("listen queue", f"{queue} connections can wait", "good")
    down = health.loopback_down
    if down is not None:
        yield _check("loopback", "its interface is down here", "bad", "ip link set lo up")
    else:
        yield _check("loopback", "up", "good")


def _limit(name: str, limit: Limit | None, wish: int, least: int, what: str, remedy: str) -> Check:
    if limit is None:
        return _check(name, "no limit", "good")
    have = limit.available
    text = f"{have / (1 << 20):.1f} GiB free" if name == "memory" else f"{have}"
    if name == "threads":  # which of the things that limit them
        text += f" {limit.what}"
    text += f" ({what})" if what else ""
    if have >= wish:
        return _check(name, text, "good")
    return _check(name, text, "bad" if have < least else "caution", remedy or limit.remedy)
