"""`compare`: is NEW faster than BASE, from what was measured before."""

from pathlib import Path
from typing import Literal

from pybench.analysis.compare import (
    check_apart,
    compare_groups,
    compare_pythons,
    drift_note,
    environment_notes,
)
from pybench.analysis.model import shared_rounds
from pybench.analysis.verdict import MARGIN, METRICS, Metric
from pybench.api.comparisons import Comparisons
from pybench.api.given import share_of, text_of
from pybench.api.loading import load
from pybench.api.results import Results
from pybench.errors import UsageError

Source = Results | str | Path


def compare(
    base: Source,
    new: Source | None = None,
    *,
    base_func: str | None = None,
    new_func: str | None = None,
    by: Literal["python"] | None = None,
    base_python: str | None = None,
    metric: str = "mps",
    margin: float | str = MARGIN,
    noise: float | str | None = None,
    server_name: str | None = None,
) -> Comparisons:
    """The ratio of NEW to BASE in each cell, with its 95% interval and a verdict.

    base, new: results, or the file they are in; without new both sides are of base: two of its
    rows (`base_func`, `new_func`), or its interpreters (`by="python"`, against `base_python`,
    unless told the campaign's first).
    metric: `mps`, `cpu_us_per_msg`, `p50`, `p99` or `due99`.  margin: what differs by less is
    equal, a share, `0.03` or `"3%"`.  noise: a share that something the rounds do not see may have
    moved a side by; None: nobody knows, and separate campaigns are undecided.  server_name: only
    results of it.
    Raises UsageError when the sides are not told or nothing can be compared, ResultFormatError for
    a file that is none.
    """
    chosen = _metric(metric)
    margin = share_of("compare: margin", margin, 0.0001, 1.0)
    noise = None if noise is None else share_of("compare: noise", noise, 0.0, 0.99)
    base_func, new_func, server_name = (
        text_of(f"compare: {name}", value)
        for name, value in (
            ("base_func", base_func),
            ("new_func", new_func),
            ("server_name", server_name),
        )
    )
    _check_sides(new, base_func, new_func, by, base_python)
    if new is None and base_func and new_func:
        check_apart(base_func, new_func)
    of_base = _results(base)
    of_new = of_base if new is None else _results(new)
    before, after = (side.groups(server_name) for side in (of_base, of_new))
    sides = [of_base] if new is None else [of_base, of_new]
    notes = [text for side in sides for text in (*side.notes, *side.errors)]
    if by is not None:
        first = base_python or _first_python(of_base)
        found = compare_pythons(before, first, metric=chosen, margin=margin, noise=noise)
    else:
        if new is not None and base_func is None and (both := shared_rounds(before, after)):
            notes.append(f"BASE and NEW have {both} rounds in common, held against themselves")
        found = compare_groups(
            before,
            after,
            base_func=base_func,
            new_func=new_func,
            metric=chosen,
            margin=margin,
            noise=noise,
        )
    if all(c.verdict is None for c in found):
        raise UsageError(f"compare: nothing could be compared: {found[0].refused}")
    notes += [note for note in [drift_note(found)] if note]
    notes += [f"The environments differ: {note}" for note in environment_notes(before, after)]
    return Comparisons(found, chosen, notes)


def _metric(name: str) -> Metric:
    if not isinstance(name, str) or name not in METRICS:
        raise UsageError(f"compare: no metric {name!r}; there are {' '.join(METRICS)}")
    return METRICS[name]


def _check_sides(
    new: Source | None,
    base_func: str | None,
    new_func: str | None,
    by: str | None,
    base_python: str | None,
) -> None:
    """Raise UsageError unless it is told which two sides are meant."""
    if by not in (None, "python"):
        raise UsageError(f"compare: by={by!r}: only 'python'")
    if by is None and base_python is not None:
        raise UsageError("compare: base_python goes with by='python'")
    if by is not None and (new is not None or base_func or new_func):
        raise UsageError("compare: by='python' takes one side, and neither new nor rows")
    if by is None and new is None and not (base_func and new_func):
        raise UsageError(
            "compare: give new, or base_func and new_func to compare rows of base, or by='python'"
        )


def _results(side: Source) -> Results:
    return side if isinstance(side, Results) else load(side)


def _first_python(results: Results) -> str:
    names = [one.name for record in results.campaigns for one in record.pythons]
    if len(set(names)) < 2:
        raise UsageError("compare: by='python': the campaign had no two interpreters (python=)")
    return names[0]
