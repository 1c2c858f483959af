import os
from collections.abc import Callable

def serve(
    listener_fd: int,
    conns: int,
    msize: int,
    ready: Callable[[], object],
    certfile: str | os.PathLike[str],
    keyfile: str | os.PathLike[str] = ...,
    /,
) -> int: ...
