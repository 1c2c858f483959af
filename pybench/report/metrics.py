"""What tables there are: for each its quantity, its title, and how one cell of it is written."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from pybench.analysis.stats import Summary
from pybench.errors import UsageError
from pybench.report.text import (
    duration_text,
    megabytes_text,
    plain_text,
    rate_text,
    share_text,
    size_text,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One table.

    name: on the command line.  key: in JSON and CSV.  quantity: in `Round.values`.
    centre: what of the rounds a cell shows.  spread: whether `~ N%` follows it.
    write: the number as text.  unit: of the number in JSON and CSV.
    better: which direction is.
    """

    name: str
    key: str
    quantity: str
    title: str
    unit: str
    write: Callable[[float], str]
    centre: Literal["mean", "median", "max"] = "mean"
    spread: bool = False
    better: Literal["more", "less"] = "less"

    def value(self, summary: Summary) -> float:
        """The number that a cell shows."""
        return summary.median if self.centre == "median" else summary.mean

    def cell(self, summary: Summary, *, at_least: bool = False) -> str:
        """The cell's text, without stamps."""
        text = (">" if at_least else "") + self.write(self.value(summary))
        if self.spread and summary.dev_pct is not None:
            return f"{text} ~ {summary.dev_pct:>2.0f}%"
        return text


def _latency(percent: int, *, due: bool = False) -> Metric:
    """due: from when each ping of an open loop was due, else from when it was sent."""
    name = f"{'due' if due else 'lat'}{percent}"
    return Metric(
        name=name,
        key=f"{name}_ns",
        quantity=f"{name}_ns",
        title=f"Latency{' from the due time' if due else ''}, {percent}th percentile"
        " (median of the rounds)",
        unit="ns",
        write=duration_text,
        centre="median",
    )


METRICS: Final[dict[str, Metric]] = {
    metric.name: metric
    for metric in (
        Metric(
            name="mps",
            better="more",
            key="mps",
            quantity="mps",
            title="Messages per second ~ 2.5 standard deviations",
            unit="1/s",
            write=rate_text,
            spread=True,
        ),
        Metric(
            name="mbps",
            better="more",
            key="mb_per_s",
            quantity="mb_per_s",
            title="Megabytes per second, each way ~ 2.5 standard deviations",
            unit="MB/s",
            write=megabytes_text,
            spread=True,
        ),
        Metric(
            name="rel",
            better="more",
            key="rel",
            quantity="mps",
            title="Relative speed (the smallest cell of the table is 1)",
            unit="ratio",
            write=lambda ratio: f"{ratio:.0f}",
        ),
        _latency(95),
        _latency(50),
        _latency(99),
        _latency(50, due=True),
        _latency(95, due=True),
        _latency(99, due=True),
        Metric(
            name="late",
            key="late_pct",
            quantity="late_pct",
            title="Pings sent more than 1 ms after they were due, %",
            unit="%",
            write=plain_text,
        ),
        Metric(
            name="unsent",
            key="unsent_pct",
            quantity="unsent_pct",
            title="Pings that were due and never sent, %",
            unit="%",
            write=plain_text,
        ),
        Metric(
            name="censored",
            key="censored_pct",
            quantity="censored_pct",
            title="Pings without an echo at the end of the window, %",
            unit="%",
            write=plain_text,
        ),
        Metric(
            name="user",
            key="user_pct",
            quantity="user_pct",
            title="User mode's share of the worker's CPU time, %",
            unit="%",
            write=lambda percent: f"{percent:.0f}",
        ),
        Metric(
            name="cpu",
            key="cpu_us_per_msg",
            quantity="cpu_us_per_msg",
            title="The worker's CPU time per message (user + system), us",
            unit="us",
            write=lambda us: f"{us:.1f}",
        ),
        Metric(
            name="faults",
            key="faults_per_msg",
            quantity="faults_per_msg",
            title="The worker's page faults per message (minor ones)",
            unit="faults",
            write=lambda count: f"{count:.2f}",
        ),
        Metric(
            name="switches",
            key="switches_per_msg",
            quantity="switches_per_msg",
            title="The worker's context switches per message",
            unit="switches",
            write=lambda count: f"{count:.2f}",
        ),
        Metric(
            name="jain",
            better="more",
            key="jain",
            quantity="jain",
            title="Fairness: Jain's index of messages per connection (1 is even)",
            unit="index",
            write=lambda index: f"{index:.3f}",
        ),
        Metric(
            name="starved",
            key="starved",
            quantity="starved",
            title="Starved connections (no echo in the window), mean of the rounds",
            unit="connections",
            write=plain_text,
        ),
        Metric(
            name="queue",
            key="server_queue_pct",
            quantity="server_queue_pct",
            title="Share of the latency in the load server's own queue, %",
            unit="%",
            write=share_text,
        ),
        Metric(
            name="connect",
            key="connect_s",
            quantity="connect_s",
            title="Time to establish all connections",
            unit="s",
            write=lambda seconds: duration_text(seconds * 1e9),
        ),
        Metric(
            name="handshakes",
            key="handshakes_per_s",
            quantity="handshakes_per_s",
            title="TLS handshakes per second while connecting (both ends together)",
            unit="1/s",
            write=rate_text,
        ),
        Metric(
            name="idle_memory",
            key="idle_kib_per_conn",
            quantity="idle_kib_per_conn",
            title="The worker's memory per idle connection (what it took to open them)",
            unit="KiB",
            write=size_text,
        ),
        Metric(
            name="busy_memory",
            key="busy_kib_per_conn",
            quantity="busy_kib_per_conn",
            title="The worker's memory per busy connection (at the end of the window)",
            unit="KiB",
            write=size_text,
        ),
        Metric(
            name="peak_memory",
            key="rss_kib_per_conn",
            quantity="rss_kib_per_conn",
            title="The worker's peak memory per connection",
            unit="KiB",
            write=size_text,
        ),
    )
}

