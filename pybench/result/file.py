"""Result files: one header line, then one line per round, appended and flushed as rounds end."""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pybench.errors import ResultFormatError, UsageError
from pybench.result import SCHEMA, Result


@dataclass(frozen=True, slots=True)
class Section:
    """One invocation's share of a file: its campaign record and the rounds it measured."""

    campaign: dict[str, Any]
    results: tuple[Result, ...]


class ResultWriter:
    """Appends to a results file; a line is complete and on its way to disk when `write` returns.

    path: file to append to, made when absent.  campaign: what the header line records.
    Raises UsageError when the file cannot be written.
    """

    def __init__(self, path: Path, campaign: dict[str, Any], *, header: bool = True) -> None:
        try:
            torn = path.exists() and path.stat().st_size > 0 and not _ends_in_newline(path)
            self._file = path.open("a", encoding="utf-8")
        except OSError as exc:
            raise UsageError(f"--output {path}: {exc.strerror}") from exc
        self._path = path
        if torn:  # an earlier writer was killed inside a line: keep ours apart from its rest
            self._line("")
        if header:
            self._line(json.dumps({"schema": SCHEMA, "campaign": campaign}))

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

    A last line without its newline was torn by a kill and is left out; so is a torn line that a
    later run has closed. Rounds before any header form a section with an empty campaign.
    Raises ResultFormatError, with file and line, for anything else that is not a result line.
    """
    sections: list[tuple[dict[str, Any], list[Result]]] = []
    for record in _records(path):
        if "func" not in record:
            sections.append((record.get("campaign", {}), []))
        else:
            if not sections:
                sections.append(({}, []))
            sections[-1][1].append(Result.from_dict(record))
    return [Section(campaign, tuple(results)) for campaign, results in sections]


def _records(path: Path) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as exc:
        raise ResultFormatError(f"{path}: {exc.strerror}") from exc
    complete, rest = lines[:-1], lines[-1]
    del rest  # no newline: torn, or the empty string behind the last one
    for number, line in enumerate(complete, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as exc:
            following = complete[number] if number < len(complete) else b""
            if line.startswith(b"{") and following.startswith(b'{"schema"'):
                continue  # torn by a kill, then closed by the next writer
            raise ResultFormatError(f"{path}:{number}: not JSON: {exc}") from exc
        if not isinstance(record, dict) or "schema" not in record:
            raise ResultFormatError(f"{path}:{number}: neither a header nor a result line")
        yield record
