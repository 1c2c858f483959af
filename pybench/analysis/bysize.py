"""The same cells by size of message, or by pings in flight: groups that differ in nothing else,
side by side."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pybench.analysis.model import CellRounds, Group, Setting
from pybench.spec.axes import AXES
from pybench.units import count_label


@dataclass(frozen=True, slots=True)
class Along:
    """In what the groups differ.

    key: of the setting.  name: in keys and file names.  by: in a heading.  axis: what the columns
    count.  at: a column in a sentence.  words: what a group's title has of it.
    """

    key: str
    name: str
    by: str
    axis: str
    at: Callable[[int], str]
    words: Callable[[int], str]

    def of(self, group: Group) -> int:
        """The group's value."""
        value: int = getattr(group.setting, self.key)
        return value


SIZE: Final = Along(
    key="msize",
    name="size",
    by="size of message",
    axis="bytes a message",
    at=lambda size: f"with {count_label(size)}-byte messages",
    words=lambda size: f"{size}-byte messages",
)
INFLIGHT: Final = Along(
    key="inflight",
    name="inflight",
    by="pings in flight",
    axis="pings in flight a connection",
    at=lambda inflight: f"with {AXES['inflight'].title(inflight)}",
    words=AXES["inflight"].title,
)


@dataclass(frozen=True)
class SizeGroup(Group):
    """One number of connections; its columns are sizes of a message in bytes, or what else they
    are along.

    setting: of one of the sizes.  setting_title: what all of them have in common.
    """

    conns: int
    setting_title: str
    along: Along = SIZE

    @property
    def axis(self) -> str:
        """What its columns count."""
        return self.along.axis

    def at(self, count: int) -> str:
        """A column in a sentence."""
        return self.along.at(count)


def side_by_side(groups: Sequence[Group]) -> list[list[SizeGroup]]:
    """By size, then by pings in flight."""
    return [family for along in (SIZE, INFLIGHT) for family in by_size(groups, along)]


def by_size(groups: Sequence[Group], along: Along = SIZE) -> list[list[SizeGroup]]:
    """For each setting that was measured with several sizes, a group for each number of
    connections that several of them have, rising; none for open loops, whose columns are rates.

    along: in what they differ, if it is not the size.
    """
    apart: dict[Setting, list[Group]] = {}
    for group in groups:
        if not group.open_loop:
            changes: dict[str, Any] = {along.key: 0}
            shared = dataclasses.replace(group.setting, **changes)
            apart.setdefault(shared, []).append(group)
    found = [list(_size_groups(family, along)) for family in apart.values() if len(family) > 1]
    return [of for of in found if of]


def usual(found: Sequence[SizeGroup]) -> SizeGroup:
    """The one to show where one is shown: of those with most cells that with most connections."""
    return max(found, key=lambda group: (len(group.cells), group.conns))


def _size_groups(family: Sequence[Group], along: Along) -> Iterator[SizeGroup]:
    """family: groups that differ in the one thing only."""
    shared_title = family[0].title.replace(f", {along.words(along.of(family[0]))}", "")
    shared = Counter(count for group in family for count in group.counts)
    for conns in sorted(count for count, sizes in shared.items() if sizes > 1):
        plural = "" if conns == 1 else "s"
        where = f"{count_label(conns)} connection{plural}"
        yield SizeGroup(
            setting=family[0].setting,
            title=f"{shared_title}, {where}",
            cells=_cells(family, conns, along),
            conns=conns,
            setting_title=shared_title,
            along=along,
        )


def _cells(
    family: Sequence[Group], conns: int, along: Along
) -> Mapping[tuple[str, int], CellRounds]:
    return {
        (row, along.of(group)): dataclasses.replace(cell, column=along.of(group))
        for group in sorted(family, key=along.of)
        for (row, count), cell in group.cells.items()
        if count == conns
    }
