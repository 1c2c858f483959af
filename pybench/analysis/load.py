"""Files into groups: ours (JSON lines) and those of the 2016 experiment (YAML)."""

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
)
from pybench.errors import ResultFormatError, UsageError
from pybench.result.campaign import CampaignRecord
from pybench.result.file import read_sections


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the files hold. campaigns: their header records, without repetition, in order."""

    rounds: tuple[Round, ...]
    campaigns: tuple[CampaignRecord, ...]

    def groups(self, server: str | None = None) -> list[Group]:
        """The groups, of one load server when it is named.

        Raises UsageError, naming the servers there are, when the named one is not among them.
        """
        names = sorted({r.setting.server for r in self.rounds})
        if server is None:
            return group_rounds(self.rounds)
        chosen = [r for r in self.rounds if r.setting.server == server]
        if not chosen:
            raise UsageError(f"--server-name {server}: the results are of {', '.join(names)}")
        return group_rounds(chosen)


def load_files(paths: Sequence[Path]) -> Loaded:
    """Every round of every file; a file named twice is read once.

    Raises ResultFormatError for a file that is no results file or holds no round at all.
    """
    rounds: list[Round] = []
    campaigns: list[CampaignRecord] = []
    for path in dict.fromkeys(p.resolve() for p in paths):
        found = len(rounds)
        if is_result_lines(path):
            for section in read_sections(path):
                rounds += rounds_of_section(section.results, section.campaign)
                if section.campaign is not None and section.campaign not in campaigns:
                    campaigns.append(section.campaign)
        else:
            rounds += rounds_of_legacy(read_legacy(path))
        if len(rounds) == found:
            raise ResultFormatError(f"{path}: no rounds in it")
    return Loaded(tuple(rounds), tuple(campaigns))


def is_result_lines(path: Path) -> bool:
    """Whether the file begins as JSON lines do. Raises ResultFormatError when it cannot be read."""
    try:
        with path.open("rb") as file:
            head = file.read(4096).lstrip()
    except OSError as exc:
        raise ResultFormatError(f"{path}: {exc.strerror}") from exc
    if not head:
        raise ResultFormatError(f"{path}: empty")
    return head.startswith(b"{")
