"""A file without a name, for what a process prints that is only looked at when it goes wrong."""

import os
import tempfile
from typing import IO


def scratch_file() -> IO[bytes]:
    """An empty file to write and read, gone when it is closed; in memory where no folder takes one.

    Raises OSError when there is neither.
    """
    try:
        return tempfile.TemporaryFile()
    except OSError:
        return os.fdopen(os.memfd_create("pybench"), "w+b")
