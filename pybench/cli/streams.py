"""Standard streams as they come: closed, full, read by nobody, or unable to show a letter.

None of that ends a campaign or spoils a file: `guarded` stands around every command.
"""

import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Raw(io.FileIO):
    """A descriptor that is written to until it fails; what comes after that goes nowhere.

    failure: why it failed, or None. Its descriptor is not its own to close.
    """

    def __init__(self, fd: int) -> None:
        super().__init__(fd, "w", closefd=False)
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        """Write some of it, or take all of it when there is nowhere to write to."""
        while self.failure is None:
            try:
                written = super().write(data)
                if written is not None:
                    return written
                select.select([], [self], [])  # whoever shares it has made it not block
            except OSError as exc:
                self.failure = exc
        return len(data)


class Output:
    """Standard output while it is guarded. raw: where it ends up, or None when it is another's."""

    def __init__(self, raw: Raw | None) -> None:
        self._raw = raw

    def failure(self) -> str | None:
        """Why something could not be written, or None. That a reader has left is no failure."""
        sys.stdout.flush()
        exc = None if self._raw is None else self._raw.failure
        if exc is None or isinstance(exc, BrokenPipeError):
            return None
        return f"standard output: {exc.strerror}"


@contextmanager
def guarded() -> Iterator[Output]:
    """Meanwhile writing to the process's own standard streams raises nothing.

    Streams that others have put in their place are left alone.
    """
    _open_closed()
    out, err = sys.stdout, sys.stderr
    raw: Raw | None = None
    if out is sys.__stdout__:
        sys.stdout, raw = _guard(out, 1)
    if err is sys.__stderr__:
        sys.stderr, _ = _guard(err, 2)
    try:
        yield Output(raw)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = out, err


def _guard(stream: Any, fd: int) -> tuple[Any, Raw | None]:
    """The stream on a `Raw`. A letter that its encoding has not is written as its number."""
    if stream is not None:
        try:
            stream.flush()
            fd = stream.fileno()
        except (OSError, ValueError):
            return stream, None
    raw = Raw(fd)
    guard = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(stream, "encoding", "utf-8"),
        errors="backslashreplace",
        line_buffering=fd == 2 or raw.isatty(),
    )
    return guard, raw


def _open_closed() -> None:
    """Open /dev/null where a standard stream is closed: the next file would get its number."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != fd:  # cannot be: the lowest free number is taken
                os.dup2(null, fd)
                os.close(null)
            os.set_inheritable(fd, True)
