"""`explain.json`, the file that keeps what was found out about each cell: written and read.

What is in it: `result/explanation.py`.
"""

from pathlib import Path
from typing import Final

from pybench.errors import ResultFormatError
from pybench.result.codec import read_document, write_document
from pybench.result.explanation import Cpu, Explained, Explanation, Syscalls

__all__ = ["Cpu", "Explained", "Explanation", "Syscalls", "read_explanation", "save"]

FILE_NAME: Final = "explain.json"


def save(explanation: Explanation, folder: Path) -> Path:
    """Write the file into the folder; its path. Raises OSError."""
    path = folder / FILE_NAME
    write_document(path, explanation)
    return path


def read_explanation(path: Path) -> Explanation:
    """Read such a file, or the one in a folder of that name.

    Raises ResultFormatError, with file and key, when it is none.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        return read_document(file, Explanation)
    except OSError as exc:
        raise ResultFormatError(f"{file}: {exc.strerror}") from exc
    except ResultFormatError as exc:
        raise ResultFormatError(f"{file}: not a file that --explain wrote: {exc}") from exc
