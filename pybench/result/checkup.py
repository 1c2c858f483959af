"""What `pybench doctor` found: whether a machine is fit to measure, check by check."""

from typing import Annotated, Literal

from msgspec import Struct

from pybench.result.types import SCHEMA, key

Grade = Literal["good", "caution", "bad"]


class Check(Struct, frozen=True, kw_only=True):
    """One thing that measuring needs, and how this machine has it."""

    name: Annotated[str, key("what was looked at, `open files`", since="0.2.0")]
    value: Annotated[str, key("what was found, for people", since="0.2.0")]
    verdict: Annotated[
        Grade,
        key("`caution`: some figures suffer; `bad`: none can be believed", since="0.2.0"),
    ]
    remedy: Annotated[str, key("what to do, a command where there is one", since="0.2.0")] = ""


class Checkup(Struct, frozen=True, kw_only=True):
    """All checks of a machine at one time."""

    schema: Annotated[Literal[1], key("of this format", since="0.2.0")] = SCHEMA
    measured_at: Annotated[str, key("ISO 8601 with zone", since="0.2.0")]
    machine: Annotated[str, key("for people", since="0.2.0")]
    fit: Annotated[bool, key("whether no check is `bad`", since="0.2.0")]
    checks: Annotated[tuple[Check, ...], key("in the order of the page", since="0.2.0")]
