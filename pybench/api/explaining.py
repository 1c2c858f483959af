"""`explain`: why a row is fast, or slow."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from pybench.api.alone import Interrupted, alone, not_in_worker
from pybench.api.events import Note, OnProgress, heard_by
from pybench.api.explained import Explained
from pybench.api.given import path_of
from pybench.api.options import OF_RUN, RowLike, campaign_of, takes
from pybench.driver.plan import make_plan
from pybench.errors import UsageError
from pybench.explain import explain as observe_all

OF_EXPLAIN: Final = {
    name: option for name, option in OF_RUN.items() if name not in ("rounds", "cluster")
}


@takes(OF_EXPLAIN)
def explain(
    rows: RowLike | Iterable[RowLike],
    *,
    folder: str | Path = "explain",
    on_progress: OnProgress | None = None,
    **options: Any,
) -> Explained:
    """Observe each cell instead of measuring it: system calls per ping, CPU time by layer.

    rows, options: as for `run`, `conns=100, runtime="2s"`.  folder: where `explain.json` and the
    flame graphs are written.  on_progress: hears a `Note` for each step.
    Needs perf or strace. Returns `Explained`; what could not be observed is in its `.errors`.
    Raises UsageError, also when nothing can be observed here at all, and Interrupted on Ctrl-C,
    with what was found out by then.
    """
    not_in_worker("explain")
    campaign = campaign_of("explain", rows, options, OF_EXPLAIN)
    if campaign.rate_auto:
        raise UsageError("explain: rate: a sweep is measured, not observed: give a rate")
    with alone("explain"):
        plan = make_plan(campaign)
        if not plan.cells:
            reasons = "; ".join(f"{cell.label}: {why}" for cell, why in plan.unavailable.items())
            raise UsageError(f"explain: no row can run here: {reasons}")
        where = path_of("explain: folder", folder)

        tell = heard_by(on_progress)

        def notify(text: str) -> None:
            tell(Note(text))

        found, interrupted = observe_all(plan, where, (), notify)
    explained = Explained(found, where)
    if interrupted:
        raise Interrupted("SIGINT", explained)
    return explained
