"""What the reports know about results: rounds, gathered into cells, gathered into groups.

A group is what may stand in one table: one load server, one message size, one runtime and so on
(`Setting`). Ours and the 2016 rounds look alike here; what was not measured is simply absent.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from msgspec import structs

from pybench.analysis import stamps
from pybench.analysis.legacy import LegacyRound, LegacyTime
from pybench.analysis.stats import Summary, merge_histograms, summarize
from pybench.analysis.steadiness import Mode, modes
from pybench.backends.names import family, row_order
from pybench.result import Machine, Resident, Result, Series, ServerUsage, Stamp
from pybench.result.campaign import CampaignRecord
from pybench.spec import OPTIONS, axes, row_label
from pybench.units import NS_PER_US, count_label, format_duration, printable

LOCAL = "local"
BYTES_PER_MB = 1_000_000
OPTION_WORDS = {option.key: option.words for option in OPTIONS.values() if option.words}
"""What a difference in an option is called."""

_MOST = 1e18
"""Of any figure: from where on sums of squares are infinite, far above all that is measured."""
_OF_PYTHON = ("implementation", "gil")


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Setting:
    """What two rounds must have in common to stand in one table.

    server: name of the load server, `local` for one on a loopback address, else its host.
    transport, inflight, idle, workers, loops: as of a `Cell`.
    engine, threads: of the load server; empty and 0 when not known.  machine: where the client ran.
    timestamps: `kernel` where each echo's arrival was noted.  busy_poll_us: how long the load
    server looked for echoes before it slept.  conns: connections of an open loop,
    whose tables go by rate; 0 for a closed loop, whose tables go by connections.
    options: what else was asked for, key and value, where it is not the usual.
    """

    server: str
    msize: int
    transport: str = "tcp"
    think_us: tuple[int, int] = (0, 0)
    runtime_s: float
    warmup_s: float
    engine: str = ""
    threads: int = 0
    machine: str = ""
    timestamps: str = ""
    busy_poll_us: int = 0
    options: tuple[tuple[str, Any], ...] = ()
    conns: int = 0
    inflight: int = 1
    idle: int = 0
    workers: int = 1
    loops: int = 1

    @property
    def open_loop(self) -> bool:
        """Whether pings kept a schedule."""
        return self.conns > 0

    @property
    def axis(self) -> str:
        """What the columns of the tables count."""
        return "messages/s asked for" if self.open_loop else "connections"

    def at(self, count: int) -> str:
        """A column in a sentence: `at 1k connections`, `at 10k messages/s`."""
        return f"at {count_label(count)} {'messages/s' if self.open_loop else 'connections'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One round of one cell.

    campaign: id of the interleaved campaign, empty when there was none.
    rate: pings per second asked for, 0 in a closed loop.  family: as in `Result`.
    python: what the interpreter is called in `func`, empty where none was asked for.
    func_anywhere: `func` without it.
    values: quantity -> number, only what was measured; names as in `metrics.py`.
    at_least: the quantities whose number is a lower bound.
    histogram: as in `Result`; empty for the rounds of 2016.  source: `pybench` or `2016`.
    started_at, series, window_s: as in `Result`.  machine: name and id of that of a cluster, empty
    for the driver's own.
    """

    func: str
    conns: int
    number: int
    campaign: str
    setting: Setting
    rate: int = 0
    python: str = ""
    func_anywhere: str = ""
    family: str = ""
    status: str = "ok"
    error: str = ""
    values: Mapping[str, float] = field(default_factory=dict)
    at_least: frozenset[str] = frozenset()
    histogram: Mapping[int, int] = field(default_factory=dict)
    warnings: tuple[Stamp, ...] = ()
    env: Mapping[str, Any] = field(default_factory=dict)
    source: str = "pybench"
    started_at: str = ""
    series: Series | None = None
    window_s: float = 0.0
    machine: str = ""

    @property
    def identity(self) -> tuple[Any, ...]:
        """What makes it one round, wherever it stands: two with the same are one.

        In a campaign a round of a cell is measured once, unless it failed. Without one the time at
        which it began tells, of the rounds of 2016 their figures.
        """
        cell = (self.campaign, self.func, self.conns, self.rate, self.setting)
        if self.source != "pybench":
            return (*cell, self.number, *sorted(self.values.items()))
        if self.campaign and self.ok:
            return (*cell, self.number)
        return (*cell, self.number, self.status, self.started_at)

    @property
    def ok(self) -> bool:
        """Whether the round measured what it was to measure."""
        return self.status == "ok"

    @property
    def count(self) -> int:
        """The column that it stands in: its connections, its rate in an open loop."""
        return self.rate if self.setting.open_loop else self.conns


