"""What a comparison found: a ratio and a verdict for each cell."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pybench.analysis.compare import Comparison
from pybench.analysis.verdict import Metric
from pybench.api.shown import Shown, frame_of, written
from pybench.report.comparison import comparison_document
from pybench.report.document import Document

if TYPE_CHECKING:
    import pandas


class Comparisons(Shown):
    """NEW against BASE, cell by cell.

    Iterating gives each as `pybench.analysis.compare.Comparison`: `name`, `conns`, `verdict` with
    its `kind` (faster, slower, equal, undecided) and `estimate`, or why it is `refused`.
    notes: what to keep in mind, a line each.
    """

    def __init__(
        self, comparisons: Sequence[Comparison], metric: Metric, notes: Sequence[str]
    ) -> None:
        self._comparisons = tuple(comparisons)
        self._metric = metric
        self.notes: tuple[str, ...] = tuple(notes)

    def __iter__(self) -> Iterator[Comparison]:
        return iter(self._comparisons)

    def __len__(self) -> int:
        return len(self._comparisons)

    def __repr__(self) -> str:
        kinds = (c.verdict.kind if c.verdict else "not compared" for c in self._comparisons)
        cells = zip(self._comparisons, kinds, strict=True)
        return f"<Comparisons: {'; '.join(f'{c.name} at {c.conns}: {kind}' for c, kind in cells)}>"

    def table(self, *, format: str = "table") -> str:
        """What `pybench compare` prints, as text.

        format: table, markdown, csv, json or html.  Raises UsageError for another.
        """
        return written(self._document(), format)

    def to_frame(self) -> "pandas.DataFrame":
        """A line a cell, the columns of the format `csv`. Raises UsageError without pandas."""
        document = self._document()
        return frame_of(document.columns, document.lines)

    def _document(self) -> Document:
        return comparison_document(self._comparisons, (), self.notes, self._metric)