MEMORY_TABLES: Final = ("idle_memory", "busy_memory", "peak_memory")
DEFAULT_TABLES: Final = (
    *("mps", "rel", "lat95", "lat50", "user", "cpu", "jain", "queue", "connect", "handshakes"),
    *MEMORY_TABLES,
)
OPEN_LOOP_TABLES: Final = (
    *("mps", "due99", "due50", "lat99", "lat50", "cpu", "late", "unsent", "queue"),
)


def default_metrics(*, open_loop: bool, sized: bool = False) -> list[Metric]:
    """The tables of a group when none were asked for. sized: there are groups of several sizes."""
    names = OPEN_LOOP_TABLES if open_loop else DEFAULT_TABLES
    return [METRICS[name] for name in (("mps", "mbps", *names[1:]) if sized else names)]


def select_metrics(names: str, *, sized: bool = True) -> list[Metric]:
    """The tables named in a comma-separated list; JSON keys, `fairness`, `memory`, `all` too.

    sized: whether there are several sizes of a message; of one, `all` has no MB/s, which are
    messages/s in other words.  Raises UsageError naming what there is.
    """
    by_key = {metric.key: metric for metric in METRICS.values()}
    selected: dict[str, Metric] = {}
    for word in (part.strip() for part in names.split(",")):
        if word == "all":
            selected |= {n: m for n, m in METRICS.items() if sized or n != "mbps"}
        elif word == "fairness":
            selected |= {name: METRICS[name] for name in ("jain", "starved")}
        elif word == "memory":
            selected |= {name: METRICS[name] for name in MEMORY_TABLES}
        elif word in METRICS or word in by_key:
            metric = METRICS.get(word) or by_key[word]
            selected[metric.name] = metric
        else:
            known = ", ".join([*METRICS, "fairness", "memory", "all"])
            raise UsageError(f"--table {word!r}: no such table; there are {known}")
    return list(selected.values())
