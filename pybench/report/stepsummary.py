"""The page of a GitHub job: Markdown that a step appends to a file which the runner names.

Source: GitHub's documentation, "Workflow commands", "Adding a job summary".
"""

import os
from pathlib import Path
from typing import Final

from pybench.errors import UsageError
from pybench.report.document import Document, write_document

VARIABLE: Final = "GITHUB_STEP_SUMMARY"


def summary_path() -> Path:
    """Where the runner wants it. Raises UsageError when no runner says so."""
    path = os.environ.get(VARIABLE, "")
    if not path:
        raise UsageError(
            f"--github-summary: ${VARIABLE} is not set: it is for a step of a GitHub job;"
            " elsewhere --format markdown prints the same"
        )
    return Path(path)


def append_summary(document: Document, path: Path) -> None:
    """Append the document. Raises UsageError when the file cannot be written."""
    try:
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            write_document(document, "markdown", file)
            file.write("\n")
    except OSError as exc:
        raise UsageError(f"--github-summary {path}: {exc.strerror}") from exc
