"""Files that a user names, opened to be read: also those that are no files.

A pipe (`<(zcat a.gz)`, `/dev/stdin`) can be read once, and is looked at several times: what comes
out of it is kept. What has no end, or nobody at the other one, is an error and not a wait for ever.
"""

import codecs
import errno
import io
import os
import stat
import time
from pathlib import Path
from typing import BinaryIO, Final

WRITER_S: Final = 3.0
"""How long a pipe may be without anybody who writes to it: a shell starts both ends at once."""
_LOOK_S: Final = 0.02
_PIECE: Final = 1 << 20

_pipes: dict[tuple[int, int, Path], bytes] = {}
"""What has come out of pipes, by device, inode and name."""


def open_input(path: Path) -> BinaryIO:
    """A file opened to be read as bytes, from its beginning.

    Raises OSError, for a device too: one of characters goes on for ever or waits for a key.
    """
    status = path.stat()
    if stat.S_ISFIFO(status.st_mode):
        key = (status.st_dev, status.st_ino, path)
        if key not in _pipes:
            _pipes[key] = _read_pipe(path)
        return io.BytesIO(_pipes[key])
    if stat.S_ISBLK(status.st_mode) or stat.S_ISCHR(status.st_mode):
        if status.st_rdev == Path(os.devnull).stat().st_rdev:
            return io.BytesIO()
        raise OSError(errno.EINVAL, "a device: give a file, or a pipe")
    return path.open("rb")


def read_text(path: Path) -> str:
    """A whole file as text: UTF-8, or UTF-16 where a byte order mark says so.

    Raises OSError and UnicodeDecodeError.
    """
    with open_input(path) as file:
        data = file.read()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")


def _read_pipe(path: Path) -> bytes:
    """All that comes, until its last writer is gone."""
    pieces: list[bytes] = []
    pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    deadline = time.monotonic() + WRITER_S
    written = False
    try:
        while True:
            try:
                piece = os.read(pipe, _PIECE)
            except BlockingIOError:  # somebody is there and has nothing to say yet
                written = True
                os.set_blocking(pipe, True)
                continue
            written = written or bool(piece)
            if piece:
                pieces.append(piece)
            elif written:
                return b"".join(pieces)
            elif time.monotonic() > deadline:
                raise OSError(errno.ENXIO, "a pipe that nobody writes to")
            else:
                time.sleep(_LOOK_S)
    finally:
        os.close(pipe)
