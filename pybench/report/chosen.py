"""What `pybench report` prints of its files: the tables that were chosen, and what stands beside
them. The command and the library choose by it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pybench.analysis.machines import by_machine
from pybench.analysis.model import Group
from pybench.analysis.race import Contest
from pybench.analysis.scaling import scales_of
from pybench.errors import UsageError
from pybench.report.document import Document
from pybench.report.metrics import Metric, default_metrics, select_metrics
from pybench.report.ranking import ranking_document, with_races
from pybench.report.reference import Reference
from pybench.report.results import report_document
from pybench.report.scaling import scaling_document, split_scaling
from pybench.report.sizes import size_tables
from pybench.report.tables import GroupTables, build_tables, find_row

Usual = Callable[..., list[Metric]]
"""The tables that nobody named; called as `default_metrics`."""


@dataclass(frozen=True, slots=True)
class Choice:
    """names: of tables, as `--table` lists them; None for the usual ones.  relative_to: the row
    that is 1 in relative figures, or None.

    Raises UsageError for a name that is none.
    """

    names: str | None = None
    relative_to: str | None = None

    def __post_init__(self) -> None:
        if tables := split_scaling(self.names)[1]:
            select_metrics(tables)

    @property
    def scaling(self) -> bool:
        """Whether tables by workers and loops are wanted."""
        return split_scaling(self.names)[0]

    @property
    def only_scaling(self) -> bool:
        """Whether nothing else is."""
        return split_scaling(self.names)[1] == ""

    def metrics(self, groups: Sequence[Group]) -> list[Metric] | None:
        """The tables that were named; None for the usual ones."""
        names = split_scaling(self.names)[1]
        return select_metrics(names, sized=_sized(groups)) if names else None


EVERYTHING: Final = Choice()


def chosen_tables(
    groups: Sequence[Group], choice: Choice = EVERYTHING, usual: Usual = default_metrics
) -> list[GroupTables]:
    """The tables of each group.

    usual: those that nobody named.  Raises UsageError when no group has the row they are relative
    to.
    """
    metrics, base = choice.metrics(groups), choice.relative_to
    if groups and base is not None and not any(row_of(group, base) for group in groups):
        find_row(groups[0], base)
    return [
        build_tables(
            group,
            metrics or usual(open_loop=group.open_loop, sized=_sized(groups)),
            relative_to=None if base is None else row_of(group, base),
        )
        for group in groups
    ]


def chosen_document(
    groups: Sequence[Group],
    tables: Sequence[GroupTables],
    choice: Choice = EVERYTHING,
    *,
    contests: Sequence[Contest] = (),
    references: Sequence[Reference | None] | None = None,
) -> Document:
    """All that is printed: tables, races, or both.

    tables: of the groups.  references: one for each, None where there is none.
    Raises UsageError for tables by workers and loops alone, where nothing has several of them.
    """
    scales = scales_of(groups) if choice.scaling else []
    if choice.only_scaling and not scales:
        raise UsageError(
            "--table scaling: no row was measured with several numbers of workers or loops;"
            " measure with --workers 1,2 or --loops 1,2"
        )
    if choice.only_scaling:
        return scaling_document(scales)
    if not groups:
        return ranking_document(contests)
    document = report_document(
        tables,
        references or [None] * len(tables),
        size_tables(groups, choice.metrics(groups)),
        scales,
        by_machine(groups, choice.relative_to),
    )
    return with_races(document, contests) if contests else document


def row_of(group: Group, name: str) -> str | None:
    """The group's own name of a row; None when it has none."""
    try:
        return find_row(group, name)
    except UsageError:
        return None


def _sized(groups: Sequence[Group]) -> bool:
    return len({group.setting.msize for group in groups}) > 1