@dataclass(frozen=True)
class CellRounds:
    """All rounds of one row in one column, good and failed ones, in order.

    column: connections, the rate in an open loop.
    """

    func: str
    column: int
    rounds: tuple[Round, ...]

    @property
    def python(self) -> str:
        """What its interpreter is called; empty where none was asked for."""
        return self.rounds[0].python

    @property
    def func_anywhere(self) -> str:
        """The row, whatever interpreter it runs under."""
        return self.rounds[0].func_anywhere or self.func

    @cached_property
    def good(self) -> tuple[Round, ...]:
        """The rounds that measured something."""
        return tuple(r for r in self.rounds if r.ok)

    def values(self, quantity: str) -> list[float]:
        """The quantity's number in each good round that has one."""
        return [r.values[quantity] for r in self.good if quantity in r.values]

    def summary(self, quantity: str) -> Summary | None:
        """What the rounds say about the quantity; None when none has it."""
        values = self.values(quantity)
        return summarize(values) if values else None

    def at_least(self, quantity: str) -> bool:
        """Whether half of the rounds or more have only a lower bound: so has the median."""
        bounds = sum(quantity in r.at_least for r in self.good)
        return bounds > 0 and 2 * bounds >= len(self.values(quantity))

    @cached_property
    def histogram(self) -> dict[int, int]:
        """The round-trip times of all good rounds together."""
        return merge_histograms(r.histogram for r in self.good)

    @cached_property
    def every_code(self) -> tuple[str, ...]:
        """The stamps on any good round, and on all together, sorted; windows that are too short by
        themselves may be long enough together."""
        found = {w.code for r in self.good for w in r.warnings}
        if sum(r.setting.runtime_s for r in self.good) >= stamps.SHORT_RUN_S:
            found.discard("short_run")
        return tuple(sorted(found | ({self.stamp.code} if self.stamp else set())))

    @cached_property
    def modes(self) -> tuple[Mode, Mode] | None:
        """The two groups that its rounds fall into, by messages/s; None when they are one.

        The tables of 2016 are as they were printed.
        """
        ours = [r.values["mps"] for r in self.good if r.source == "pybench" and "mps" in r.values]
        return modes(ours) if ours and not self.rounds[0].setting.open_loop else None

    @cached_property
    def stamp(self) -> Stamp | None:
        """What must be known of its rounds together."""
        return stamps.modes(self.values("mps")) if self.modes else None

    @cached_property
    def codes(self) -> tuple[str, ...]:
        """Those that mark this cell: not what is true of all that this machine measures."""
        return tuple(code for code in self.every_code if stamps.class_of(code) != "machine")


