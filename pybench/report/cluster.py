"""What `pybench cluster-check` prints: each machine once, with all of its workers.

As JSON: `{"schema": 1, "machines": [{"id", "name", "kind", "workers": [...], "pybench", "python",
"obstacles": [...], "notes": [...], "calibration": {...} or null}], "silent": {WORKER: REASON}}`.
As CSV a line for each machine.
"""

from collections.abc import Mapping
from typing import Any

from msgspec import structs, to_builtins

import pybench
from pybench.cluster.check import Finding
from pybench.report.calibration import calibration_lines
from pybench.report.document import Block, Document, Heading, Remarks

_COLUMNS = ("id", "name", "kind", "workers", "pybench", "python", "obstacles", "noise_floor")


def check_document(answers: Mapping[str, Finding | str]) -> Document:
    """answers: worker -> what it has found, or why it has no answer."""
    machines: dict[str, dict[str, Finding]] = {}
    silent: dict[str, str] = {}
    for worker, answer in sorted(answers.items()):
        if isinstance(answer, str):
            silent[worker] = answer
        else:
            machines.setdefault(answer.machine.id, {})[worker] = answer
    blocks: list[Block] = []
    for of in machines.values():
        blocks += _blocks(of)
    remarks = [f"{worker} has no answer: {reason}" for worker, reason in silent.items()]
    remarks += _of_all([next(iter(of.values())) for of in machines.values()])
    return Document(
        blocks=[*blocks, Heading("All"), Remarks(remarks)],
        columns=_COLUMNS,
        lines=[_line(of) for of in machines.values()],
        record={
            "schema": 1,
            "machines": [_record(of) for of in machines.values()],
            "silent": silent,
        },
    )


def _blocks(workers: Mapping[str, Finding]) -> list[Block]:
    found = next(iter(workers.values()))
    machine = found.machine
    lines = [f"workers      {', '.join(workers)}", f"has          {_software(found)}"]
    if len(workers) > 1:
        lines.append("             they share the machine, and measure one at a time")
    lines += [f"cannot run   {obstacle}" for obstacle in found.obstacles] or [
        "can run      everything that was asked for"
    ]
    lines += [f"note         {note}" for note in found.notes]
    if found.calibration is None:
        lines.append("calibration  none is kept there (--calibrate: half a minute each)")
    else:
        lines += calibration_lines(found.calibration)
    return [Heading(f"{machine.name} ({machine.id}): {machine.kind}"), Remarks(lines)]


def _software(found: Finding) -> str:
    other = "" if found.version == pybench.__version__ else f", not {pybench.__version__} as here"
    return f"pybench {found.version}{other}, {found.python}"


def _of_all(found: list[Finding]) -> list[str]:
    kinds = {one.machine.kind for one in found}
    count = f"{len(found)} machine{'' if len(found) == 1 else 's'}"
    if len(kinds) > 1:
        return [f"{count} of {len(kinds)} kinds: each kind has tables of its own"]
    lines = [f"{count} of one kind"] if found else ["no machine has answered"]
    if len({one.python for one in found}) > 1:
        lines.append("their Pythons differ, and so do the rows of Python: install one everywhere")
    return lines


def _record(workers: Mapping[str, Finding]) -> dict[str, Any]:
    found = next(iter(workers.values()))
    return {
        **structs.asdict(found.machine),
        "workers": list(workers),
        "pybench": found.version,
        "python": found.python,
        "obstacles": list(found.obstacles),
        "notes": list(found.notes),
        "calibration": to_builtins(found.calibration),
    }


def _line(workers: Mapping[str, Finding]) -> list[object]:
    found = next(iter(workers.values()))
    machine, kept = found.machine, found.calibration
    noise = None if kept is None else kept.noise_floor
    names, obstacles = " ".join(workers), "; ".join(found.obstacles)
    return [
        *(machine.id, machine.name, machine.kind, names),
        *(found.version, found.python, obstacles, noise),
    ]
