"""Documents as JSON, for programs. What the keys mean is told where each document is built."""

import json
from typing import TextIO

from pybench.report.document import Document


def write(document: Document, file: TextIO) -> None:
    """Write the record, indented, with a newline at its end."""
    json.dump(document.record, file, indent=1)
    file.write("\n")