@dataclass(frozen=True)
class Group:
    """Everything that stands in one set of tables."""

    setting: Setting
    title: str
    cells: Mapping[tuple[str, int], CellRounds]

    @cached_property
    def rows(self) -> list[str]:
        """Rows in the order of the tables."""
        return sorted({func for func, _ in self.cells}, key=row_order)

    @cached_property
    def families(self) -> dict[str, str]:
        """row -> its family, for every row: what its results say, else what its name does."""
        recorded = {r.func: r.family for r in self.rounds if r.family}
        return {row: family(row, recorded.get(row, "")) for row in self.rows}

    @cached_property
    def counts(self) -> list[int]:
        """Connection counts, rates in an open loop, rising."""
        return sorted({conns for _, conns in self.cells})

    @property
    def open_loop(self) -> bool:
        """Whether pings kept a schedule: then the columns are rates."""
        return self.setting.open_loop

    @property
    def axis(self) -> str:
        """What the columns of the tables count."""
        return self.setting.axis

    def at(self, count: int) -> str:
        """A column in a sentence: `at 1k connections`."""
        return self.setting.at(count)

    def label(self, count: int) -> str:
        """What a column is called."""
        return count_label(count)

    @property
    def local(self) -> bool:
        """Whether load server and client shared a machine."""
        return self.setting.server == LOCAL

    @cached_property
    def rounds(self) -> list[Round]:
        """All rounds of all cells."""
        return [r for cell in self.cells.values() for r in cell.rounds]

    def rows_with(self, quantity: str) -> list[str]:
        """The rows that have the quantity at any count, in order."""
        return [f for f in self.rows if any(self.has(f, c, quantity) for c in self.counts)]

    def counts_with(self, quantity: str) -> list[int]:
        """The counts that have the quantity in any row, rising."""
        return [c for c in self.counts if any(self.has(f, c, quantity) for f in self.rows)]

    def has(self, func: str, conns: int, quantity: str) -> bool:
        """Whether the cell exists and some good round of it has the quantity."""
        cell = self.cells.get((func, conns))
        return cell is not None and any(quantity in r.values for r in cell.good)

    def summary(self, func: str, conns: int, quantity: str) -> Summary | None:
        """The cell's summary; None when there is nothing to summarize."""
        cell = self.cells.get((func, conns))
        return None if cell is None else cell.summary(quantity)


def fastest_first(groups: Sequence[Group]) -> list[str]:
    """The rows that were measured, by messages/s relative to the fastest row of each column.

    That share is averaged over all columns in which any row was measured; 0 where the row was not.
    """
    scores: dict[str, float] = {}
    for group in groups:
        for count in group.counts_with("mps"):
            found = {row: s.mean for row in group.rows if (s := group.summary(row, count, "mps"))}
            best = max(found.values())
            for row, mean in found.items():
                scores[row] = scores.get(row, 0.0) + (mean / best if best else 0.0)
    return sorted(scores, key=lambda row: (-scores[row], row_order(row)))


def kept_rate(group: Group, row: str) -> int | None:
    """The knee of a row in an open loop: the highest rate that most of its rounds kept."""
    kept = [
        rate
        for rate in group.counts
        if (cell := group.cells.get((row, rate))) is not None
        and cell.good
        and 2 * sum(_is_overloaded(r) for r in cell.good) < len(cell.good)
    ]
    return max(kept, default=None)


def _is_overloaded(one: Round) -> bool:
    return any(warning.code == "overloaded" for warning in one.warnings)


def group_rounds(rounds: Iterable[Round]) -> list[Group]:
    """Rounds apart by setting, in the order in which the settings first appear."""
    apart: dict[Setting, dict[tuple[str, int], list[Round]]] = {}
    for one in rounds:
        apart.setdefault(one.setting, {}).setdefault((one.func, one.count), []).append(one)
    settings = list(apart)
    return [
        Group(
            setting,
            _title(setting, settings),
            {key: CellRounds(*key, tuple(found)) for key, found in cells.items()},
        )
        for setting, cells in apart.items()
    ]


def without_copies(rounds: Iterable[Round]) -> tuple[list[Round], int]:
    """Each round once, and how many copies there were.

    A cell that could not be measured at first, and was later in the same campaign, counts as
    measured.
    """
    found: dict[tuple[Any, ...], Round] = {}
    copies = 0
    for one in rounds:
        if found.setdefault(one.identity, one) is not one:
            copies += 1
    measured = {_place(r) for r in found.values() if r.ok}
    kept = [r for r in found.values() if r.status != "unavailable" or _place(r) not in measured]
    return kept, copies


def _place(one: Round) -> tuple[object, ...]:
    """Which round of which cell it is, of one that measured nothing as well."""
    setting = one.setting
    cell = (one.func, one.number, one.conns, setting.msize, *axes.key(setting))
    return one.campaign, *cell, one.rate


