"""The baseline file of the pytest gate: ratios that a session has kept."""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, field

from pybench.result.record import Result
from pybench.result.types import SCHEMA, Env, MetricName, Number, Positive, key

_MOST: Final = 1e12
"""Of a ratio: from where on what is computed of several would overflow, far above any."""

Speed = Annotated[float, Meta(gt=0)]


class RatioRecord(Struct, frozen=True, kw_only=True):
    """One ratio. Value and interval are for readers; a comparison takes those of the rounds."""

    test: Annotated[str, key("node id of the test that took it")]
    func: Annotated[str, key("the row")]
    against: Annotated[str, key("the row that its speed was divided by")]
    conns: Annotated[Positive, key("connections")]
    speeds: Annotated[tuple[Speed, ...], key("of `func`, round by round", unit="messages/s")]
    against_speeds: Annotated[
        tuple[Speed, ...], key("of `against` in the same rounds", unit="messages/s")
    ]
    ratios: Annotated[
        tuple[Speed, ...],
        key("of each round, in the metric; without them the speeds are divided", since="0.2.0"),
    ] = ()
    metric: Annotated[MetricName, key("what was compared", since="0.2.0")] = "mps"
    turns: Annotated[
        bool,
        key("whether the rows took turns, or rounds had one window each", since="0.2.0"),
    ] = False
    disturbance: Annotated[
        Number, key("of a CPU: what others took more of one row than of the other", unit="share")
    ] = 0.0
    stamps: Annotated[
        tuple[str, ...], key("warnings that half of the rounds of either row have")
    ] = ()
    func_stamps: Annotated[tuple[str, ...], key("those of `func`", since="0.2.0")] = ()
    against_stamps: Annotated[tuple[str, ...], key("those of `against`", since="0.2.0")] = ()
    options: Annotated[dict[str, str], key("as the rounds were asked for, option -> text")] = field(
        default_factory=dict
    )
    value: Annotated[Number, key("the ratio")] = 0.0
    low: Annotated[Number, key("lower end of its 95% interval")] = 0.0
    high: Annotated[Number, key("upper end of its 95% interval")] = 0.0

    def __post_init__(self) -> None:
        if len(self.speeds) != len(self.against_speeds):
            raise ValueError(f"{len(self.speeds)} speeds against {len(self.against_speeds)}")
        found = self.ratios or [
            n / b for n, b in zip(self.speeds, self.against_speeds, strict=True)
        ]
        if not found:
            raise ValueError("no round is in it")
        for ratio in found:
            if not 1 / _MOST < ratio < _MOST:
                raise ValueError(f"{ratio:g} is no ratio of two rows")


class MeasuredRecord(Struct, frozen=True, kw_only=True):
    """A round of `measure`: kept to be read, never gated."""

    test: Annotated[str, key("node id of the test that took it")]
    result: Annotated[Result, key("as in a results file")]


class BaselineRecord(Struct, frozen=True, kw_only=True):
    """What `--pybench-save` writes and `--pybench-compare` reads."""

    schema: Annotated[Literal[1], key("of this format")] = SCHEMA
    pybench: Annotated[str, key("version of pybench")] = ""
    env: Annotated[Env, key("where the session ran")] = field(default_factory=dict)
    ratios: Annotated[tuple[RatioRecord, ...], key("in the order in which they were taken")]
    measured: Annotated[tuple[MeasuredRecord, ...], key("rounds of `measure`")] = ()
