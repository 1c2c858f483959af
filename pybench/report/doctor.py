"""What `pybench doctor` prints: a line for each check, then what to do."""

from msgspec import to_builtins

from pybench.report.document import Block, Document, Grid, Remarks, Sentences
from pybench.result.checkup import Checkup

_COLUMNS = ("name", "value", "verdict", "remedy")


def doctor_document(found: Checkup) -> Document:
    """The page. As JSON the record of `result/checkup.py`, as CSV a line a check."""
    grid = Grid(
        title=f"{found.machine}, {found.measured_at}",
        heads=("Check", "Verdict", "Found"),
        rows=[(check.name, check.verdict, check.value) for check in found.checks],
        fixed=2,
        stamped=frozenset(
            (row, 1) for row, check in enumerate(found.checks) if check.verdict != "good"
        ),
        words=True,
        main=True,
    )
    blocks: list[Block] = [grid, Sentences([sentence(found)])]
    todo = [f"{c.name}: {c.remedy}" for c in found.checks if c.remedy]
    return Document(
        blocks=[*blocks, Remarks(todo)] if todo else blocks,
        columns=_COLUMNS,
        lines=[[getattr(check, name) for name in _COLUMNS] for check in found.checks],
        record=to_builtins(found),
    )


def sentence(found: Checkup) -> str:
    """Whether it is fit, and what keeps it from that."""
    bad = [check.name for check in found.checks if check.verdict == "bad"]
    cautions = [check.name for check in found.checks if check.verdict == "caution"]
    if bad:
        text = f"Not fit to measure: {', '.join(bad)}"
        return text + (f"; caution: {', '.join(cautions)}." if cautions else ".")
    if cautions:
        return f"Fit to measure, with caution: {', '.join(cautions)}."
    return "Fit to measure."
