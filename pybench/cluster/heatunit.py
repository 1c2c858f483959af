"""What travels of a race: one round of its contenders at one number of connections, and back its
results.

As `unit.py`: bytes of JSON, of the types that results files are made of.
"""

from collections.abc import Callable, Collection
from typing import Annotated, Any

from msgspec import Struct, structs

import pybench
from pybench import backends
from pybench.backends.interpreters import Interpreter
from pybench.cluster import remote
from pybench.cluster.unit import check_version
from pybench.errors import ResultFormatError, UsageError
from pybench.result import Result
from pybench.result.campaign import CampaignRecord, InterpreterRecord
from pybench.result.codec import decode, encode
from pybench.result.env import check
from pybench.result.types import Count, MetricName, Positive, key
from pybench.spec import Campaign, axes
from pybench.spec.race import Contender, Field, Race
from pybench.units import NS_PER_S


class ContenderRecord(Struct, frozen=True, kw_only=True):
    """One of a race, as `spec.race.Contender` has it."""

    label: Annotated[str, key("unlike all others")]
    func: Annotated[str, key("what finds its row")]
    python: Annotated[InterpreterRecord | None, key("null: the machine's own")]
    env: Annotated[tuple[tuple[str, str], ...], key("variables")]
    engine: Annotated[str | None, key("of the load server; null: its usual one")]
    busy_poll_us: Annotated[Count | None, key("of the load server; null: left to placement")]
    axes: Annotated[dict[str, Any], key("where it stands on each axis of a cell")]

    @classmethod
    def of(cls, one: Contender) -> "ContenderRecord":
        """The contender as it travels."""
        python = one.python
        return cls(
            label=one.label,
            func=one.row.asked_for_as,
            python=None if python is None else InterpreterRecord(**_fields(python)),
            env=one.env,
            engine=one.engine,
            busy_poll_us=one.busy_poll_us,
            axes=axes.point(one),
        )

    def unpacked(self) -> Contender:
        """The inverse of `of`. Raises ResultFormatError when the machine has no such row."""
        try:
            row = backends.find(self.func)
        except UsageError as exc:
            raise ResultFormatError(f"contenders: {exc}") from None
        python = self.python
        return Contender(
            label=self.label,
            row=row,
            python=None if python is None else Interpreter(**structs.asdict(python)),
            env=self.env,
            engine=self.engine,
            busy_poll_us=self.busy_poll_us,
            **self.axes,
        )


def _fields(python: Interpreter) -> dict[str, Any]:
    return {name: getattr(python, name) for name in InterpreterRecord.__struct_fields__}


class HeatUnit(Struct, frozen=True, kw_only=True):
    """One round of a race to measure, on whatever machine, in as many heats as that needs."""

    version: Annotated[str, key("of pybench; a machine with another would measure otherwise")]
    campaign: Annotated[CampaignRecord, key("what all contenders have in common")]
    contenders: Annotated[tuple[ContenderRecord, ...], key("those that still take part")]
    metric: Annotated[MetricName, key("what is compared")]
    budget_s: Annotated[float, key("of the whole race; a round's turns are a part of it")]
    conns: Annotated[Positive, key("number of connections")]
    msize: Annotated[Positive, key("size of a message", unit="bytes")]
    round: Annotated[Positive, key("1, 2, ... at that number of connections and that size")]

    @property
    def name(self) -> str:
        """The same for the same round of the same race, whoever asks."""
        return f"pybench-{self.campaign.id}-{self.conns}-{self.msize}-{self.round}"

    @property
    def function(self) -> Callable[[bytes], bytes]:
        """What a machine calls with it."""
        return remote.run_heat

    @property
    def field(self) -> Field:
        """Where it is."""
        return self.conns, self.msize

    def to_bytes(self) -> bytes:
        """As it travels."""
        return encode(self).encode()

    @classmethod
    def of(cls, race: Race, labels: Collection[str], field: Field, number: int) -> "HeatUnit":
        """A round of a race. labels: of who takes part.  number: from 1."""
        conns, msize = field
        return cls(
            version=pybench.__version__,
            campaign=race.campaign.to_record(),
            contenders=tuple(map(ContenderRecord.of, race.only(labels).contenders)),
            metric=race.metric,
            budget_s=race.budget_ns / NS_PER_S,
            conns=conns,
            msize=msize,
            round=number,
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> "HeatUnit":
        """The inverse of `to_bytes`. Raises ResultFormatError."""
        return decode(data, cls)

    def unpacked(self) -> Race:
        """The race of those who take part, as this machine knows their rows; what is judged by the
        driver is not told.

        Raises UsageError when this is another version of pybench, ResultFormatError when the
        machine has no such row.
        """
        check_version(self.version)
        return Race(
            campaign=Campaign.from_record(self.campaign),
            contenders=tuple(one.unpacked() for one in self.contenders),
            metric=self.metric,
            precision=0.0,
            margin=0.0,
            budget_ns=round(self.budget_s * NS_PER_S),
        )


def results_to_bytes(results: list[Result]) -> bytes:
    """The results of a round as they travel."""
    return encode(results).encode()


def results_from_bytes(data: bytes) -> list[Result]:
    """The inverse. Raises ResultFormatError."""
    results = decode(data, list[Result])
    for result in results:
        check(result)
    return results
