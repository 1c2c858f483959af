"""Is NEW faster than BASE? Two cells at a time, matched in one of three ways, then judged together.

  - rounds of one interleaved campaign share its weather, and are pairs;
  - several campaigns a side, three or more: each campaign is one value, because campaigns differ by
    a drift of the machine that their own rounds do not see;
  - fewer: undecided by nature. A machine that drifts by 10% between two campaigns makes every other
    pair of the same rows look different. Who knows how far it drifts may say so (`noise`).
What the figures may claim is in `verdict.py`; all cells of one call are one family there.
Neither prints nor reads clocks.
"""

import dataclasses
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from pybench.analysis.machines import combined
from pybench.analysis.model import OPTION_WORDS, CellRounds, Group, Round, Setting
from pybench.analysis.ratio import Estimate, paired_ratio, unpaired_ratio
from pybench.analysis.stats import Summary, summarize
from pybench.analysis.verdict import (
    MARGIN,
    MPS,
    Judgement,
    Metric,
    Verdict,
    decide,
    decide_family,
    demand,
    demand_family,
    side_stamps,
)
from pybench.backends.names import canonical
from pybench.errors import UsageError
from pybench.spec import axes

Basis = Literal["rounds", "campaigns", "separate"]

SESSIONS: Final = 3
"""So many campaigns a side make their scatter known."""

SEPARATE: Final = (
    "not rounds of one campaign: how far the machine drifted between them is not known"
)

_PASSING: Final = frozenset({"load_average", "calibration"})  # of the hour, not of the machine

