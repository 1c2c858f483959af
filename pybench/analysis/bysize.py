"""The same cells by size of message: groups that differ in nothing else, side by side."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pybench.analysis.model import CellRounds, Group, Setting
from pybench.units import count_label


@dataclass(frozen=True)
class SizeGroup(Group):
    """One number of connections; its columns are sizes of a message in bytes.

    setting: of one of the sizes.  setting_title: what all of them have in common.
    """

    conns: int
    setting_title: str

    @property
    def axis(self) -> str:
        """What its columns count."""
        return "bytes a message"

    def at(self, count: int) -> str:
        """A column in a sentence."""
        return f"with {count_label(count)}-byte messages"


def by_size(groups: Sequence[Group]) -> list[list[SizeGroup]]:
    """For each setting that was measured with several sizes, a group for each number of
    connections that several of them have, rising; none for open loops, whose columns are rates."""
    apart: dict[Setting, list[Group]] = {}
    for group in groups:
        if not group.open_loop:
            apart.setdefault(dataclasses.replace(group.setting, msize=0), []).append(group)
    found = [list(_size_groups(family)) for family in apart.values() if len(family) > 1]
    return [of for of in found if of]


def usual(found: Sequence[SizeGroup]) -> SizeGroup:
    """The one to show where one is shown: of those with most cells that with most connections."""
    return max(found, key=lambda group: (len(group.cells), group.conns))


def _size_groups(family: Sequence[Group]) -> Iterator[SizeGroup]:
    """family: groups that differ in the size only."""
    sized = f"{family[0].setting.msize}-byte messages, "
    shared_title = family[0].title.replace(sized, "")
    shared = Counter(count for group in family for count in group.counts)
    for conns in sorted(count for count, sizes in shared.items() if sizes > 1):
        plural = "" if conns == 1 else "s"
        where = f"{count_label(conns)} connection{plural}"
        yield SizeGroup(
            setting=family[0].setting,
            title=f"{shared_title}, {where}",
            cells=_cells(family, conns),
            conns=conns,
            setting_title=shared_title,
        )


def _cells(family: Sequence[Group], conns: int) -> Mapping[tuple[str, int], CellRounds]:
    return {
        (row, group.setting.msize): dataclasses.replace(cell, column=group.setting.msize)
        for group in sorted(family, key=lambda group: group.setting.msize)
        for (row, count), cell in group.cells.items()
        if count == conns
    }
