"""What else the machine did while a round ran: read from /proc before and after, never in between.

`begin` and `end` frame the pings, `connecting` and `connected` the time before them. What cannot
be read is left out: then there is nothing to say.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pybench.machine import cgroup
from pybench.machine.placement import Placement
from pybench.result import Disturbance

STAT = Path("/proc/stat")
NETSTAT = Path("/proc/net/netstat")

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class CpuTimes:
    """What a CPU did since it started, in seconds.

    busy: what is in the CPU times of processes.  steal: it would have run, but the hypervisor ran
    somebody else.  total: all of it, idling included.
    """

    busy: float
    steal: float
    total: float

    def since(self, before: "CpuTimes") -> "CpuTimes":
        """The difference; times that went backwards, as some hypervisors' do, count as 0."""
        return CpuTimes(
            max(0.0, self.busy - before.busy),
            max(0.0, self.steal - before.steal),
            max(0.0, self.total - before.total),
        )


def read_cpu_times(text: str) -> dict[int, CpuTimes]:
    """CPU number -> times, from the text of /proc/stat. Source: proc_stat(5).

    A kernel that counts time by its tick books what interrupts do on the process they interrupted,
    and never sees a tick inside one: its `irq` column stays 0. Then `softirq` is in the processes'
    times too. A kernel that measures interrupts (CONFIG_IRQ_TIME_ACCOUNTING) keeps it apart.
    """
    lines = [line.split() for line in text.splitlines() if line.startswith("cpu")]
    ticks = {
        int(name[3:]): [int(word) for word in words[:8]] + [0] * (8 - len(words))
        for name, *words in lines
        if name[3:].isdigit()
    }
    apart = any(irq for *_, irq, _softirq, _steal in ticks.values())
    found = {}
    for cpu, (user, nice, system, idle, iowait, irq, softirq, steal) in ticks.items():
        busy = user + nice + system + (0 if apart else softirq)
        total = user + nice + system + idle + iowait + irq + softirq + steal
        found[cpu] = CpuTimes(busy / _TICKS_PER_S, steal / _TICKS_PER_S, total / _TICKS_PER_S)
    return found


def read_listen_counters(text: str) -> tuple[int, int]:
    """ListenOverflows and ListenDrops, from the text of /proc/net/netstat.

    Its lines come in pairs: names, then values. Raises KeyError when they are not there.
    """
    lines = [line.split() for line in text.splitlines()]
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        if names[0] == "TcpExt:":
            found = dict(zip(names[1:], map(int, values[1:]), strict=True))
            return found["ListenOverflows"], found["ListenDrops"]
    raise KeyError("TcpExt")


@dataclass(frozen=True, slots=True)
class Others:
    """The shares of some CPUs' time that other processes and other guests had."""

    other: float
    steal: float

    @property
    def both(self) -> float:
        """The share that was not to be had."""
        return min(1.0, self.other + self.steal)


def _share_of_others(
    spent: Mapping[int, CpuTimes], cpus: Iterable[int], test_s: float
) -> Others | None:
    """What is left of the CPUs' busy time; None where there are none of them.

    test_s: CPU seconds that the test itself used on them.
    """
    used = [spent[cpu] for cpu in cpus if cpu in spent]
    total_s = sum(times.total for times in used)
    if total_s <= 0:
        return None
    other_s = max(0.0, sum(times.busy for times in used) - test_s)
    steal_s = sum(times.steal for times in used)
    return Others(round(other_s / total_s, 4), round(steal_s / total_s, 4))


class Monitor:
    """Samples for one round. Every call is one short read; none fails."""

    def __init__(self, placement: Placement) -> None:
        self._placement = placement
        self._listen: list[tuple[int, int]] = []
        self._times: list[Mapping[int, CpuTimes]] = []
        self._own_s: list[float] = []
        self._throttled: list[tuple[int, float]] = []

    def connecting(self) -> None:
        """The load server is about to connect."""
        self._sample_listen()

    def connected(self) -> None:
        """All connections are accepted."""
        self._sample_listen()

    def begin(self) -> None:
        """The pings begin."""
        self._sample_times()

    def end(self) -> None:
        """The result is there."""
        self._sample_times()

    def disturbance(self, *, worker_s: float, server_share: float) -> Disturbance | None:
        """What was sampled, less what the test itself used; None when it could not be.

        worker_s: CPU seconds of the worker between begin and end.  server_share: CPU seconds of
        a load server on this machine per second; 0 for one elsewhere.
        """
        if len(self._times) != 2:
            return None
        before, after = self._times
        spent = {cpu: after[cpu].since(before[cpu]) for cpu in after if cpu in before}
        placement = self._placement
        workers = set(placement.all_worker_cpus)
        server = placement.server_cpus or ()
        used = {*workers, *server} if workers else os.sched_getaffinity(0)
        server_s = server_share * max((times.total for times in spent.values()), default=0.0)
        driver_s = self._own_s[1] - self._own_s[0]
        whole = _share_of_others(spent, used, worker_s + server_s + driver_s)
        if whole is None:
            return None
        shared = len(
            workers & set(server)
        )  # each side's time counts by halves where half is shared
        at_worker = worker_s + (server_s * shared / len(server) if shared else 0.0)
        at_server = server_s + (worker_s * shared / len(workers) if shared else 0.0)
        of_worker = _share_of_others(spent, workers, at_worker)
        of_server = _share_of_others(spent, server, at_server) if workers else whole
        overflows, drops = self._listened()
        times, throttled_s = self._waited()
        return Disturbance(
            steal=whole.steal,
            other=whole.other,
            taken=of_worker.both if of_worker else 0.0,
            server_taken=of_server.both if of_server else 0.0,
            listen_overflows=overflows,
            listen_drops=drops,
            throttled_times=times,
            throttled_s=throttled_s,
        )

    def _listened(self) -> tuple[int, int]:
        if len(self._listen) != 2:
            return 0, 0
        before, after = self._listen
        return max(0, after[0] - before[0]), max(0, after[1] - before[1])

    def _waited(self) -> tuple[int, float]:
        if len(self._throttled) != 2:
            return 0, 0.0
        before, after = self._throttled
        return max(0, after[0] - before[0]), round(max(0.0, after[1] - before[1]), 6)

    def _sample_listen(self) -> None:
        try:
            self._listen.append(read_listen_counters(NETSTAT.read_text()))
        except (OSError, ValueError, KeyError, IndexError):
            self._listen.clear()

    def _sample_times(self) -> None:
        try:
            self._times.append(read_cpu_times(STAT.read_text()))
        except (OSError, ValueError):
            return
        own = os.times()
        self._own_s.append(own.user + own.system)
        if (throttled := cgroup.throttled()) is not None:
            self._throttled.append(throttled)
