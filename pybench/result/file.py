"""Result files: one header line, then one line per round, appended and flushed as rounds end."""

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import UNSET, Struct

from pybench.errors import ResultFormatError, UsageError
from pybench.result.campaign import CampaignRecord, Header
from pybench.result.codec import NotJsonError, check_schema, decode, encode
from pybench.result.env import check
from pybench.result.record import Result


@dataclass(frozen=True, slots=True)
class Section:
    """One invocation's share of a file: its campaign and the rounds it measured.

    campaign: None for rounds that stand before any header.
    """

    campaign: CampaignRecord | None
    results: tuple[Result, ...]


class ResultWriter:
    """Appends to a results file; a line is complete and on its way to disk when `write` returns.

    path: file to append to, made when absent.  campaign: what the header line records.
    Raises UsageError when the file cannot be written.
    """

    def __init__(self, path: Path, campaign: CampaignRecord, *, header: bool = True) -> None:
        try:
            torn = path.exists() and path.stat().st_size > 0 and not _ends_in_newline(path)
            self._file = path.open("a", encoding="utf-8")
        except OSError as exc:
            raise UsageError(f"--output {path}: {exc.strerror}") from exc
        self._path = path
        if torn:  # an earlier writer was killed inside a line: keep ours apart from its rest
            self._line("")
        if header:
            self._line(encode(Header(campaign=campaign)))

    def write(self, result: Result) -> None:
        """Append one result line and flush it. Raises UsageError when there is no room for it."""
        self._line(result.to_json())

    def close(self) -> None:
        """Close the file; writing again is an error."""
        with suppress(OSError):  # what `write` could not flush was its error already
            self._file.close()

    def _line(self, text: str) -> None:
        try:
            self._file.write(text + "\n")
            self._file.flush()
        except OSError as exc:
            raise UsageError(f"--output {self._path}: {exc.strerror}") from exc


def _ends_in_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def read_sections(path: Path) -> list[Section]:
    """All sections of a results file, in order.

    Raises ResultFormatError, with file, line and key, for the first line that is no record.
    """
    sections: list[tuple[CampaignRecord | None, list[Result]]] = []
    for _, record in read_lines(path):
        if isinstance(record, ResultFormatError):
            raise record
        if isinstance(record, Header):
            sections.append((record.campaign, []))
        else:
            if not sections:
                sections.append((None, []))
            sections[-1][1].append(record)
    return [Section(campaign, tuple(results)) for campaign, results in sections]


def read_lines(path: Path) -> Iterator[tuple[int, Header | Result | ResultFormatError]]:
    """Line numbers, from 1, each with the record of the line or with what is wrong with it.

    A last line without its newline was torn by a kill and is left out; so is a torn line that a
    later run has closed. Raises ResultFormatError when the file cannot be read.
    """
    for number, line, following in _complete_lines(path):
        try:
            yield number, _record(line)
        except NotJsonError as exc:
            if line.startswith(b"{") and following.startswith(b'{"schema"'):
                continue  # torn by a kill, then closed by the next writer
            yield number, ResultFormatError(f"{path}:{number}: {exc}")
        except ResultFormatError as exc:
            yield number, ResultFormatError(f"{path}:{number}: {exc}")


def _complete_lines(path: Path) -> Iterator[tuple[int, bytes, bytes]]:
    """Lines that end and are not empty: number, text, the line that follows."""
    try:
        with path.open("rb") as file:
            number, line = 1, file.readline()
            while line.endswith(b"\n"):
                following = file.readline()
                if line.strip():
                    yield number, line, following
                number, line = number + 1, following
    except OSError as exc:
        raise ResultFormatError(f"{path}: {exc.strerror}") from exc


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