_SETTING_WORDS: Final = {
    "server": "load server",
    **OPTION_WORDS,
    "threads": "server threads",
    "machine": "machine",
    "conns": "connections of an open loop",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """One cell of both sides. Either `verdict` is there or `refused` says why not.

    base, new: of the metric, over the rounds of each side that were matched.  basis: what was held
    against what: pairs of rounds, whole campaigns, or rounds of separate campaigns.
    base_stamps, new_stamps: codes that count for the side.  msize: bytes of NEW's messages.
    transport, inflight, idle, workers, loops: NEW's.
    """

    base_func: str
    new_func: str
    conns: int
    base: Summary | None = None
    new: Summary | None = None
    verdict: Verdict | None = None
    refused: str = ""
    basis: Basis = "rounds"
    base_stamps: tuple[str, ...] = ()
    new_stamps: tuple[str, ...] = ()
    msize: int = 0
    transport: str = "tcp"
    inflight: int = 1
    idle: int = 0
    workers: int = 1
    loops: int = 1

    @property
    def name(self) -> str:
        """The row, or both rows when they differ, with the load where it is unusual."""
        rows = self.new_func if self.same_row else f"{self.base_func} -> {self.new_func}"
        return rows + (f" ({words})" if (words := axes.words(self)) else "")

    @property
    def same_row(self) -> bool:
        """Whether both sides are one row, at two hours."""
        return canonical(self.base_func) == canonical(self.new_func)


def compare_cells(
    base: CellRounds,
    new: CellRounds,
    *,
    metric: Metric = MPS,
    margin: float = MARGIN,
    noise: float | None = None,
) -> Comparison:
    """Two cells, by themselves.

    noise: by what share, in [0, 1), something that the rounds do not see may have moved one side,
    a drift between two campaigns: intervals are widened by it. None: nobody knows, so that separate
    campaigns decide nothing.
    """
    names = (base.func, new.func, new.column)
    setting = new.rounds[0].setting
    found = partial(Comparison, *names, msize=setting.msize, **axes.point(setting))
    reason = _refusal(base, new, metric)
    if reason:
        return found(refused=reason)
    before, after, basis = _samples(base, new, metric.quantity)
    if basis == "rounds":
        estimate = _paired_ratio(_pairs(base, new, metric.quantity))
    else:
        estimate = unpaired_ratio(after, before)
    if noise is not None:
        estimate = estimate.widened(noise)
    stamped = [side_stamps_of(cell) for cell in (base, new)]
    if basis == "separate" and noise is None:
        verdict = _undecidable(estimate, margin)
    else:
        verdict = decide(
            estimate, metric=metric, margin=margin, base_stamps=stamped[0], new_stamps=stamped[1]
        )
    return found(
        base=summarize(before),
        new=summarize(after),
        verdict=verdict,
        basis=basis,
        base_stamps=stamped[0],
        new_stamps=stamped[1],
    )


def side_stamps_of(cell: CellRounds) -> tuple[str, ...]:
    """The codes that count for a cell (`verdict.side_stamps`)."""
    return side_stamps([{w.code for w in r.warnings} for r in cell.good])


def _undecidable(estimate: Estimate, margin: float) -> Verdict:
    return Verdict(kind="undecided", estimate=estimate, margin=margin, reason=SEPARATE)


def _judgeable(c: Comparison) -> bool:
    return c.verdict is not None and c.verdict.reason != SEPARATE


def _as_family(
    comparisons: Sequence[Comparison], metric: Metric, margin: float
) -> list[Comparison]:
    """The same, what can be judged judged as one family."""
    able = [c for c in comparisons if _judgeable(c)]
    members = [(c.verdict.estimate, c.new_stamps, c.base_stamps) for c in able if c.verdict]
    verdicts = iter(decide_family(members, metric=metric, margin=margin))
    return [
        dataclasses.replace(c, verdict=next(verdicts)) if _judgeable(c) else c for c in comparisons
    ]


def _samples(
    base: CellRounds, new: CellRounds, quantity: str
) -> tuple[list[float], list[float], Basis]:
    """The figures of both sides to compare, and what one figure is of."""
    pairs = _pairs(base, new, quantity)
    if len(pairs) >= 2:
        return [a for _, a, _ in pairs], [b for _, _, b in pairs], "rounds"
    before, after = _of_campaigns(base, quantity), _of_campaigns(new, quantity)
    if min(len(before), len(after)) >= SESSIONS:
        return before, after, "campaigns"
    return base.values(quantity), new.values(quantity), "separate"


def ratio_of_cells(
    base: CellRounds, new: CellRounds, quantity: str
) -> tuple[Estimate, list[float]]:
    """NEW / BASE of positive values, and the ratio of each round where they are paired."""
    pairs = _pairs(base, new, quantity)
    if len(pairs) >= 2:
        return _paired_ratio(pairs), [b / a for _, a, b in pairs]
    return unpaired_ratio(new.values(quantity), base.values(quantity)), []


def _of_campaigns(cell: CellRounds, quantity: str) -> list[float]:
    """The geometric mean of each campaign's rounds; only campaigns that have an id."""
    apart: dict[str, list[float]] = {}
    for one in cell.good:
        if one.campaign:
            apart.setdefault(one.campaign, []).append(one.values[quantity])
    return [statistics.geometric_mean(values) for values in apart.values()]


def _pairs(base: CellRounds, new: CellRounds, quantity: str) -> list[tuple[str, float, float]]:
    """Machine and figures of the same round of the same campaign on it; only campaigns that have an
    id."""
    figures = {_place(r): r.values[quantity] for r in base.good if r.campaign}
    return [
        (r.machine, figures[_place(r)], r.values[quantity])
        for r in new.good
        if _place(r) in figures
    ]


def _place(one: Round) -> tuple[str, int, str]:
    return one.campaign, one.number, one.machine


def _paired_ratio(pairs: Sequence[tuple[str, float, float]]) -> Estimate:
    """NEW / BASE of pairs; each machine's own ratio, where several have some."""
    apart: dict[str, list[tuple[float, float]]] = {}
    for machine, before, after in pairs:
        apart.setdefault(machine, []).append((before, after))
    return combined(
        [paired_ratio([b for _, b in found], [a for a, _ in found]) for found in apart.values()]
    )


def _refusal(base: CellRounds, new: CellRounds, metric: Metric) -> str:
    """Why the cells cannot be compared; empty when they can."""
    differences = setting_differences(base.rounds[0].setting, new.rounds[0].setting)
    if differences:
        return "; ".join(differences)
    if metric is MPS and base.rounds[0].setting.open_loop:
        return "an open loop's messages/s are what was asked for: --metric cpu_us_per_msg or due99"
    for side, cell in (("BASE", base), ("NEW", new)):
        if not cell.good:
            error = next((r.error for r in cell.rounds if r.error), cell.rounds[0].status)
            return f"no good round in {side}: {error}"
        if len(cell.good) < 2:
            return f"a single round in {side} has no spread: measure with --rounds 5 or more"
        if len(cell.values(metric.quantity)) < len(cell.good):
            return f"rounds without {metric.what} in {side}"
        if min(cell.values(metric.quantity)) <= 0:
            return f"a round without a message in {side}"
    return ""


def setting_differences(base: Setting, new: Setting) -> list[str]:
    """What keeps two settings apart, as `message size 64 against 1024`."""
    found = [
        f"{word} {_shown(name, getattr(base, name))} against {_shown(name, getattr(new, name))}"
        for name, word in _SETTING_WORDS.items()
        if hasattr(base, name) and getattr(base, name) != getattr(new, name)
    ]
    before, after = dict(base.options), dict(new.options)
    return found + [
        f"{_SETTING_WORDS.get(key, key)} {before.get(key, 'as usual')} against "
        f"{after.get(key, 'as usual')}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def _shown(name: str, value: object) -> str:
    if isinstance(value, tuple):
        return f"{value[0]}-{value[1]} us"
    if name == "busy_poll_us":  # 0 is a setting, and what results had before there was one
        return f"{value} us"
    if isinstance(value, float):
        return f"{value:g} s"
    if name == "idle":
        return str(value)
    return str(value) if value not in ("", 0) else "(not recorded)"


def check_apart(base_func: str, new_func: str) -> None:
    """Raise UsageError for two rows of one file that are one: its rounds equal themselves."""
    if canonical(base_func) == canonical(new_func):
        raise UsageError(
            f"compare: {base_func} and {new_func} are one row of BASE, held against itself: name"
            " two, or give NEW"
        )


def compare_groups(
    base: Sequence[Group],
    new: Sequence[Group],
    *,
    base_func: str | None = None,
    new_func: str | None = None,
    metric: Metric = MPS,
    margin: float = MARGIN,
    noise: float | None = None,
) -> list[Comparison]:
    """Every cell of NEW against the same cell of BASE, in the order of the tables.

    base_func, new_func: compare these two rows instead of each row with itself. Without them, two
    sides of one row each are compared whatever the rows are called, and two sides of one
    interpreter each whatever those are called.
    A cell of only one side is left out, and so is a size of messages, or a point of the other axes,
    where others are on both.
    Raises UsageError when nothing is on both sides.
    """
    if base_func is None and new_func is None:
        base_rows = {canonical(row) for group in base for row in group.rows}
        new_rows = {canonical(row) for group in new for row in group.rows}
        if len(base_rows) == len(new_rows) == 1:
            base_func, new_func = base_rows.pop(), new_rows.pop()
    _check_row("--base-func", base_func or new_func, base)
    _check_row("--new-func", new_func or base_func, new)
    compare = partial(compare_cells, metric=metric, margin=margin, noise=noise)
    name_of = _row_anywhere if _one_python(base) and _one_python(new) else _row_here
    found = []
    for group in _of_shared_axes(base, new):
        for func, conns in sorted(group.cells, key=lambda k: (group.rows.index(k[0]), k[1])):
            if new_func is not None and canonical(func) != canonical(new_func):
                continue
            wanted = canonical(base_func) if base_func else name_of(group.cells[func, conns])
            partner = _partner(base, group, wanted, conns, _row_here if base_func else name_of)
            if partner is not None:
                found.append(compare(partner, group.cells[func, conns]))
    if not found:
        raise UsageError("compare: no row at the same number of connections is on both sides")
    return _as_family(found, metric, margin)


def _of_shared_axes(base: Sequence[Group], new: Sequence[Group]) -> list[Group]:
    """NEW's groups of sizes and points of the other axes that BASE has too; all where there is
    none."""

    def place(group: Group) -> tuple[object, ...]:
        return group.setting.msize, *axes.key(group.setting)

    shared = set(map(place, base))
    return [group for group in new if place(group) in shared] or list(new)


def compare_pythons(
    groups: Sequence[Group],
    base: str,
    *,
    metric: Metric = MPS,
    margin: float = MARGIN,
    noise: float | None = None,
) -> list[Comparison]:
    """Every cell against the same under another interpreter, in the order of the tables.

    base: what the interpreter is called that the others are held against.  Raises UsageError when
    there is none of that name, or no other.
    """
    cells = [
        group.cells[key]
        for group in groups
        for key in sorted(group.cells, key=lambda k: (group.rows.index(k[0]), k[1]))
    ]
    names = sorted({cell.python for cell in cells} - {""})
    if base not in names:
        raise UsageError(f"--base-python {base}: no such interpreter; there are {', '.join(names)}")
    partners = {_anywhere(cell): cell for cell in cells if cell.python == base}
    found = [
        compare_cells(partners[_anywhere(cell)], cell, metric=metric, margin=margin, noise=noise)
        for cell in cells
        if cell.python not in ("", base) and _anywhere(cell) in partners
    ]
    if not found:
        raise UsageError(f"compare --by python: no row ran under {base} and another interpreter")
    return _as_family(found, metric, margin)


def _anywhere(cell: CellRounds) -> tuple[Setting, str, int]:
    return cell.rounds[0].setting, canonical(cell.func_anywhere), cell.column


def _check_row(option: str, func: str | None, groups: Sequence[Group]) -> None:
    rows = list(dict.fromkeys(row for group in groups for row in group.rows))
    if func is not None and canonical(func) not in map(canonical, rows):
        raise UsageError(f"{option} {func}: no such row; there are {', '.join(rows)}")


def _row_here(cell: CellRounds) -> str:
    return canonical(cell.func)


def _row_anywhere(cell: CellRounds) -> str:
    return canonical(cell.func_anywhere)


def _one_python(groups: Sequence[Group]) -> bool:
    return len({cell.python for group in groups for cell in group.cells.values()}) == 1


def _partner(
    base: Sequence[Group], group: Group, row: str, conns: int, name_of: Callable[[CellRounds], str]
) -> CellRounds | None:
    """BASE's cell for one of NEW's group: of an equal setting, else what differs least."""
    able = [
        (len(setting_differences(one.setting, group.setting)), place, cell)
        for place, one in enumerate(base)
        for (_, count), cell in one.cells.items()
        if name_of(cell) == row and count == conns
    ]
    return min(able, key=lambda found: found[:2])[2] if able else None


def judge_all(
    comparisons: Sequence[Comparison], limit: float, *, metric: Metric = MPS
) -> list[Judgement | None]:
    """Whether each ratio is at least the limit, as one family; None for what was not compared.

    Separate campaigns break no demand, but for what their stamps say.
    """
    able = [c for c in comparisons if _judgeable(c)]
    judged = iter(
        demand_family(
            [(c.verdict.estimate, c.new_stamps, c.base_stamps) for c in able if c.verdict],
            at_least=limit,
            metric=metric,
        )
    )
    return [next(judged) if _judgeable(c) else _undecidable_demand(c, limit) for c in comparisons]


def _undecidable_demand(c: Comparison, limit: float) -> Judgement | None:
    if c.verdict is None:
        return None
    whole = c.verdict.estimate.opened(low=True, high=True)
    found = demand(whole, at_least=limit, new_stamps=c.new_stamps, base_stamps=c.base_stamps)
    return found if found.outcome == "broken" else dataclasses.replace(found, reason=SEPARATE)


def drift_note(comparisons: Sequence[Comparison]) -> str:
    """One line when nearly all cells of separate campaigns moved to one side, else empty.

    A machine that was busier in one of them looks just so.
    """
    ratios = [c.verdict.estimate.value for c in comparisons if c.verdict and c.basis == "separate"]
    middle = statistics.median(ratios) if ratios else 1.0
    aside = sum((ratio > 1) == (middle > 1) for ratio in ratios)
    if len(ratios) < 4 or abs(middle - 1) < 0.02 or aside < 0.9 * len(ratios):
        return ""
    return (
        f"{aside} of {len(ratios)} cells moved to the same side, by {middle:.2f} in the middle: "
        "the machine itself may have changed; one interleaved campaign of both sides would tell"
    )


def environment_notes(base: Sequence[Group], new: Sequence[Group]) -> list[str]:
    """What differs in the environments, one line each: `python: 3.11.7 -> 3.12.1`."""
    before, after = _environment(base), _environment(new)
    return [
        f"{key}: {' / '.join(sorted(before[key]))} -> {' / '.join(sorted(after[key]))}"
        for key in sorted(before.keys() & after.keys())
        if before[key] != after[key] and key.partition(".")[0] not in _PASSING
    ]


def _environment(groups: Sequence[Group]) -> dict[str, set[str]]:
    """Each scalar of the rounds' environments with the values it had."""
    values: dict[str, set[str]] = {}
    for env in (r.env for group in groups for r in group.rounds if r.ok):
        for key, value in flat_items(env):
            values.setdefault(key, set()).add(value)
    return values


def flat_items(env: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """An environment record's items, nested ones as `cpu.model`; lists joined with spaces."""
    for key, value in env.items():
        if isinstance(value, Mapping):
            yield from flat_items(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{key}", " ".join(map(str, value))
        elif value not in (None, ""):
            yield f"{prefix}{key}", str(value)
