"""Which cells a picture or an export is about: `--cells ROW:CONNS,ROW,:CONNS`."""

from collections.abc import Callable, Sequence

from pybench.analysis.model import CellRounds, Group
from pybench.backends.names import canonical
from pybench.errors import UsageError
from pybench.units import parse_count

Wanted = Callable[[str, int], bool]


def parse_cells(text: str | None) -> Wanted | None:
    """A test for cells from a comma-separated list of `ROW`, `ROW:CONNS` and `:CONNS`.

    text: None to select nothing, which leaves the choice to whoever asks.
    Raises UsageError for a count that is none.
    """
    if text is None:
        return None
    pairs = [_parse_one(word.strip()) for word in text.split(",")]

    def wanted(func: str, conns: int) -> bool:
        return any(
            (row in (None, canonical(func))) and (count in (None, conns)) for row, count in pairs
        )

    return wanted


def _parse_one(word: str) -> tuple[str | None, int | None]:
    row, colon, count = word.partition(":")
    if not word or (colon and not count):
        raise UsageError(f"--cells {word!r}: a cell is ROW, ROW:CONNS or :CONNS")
    return (canonical(row) if row else None), (_parse_count(count) if colon else None)


def _parse_count(text: str) -> int:
    try:
        return parse_count(text)
    except UsageError as exc:
        raise UsageError(f"--cells: {exc}") from exc


def select_cells(group: Group, wanted: Wanted | None) -> list[CellRounds]:
    """The cells that are wanted and have a histogram, by row and count.

    Without a wish: every row at the one count that most rows have, the largest of several.
    """
    able = [cell for cell in group.cells.values() if cell.histogram]
    able.sort(key=lambda cell: (group.rows.index(cell.func), cell.column))
    if wanted is not None:
        return [cell for cell in able if wanted(cell.func, cell.column)]
    counts = [cell.column for cell in able]
    if not counts:
        return []
    usual = max(set(counts), key=lambda c: (counts.count(c), c))
    return [cell for cell in able if cell.column == usual]


def spread_counts(counts: Sequence[int], most: int) -> list[int]:
    """At most `most` of the rising counts, the first and the last among them, evenly between."""
    if len(counts) <= most:
        return list(counts)
    if most == 1:
        return [counts[-1]]
    step = (len(counts) - 1) / (most - 1)
    return [counts[round(i * step)] for i in range(most)]
