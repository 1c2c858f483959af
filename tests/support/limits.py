"""Limits of this process, for as long as a test needs them."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def full_disk(after: int) -> Iterator[None]:
    """Meanwhile no file grows beyond so many bytes: `File too large`, as from a disk that is full.

    Python ignores the signal that comes with it.
    """
    kind = resource.RLIMIT_FSIZE
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (after, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)
