"""Is NEW faster than BASE? Ratios of messages per second with what can be said about their chance.

The interval is the wider one, at each end, of two 95% intervals, for rounds are few:
  - the bootstrap percentile interval of the ratio of means, widened for few rounds: a plain one is
    a third too narrow at five rounds. Source of the widening: T. Hesterberg, "What Teachers Should
    Know About the Bootstrap", The American Statistician 69 (2015), section 3.3;
  - Student's t interval of the log ratio (Welch's, or over pairs): resampling three or five rounds
    cannot leave the range of what it has seen, this one can.
A verdict other than `no difference` needs
  - the interval to leave 1 outside;
  - unpaired: Mann-Whitney's p to be at most 0.05, or as small as so few rounds can make it;
  - the ratio to differ from 1 by more than the noise: two campaigns on one machine differ by a
    drift that neither sees in its own rounds. Rounds of one interleaved campaign share the drift,
    so they are paired by round and need no such allowance.
What `pybench calibrate` found of the machine raises that noise, and stamps `noise_floor` on what
differs by less than runs of one row do.
Neither prints nor reads clocks. The bootstrap and Mann-Whitney need NumPy and SciPy, which are
imported where they are used: `cell_ratio` and the rest do without.
"""

import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from pybench.analysis import stamps
from pybench.analysis.model import OPTION_WORDS, CellRounds, Group, Setting
from pybench.analysis.stats import Summary, log_ratio_interval, student_t_quantile, summarize
from pybench.backends.names import canonical
from pybench.errors import UsageError
from pybench.result import Stamp

Verdict = Literal["faster", "slower", "no difference"]

NOISE: Final = 0.05
"""Default allowance for the drift between two separate campaigns on one machine."""

RESAMPLES: Final = 9999
DRAWN_AT_ONCE: Final = 2_000_000
"""Values, 16 MB: all resamples of 200 rounds. Of thousands they would take a gigabyte."""

ALPHA: Final = 0.05

_PASSING: Final = frozenset({"load_average", "calibration"})  # of the hour, not of the machine

_SETTING_WORDS: Final = {
    "server": "load server",
    **OPTION_WORDS,
    "threads": "server threads",
    "machine": "machine",
    "conns": "connections of an open loop",
}


@dataclass(frozen=True, slots=True)
class Ratio:
    """NEW / BASE of the mean messages per second.

    low, high: 95% interval, see above.  p: Mann-Whitney, two-sided.  paired: by round.
    """

    ratio: float
    low: float
    high: float
    p: float
    paired: bool
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Comparison:
    """One cell of both sides. Either `ratio` is there or `refused` says why not.

    stamp: `noise_floor`, when the difference is no larger than the machine's noise.
    """

    base_func: str
    new_func: str
    conns: int
    base: Summary | None = None
    new: Summary | None = None
    ratio: Ratio | None = None
    refused: str = ""
    stamp: Stamp | None = None

    @property
    def name(self) -> str:
        """The row, or both rows when they differ."""
        same = canonical(self.base_func) == canonical(self.new_func)
        return self.new_func if same else f"{self.base_func} -> {self.new_func}"


def compare_values(
    base: Sequence[float], new: Sequence[float], *, paired: bool, noise: float = 0.0
) -> Ratio:
    """The ratio of two samples of at least two positive values each, with interval and verdict.

    paired: values of one index belong together, and both have the same length.
    noise: a ratio within 1 - noise .. 1 + noise is no difference, whatever its interval.
    """
    from scipy import stats as scipy_stats

    ratio = statistics.fmean(new) / statistics.fmean(base)
    resampled = _bootstrap_interval(base, new, paired=paired)
    student = log_ratio_interval(base, new, paired=paired)
    low, high = min(resampled[0], student[0]), max(resampled[1], student[1])
    p = float(scipy_stats.mannwhitneyu(new, base, alternative="two-sided").pvalue)
    smallest_p = 2 / math.comb(len(base) + len(new), len(base))
    convincing = paired or p <= max(ALPHA, smallest_p * 1.0001)
    verdict: Verdict = "no difference"
    if convincing and low > 1 and ratio > 1 + noise:
        verdict = "faster"
    elif convincing and high < 1 and ratio < 1 - noise:
        verdict = "slower"
    return Ratio(ratio, low, high, p, paired, verdict)