def shared_rounds(base: Iterable[Group], new: Iterable[Group]) -> int:
    """How many rounds stand on both sides."""
    before, after = ({r.identity for g in side for r in g.rounds if r.ok} for side in (base, new))
    return len(before & after)


def _title(setting: Setting, settings: Sequence[Setting]) -> str:
    """One line naming the setting: always server, size and runtime; the rest where it differs."""

    def differs(name: str) -> bool:
        return len({getattr(s, name) for s in settings}) > 1

    server = "local load server" if setting.server == LOCAL else f"load server {setting.server}"
    parts = [server, f"{setting.msize}-byte messages", f"{setting.runtime_s:g} s rounds"]
    for name, axis in axes.AXES.items():
        if (value := getattr(setting, name)) != axis.usual or differs(name):
            parts.append(axis.title(value))
    if setting.open_loop:
        parts.append(f"open loop over {count_label(setting.conns)} connections")
    if setting.think_us != (0, 0):
        parts.append(f"think time {setting.think_us[0]}-{setting.think_us[1]} us")
    if differs("warmup_s"):
        parts.append(f"warm-up {setting.warmup_s:g} s")
    if setting.engine and (differs("engine") or setting.engine != "epoll"):
        parts.append(f"{setting.engine} engine")
    if setting.timestamps:
        parts.append(f"{setting.timestamps} timestamps")
    if differs("busy_poll_us"):
        poll = format_duration(setting.busy_poll_us * NS_PER_US)
        parts.append(f"busy poll {poll}" if setting.busy_poll_us else "no busy poll")
    parts += [f"{OPTION_WORDS.get(key, key)} {value}" for key, value in setting.options]
    if differs("threads"):
        parts.append(f"{setting.threads} server threads")
    if differs("machine") and setting.machine:
        parts.append(setting.machine)
    return ", ".join(parts)


def _frozen(value: Any) -> Any:
    """A value of JSON that can be compared and hashed."""
    if isinstance(value, dict):
        return tuple(sorted((key, _frozen(item)) for key, item in value.items()))
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def server_name(address: str) -> str:
    """`local` for a loopback or empty `host:port`, else the host; of several all, once each."""
    if "," in address:
        return "+".join(dict.fromkeys(map(server_name, address.split(","))))
    host = address.rpartition(":")[0] if ":" in address else address
    host = host.strip("[]")
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host in ("", "localhost")
    return LOCAL if loopback else host


def machine_label(of: Machine) -> str:
    """A machine of a cluster as tables name it: two may have one name."""
    return printable(f"{of.name} ({of.id[:4]})")


def machine_name(env: Mapping[str, Any]) -> str:
    """The machine in an environment record, `Example CPU, 2 CPUs`; empty when it names none."""
    parts = [str(env[key]) for key in ("hostname", "cpu_model") if env.get(key)]
    if parts and env.get("cpus"):
        parts.append(f"{env['cpus']} CPUs")
    return ", ".join(parts)


def rounds_of_section(
    results: Sequence[Result], campaign: CampaignRecord | None = None
) -> list[Round]:
    """The rounds of one invocation.

    A round that failed does not say which server it was meant for: it takes what the invocation's
    other rounds have, so that it stays in their table.
    """
    campaign = campaign or CampaignRecord()
    servers = Counter(_server_of(r.server) for r in results if r.server)
    unknown = _Server(str(campaign.server or ""))
    usual = servers.most_common(1)[0][0] if servers else unknown
    env = next((r.env for r in results if r.env), {})
    own = campaign.id if isinstance(campaign.id, str) else ""
    return [_round_of_result(r, r.campaign_id or own, usual, env) for r in results]


class _Server(NamedTuple):
    """What a setting has of the load server."""

    address: str
    engine: str = ""
    threads: int = 0
    timestamps: str = ""
    busy_poll_us: int = 0


def _server_of(server: ServerUsage) -> _Server:
    return _Server(**{name: getattr(server, name) for name in _Server._fields})


