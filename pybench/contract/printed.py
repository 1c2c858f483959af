"""The exception that only a log has seen: it ended a thread or a task, and left a traceback."""

import re

from pybench.errors import WorkerError

TRACEBACK = "Traceback (most recent call last):"
_EXCEPTION_LINE = re.compile(
    r"(?:[A-Za-z_]\w*\.)*([A-Za-z_]\w*(?:Error|Exception|Exit|Interrupt))\b"
)


def printed_error(text: str) -> WorkerError | None:
    """What the last traceback in a text says, or None: those of threads that die together are
    mixed up before it.
    """
    _, found, last = text.rpartition(TRACEBACK)
    if not found:
        return None
    lines = last.rstrip().splitlines()
    ends = [(line, match[1]) for line in lines if (match := _EXCEPTION_LINE.match(line))]
    reason, name = ends[0] if ends else (lines[-1], "")
    return WorkerError(
        f"a traceback was printed, {reason}",
        code="printed",
        exceptions=(name,) if name else (),
        details="\n".join([TRACEBACK, *lines[1:]]),
    )
