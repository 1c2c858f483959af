"""What the rows on structured concurrency share."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def first_error() -> Iterator[None]:
    """A context that raises the first error of a group of tasks, not the group.

    One cause cancels all the other tasks: what they end with is its consequence.
    """
    try:
        yield
    except BaseException as exc:
        cause = exc
        while getattr(cause, "exceptions", ()):
            cause = cause.exceptions[0]  # type: ignore[attr-defined]
        if cause is exc:
            raise
        raise cause from None
