"""Figures for programs of others: each by itself, with its name, its labels, unit and direction.

What the writers `pyperf`, `github`, `bmf` and `openmetrics` are given. A name says all that sets a
figure apart and nothing of what else stands in the file, so that a figure of today and the same one
of tomorrow have one name.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pybench.analysis.model import CellRounds, Setting
from pybench.analysis.race import Contest, Standing, Standings, judge
from pybench.analysis.unusual import unusual, value_text
from pybench.report.metrics import METRICS, Metric
from pybench.report.tables import Entry, GroupTables, Table

RATIO_UNIT: Final = "ratio"

_WHERE_IT_DIFFERS: Final = ("runtime_s", "warmup_s", "threads", "busy_poll_us", "machine")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number of one row.

    measure: as JSON calls it, `mps`; `ratio` of a race, to the row `base`.  labels: name -> value,
    `row` first; they tell figures of one measure apart.  value, low, high: in `unit`, with the 95%
    interval; None for an end that is open or unknown.  better: which direction is.
    rounds: the value in each round, in order.  codes: stamps.  at_least: the value is a lower
    bound.  facts: what else a reader may want to know, name -> text or number.
    """

    measure: str
    title: str
    labels: Mapping[str, str]
    value: float
    low: float | None
    high: float | None
    unit: str
    better: str
    rounds: Sequence[float] = ()
    at_least: bool = False
    codes: Sequence[str] = ()
    base: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """`asyncio_proto conns=100 msize=64`: the labels in one text."""
        first, *rest = self.labels.items()
        return " ".join([first[1], *(f"{key}={value}" for key, value in rest)])


def figures(groups: Sequence[GroupTables], contests: Sequence[Contest]) -> list[Figure]:
    """Those of all tables, then those of all races."""
    settings = [one.group.setting for one in groups]
    apart = [k for k in _WHERE_IT_DIFFERS if len({getattr(s, k) for s in settings}) > 1]
    found = [
        figure
        for group in groups
        for table in group.tables
        for figure in _of_table(group, table, apart)
    ]
    for contest in contests:
        for standings in judge(contest.asked, contest.results):
            found += _of_race(standings)
    return found


def _of_table(group: GroupTables, table: Table, apart: Sequence[str]) -> Iterator[Figure]:
    for row in table.rows:
        for count in table.counts:
            entry = table.entries.get((row, count))
            if entry is not None:
                cell = group.group.cells[row, count]
                yield _of_cell(group.group.setting, table.metric, cell, entry, apart)


def _of_cell(
    setting: Setting, metric: Metric, cell: CellRounds, entry: Entry, apart: Sequence[str]
) -> Figure:
    low, high = entry.summary.ci95 or (None, None)
    return Figure(
        measure=metric.key,
        title=metric.title,
        labels=_labels(setting, cell, apart),
        value=metric.value(entry.summary),
        low=low,
        high=high,
        unit=metric.unit,
        better=metric.better,
        rounds=cell.values(metric.quantity) if metric.name != "rel" else (),
        at_least=entry.at_least,
        codes=cell.every_code,
        facts=_facts(cell),
    )


def _labels(setting: Setting, cell: CellRounds, apart: Sequence[str]) -> dict[str, str]:
    labels = {"row": cell.func, "conns": str(setting.conns or cell.column)}
    labels["msize"] = str(setting.msize)
    if setting.open_loop:
        labels["rate"] = str(cell.column)
    labels |= unusual(setting)
    return labels | {key: value_text(getattr(setting, key)) for key in apart}


def _facts(cell: CellRounds) -> dict[str, Any]:
    """Of the machine and the hour, as far as all rounds agree."""
    first = cell.good[0]
    keys = ("cpu_model", "kernel", "python", "pybench")
    facts: dict[str, Any] = {
        key: str(first.env[key])
        for key in keys
        if first.env.get(key) and all(r.env.get(key) == first.env[key] for r in cell.good)
    }
    return facts | ({"date": first.started_at} if first.started_at else {})


def _of_race(standings: Standings) -> Iterator[Figure]:
    """The ratio of every contender to the first, then what each did in its turns."""
    for one in standings.pairs:
        if one.estimate is not None and one.verdict is not None:
            yield _ratio(standings, one)
    for one in standings.each:
        if one.runner.good:
            yield from _of_runner(standings, one)


def _race_labels(standings: Standings, one: Standing) -> dict[str, str]:
    return {
        "row": one.runner.label,
        "conns": str(standings.conns),
        "msize": str(standings.msize),
    }


def _ratio(standings: Standings, one: Standing) -> Figure:
    assert one.estimate is not None and one.verdict is not None
    metric, judged = standings.metric, one.verdict.estimate
    return Figure(
        measure=f"{metric.name}_ratio",
        title=f"{metric.what} in parts of the base's",
        labels=_race_labels(standings, one) | {"base": standings.base},
        value=one.estimate.value,
        low=judged.low if judged.low > 0 else None,
        high=judged.high if math.isfinite(judged.high) else None,
        unit=RATIO_UNIT,
        better="less" if metric.lower_is_better else "more",
        codes=one.runner.stamps,
        base=standings.base,
        facts={"verdict": one.verdict.kind, "rounds": one.runner.rounds},
    )


def _of_runner(standings: Standings, one: Standing) -> Iterator[Figure]:
    """Messages/s of its windows, without an interval: of what drifts, a race knows ratios."""
    metric, runner = METRICS["mps"], one.runner
    if runner.mps is not None:
        yield Figure(
            measure="race_mps",
            title="Messages per second in the windows of a race (median of the rounds)",
            labels=_race_labels(standings, one),
            value=runner.mps,
            low=None,
            high=None,
            unit=metric.unit,
            better=metric.better,
            rounds=[r.mps for r in runner.good if r.mps],
            codes=runner.stamps,
        )