def _round_of_result(
    result: Result, campaign: str, usual: _Server, env: Mapping[str, Any]
) -> Round:
    server = _server_of(result.server) if result.server else usual
    env, python, of = result.env or env, result.python, result.machine
    # Version 0.1 called it ok, whatever it had lost.
    broken = stamps.too_many_lost(result) if result.ok else None
    values = _values_of_result(result) if result.ok and not broken else {}
    if values and result.turns is None:
        broken = _impossible(values)
    if "version" in python:  # what the driver runs under is of no account
        of_python = {key: python[key] for key in _OF_PYTHON if key in python}
        env = {**env, "python": python["version"]} | of_python
    return Round(
        func=printable(result.func),
        conns=result.conns,
        number=result.round,
        campaign=campaign,
        setting=Setting(
            server=printable(server_name(server.address)),
            msize=result.msize,
            think_us=result.think_us,
            runtime_s=result.runtime_s,
            warmup_s=result.warmup_s,
            engine=server.engine,
            threads=server.threads,
            machine=printable(machine_name(env) if of is None else of.kind),
            timestamps=server.timestamps,
            busy_poll_us=server.busy_poll_us,
            options=tuple(sorted((key, _frozen(value)) for key, value in result.options.items())),
            conns=result.conns if result.rate else 0,
            **axes.point(result) | {"transport": printable(result.transport)},
        ),
        rate=result.rate,
        python=printable(python.get("name", "")),
        func_anywhere=printable(
            row_label(result.row or result.func, tuple(result.env_set.items()))
        ),
        family=result.family,
        status="failed" if broken else result.status,
        error=printable(broken or result.error),
        values={} if broken else values,
        histogram=result.histogram,
        warnings=tuple(map(_shown_stamp, result.warnings)),
        env=env,
        started_at=printable(result.started_at),
        series=result.series,
        window_s=result.window_s,
        machine="" if of is None else machine_label(of),
    )


def _shown_stamp(stamp: Stamp) -> Stamp:
    words = {name: getattr(stamp, name) for name in ("code", "text", "remedy")}
    if all(map(str.isprintable, words.values())):
        return stamp
    return structs.replace(stamp, **{name: printable(word) for name, word in words.items()})


def _impossible(values: Mapping[str, float]) -> str | None:
    """Why figures that others have written cannot be of a round; None when they can."""
    if values["mps"] <= 0:
        return "no message in its window, and yet called ok"
    beyond = next((name for name, value in values.items() if value > _MOST), None)
    return None if beyond is None else f"{beyond} is {values[beyond]:g}, which nothing measures"


def _values_of_result(result: Result) -> dict[str, float]:
    """Every quantity of the round that can be computed from what it has."""
    values: dict[str, float] = {
        "mps": result.mps,
        "mb_per_s": result.mps * result.msize / BYTES_PER_MB,
    }
    if result.latency_ns is not None:
        lat = result.latency_ns
        values |= {
            "latmean_ns": lat.mean,
            "lat50_ns": lat.p50,
            "lat95_ns": lat.p95,
            "lat99_ns": lat.p99,
            "latmax_ns": lat.max,
        }
    if result.client is not None:
        client = result.client
        busy_s = client.user_s + client.sys_s
        if busy_s > 0:
            values["user_pct"] = 100 * client.user_s / busy_s
        if client.messages > 0:
            values["user_us_per_msg"] = 1e6 * client.user_s / client.messages
            values["sys_us_per_msg"] = 1e6 * client.sys_s / client.messages
            values["cpu_us_per_msg"] = 1e6 * busy_s / client.messages
            if client.minor_faults is not None:
                values["faults_per_msg"] = client.minor_faults / client.messages
            if client.voluntary_switches is not None and client.involuntary_switches is not None:
                switches = client.voluntary_switches + client.involuntary_switches
                values["switches_per_msg"] = switches / client.messages
        if client.max_rss_kb > 0:
            values["rss_kib_per_conn"] = client.max_rss_kb / (result.conns + result.idle)
        values |= memory_values(client.rss_kb, result.conns, result.idle)
        if client.shares:
            values["unevenness"] = client.unevenness
    if result.per_conn is not None:
        per = result.per_conn
        values |= {"jain": per.jain, "starved": per.starved, "lost": per.lost}
        values |= {"conn_min": per.min, "conn_p5": per.p5, "conn_p50": per.p50}
        values |= {"conn_p95": per.p95, "conn_max": per.max}
    if result.server is not None:
        values["connect_s"] = result.server.connect_s
        if result.server.handshake_s:
            values["handshakes_per_s"] = result.conns / result.server.handshake_s
    if result.server_queue is not None:
        values["server_queue_pct"] = 100 * result.server_queue
    return values | _open_loop_values(result)


