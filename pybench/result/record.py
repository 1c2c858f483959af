"""One result line: what a round of a cell measured. The names are the file format (schema 1).

Everything is frozen: a result is a fact. Times whose name ends in `_ns` are integer nanoseconds,
`_us` microseconds, `_s` seconds. Reading and writing files is in `result/file.py`.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from pybench.errors import ResultFormatError

SCHEMA = 1

Status = Literal["ok", "failed", "hung", "unavailable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Round-trip times inside the window, in ns; percentiles are upper edges of buckets."""

    mean: int
    p50: int
    p75: int
    p90: int
    p95: int
    p99: int
    p999: int
    max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PerConn:
    """How the messages of the window spread over the connections.

    min..max: messages per connection.  jain: Jain's fairness index in (0, 1].
    starved: connections without a single echo in the window.  lost: connections that ended early,
    for any cause; lost_by: the same by cause (`reset closed corrupt error`).
    percentiles: messages per connection at 5, 10, ... 95%.
    """

    min: int
    p5: int
    p50: int
    p95: int
    max: int
    jain: float
    starved: int
    lost: int
    lost_by: dict[str, int] = field(default_factory=dict)
    percentiles: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientUsage:
    """What the worker used from ready to end.

    messages: all messages sent to it in that time, warm-up included: the divisor of its CPU time.
    cpu: the CPU it was pinned to, None when it was not.
    """

    user_s: float
    sys_s: float
    wall_s: float
    max_rss_kb: int
    cpu: int | None
    messages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerUsage:
    """The load server and what it used inside the window.

    user_s, sys_s: CPU time of its ping threads.  waits: for events; events: ready connections that
    they gave; events_squared: sum over the waits of the square of that.  timestamps: `kernel` when
    the kernel's receive times were asked for.  busy_poll_us: how long the threads looked for events
    before they slept.  idle_s: of their CPU time, what they spent looking in vain.
    """

    address: str
    engine: str
    threads: int
    user_s: float
    sys_s: float
    wall_s: float
    connect_s: float
    version: str = ""
    waits: int = 0
    events: int = 0
    events_squared: int = 0
    timestamps: str = ""
    busy_poll_us: int = 0
    idle_s: float = 0.0

    @property
    def busy_s(self) -> float:
        """CPU time of the ping threads that was spent on pings."""
        return max(0.0, self.user_s + self.sys_s - self.idle_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """What else the worker's machine did during the round. Shares are from 0 to 1.

    steal: of the time of the CPUs in use that the hypervisor gave to others.  other: of it that
    processes other than the worker and the load server took.  taken: of the worker's own CPU, by
    both; 0 when it is not pinned.  server_taken: of the load server's CPUs; where it is not pinned
    here, of all in use.
    listen_overflows, listen_drops: connections that found the listen queue full, machine-wide,
    while the test connected.
    """

    steal: float
    other: float
    taken: float
    server_taken: float = 0.0
    listen_overflows: int = 0
    listen_drops: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Warning:
    """One thing a reader must know before believing the numbers.

    code: from the closed list in `checks.py`.  text: what was seen, with its number.
    remedy: what to do about it.
    """

    code: str
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One round of one cell. Measurements are None unless status is `ok`.

    func: the row.  conns: connections.  msize: bytes of a message.  round: 1, 2, ...
    started_at: ISO 8601 with zone.  error: one line, empty when ok.
    details: the traceback behind it, if there is one.
    runtime_s, warmup_s: as asked for.  think_us: [min, max] as asked for.
    messages: echoes inside the window.  window_s: its true length.  mps: messages / window_s.
    histogram: lower edge of a bucket in ns -> echoes; bucket rule in server/histogram.h.
    env: where it ran, free-form.

    row: the row's own name when `func` has more, `asyncio[py3.12,NAME=VALUE]`; else empty.
    env_set: those variables, set in the worker.
    family: what groups the row with others.  spec: how a row that is not ours was asked for, empty
    for ours: `module:callable`, `exec:COMMAND`, ...
    python: what the worker ran under: `executable`, `version`, `implementation`, whether the `gil`
    was on, the `library` of the row with its version; its `name` in `func` when one was asked for.
    Empty for a program, the name alone when the worker did not come that far.
    rate: pings per second that were asked for, 0 in a closed loop. Only with a rate:
    corrected_ns, corrected_histogram: latency from when each ping was due, where `latency_ns` and
    `histogram` count from when it was sent.  late: pings sent more than 1 ms after that.
    unsent: pings due in the window and never sent.
    in_flight: mean number of pings in flight, Little's L, counted and not derived: also of those
    that were never answered.
    server_queue: share of the mean latency that echoes spent in the load server's own queue, from
    0 to 1.  server_queue_source: `kernel` (measured) or `estimate`.
    disturbance: None when the machine does not tell.
    """

    func: str
    conns: int
    msize: int
    round: int
    started_at: str
    status: Status
    error: str = ""
    details: str = ""
    runtime_s: float
    warmup_s: float
    think_us: tuple[int, int] = (0, 0)
    messages: int = 0
    window_s: float = 0.0
    mps: float = 0.0
    latency_ns: Latency | None = None
    histogram: dict[int, int] = field(default_factory=dict)
    per_conn: PerConn | None = None
    client: ClientUsage | None = None
    server: ServerUsage | None = None
    warnings: tuple[Warning, ...] = ()
    env: dict[str, Any] = field(default_factory=dict)
    row: str = ""
    env_set: dict[str, str] = field(default_factory=dict)
    family: str = ""
    spec: str = ""
    python: dict[str, Any] = field(default_factory=dict)
    rate: int = 0
    corrected_ns: Latency | None = None
    corrected_histogram: dict[int, int] = field(default_factory=dict)
    late: int = 0
    unsent: int = 0
    in_flight: float | None = None
    server_queue: float | None = None
    server_queue_source: str = ""
    disturbance: Disturbance | None = None
    schema: int = SCHEMA

    @property
    def ok(self) -> bool:
        """Whether the round measured what it was to measure."""
        return self.status == "ok"

    def to_json(self) -> str:
        """The result as one line of JSON, without the newline."""
        record = dataclasses.asdict(self)
        for name in _HISTOGRAMS:
            record[name] = {str(edge): n for edge, n in sorted(record[name].items())}
        return json.dumps(record, separators=(",", ":"))

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "Result":
        """The inverse of `to_json`. Keys that are not known are ignored: they are newer than we.

        Raises ResultFormatError when a key is missing or the schema is not ours.
        """
        if record.get("schema") != SCHEMA:
            raise ResultFormatError(f"schema {record.get('schema')!r} is not {SCHEMA}")
        try:
            values = _known(cls, record)
            values["think_us"] = tuple(record.get("think_us", (0, 0)))
            for name in _HISTOGRAMS:
                values[name] = {int(k): int(v) for k, v in record.get(name, {}).items()}
            values["warnings"] = tuple(
                Warning(**_known(Warning, w)) for w in record.get("warnings", [])
            )
            for name, part in _PARTS.items():
                if record.get(name) is not None:
                    values[name] = part(**_known(part, record[name]))
            return cls(**values)
        except (TypeError, ValueError, AttributeError) as exc:
            raise ResultFormatError(f"not a result: {exc}") from exc


_HISTOGRAMS = ("histogram", "corrected_histogram")

_PARTS: dict[str, Any] = {
    "latency_ns": Latency,
    "corrected_ns": Latency,
    "disturbance": Disturbance,
    "per_conn": PerConn,
    "client": ClientUsage,
    "server": ServerUsage,
}


def _known(cls: Any, record: dict[str, Any]) -> dict[str, Any]:
    """The items of record whose keys are fields of the dataclass cls."""
    names = {f.name for f in dataclasses.fields(cls)}
    return {key: value for key, value in record.items() if key in names}
