"""Result files: one header line, then one line per round, appended and flushed as rounds end."""

import codecs
import fcntl
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from msgspec import UNSET, Struct

from pybench.errors import OutputError, ResultFormatError, UsageError
from pybench.result.campaign import CampaignRecord, Header
from pybench.result.codec import NotJsonError, check_schema, decode, encode
from pybench.result.env import check
from pybench.result.inputs import open_input
from pybench.result.record import Result


@dataclass(frozen=True, slots=True)
class Section:
    """One invocation's share of a file: its campaign and the rounds it measured.

    campaign: None for rounds that stand before any header.
    """

    campaign: CampaignRecord | None
    results: tuple[Result, ...]

    def campaign_of(self, result: Result) -> str:
        """The id of a round's campaign: its own, for another may have written into the section;
        else the section's; empty when neither has one."""
        own = self.campaign.id if self.campaign is not None else ""
        return result.campaign_id or (own if isinstance(own, str) else "")


class ResultWriter:
    """Appends to a results file; a line is complete and on its way to disk when `write` returns.

    path: file to append to, made when absent.  campaign: what the header line records.
    Raises UsageError when the file cannot be written, is no results file, or is being written by
    another: two that append at once would write under each other's headers.
    """

    def __init__(self, path: Path, campaign: CampaignRecord, *, header: bool = True) -> None:
        try:
            self._file = path.open("a", encoding="utf-8")
        except OSError as exc:
            raise UsageError(f"--output {path}: {exc.strerror}") from exc
        self._path = path
        try:
            self._lock()
            if path.is_file() and path.stat().st_size > 0 and self._is_torn():
                self._line("")  # an earlier writer was killed inside a line: apart from its rest
            if header:
                self._line(encode(Header(campaign=campaign)))
        except OSError as exc:
            self.close()
            raise UsageError(f"--output {path}: {exc.strerror}") from exc
        except BaseException:
            self.close()
            raise

    def write(self, result: Result) -> None:
        """Append one result line and flush it. Raises OutputError when there is no room for it."""
        try:
            self._line(result.to_json())
        except OSError as exc:
            raise OutputError(
                f"--output {self._path}: {exc.strerror}: {result.func} at {result.conns}, round"
                f" {result.round}, was measured and is not in it"
            ) from exc

    def close(self) -> None:
        """Close the file; writing again is an error."""
        with suppress(OSError):  # what `write` could not flush was its error already
            self._file.close()

    def _lock(self) -> None:
        """Until the file is closed, or we end. Devices are everybody's."""
        if not self._path.is_file():
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"--output {self._path}: another campaign is writing to it: wait for its end, or"
                " give another file"
            ) from None
        except OSError:
            return

    def _is_torn(self) -> bool:
        """Whether the last line of what is there has no newline. Raises UsageError for a stranger's
        file, which is not to be spoiled."""
        with self._path.open("rb") as file:
            start = file.read(64).removeprefix(codecs.BOM_UTF8).lstrip()
            if start.startswith(_GZIP):
                raise UsageError(f"--output {self._path}: nothing is appended to gzip: unpack it")
            if start and not start.startswith(b"{"):
                raise UsageError(f"--output {self._path}: is there, and is no results file")
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"

    def _line(self, text: str) -> None:
        self._file.write(text + "\n")
        self._file.flush()


@dataclass(frozen=True, slots=True)
class Contents:
    """What a results file holds. errors: its lines that are no record, each named."""

    sections: tuple[Section, ...]
    errors: tuple[ResultFormatError, ...]


def read_contents(path: Path) -> Contents:
    """All sections of a results file, in order, without the lines that are no record.

    Raises ResultFormatError when the file cannot be read.
    """
    sections: list[tuple[CampaignRecord | None, list[Result]]] = []
    errors: list[ResultFormatError] = []
    for _, record in read_lines(path):
        if isinstance(record, ResultFormatError):
            errors.append(record)
        elif isinstance(record, Header):
            sections.append((record.campaign, []))
        else:
            if not sections:
                sections.append((None, []))
            sections[-1][1].append(record)
    found = tuple(Section(campaign, tuple(results)) for campaign, results in sections)
    return Contents(found, tuple(errors))


