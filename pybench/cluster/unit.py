"""What travels: one round of one cell with all that is needed to measure it, and back its result.

Bytes of JSON both ways, of the types that results files are made of, so that nothing depends on how
two Pythons pickle.
"""

from collections.abc import Callable
from typing import Annotated

from msgspec import Struct

import pybench
from pybench.cluster import remote
from pybench.errors import UsageError
from pybench.result import Result
from pybench.result.campaign import CampaignRecord
from pybench.result.codec import decode, encode
from pybench.result.env import check
from pybench.result.types import Count, Positive, key
from pybench.spec import Campaign, Cell


class Unit(Struct, frozen=True, kw_only=True):
    """One round to measure, on whatever machine."""

    version: Annotated[str, key("of pybench; a machine with another would measure otherwise")]
    campaign: Annotated[CampaignRecord, key("what it belongs to")]
    cell: Annotated[Count, key("which of the campaign's cells, from 0")]
    round: Annotated[Positive, key("1, 2, ... in its campaign")]

    @property
    def name(self) -> str:
        """The same for the same round of the same campaign, whoever asks."""
        return f"pybench-{self.campaign.id}-{self.cell}-{self.round}"

    @property
    def function(self) -> Callable[[bytes], bytes]:
        """What a machine calls with it."""
        return remote.run_unit

    def to_bytes(self) -> bytes:
        """As it travels."""
        return encode(self).encode()

    @classmethod
    def of(cls, campaign: Campaign, cell: Cell, number: int) -> "Unit":
        """The round of a cell of the campaign. number: from 1."""
        return cls(
            version=pybench.__version__,
            campaign=campaign.to_record(),
            cell=campaign.cells.index(cell),
            round=number,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "Unit":
        """The inverse of `to_bytes`. Raises ResultFormatError."""
        return decode(data, cls)

    def unpacked(self) -> tuple[Campaign, Cell]:
        """The campaign and the cell, as this machine knows their rows.

        Raises UsageError when this is another version of pybench, ResultFormatError when the
        machine has no such row.
        """
        check_version(self.version)
        campaign = Campaign.from_record(self.campaign)
        return campaign, campaign.cells[self.cell]


def check_version(driver: str) -> None:
    """Raise UsageError when the driver has another version of pybench than this machine."""
    if driver != pybench.__version__:
        raise UsageError(
            f"pybench {pybench.__version__} here, {driver} with the driver: install one version"
            " everywhere"
        )


def result_from_bytes(data: bytes) -> Result:
    """A result as a machine sent it: a line of a results file. Raises ResultFormatError."""
    result = decode(data, Result)
    check(result)
    return result
