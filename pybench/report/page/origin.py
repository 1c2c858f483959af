"""Where the page's results come from: the machines, and the commands to type again."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec import UNSET

from pybench.analysis.compare import flat_items
from pybench.analysis.model import Group
from pybench.result.campaign import CampaignRecord
from pybench.spec import OPTIONS

_TOLD: Final = (
    *("func", "conns", "rounds", "runtime", "warmup", "msize", "rate"),
    *("engine", "timestamps", "busy_poll", "seed", "server"),
)
"""The options of a command line that is put together again."""


def environment(groups: Sequence[Group]) -> list[tuple[str, str]]:
    """Every scalar of the rounds' environments; several values of one key are listed, at most 4."""
    values: dict[str, dict[str, None]] = {}
    for group in groups:
        for env in {id(r.env): r.env for r in group.rounds}.values():
            for key, value in flat_items(env):
                values.setdefault(key, {})[value] = None
    shown = []
    for key, found in values.items():
        few = list(found)[:4]
        more = f" and {len(found) - 4} more" if len(found) > 4 else ""
        shown.append((key, ", ".join(few) + more))
    return shown


def commands(campaigns: Sequence[CampaignRecord], command: Sequence[str]) -> list[str]:
    """The lines to type again: each campaign's, then the report's own."""
    lines = [line for campaign in campaigns if (line := campaign_command(campaign))]
    if command:
        lines.append(shlex.join(command))
    return list(dict.fromkeys(lines))


def campaign_command(campaign: CampaignRecord) -> str:
    """The words of its command line (`command`), else its options put together again."""
    words = list(campaign.command)
    if not words:
        for option in map(OPTIONS.__getitem__, _TOLD):
            value = getattr(campaign, option.key)
            if value not in (None, (), UNSET):
                text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
                unit = "us" if option.key.endswith("_us") else ""
                words += [f"--{option.name.replace('_', '-')}", text + unit]
    if not words:
        return ""
    program = Path(words[0]).name
    if program == "pybench" or program.startswith("python"):
        return shlex.join([program, *words[1:]])
    return shlex.join(["python", "-m", "pybench", *words])
