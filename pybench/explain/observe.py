"""One round of a cell for an observer's sake. What such a round measures is not a result: it only
says how many messages went by.

The observer attaches to the worker before there are connections, so that threads which the row
starts later are observed too, and begins when all is ready and nothing has been sent yet.
"""

from dataclasses import dataclass

from pybench.driver import round as one_round
from pybench.driver.round import Observer, RoundContext
from pybench.errors import PybenchError
from pybench.spec import Cell


@dataclass(frozen=True, slots=True)
class Observed:
    """An observed round. messages: sent from its first ping to its last. cpu_s: user + system."""

    messages: int
    cpu_s: float


def observe(cell: Cell, context: RoundContext, observer: Observer) -> Observed:
    """Run one round under observation.

    Raises PybenchError when the round or the observer fails, InterruptError on Ctrl-C. Neither the
    worker nor the observer is left.
    """
    result = one_round.run(cell, 1, context, observer=observer)
    if result.client is None or result.per_conn is None:  # it has not come to its end
        raise PybenchError(result.error)
    if result.per_conn.lost:
        raise PybenchError(f"{result.per_conn.lost} of {cell.conns} connections were lost")
    return Observed(result.client.messages, result.client.user_s + result.client.sys_s)