def memory_values(resident: Resident | None, conns: int, idle: int = 0) -> dict[str, float]:
    """What a connection costs in KiB, idle and busy, where both were read.

    conns: that were pinged.  idle: that never were: they cost as much as before anything was sent,
    and what came on top is of the others.
    """
    if resident is None or resident.before is None:
        return {}
    values = {}
    if resident.idle is not None:
        values["idle_kib_per_conn"] = (resident.idle - resident.before) / (conns + idle)
    if resident.busy is not None and (resident.idle is not None or not idle):
        of_idle = idle * values["idle_kib_per_conn"] if idle else 0.0
        values["busy_kib_per_conn"] = (resident.busy - resident.before - of_idle) / conns
    return values


def _open_loop_values(result: Result) -> dict[str, float]:
    """What only a round with a rate has."""
    due = result.rate * result.window_s
    if not due:
        return {}
    values = {"late_pct": 100 * result.late / due, "unsent_pct": 100 * result.unsent / due}
    values["censored_pct"] = 100 * result.censored / due
    found = result.bounded_ns or result.corrected_ns
    if found is not None:
        values |= {"due50_ns": found.p50, "due95_ns": found.p95, "due99_ns": found.p99}
        values |= {"duemean_ns": found.mean, "duemax_ns": found.max}
    return values


def rounds_of_legacy(records: Iterable[LegacyRound]) -> list[Round]:
    """The rounds of a 2016 file; the n-th record of a cell is its round n, and a copy of it too."""
    seen: Counter[tuple[str, str, int]] = Counter()
    numbers: dict[tuple[int, int], int] = {}
    rounds = []
    for record in records:
        key = (record.server, record.func, record.conns)
        if record.place not in numbers:
            seen[key] += 1
            numbers[record.place] = seen[key]
        rounds.append(_round_of_legacy(record, numbers[record.place]))
    return rounds


def _round_of_legacy(record: LegacyRound, number: int) -> Round:
    busy_s = record.utime_s + record.stime_s
    mps = record.messages / record.ctime_s
    values = {"mps": mps, "mb_per_s": mps * record.msize / BYTES_PER_MB}
    if busy_s > 0:
        values["user_pct"] = 100 * record.utime_s / busy_s
    if record.messages > 0:
        values["user_us_per_msg"] = 1e6 * record.utime_s / record.messages
        values["sys_us_per_msg"] = 1e6 * record.stime_s / record.messages
        values["cpu_us_per_msg"] = 1e6 * busy_s / record.messages
    if record.msg_5perc is not None:
        values["conn_p5"] = record.msg_5perc
    if record.msg_95perc is not None:
        values["conn_p95"] = record.msg_95perc
    times: dict[str, LegacyTime | None] = {"lat50_ns": record.lat_50, "lat95_ns": record.lat_95}
    known = {name: time for name, time in times.items() if time is not None}
    host = server_name(record.server)
    return Round(
        func=record.func,
        conns=record.conns,
        number=number,
        campaign="",
        setting=Setting(
            server=LOCAL if host == server_name(record.bind) else host,
            msize=record.msize,
            runtime_s=record.runtime_s,
            warmup_s=0.0,
            machine="2016",
        ),
        values=values | {name: float(time.ns) for name, time in known.items()},
        at_least=frozenset(name for name, time in known.items() if time.at_least),
        source="2016",
    )
