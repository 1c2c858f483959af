"""What the fields of records are made of: numbers with their range, and the words of a key.

A record is a frozen `msgspec.Struct`. Reading checks every field against its annotation; the JSON
Schema and the tables of docs/formats.md are made of the same annotations (`result/schema.py`).
Building a record in Python checks nothing: what is measured here is right by construction.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

SCHEMA: Final = 1
"""Of every format. A renamed key is a new number, with a reader for the old one."""

_MAX = 2**63 - 1  # what the counters of the load server can hold

Count = Annotated[int, Meta(ge=0, le=_MAX)]
Positive = Annotated[int, Meta(ge=1, le=_MAX)]
Number = Annotated[float, Meta(ge=0)]  # JSON has finite numbers only, and NaN is not >= 0
Share = Annotated[float, Meta(ge=0, le=1)]
MetricName = Literal["mps", "cpu_us_per_msg", "p50", "p99", "due99"]
"""What races, comparisons and demands are of (`analysis/verdict.py`)."""

Buckets = Annotated[
    Mapping[Count, Count],
    Meta(extra_json_schema={"propertyNames": {"pattern": "^(0|[1-9][0-9]*)$"}}),
]
"""Lower edge of a bucket in ns -> how many are in it; JSON has the edges as text."""


def key(text: str, *, unit: str = "", since: str = "") -> Meta:
    """What a key means. unit: of its number.  since: the version that added it, if not the first.

    Both stand in the JSON Schema too, under these names.
    """
    extra = {"unit": unit, "since": since}
    return Meta(
        description=text, extra_json_schema={name: word for name, word in extra.items() if word}
    )


def open_record(kind: str) -> Meta:
    """Marks a dictionary of free keys, some of which have a type.

    kind: the TypedDict of `result/env.py` that lists those.
    """
    return Meta(extra_json_schema={"$ref": f"#/$defs/{kind}"})


Env = Annotated[dict[str, Any], open_record("Environment")]
Python = Annotated[dict[str, Any], open_record("WorkerPython")]
