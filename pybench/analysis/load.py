"""Files into groups: ours (JSON lines) and those of the 2016 experiment (YAML)."""

import codecs
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pybench.analysis.legacy import read_legacy
from pybench.analysis.model import (
    Group,
    Round,
    group_rounds,
    rounds_of_legacy,
    rounds_of_section,
    without_copies,
)
from pybench.analysis.race import Contest, contests_of_section, joined
from pybench.errors import ResultFormatError, UsageError
from pybench.result import Result
from pybench.result.campaign import CampaignRecord
from pybench.result.file import open_text, read_contents


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the files hold.

    campaigns: their header records, without repetition, in order.
    contests: races, which stand in no table beside other rounds.
    errors: lines that could not be read, each with its file and number; the others are there.
    notes: what stood there twice and counts once.
    records: the lines that the rounds were made of, where they are to be kept; those of 2016 have
    none.
    """

    rounds: tuple[Round, ...]
    campaigns: tuple[CampaignRecord, ...]
    contests: tuple[Contest, ...] = ()
    errors: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    records: tuple[Result, ...] = ()

    def groups(self, server: str | None = None) -> list[Group]:
        """The groups, of one load server when it is named.

        Raises UsageError, naming the servers there are, when the named one is not among them; and
        when there is nothing but races.
        """
        if self.contests and not self.rounds:
            raise UsageError(
                "these are races, which say themselves who is faster: pybench report FILE"
            )
        names = sorted({r.setting.server for r in self.rounds})
        if server is None:
            return group_rounds(self.rounds)
        chosen = [r for r in self.rounds if r.setting.server == server]
        if not chosen:
            raise UsageError(f"--server-name {server}: the results are of {', '.join(names)}")
        return group_rounds(chosen)


def load_files(paths: Sequence[Path], *, keep_records: bool = False) -> Loaded:
    """Every round of every file, once: a file named twice is read once, a copy of a round is left
    out.

    keep_records: as `Loaded.records`, for who wants more than reports do.
    Raises ResultFormatError for a file that is no results file or holds no round at all.
    """
    rounds: list[Round] = []
    errors: list[str] = []
    notes: list[str] = []
    campaigns: list[CampaignRecord] = []
    contests: list[Contest] = []
    records: dict[int, Result] = {}
    asked = [Path(os.path.realpath(path)) for path in paths]  # a loop of links is no error yet
    for path in dict.fromkeys(asked):
        if asked.count(path) > 1:
            notes.append(f"{path} is given {asked.count(path)} times and read once")
        found = len(rounds) + len(contests)
        if is_result_lines(path):
            contents = read_contents(path)
            errors += map(str, contents.errors)
            for section in contents.sections:
                contests += contests_of_section(section.results, section.campaign)
                of_window = [r for r in section.results if r.turns is None]
                made = rounds_of_section(of_window, section.campaign)
                if keep_records:
                    records |= {id(r): record for r, record in zip(made, of_window, strict=True)}
                rounds += made
                if section.campaign is not None and section.campaign not in campaigns:
                    campaigns.append(section.campaign)
        else:
            rounds += rounds_of_legacy(read_legacy(path))
        if len(rounds) + len(contests) == found:
            raise _no_rounds(path, errors)
    rounds, copies = without_copies(rounds)
    if copies:
        some = "1 round stands" if copies == 1 else f"{copies} rounds stand"
        notes.append(f"{some} there more than once: copies are left out")
    return Loaded(
        tuple(rounds),
        tuple(campaigns),
        tuple(joined(contests)),
        tuple(errors),
        tuple(notes),
        tuple(records[id(r)] for r in rounds if id(r) in records),
    )


def _no_rounds(path: Path, errors: Sequence[str]) -> ResultFormatError:
    """What to say of a file without a round: what it is, if that is known."""
    try:
        with open_text(path) as file:
            document = json.loads(file.read())
    except (OSError, ValueError, RecursionError):
        document = None
    one = document[0] if isinstance(document, list) and document else document
    if isinstance(one, dict) and "campaign" not in one:
        kinds = {
            "tables": "what --format json printed, tables made of results",
            "notes": "what compare --format json printed",
            "ratios": "a baseline of pytest --pybench-save",
            "cells": "what --explain wrote: report --syscalls FILE shows it",
            "noise_floor": "what calibrate found: calibrate --show shows it",
        }
        if "func" in one:
            return ResultFormatError(f"{path}: rounds, but not one a line: jq -c makes them so")
        for key, what in kinds.items():
            if key in one:
                return ResultFormatError(
                    f"{path}: this is {what}; report and compare read what --output FILE wrote"
                )
    mine = [error for error in errors if error.startswith(f"{path}:")]
    more = f" (and {len(mine) - 1} more such lines)" if len(mine) > 1 else ""
    return ResultFormatError(mine[0] + more if mine else f"{path}: no rounds in it")


def is_result_lines(path: Path) -> bool:
    """Whether the file begins as JSON does. Raises ResultFormatError when it cannot be read."""
    try:
        with open_text(path) as file:
            head = file.read(4096)
    except (OSError, EOFError, zlib.error) as exc:
        raise ResultFormatError(f"{path}: {getattr(exc, 'strerror', None) or exc}") from exc
    head = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if not head:
        raise ResultFormatError(f"{path}: empty")
    return head.startswith((b"{", b"[{", b"[\n"))
