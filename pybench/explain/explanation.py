"""What was found out about each cell, and the file that keeps it: `explain.json`, schema 1.

    {"schema": 1, "command": [...], "env": {...}, "cells": [
        {"cell": "selector x 100", "func": "selector", "conns": 100, "msize": 64,
         "syscalls": {"tool": "perf stat", "messages": N, "per_ping": {"recvfrom": 1.0},
                      "unnamed": 0.0},
         "cpu": {"samples": N, "messages": N, "cpu_us_per_ping": x, "kernel": share, "tcp": share,
                 "layers": {"TCP/IP": share, ...}, "flame": "selector-x-100.svg"},
         "errors": ["..."]}]}

`syscalls` and `cpu` are null where they could not be had; `errors` says why.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pybench.errors import ResultFormatError
from pybench.explain.syscalls import Syscalls

SCHEMA: Final = 1
FILE_NAME: Final = "explain.json"


@dataclass(frozen=True, slots=True)
class Cpu:
    """Where a cell's CPU time went. Shares are of the worker's CPU time.

    kernel, tcp: the kernel's share, and that of its network stack.  layers: all, summing to 1.
    flame: file name of the flame graph beside the JSON file.
    """

    samples: int
    messages: int
    cpu_us_per_ping: float
    kernel: float
    tcp: float
    layers: Mapping[str, float]
    flame: str


@dataclass(frozen=True, slots=True)
class Explained:
    """What is known of one cell. cell: its name.  errors: a line for each missing part."""

    cell: str
    func: str
    conns: int
    msize: int
    syscalls: Syscalls | None
    cpu: Cpu | None
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """All cells of one invocation, and where and how they were observed."""

    cells: tuple[Explained, ...]
    command: Sequence[str]
    env: Mapping[str, Any]

    def write(self, folder: Path) -> Path:
        """Write the file into the folder; its path."""
        record = {
            "schema": SCHEMA,
            "command": list(self.command),
            "env": dict(self.env),
            "cells": [dataclasses.asdict(cell) for cell in self.cells],
        }
        path = folder / FILE_NAME
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        return path


def read_explanation(path: Path) -> Explanation:
    """Read such a file, or the one in a folder of that name.

    Raises ResultFormatError when it is none.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
        if record["schema"] != SCHEMA:
            raise ResultFormatError(f"{file}: schema {record['schema']}, this reads {SCHEMA}")
        cells = tuple(_read_cell(cell) for cell in record["cells"])
        return Explanation(cells, record["command"], record["env"])
    except OSError as exc:
        raise ResultFormatError(f"{file}: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise ResultFormatError(f"{file}: not a file that --explain wrote ({exc!r})") from exc


def _read_cell(record: Mapping[str, Any]) -> Explained:
    values = {field.name: record[field.name] for field in dataclasses.fields(Explained)}
    syscalls, cpu = values["syscalls"], values["cpu"]
    values["syscalls"] = None if syscalls is None else Syscalls(**syscalls)
    values["cpu"] = None if cpu is None else Cpu(**cpu)
    values["errors"] = tuple(values["errors"])
    return Explained(**values)
