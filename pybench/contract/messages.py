"""What the peers of a check send, so that whatever comes back wrong shows."""

import random
from functools import cache

from pybench.contract.promises import UnlikeError

KIB, MIB = 1 << 10, 1 << 20


def message(seed: int, size: int) -> bytes:
    """A different one for each seed, so that those of two connections cannot be mixed up unseen."""
    if size <= 64 * KIB:
        return random.Random(seed).randbytes(size)
    return _large(seed, size)


@cache
def _large(seed: int, size: int) -> bytes:
    return (_pattern(seed) * (size // MIB + 1))[:size]


@cache
def _pattern(seed: int) -> bytes:
    """Random bytes whose length is no power of two, so that a lost block shows."""
    return random.Random(seed).randbytes(MIB + 7)


def check_same(sent: bytes, back: bytes, number: int) -> None:
    """number: of the connection. Raises UnlikeError when something else came back."""
    if sent == back:
        return
    if back.startswith(sent):
        raise UnlikeError(f"{len(back) - len(sent)} bytes more than were sent came back")
    at = next(i for i, (a, b) in enumerate(zip(sent, back, strict=False)) if a != b)
    raise UnlikeError(
        f"connection {number} of those that sent got other bytes, from byte {at} of {len(sent)} "
        f"on: {back[at : at + 8]!r} instead of {sent[at : at + 8]!r}"
    )
