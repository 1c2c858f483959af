"""Is a machine of a cluster fit to measure: what preflight and calibration say there.

Run there as a process of its own, as `measure.py` is: a question on standard input, what was found
on standard output.
"""

import os
import platform
import sys
from typing import Annotated

from msgspec import Struct

import pybench
from pybench import backends
from pybench.driver import calibrate, preflight
from pybench.driver.plan import LOOPBACK
from pybench.errors import PybenchError
from pybench.machine import calibration, environment
from pybench.machine.identity import measuring_alone, this_machine
from pybench.machine.placement import place
from pybench.result import Machine
from pybench.result.calibration import Calibration
from pybench.result.campaign import CampaignRecord
from pybench.result.codec import decode, encode
from pybench.result.types import key
from pybench.spec import Campaign
from pybench.worker.process import die_with_parent


class Question(Struct, frozen=True, kw_only=True):
    """What a machine is asked."""

    campaign: Annotated[CampaignRecord, key("whose cells it is to run")]
    calibrate: Annotated[bool, key("whether to calibrate it now; else what is kept is told")]

    def to_bytes(self) -> bytes:
        """As it travels."""
        return encode(self).encode()


class Finding(Struct, frozen=True, kw_only=True):
    """What it is and can do."""

    machine: Annotated[Machine, key("which one")]
    version: Annotated[str, key("of pybench there")]
    python: Annotated[str, key("implementation and version")]
    obstacles: Annotated[tuple[str, ...], key("cells that cannot run, each with the reason")]
    notes: Annotated[tuple[str, ...], key("what is no obstacle but worth knowing")]
    calibration: Annotated[Calibration | None, key("null: it has not been calibrated")]

    @property
    def fit(self) -> bool:
        """Whether it can run everything that was asked for."""
        return not self.obstacles

    @classmethod
    def from_bytes(cls, data: bytes) -> "Finding":
        """What a machine has sent. Raises ResultFormatError."""
        return decode(data, cls)


def look(question: Question) -> Finding:
    """This machine. Raises PybenchError when a row is not known here, or calibration fails."""
    campaign = Campaign.from_record(question.campaign)
    missing = {row.name: backends.unavailable(row) for row in campaign.rows}
    obstacles = [f"{name}: {reason}" for name, reason in missing.items() if reason is not None]
    obstacles += map(str, preflight.obstacles(campaign, LOOPBACK))
    if question.calibrate:
        with measuring_alone():
            found: Calibration | None = calibrate.calibrate(lambda line: None)
        assert found is not None
        calibration.save(found)
    else:
        found = calibration.load()
    return Finding(
        machine=this_machine(environment.collect()),
        version=pybench.__version__,
        python=f"{platform.python_implementation()} {platform.python_version()}",
        obstacles=tuple(obstacles),
        notes=tuple(preflight.notes(campaign, place(campaign))),
        calibration=found,
    )


def main() -> None:
    """Answer the question on standard input; exit status 1 with a line when there is no answer."""
    die_with_parent(os.getppid())
    try:
        answer = look(decode(sys.stdin.buffer.read(), Question))
    except (PybenchError, OSError) as exc:
        sys.exit(str(exc))
    sys.stdout.write(encode(answer))
