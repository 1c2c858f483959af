"""The formats as JSON Schema and as tables, from the types of the records.

    python -m pybench.result.schema NAME      print the schema of a format
    python -m pybench.result.schema --write   in the source tree: write pybench/data/schema/*.json
                                              and the tables of docs/formats.md

The tables stand in docs/formats.md between `<!-- table NAME -->` and `<!-- end -->`.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from pybench.result.baseline import BaselineRecord
from pybench.result.calibration import Calibration
from pybench.result.campaign import Header
from pybench.result.checkup import Checkup
from pybench.result.env import OPEN
from pybench.result.explanation import Explanation
from pybench.result.record import Result

FORMATS: Final[Mapping[str, tuple[type, str]]] = {
    "result": (Result, "A line of a pybench results file: one round of one cell"),
    "header": (Header, "The line of a pybench results file that begins an invocation's section"),
    "calibration": (Calibration, "What pybench calibrate found out about a machine"),
    "baseline": (BaselineRecord, "What pytest --pybench-save keeps"),
    "explain": (Explanation, "The explain.json of pybench --explain"),
    "doctor": (Checkup, "What pybench doctor --format json prints"),
}
"""Name of a schema -> the record, and what it is."""

FIRST: Final = "0.1.0"
"""Since when a key is there that does not say otherwise."""

SCHEMAS: Final = Path(__file__).parent.parent / "data" / "schema"
DOCS: Final = Path(__file__).parent.parent.parent / "docs" / "formats.md"

_TABLE: Final = re.compile(r"<!-- table (\w+) -->\n.*?<!-- end -->", re.DOTALL)
_HEADS: Final = ("Key", "Type", "Unit", "If absent", "Since", "Meaning")


def schema(name: str) -> dict[str, Any]:
    """The JSON Schema of a format (draft 2020-12). Raises KeyError for a name that is none."""
    kind, title = FORMATS[name]
    parts = _parts(kind)
    found = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": title}
    return found | {"$ref": f"#/$defs/{kind.__name__}", "$defs": parts}


def _parts(*kinds: type) -> dict[str, Any]:
    """The records, and those inside them, each with its schema, in the order they are met."""
    _, every = msgspec.json.schema_components([*kinds, *OPEN.values()])
    names = [kind.__name__ for kind in kinds]
    for name in names:  # grows while it is walked
        names += [inner for inner in _references(every[name]) if inner not in names]
    for name in names[: len(kinds)]:  # written by default, and yet never left out
        every[name]["required"] += ["schema"]
    return {name: _null_last(every[name]) for name in names}


def _null_last(value: Any) -> Any:
    """A schema with its alternatives in one order: msgspec before 0.22 has null first."""
    if isinstance(value, list | tuple):
        return [_null_last(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    found = {name: _null_last(inner) for name, inner in value.items()}
    if "anyOf" in found:
        found["anyOf"].sort(key=lambda one: one.get("type") == "null")
    return found


def _references(value: Any) -> Iterator[str]:
    """The names of the records that a schema refers to."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].rpartition("/")[2]
        value = list(value.values())
    for inner in value if isinstance(value, list | tuple) else ():
        yield from _references(inner)


def tables() -> dict[str, str]:
    """Each record's name with its keys as a table in Markdown."""
    parts = _parts(*(kind for kind, _ in FORMATS.values()))
    return {name: _table(part) for name, part in parts.items()}


def _table(part: Mapping[str, Any]) -> str:
    required = part.get("required", ())
    lines = [_HEADS, ("---",) * len(_HEADS)]
    for name, key in part["properties"].items():
        default = "error" if name in required else _default(key)
        about = (key.get("unit", ""), default, key.get("since", FIRST), key["description"])
        lines.append((f"`{name}`", _type(key), *about))
    table = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
    return f"{part['description']}\n\n{table}"


def _default(key: Mapping[str, Any]) -> str:
    """What a reader takes for a key that is not there; empty where it stays absent."""
    return f"`{json.dumps(key['default'])}`" if "default" in key else ""


def _type(key: Mapping[str, Any]) -> str:
    """`integer from 1`, `array of string`, `[Latency](#latency) or null`."""
    if "$ref" in key:
        name = key["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in key:
        return " or ".join(map(_type, key["anyOf"]))
    if "enum" in key:
        return " ".join(f"`{value}`" for value in key["enum"])
    if "prefixItems" in key:
        return f"array of {len(key['prefixItems'])} {_type(key['prefixItems'][0])}"
    if inner := key.get("items", key.get("additionalProperties")):
        return f"{key['type']} of {_type(inner)}"
    from_one = key["type"] == "integer" and key.get("minimum") == 1
    above = f" above {key['exclusiveMinimum']}" if "exclusiveMinimum" in key else ""
    upto = f" up to {key['maximum']}" if key["type"] == "number" and "maximum" in key else ""
    return str(key["type"]) + (" from 1" if from_one else "") + above + upto


def schema_text(name: str) -> str:
    """The file that holds the schema of a format."""
    return json.dumps(schema(name), indent=1) + "\n"


def with_tables(text: str) -> str:
    """A page of documentation, its tables as the types say. Raises KeyError for one unknown."""
    found = tables()
    return _TABLE.sub(lambda m: f"<!-- table {m[1]} -->\n{found[m[1]]}\n<!-- end -->", text)


def main(arguments: list[str]) -> None:
    """Print the schema that is named, or write all files that are made of the types."""
    if arguments == ["--write"]:
        SCHEMAS.mkdir(exist_ok=True)
        for name in FORMATS:
            (SCHEMAS / f"{name}.json").write_text(schema_text(name), encoding="utf-8")
        DOCS.write_text(with_tables(DOCS.read_text(encoding="utf-8")), encoding="utf-8")
    elif len(arguments) == 1 and arguments[0] in FORMATS:
        print(schema_text(arguments[0]), end="")
    else:
        sys.exit(f"usage: python -m pybench.result.schema {'|'.join(FORMATS)}|--write")


if __name__ == "__main__":
    main(sys.argv[1:])
