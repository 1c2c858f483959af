"""Documents as CSV: a head and one line each, numbers unrounded, nothing for what is missing."""

import csv
from typing import TextIO

from pybench.report.document import Document


def write(document: Document, file: TextIO) -> None:
    """Write the head and the lines; nothing at all for a document without columns."""
    writer = csv.writer(file, lineterminator="\n")
    if document.columns:
        writer.writerow(document.columns)
    writer.writerows(document.lines)
