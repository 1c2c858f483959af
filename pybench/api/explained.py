"""What rounds under observation tell: system calls and CPU time of a ping."""

from collections.abc import Iterator
from pathlib import Path

from pybench.api.shown import Shown, written
from pybench.errors import UsageError
from pybench.report.document import Document
from pybench.report.syscalls import explanation_document
from pybench.result.explanation import Explained as ExplainedCell
from pybench.result.explanation import Explanation


class Explained(Shown):
    """Of each cell the system calls per ping and the CPU time by layer.

    Iterating gives each cell as `pybench.result.explanation.Explained`.
    folder: where `explain.json` and the flame graphs are.
    """

    def __init__(self, explanation: Explanation, folder: Path) -> None:
        self.explanation = explanation
        self.folder = folder

    def __iter__(self) -> Iterator[ExplainedCell]:
        return iter(self.explanation.cells)

    def __len__(self) -> int:
        return len(self.explanation.cells)

    def __repr__(self) -> str:
        return f"<Explained: {', '.join(one.cell for one in self)}>"

    @property
    def errors(self) -> tuple[str, ...]:
        """What could not be observed, each once."""
        return tuple(dict.fromkeys(text for cell in self for text in cell.errors))

    def table(self, *, format: str = "table") -> str:
        """What `--explain` prints, as text.

        format: table, markdown or html.  Raises UsageError for another: `explain.json` in the
        folder is for programs.
        """
        if format in ("json", "csv"):
            raise UsageError(f"table: an explanation has no format {format}: read explain.json")
        return written(self._document(), format)

    def _document(self) -> Document:
        return explanation_document(self.explanation)
