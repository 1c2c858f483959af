"""Ratios over time: what the results files of a folder say of one pair of rows, file after file.

Of a race it is the ratio to its first contender, of a campaign that to a row of it. Absolute
figures drift with the machine and its hours; a ratio of one interleaved run does not. What differs
in machine, connections, size or metric is another series.
"""

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from pybench.analysis.changes import Change, find_changes
from pybench.analysis.compare import ratio_of_cells
from pybench.analysis.load import Loaded, load_files
from pybench.analysis.model import Group, Round, machine_name
from pybench.analysis.race import Contest, judge
from pybench.analysis.ratio import Estimate
from pybench.analysis.unusual import unusual
from pybench.analysis.verdict import METRICS, MPS
from pybench.backends.names import canonical
from pybench.errors import ResultFormatError, UsageError
from pybench.result import Result
from pybench.units import printable

BASE: Final = "c_epoll"
"""What rows of a campaign are set against when nobody says."""
_ENDINGS: Final = (".jsonl", ".jsonl.gz")


@dataclass(frozen=True, slots=True, order=True, kw_only=True)
class Key:
    """What one series is of. where: connections, size, and what else is not the usual, in words."""

    new: str
    base: str
    metric: str
    where: str
    machine: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What one file says.

    started_at: of its first round.  commit: empty where it is not known.  rounds: which ones it is
    of, by what tells a copy of a round.
    """

    file: str
    started_at: str
    commit: str
    estimate: Estimate
    rounds: frozenset[object]

    @property
    def label(self) -> str:
        """The commit, else the day."""
        return printable(self.commit[:10] or self.started_at[:10] or self.file)


@dataclass(frozen=True)
class Series:
    """The points of one pair, the oldest first."""

    key: Key
    points: tuple[Point, ...]

    @cached_property
    def changes(self) -> list[Change]:
        """Where it changed."""
        return find_changes(
            [p.estimate.value for p in self.points],
            [p.estimate.error for p in self.points if p.estimate.df],
        )

    @property
    def lower_is_better(self) -> bool:
        """Whether a smaller ratio is the better one."""
        return METRICS[self.key.metric].lower_is_better


@dataclass(frozen=True, slots=True)
class History:
    """errors: files, or lines of them, that could not be read.  notes: what stood there twice and
    counts once."""

    series: tuple[Series, ...]
    files: int
    errors: tuple[str, ...]
    notes: tuple[str, ...] = ()


def read_history(folder: Path, base: str | None = None) -> History:
    """All series of the results files in a folder.

    base: the row that those of campaigns are set against; BASE, or the first row, unless told.
    Files with rounds in common are copies: the one with the most counts.
    Raises UsageError when the folder cannot be read or has no results file with two rows, and when
    no campaign has the base.
    """
    try:
        paths = sorted(p for p in folder.iterdir() if p.name.endswith(_ENDINGS))
    except OSError as exc:
        raise UsageError(f"--history {folder}: {exc.strerror}") from exc
    if not paths:
        raise UsageError(f"--history {folder}: no results files in it ({', '.join(_ENDINGS)})")
    apart: dict[Key, list[Point]] = {}
    errors: list[str] = []
    rows: dict[str, None] = {}
    for path in paths:
        try:
            loaded = load_files([path])
        except ResultFormatError as exc:
            errors.append(str(exc))
            continue
        errors += loaded.errors
        rows |= dict.fromkeys(r.func for r in loaded.rounds)
        for key, point in _points(loaded, path.name, base):
            apart.setdefault(key, []).append(point)
    if base is not None and all(canonical(row) != canonical(base) for row in rows):
        there = f"there are {', '.join(rows)}" if rows else "races have their first contender"
        raise UsageError(
            f"--history {folder}: nothing to compare: --relative-to {base}: no such row; {there}"
        )
    if not apart:
        why = errors[0] if errors else "no file has two rows that were measured together"
        raise UsageError(f"--history {folder}: nothing to compare: {why}")
    copies: dict[str, str] = {}
    series = [
        Series(key, tuple(sorted(_without_copies(of, copies), key=_when)))
        for key, of in sorted(apart.items())
    ]
    notes = [f"{copy} has rounds of {file}: they count once" for copy, file in copies.items()]
    return History(tuple(series), len(paths), tuple(errors), tuple(notes))


def _without_copies(points: Sequence[Point], copies: dict[str, str]) -> list[Point]:
    """The points that have no round in common, the largest first.

    copies: gets the files of the others, each with the one that has its rounds.
    """
    found: list[Point] = []
    for one in sorted(points, key=lambda p: (-len(p.rounds), p.file)):
        same = next((other for other in found if one.rounds & other.rounds), None)
        if same is None:
            found.append(one)
        else:
            copies.setdefault(one.file, same.file)
    return found


def _when(point: Point) -> tuple[float, str]:
    try:
        moment = datetime.datetime.fromisoformat(point.started_at.replace("Z", "+00:00"))
    except ValueError:
        return 0.0, point.started_at
    zoned = moment if moment.tzinfo else moment.replace(tzinfo=datetime.timezone.utc)
    return zoned.timestamp(), point.file


def _points(loaded: Loaded, file: str, base: str | None) -> Iterator[tuple[Key, Point]]:
    for contest in loaded.contests:
        yield from _of_race(contest, file)
    for group in loaded.groups() if loaded.rounds else []:
        yield from _of_campaign(group, file, base)


def _of_race(contest: Contest, file: str) -> Iterator[tuple[Key, Point]]:
    first = min(contest.results, key=lambda r: r.started_at)
    for standings in judge(contest.asked, contest.results):
        where = _where(standings.conns, standings.msize)
        for one in standings.pairs:
            if one.estimate is None:
                continue
            key = Key(
                new=one.runner.label,
                base=standings.base,
                metric=standings.metric.name,
                where=where,
                machine=machine_name(first.env),
            )
            rounds = frozenset((contest.id, r.round, r.started_at) for r in one.runner.results)
            yield key, _point(file, first, one.estimate, rounds)


def _of_campaign(group: Group, file: str, base: str | None) -> Iterator[tuple[Key, Point]]:
    against = base or (BASE if BASE in group.rows else group.rows[0])
    against = next((row for row in group.rows if canonical(row) == canonical(against)), against)
    first = min(group.rounds, key=lambda r: r.started_at)
    apart = [f"{key} {value}" for key, value in unusual(group.setting).items()]
    for (row, column), cell in group.cells.items():
        other = group.cells.get((against, column))
        if row == against or other is None or not (cell.values("mps") and other.values("mps")):
            continue
        if group.open_loop:  # its speeds are what was asked for
            continue
        estimate, _ = ratio_of_cells(other, cell, MPS.quantity)
        key = Key(
            new=row,
            base=against,
            metric=MPS.name,
            where=", ".join([_where(column, group.setting.msize), *apart]),
            machine=group.setting.machine,
        )
        yield key, _point(file, first, estimate, frozenset(r.identity for r in cell.good))


def _point(
    file: str, first: Result | Round, estimate: Estimate, rounds: frozenset[object]
) -> Point:
    """first: the earliest round of what it is of."""
    return Point(
        file=file,
        started_at=first.started_at,
        commit=str(first.env.get("commit", "")),
        estimate=estimate,
        rounds=rounds,
    )


def _where(conns: int, msize: int) -> str:
    return f"{conns} connections, {msize}-byte messages"


def several_machines(series: Sequence[Series]) -> bool:
    """Whether a heading has to name the machine."""
    return len({one.key.machine for one in series}) > 1
