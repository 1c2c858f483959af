"""How messages/s and CPU time per message change with workers and with loops: one table an axis.

As JSON a list, one object a row and column:

    {"axis": "workers", "row": NAME, "conns": N, "where": TEXT,
     "steps": [{"count": K, "rounds": R, "mps": MEAN, "cpu_us_per_msg": MEAN, "unevenness": MEAN,
                "speedup": RATIO, "efficiency": RATIO, "efficiency_ci95": [LOW, HIGH],
                "verdict": "faster"}, ...]}

The first step has neither speedup nor efficiency; the interval and the verdict are null with a
single round, an open end of the interval too.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

from pybench.analysis.model import Group
from pybench.analysis.scaling import AXES, Axis, Scale, Step, scales_of
from pybench.analysis.verdict import interval_words
from pybench.errors import UsageError
from pybench.report.comparison import verdict_text
from pybench.report.document import Block, Document, Grid, Heading, Remarks
from pybench.report.metrics import METRICS
from pybench.report.text import MISSING, sentence_case
from pybench.units import count_label

SCALING: Final = "scaling"

_TITLES: Final[dict[Axis, str]] = {
    "workers": "Scaling over workers: processes, each with a listener and a CPU",
    "loops": "Scaling over loops: threads of one process, each with a listener",
}
_HEADS: Final = (
    *("Test", "Conns", "K", "Messages/s", "CPU us/msg", "Times", "Efficiency", "95%"),
    *("Uneven", "Verdict"),
)
_REMARK: Final = (
    "Times: messages/s over those of the first K. Efficiency: that over the growth of K; 1 is"
    " perfect. Uneven: most messages of one over the mean of all."
)


def split_scaling(names: str | None) -> tuple[bool, str | None]:
    """Whether scaling tables are wanted, and the other names of `--table`; None: none were given.

    An empty text is scaling alone. Raises UsageError for a list without a name.
    """
    if names is None:
        return True, None
    words = [word.strip() for word in names.split(",")]
    rest = [word for word in words if word != SCALING]
    if not any(words):
        raise UsageError("--table: no table is named")
    return len(rest) < len(words) or "all" in words, ",".join(rest)


def scaling_blocks(scales: Sequence[Scale]) -> list[Block]:
    """The tables for people: for each axis one of each setting."""
    blocks: list[Block] = []
    for axis in AXES:
        of_axis = [scale for scale in scales if scale.axis == axis]
        blocks += [Heading(_TITLES[axis])] if of_axis else []
        for where in dict.fromkeys(scale.where for scale in of_axis):
            blocks.append(_grid([scale for scale in of_axis if scale.where == where], where))
    return [*blocks, Remarks([_REMARK])] if blocks else []


def _grid(scales: Sequence[Scale], where: str) -> Grid:
    return Grid(
        title=where,
        heads=_HEADS,
        rows=[_line(scale, step) for scale in scales for step in scale.steps],
        fixed=3,
        words=True,
    )


def _line(scale: Scale, step: Step) -> list[str]:
    efficiency = scale.efficiency(step)
    return [
        scale.row,
        count_label(scale.column),
        str(step.count),
        METRICS["mps"].write(step.mps),
        MISSING if step.cpu_us is None else METRICS["cpu"].write(step.cpu_us),
        MISSING if step.speedup is None else f"{step.speedup.value:.2f}",
        MISSING if efficiency is None else f"{efficiency.value:.2f}",
        MISSING if efficiency is None or step.verdict is None else interval_words(efficiency, 2),
        MISSING if step.unevenness is None else f"{step.unevenness:.2f}",
        MISSING if step.verdict is None else verdict_text(step.verdict),
    ]


def scaling_sections(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """The same for the page's template: title, where, remark, heads and rows of each table."""
    found = []
    scales = scales_of(groups)
    for axis, where in dict.fromkeys((scale.axis, scale.where) for scale in scales):
        grid = _grid([s for s in scales if (s.axis, s.where) == (axis, where)], where)
        words = {"title": _TITLES[axis], "where": sentence_case(where), "remark": _REMARK}
        found.append({**words, "heads": grid.heads, "rows": grid.rows})
    return found


def scaling_records(scales: Sequence[Scale]) -> list[dict[str, Any]]:
    """The same for JSON, as the module describes it."""
    return [
        {
            "axis": scale.axis,
            "row": scale.row,
            "conns": scale.column,
            "where": scale.where,
            "steps": [_record(scale, step) for step in scale.steps],
        }
        for scale in scales
    ]


def _record(scale: Scale, step: Step) -> dict[str, Any]:
    record: dict[str, Any] = {"count": step.count, "rounds": step.rounds, "mps": step.mps}
    record |= {"cpu_us_per_msg": step.cpu_us, "unevenness": step.unevenness}
    efficiency = scale.efficiency(step)
    if step.speedup is None or efficiency is None:
        return record
    interval = None
    if step.verdict is not None:
        high = efficiency.high if math.isfinite(efficiency.high) else None
        interval = [efficiency.low or None, high]
    return record | {
        "speedup": step.speedup.value,
        "efficiency": efficiency.value,
        "efficiency_ci95": interval,
        "verdict": None if step.verdict is None else step.verdict.kind,
    }


_COLUMNS: Final = (
    *("axis", "where", "test", "conns", "count", "n", "mps", "cpu_us_per_msg", "unevenness"),
    *("speedup", "efficiency", "ci95_low", "ci95_high", "verdict"),
)


def scaling_document(scales: Sequence[Scale]) -> Document:
    """The tables alone; as CSV a line for each step, as JSON `{"schema": 1, "scaling": [...]}`."""
    records = scaling_records(scales)
    return Document(
        blocks=scaling_blocks(scales),
        columns=_COLUMNS,
        lines=[_csv_line(record, step) for record in records for step in record["steps"]],
        record={"schema": 1, "scaling": records},
    )


def _csv_line(record: dict[str, Any], step: dict[str, Any]) -> list[object]:
    keys = ("count", "rounds", "mps", "cpu_us_per_msg", "unevenness", "speedup", "efficiency")
    low, high = step.get("efficiency_ci95") or (None, None)
    where = [record["axis"], record["where"], record["row"], record["conns"]]
    return [*where, *(step.get(key) for key in keys), low, high, step.get("verdict")]