def read_sections(path: Path) -> list[Section]:
    """All sections of a results file, in order.

    Raises ResultFormatError, with file, line and key, for the first line that is no record.
    """
    contents = read_contents(path)
    for error in contents.errors:
        raise error
    return list(contents.sections)


def read_lines(path: Path) -> Iterator[tuple[int, Header | Result | ResultFormatError]]:
    """Line numbers, from 1, each with the record of the line or with what is wrong with it.

    A line that was torn by a kill is left out: the last one, without its newline, and one that a
    later run has closed. Raises ResultFormatError when the file cannot be read.
    """
    for number, line, following in _lines(path):
        if isinstance(line, ResultFormatError):
            yield number, line
            continue
        try:
            yield number, _record(line)
        except NotJsonError as exc:
            if _is_torn(line, following):
                continue
            yield number, ResultFormatError(f"{path}:{number}: {exc}")
        except ResultFormatError as exc:
            yield number, ResultFormatError(f"{path}:{number}: {exc}")


def _is_torn(line: bytes, following: bytes) -> bool:
    """Whether a line that is no JSON was the last one of a writer that was killed."""
    if not line.endswith(b"\n"):
        return not following
    return line.startswith(b"{") and following.startswith(b'{"schema"')  # closed by the next writer


def _lines(path: Path) -> Iterator[tuple[int, bytes | ResultFormatError, bytes]]:
    """Lines that are not empty: number, text, the line that follows. The last may lack its newline.

    A packed file that ends too early has an error for its last line.
    """
    lines = _raw_lines(path)
    number, line = 1, next(lines, b"")
    while line:
        following = next(lines, b"")
        if isinstance(line, ResultFormatError) or line.strip():
            yield number, line, following if isinstance(following, bytes) else b""
        number, line = number + 1, following


def _raw_lines(path: Path) -> Iterator[bytes | ResultFormatError]:
    number = 1
    try:
        with open_text(path) as file:
            while line := file.readline():
                for part in _parts(line):
                    yield part
                    number += 1
    except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
        yield ResultFormatError(f"{path}:{number}: gzip: {exc}")
    except OSError as exc:
        raise ResultFormatError(f"{path}: {exc.strerror}") from exc


def _parts(line: bytes) -> list[bytes]:
    """The lines in what ends with a newline: several, where an editor has made lone CRs of them."""
    if b"\r" not in line.rstrip(b"\r\n"):
        return [line]
    *whole, last = line.split(b"\r")
    return [*(part + b"\n" for part in whole), *filter(None, [last])]


_GZIP: Final = b"\x1f\x8b"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_PACKED: Final = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
    b"PK\x03\x04": "zip",
}


def open_text(path: Path) -> BinaryIO:
    """A file opened to be read as bytes of UTF-8: unpacked from gzip, recoded from UTF-16.

    Raises OSError, and ResultFormatError for what is packed in other ways.
    """
    file = open_input(path)
    try:
        start = file.read(8)
        file.seek(0)
        if start.startswith(_GZIP):
            if isinstance(file, io.BytesIO):  # a pipe's
                return cast(BinaryIO, gzip.GzipFile(fileobj=file))
            file.close()
            return cast(BinaryIO, gzip.open(path, "rb"))
        if start.startswith(_UTF_16):  # what a Windows shell makes of `>`
            text = file.read().decode("utf-16", errors="replace")
            file.close()
            return io.BytesIO(text.encode())
        for magic, name in _PACKED.items():
            if start.startswith(magic):
                raise ResultFormatError(f"{path}: packed with {name}: unpack it, or use gzip")
    except BaseException:
        file.close()
        raise
    return file


class _Kind(Struct):
    """What tells a result line from a header."""

    schema: Any = UNSET
    func: Any = UNSET
    campaign: Any = UNSET


def _record(line: bytes) -> Header | Result:
    kind = decode(line, _Kind)
    if kind.schema is UNSET or (kind.func is UNSET and kind.campaign is UNSET):
        raise ResultFormatError("neither a header nor a result line")
    check_schema(kind.schema)
    if kind.func is UNSET:
        header = decode(line, Header)
        check(header.campaign, "campaign.")
        return header
    result = decode(line, Result)
    check(result)
    return result.compact()