def _bootstrap_interval(
    base: Sequence[float], new: Sequence[float], *, paired: bool
) -> tuple[float, float]:
    """Expanded percentile interval of mean(new) / mean(base); reproducible: its seed is fixed."""
    import numpy as np
    from scipy import stats as scipy_stats

    rounds = min(len(base), len(new))
    stretch = math.sqrt(rounds / (rounds - 1)) * student_t_quantile(1 - ALPHA / 2, rounds - 1)
    tail = float(scipy_stats.norm.cdf(-stretch))

    def ratio_of_means(b: Any, n: Any, axis: int = -1) -> Any:
        return np.mean(n, axis=axis) / np.mean(b, axis=axis)

    found = scipy_stats.bootstrap(
        (np.asarray(base), np.asarray(new)),
        ratio_of_means,
        paired=paired,
        vectorized=True,
        n_resamples=RESAMPLES,
        batch=max(1, DRAWN_AT_ONCE // max(len(base), len(new))),
        confidence_level=1 - 2 * tail,
        method="percentile",
        random_state=np.random.default_rng(20160),
    ).confidence_interval
    return float(found.low), float(found.high)


def compare_cells(base: CellRounds, new: CellRounds, *, noise: float | None = None) -> Comparison:
    """Two cells, paired by round when their rounds come from one interleaved campaign.

    noise: None for NOISE when unpaired and nothing when paired.
    """
    names = (base.func, new.func, new.column)
    reason = _refusal(base, new)
    if reason:
        return Comparison(*names, refused=reason)
    before, after, paired = _samples(base, new)
    floor = _noise_floor(base, new)
    allowed = noise if noise is not None else (0.0 if paired else max(NOISE, floor or 0.0))
    ratio = compare_values(before, after, paired=paired, noise=allowed)
    stamp = None
    if floor is not None:
        stamp = stamps.noise_floor(ratio.ratio, floor, f"{base.func} and {new.func}")
    return Comparison(*names, summarize(before), summarize(after), ratio, stamp=stamp)


def cell_ratio(base: CellRounds, new: CellRounds) -> tuple[float, float, float] | None:
    """NEW / BASE of the mean messages per second with its 95% interval: ratio, low, high.

    Student's t interval alone, over pairs where there are any. None for cells that cannot be
    compared, such as those of a single round.
    """
    if _refusal(base, new):
        return None
    before, after, paired = _samples(base, new)
    low, high = log_ratio_interval(before, after, paired=paired)
    return statistics.fmean(after) / statistics.fmean(before), low, high


def _samples(base: CellRounds, new: CellRounds) -> tuple[list[float], list[float], bool]:
    """The speeds of both sides to compare, and whether they are paired."""
    pairs = _pairs(base, new)
    if len(pairs) >= 2:
        return [a for a, _ in pairs], [b for _, b in pairs], True
    return base.values("mps"), new.values("mps"), False


def _noise_floor(base: CellRounds, new: CellRounds) -> float | None:
    """By what share means of so many rounds differ without a cause; None when nobody calibrated."""
    floors = [floor for cell in (base, new) if (floor := cell.noise_floor) is not None]
    return max(floors) / math.sqrt(min(len(base.good), len(new.good))) if floors else None


def _pairs(base: CellRounds, new: CellRounds) -> list[tuple[float, float]]:
    """Speeds of the same round of the same campaign; only campaigns that have an id."""
    speeds = {(r.campaign, r.number): r.values["mps"] for r in base.good if r.campaign}
    return [
        (speeds[r.campaign, r.number], r.values["mps"])
        for r in new.good
        if (r.campaign, r.number) in speeds
    ]


def _refusal(base: CellRounds, new: CellRounds) -> str:
    """Why the cells cannot be compared; empty when they can."""
    differences = setting_differences(base.rounds[0].setting, new.rounds[0].setting)
    if differences:
        return "; ".join(differences)
    if base.rounds[0].setting.open_loop:
        return "an open loop's messages/s are what was asked for: report --table cpu compares"
    for side, cell in (("BASE", base), ("NEW", new)):
        if not cell.good:
            error = next((r.error for r in cell.rounds if r.error), cell.rounds[0].status)
            return f"no good round in {side}: {error}"
        if len(cell.good) < 2:
            return f"a single round in {side} has no spread: measure with --rounds 5 or more"
        if min(cell.values("mps")) <= 0:
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
    return str(value) if value not in ("", 0) else "(not recorded)"


def compare_groups(
    base: Sequence[Group],
    new: Sequence[Group],
    *,
    base_func: str | None = None,
    new_func: str | None = None,
    noise: float | None = None,
) -> list[Comparison]:
    """Every cell of NEW against the same cell of BASE, in the order of the tables.

    base_func, new_func: compare these two rows instead of each row with itself. Without them, two
    sides of one row each are compared whatever the rows are called, and two sides of one
    interpreter each whatever those are called.
    A cell of only one side is left out. Raises UsageError when nothing is on both sides.
    """
    if base_func is None and new_func is None:
        base_rows = {canonical(row) for group in base for row in group.rows}
        new_rows = {canonical(row) for group in new for row in group.rows}
        if len(base_rows) == len(new_rows) == 1:
            base_func, new_func = base_rows.pop(), new_rows.pop()
    _check_row("--base-func", base_func or new_func, base)
    _check_row("--new-func", new_func or base_func, new)
    name_of = _row_anywhere if _one_python(base) and _one_python(new) else _row_here
    found = []
    for group in new:
        for func, conns in sorted(group.cells, key=lambda k: (group.rows.index(k[0]), k[1])):
            if new_func is not None and canonical(func) != canonical(new_func):
                continue
            wanted = canonical(base_func) if base_func else name_of(group.cells[func, conns])
            partner = _partner(base, group, wanted, conns, _row_here if base_func else name_of)
            if partner is not None:
                found.append(compare_cells(partner, group.cells[func, conns], noise=noise))
    if not found:
        raise UsageError("compare: no row at the same number of connections is on both sides")
    return found


def compare_pythons(
    groups: Sequence[Group], base: str, *, noise: float | None = None
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
        compare_cells(partners[_anywhere(cell)], cell, noise=noise)
        for cell in cells
        if cell.python not in ("", base) and _anywhere(cell) in partners
    ]
    if not found:
        raise UsageError(f"compare --by python: no row ran under {base} and another interpreter")
    return found


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


def surely_below(comparisons: Sequence[Comparison], limit: float) -> list[Comparison]:
    """The comparisons whose whole interval lies below the limit."""
    return [c for c in comparisons if c.ratio is not None and c.ratio.high < limit]


def drift_note(comparisons: Sequence[Comparison]) -> str:
    """One line when nearly all cells of separate campaigns moved to one side, else empty.

    A machine that was busier in one of them looks just so.
    """
    ratios = [c.ratio.ratio for c in comparisons if c.ratio is not None and not c.ratio.paired]
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
