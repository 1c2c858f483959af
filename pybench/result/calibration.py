"""The calibration file: what `pybench calibrate` found out about a machine."""

from typing import Annotated, Any, Literal

from msgspec import Struct, field

from pybench.result.types import SCHEMA, Number, Positive, Share, key


class Calibration(Struct, frozen=True, kw_only=True):
    """A machine's noise, ceilings, costs and limits."""

    measured_at: Annotated[str, key("ISO 8601 with zone")]
    machine: Annotated[str, key("for people")]
    noise_floor: Annotated[
        Number, key("by which two runs of one row differ at most, 95 times of 100", unit="share")
    ]
    noise_of: Annotated[str, key("what was run for it, for people")]
    runs: Annotated[list[Number], key("of each of those runs", unit="messages/s")]
    ceiling_mps: Annotated[
        dict[str, Number],
        key("engine of the load server -> the most it drove", unit="messages/s"),
    ]
    unavailable: Annotated[dict[str, str], key("engine -> why it cannot be had")] = field(
        default_factory=dict
    )
    syscall_ns: Annotated[Number, key("an empty system call", unit="ns")]
    send_ns: Annotated[Number, key("sending 64 bytes over loopback", unit="ns")]
    recv_ns: Annotated[Number, key("receiving them", unit="ns")]
    limits: Annotated[dict[str, Positive], key("name -> number, of this machine")]
    other: Annotated[Share, key("CPU time that others had meanwhile", unit="share")] = 0.0
    steal: Annotated[Share, key("CPU time that other guests had meanwhile", unit="share")] = 0.0
    advice: Annotated[list[str], key("what a person could tune, a line each")] = field(
        default_factory=list
    )
    schema: Annotated[Literal[1], key("of this format")] = SCHEMA

    def to_env(self) -> dict[str, Any]:
        """What results record of it: all that the stamps use."""
        return {
            "measured_at": self.measured_at,
            "noise_floor": round(self.noise_floor, 4),
            "ceiling_mps": {engine: round(mps) for engine, mps in self.ceiling_mps.items()},
        }
