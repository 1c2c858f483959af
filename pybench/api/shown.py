"""What every result of the library has in common: it is a document that shows itself."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from pybench.errors import UsageError
from pybench.report.document import Document, Format, Remarks, document_text

if TYPE_CHECKING:
    import pandas


class Shown(ABC):
    """Text by `print`, a table in a notebook: what the command prints, by the same writers."""

    @abstractmethod
    def _document(self) -> Document:
        """All that there is to show."""

    def __str__(self) -> str:
        return document_text(self._document(), "table").strip("\n")

    def _repr_html_(self) -> str:
        return document_text(self._document(), "html")


def with_notes(document: Document, notes: Sequence[str]) -> Document:
    """The document with what to keep in mind about it at its end."""
    if not notes:
        return document
    return replace(document, blocks=[*document.blocks, Remarks(list(notes))])


def written(document: Document, fmt: str) -> str:
    """The document in a format. Raises UsageError for one that there is not."""
    for one in get_args(Format):
        if fmt == one:
            return document_text(document, one)
    raise UsageError(f"table: no format {fmt!r}; there are {' '.join(get_args(Format))}")


def frame_of(columns: Any, lines: Any) -> "pandas.DataFrame":
    """A frame of pandas. Raises UsageError where it is not installed."""
    from pybench.report.optional import require

    require("to_frame", "pandas")
    import pandas

    return pandas.DataFrame(list(lines), columns=list(columns))
