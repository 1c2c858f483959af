"""How a row grows with its workers, or with the loops of one: the same cell at K = 1, 2, 4, ...

Efficiency is messages/s over K times those of the least K: 1 where each worker does what one alone
does, 1/K where all together do no more. What a step may claim is a verdict on its messages/s over
those of the least K; all steps of one call are one family. Neither prints nor reads clocks.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

from pybench.analysis.compare import ratio_of_cells, side_stamps_of
from pybench.analysis.model import CellRounds, Group, Setting
from pybench.analysis.ratio import Estimate
from pybench.analysis.verdict import Verdict, decide_family
from pybench.units import count_label

Axis = Literal["workers", "loops"]
AXES: Final[tuple[Axis, ...]] = ("workers", "loops")
"""The keys of a setting that say how many serve a cell together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One K. mps: mean of the rounds.  cpu_us: CPU time of all workers per message, or None.

    unevenness: most messages of a worker or loop over their mean, mean of the rounds; None for one.
    speedup: messages/s over those of the first step; None there.  verdict: on that; None there, and
    where a side has a single round.
    """

    count: int
    rounds: int
    mps: float
    cpu_us: float | None
    unevenness: float | None
    speedup: Estimate | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """One row in one column, its steps rising in K.

    axis: what K counts.  where: what all steps have in common, in words.
    """

    axis: Axis
    row: str
    where: str
    column: int
    steps: tuple[Step, ...]

    def efficiency(self, step: Step) -> Estimate | None:
        """Speedup over the growth of K, an end open that a bound opens; None of the first step."""
        if step.speedup is None:
            return None
        found = step.speedup.scaled(self.steps[0].count / step.count)
        if step.verdict is None:
            return found
        known = step.verdict.estimate
        return found.opened(low=known.low <= 0, high=math.isinf(known.high))


def scales_of(groups: Sequence[Group]) -> list[Scale]:
    """Every row in every column that was measured with several K, axis by axis, in the order of
    the tables; none for open loops, whose messages/s are what was asked for."""
    found = [scale for axis in AXES for scale in _of_axis(groups, axis)]
    return _judged(found)


_Found = tuple[Scale, list[tuple[CellRounds, CellRounds]]]


def _of_axis(groups: Sequence[Group], axis: Axis) -> Iterator[_Found]:
    for family in _families(groups, axis):
        rows = dict.fromkeys(row for group in family for row in group.rows)
        for column in sorted({count for group in family for count in group.counts}):
            for row in rows:
                cells = _cells(family, row, column)
                if len(cells) > 1:
                    yield _scale(axis, cells, _where(family, axis))


@dataclass(frozen=True)
class ScaleGroup(Group):
    """One number of connections; its columns are numbers of workers, or of loops.

    setting: of the least.
    """

    counted: Axis

    @property
    def axis(self) -> str:
        """What its columns count."""
        return self.counted

    def at(self, count: int) -> str:
        """A column in a sentence."""
        return f"with {count} {self.counted if count > 1 else self.counted.removesuffix('s')}"


def scale_groups(groups: Sequence[Group], axis: Axis) -> list[ScaleGroup]:
    """A picture's worth of each setting that has several: at the number of connections with most
    cells, and of those the largest."""
    found = []
    for family in _families(groups, axis):
        counts = Counter(count for group in family for _, count in group.cells)
        column = max(counts, key=lambda count: (counts[count], count))
        rows = dict.fromkeys(row for group in family for row in group.rows)
        cells = {
            (row, int(getattr(cell.rounds[0].setting, axis))): cell
            for row in rows
            for cell in _cells(family, row, column)
        }
        found.append(
            ScaleGroup(
                setting=family[0].setting,
                title=f"{_where(family, axis)}, {count_label(column)} connections",
                cells={
                    key: dataclasses.replace(cell, column=key[1]) for key, cell in cells.items()
                },
                counted=axis,
            )
        )
    return found


def _families(groups: Sequence[Group], axis: Axis) -> list[list[Group]]:
    """Groups that differ in nothing but the axis, rising in it; those that stand alone are none."""
    families: dict[Setting, list[Group]] = {}
    for group in groups:
        if not group.open_loop:
            families.setdefault(_without(group.setting, axis), []).append(group)
    rising = partial(sorted, key=lambda group: getattr(group.setting, axis))
    return [rising(family) for family in families.values() if len(family) > 1]


def _cells(family: Sequence[Group], row: str, column: int) -> list[CellRounds]:
    """Those of a row that measured anything, rising as the family does."""
    found = [group.cells.get((row, column)) for group in family]
    return [cell for cell in found if cell is not None and cell.values("mps")]


def _without(setting: Setting, axis: Axis) -> Setting:
    return (
        dataclasses.replace(setting, workers=1)
        if axis == "workers"
        else dataclasses.replace(setting, loops=1)
    )


def _where(family: Sequence[Group], axis: Axis) -> str:
    """The title of one of them without its part about the axis."""
    word = axis.removesuffix("s")
    parts = family[0].title.split(", ")
    return ", ".join(part for part in parts if part.split(" ")[1:] not in ([word], [axis]))


def _scale(axis: Axis, cells: Sequence[CellRounds], where: str) -> _Found:
    first, *others = cells
    steps = [_step(axis, cell, None if cell is first else first) for cell in cells]
    scale = Scale(
        axis=axis,
        row=first.func,
        where=where,
        column=first.column,
        steps=tuple(steps),
    )
    return scale, [(first, cell) for cell in others]


def _step(axis: Axis, cell: CellRounds, first: CellRounds | None) -> Step:
    def mean(quantity: str) -> float | None:
        summary = cell.summary(quantity)
        return None if summary is None else summary.mean

    return Step(
        count=int(getattr(cell.rounds[0].setting, axis)),
        rounds=len(cell.good),
        mps=mean("mps") or 0.0,
        cpu_us=mean("cpu_us_per_msg"),
        unevenness=mean("unevenness"),
        speedup=None if first is None else ratio_of_cells(first, cell, "mps")[0],
    )


def _judged(found: Sequence[_Found]) -> list[Scale]:
    """With verdicts on every step that has rounds enough, as one family."""
    pairs = [pair for _, of_scale in found for pair in of_scale]
    estimates = [step.speedup for scale, _ in found for step in scale.steps[1:]]
    members = [
        (estimate, side_stamps_of(new), side_stamps_of(base))
        for estimate, (base, new) in zip(estimates, pairs, strict=True)
        if estimate is not None and estimate.rounds > 1
    ]
    verdicts = iter(decide_family(members))
    return [
        dataclasses.replace(
            scale,
            steps=tuple(
                dataclasses.replace(step, verdict=next(verdicts))
                if step.speedup is not None and step.speedup.rounds > 1
                else step
                for step in scale.steps
            ),
        )
        for scale, _ in found
    ]
