"""The same cells by size of message, by pings in flight or by transport: groups that differ in
nothing else, side by side."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pybench.analysis.model import CellRounds, Group, Setting
from pybench.backends.row import TRANSPORTS
from pybench.spec.axes import AXES
from pybench.units import count_label


@dataclass(frozen=True, slots=True)
class Along:
    """In what the groups differ.

    key: of the setting.  name: in keys and file names.  by: in a heading.  axis: what the columns
    count.  words: what a group's title has of a value.
    at: a column in a sentence.  column: of a value; columns are numbers, on logarithmic axes.
    label: what a column is called.  recorded: what it is in JSON.
    """

    key: str
    name: str
    by: str
    axis: str
    at: Callable[[int], str]
    words: Callable[[Any], str]
    column: Callable[[Any], int] = int
    label: Callable[[int], str] = count_label
    recorded: Callable[[int], str] = str

    def value(self, group: Group) -> Any:
        """The group's value."""
        return getattr(group.setting, self.key)

    def of(self, group: Group) -> int:
        """The group's column."""
        return self.column(self.value(group))


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


def _place_of(transport: str) -> int:
    """As far apart as can be told; one of a newer pybench comes last."""
    known = TRANSPORTS.index(transport) if transport in TRANSPORTS else len(TRANSPORTS)
    return int(10**known)


def _transport_at(column: int) -> str:
    return next((one for one in TRANSPORTS if _place_of(one) == column), "other")


def _transport_label(column: int) -> str:
    return AXES["transport"].title(_transport_at(column))


TRANSPORT: Final = Along(
    key="transport",
    name="transport",
    by="transport",
    axis="transport",
    at=lambda column: f"over {_transport_label(column)}",
    words=AXES["transport"].title,
    column=_place_of,
    label=_transport_label,
    recorded=_transport_at,
)
ALONG: Final = (SIZE, INFLIGHT, TRANSPORT)


@dataclass(frozen=True)
class AlongGroup(Group):
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

    def label(self, count: int) -> str:
        """What a column is called."""
        return self.along.label(count)


def side_by_side(groups: Sequence[Group]) -> list[list[AlongGroup]]:
    """By size, then by each of the others."""
    return [family for along in ALONG for family in groups_along(groups, along)]


def groups_along(groups: Sequence[Group], along: Along = SIZE) -> list[list[AlongGroup]]:
    """For each setting that was measured with several sizes, a group for each number of
    connections that several of them have, rising; none for open loops, whose columns are rates.

    along: in what they differ, if it is not the size.
    """
    apart: dict[Setting, list[Group]] = {}
    for group in groups:
        if not group.open_loop:
            changes: dict[str, Any] = {along.key: None}
            shared = dataclasses.replace(group.setting, **changes)
            apart.setdefault(shared, []).append(group)
    found = [list(_groups_of(family, along)) for family in apart.values() if len(family) > 1]
    return [of for of in found if of]


def usual(found: Sequence[AlongGroup]) -> AlongGroup:
    """The one to show where one is shown: of those with most cells that with most connections."""
    return max(found, key=lambda group: (len(group.cells), group.conns))


def _groups_of(family: Sequence[Group], along: Along) -> Iterator[AlongGroup]:
    """family: groups that differ in the one thing only."""
    shared_title = family[0].title.replace(f", {along.words(along.value(family[0]))}", "")
    shared = Counter(count for group in family for count in group.counts)
    for conns in sorted(count for count, sizes in shared.items() if sizes > 1):
        plural = "" if conns == 1 else "s"
        where = f"{count_label(conns)} connection{plural}"
        yield AlongGroup(
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
