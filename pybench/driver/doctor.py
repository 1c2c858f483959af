"""Whether this machine is fit to measure: looks at it and tries it out, in some ten seconds.

Nothing of the system is changed and nothing is kept. What is said of the facts is
`analysis/fitness.py`'s.
"""

import time
from datetime import datetime, timezone
from typing import Final

from pybench.analysis.fitness import TriedOut, checks
from pybench.driver.calibrate import CONNS, NOISE_ROW, Notify, calibrate, clock_cost_ns
from pybench.errors import PybenchError
from pybench.machine import cgroup, environment
from pybench.machine.health import read_health
from pybench.machine.placement import place
from pybench.result.calibration import Calibration
from pybench.result.checkup import Checkup
from pybench.spec import Campaign

SLEEPS: Final = 50
SLEEP_S: Final = 0.001


def examine(notify: Notify) -> Checkup:
    """All checks. notify: is told of progress, line by line. Raises KeyboardInterrupt on Ctrl-C.

    A load server that cannot be started is a finding, not an error.
    """
    campaign = Campaign.from_options({"func": NOISE_ROW, "conns": CONNS}, lambda key: key)
    health = read_health(place(campaign))
    found = checks(health, _try_out(notify))
    return Checkup(
        measured_at=datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds"),
        machine=environment.describe(dict(health.env)),
        fit=all(check.verdict != "bad" for check in found),
        checks=tuple(found),
    )


def _try_out(notify: Notify) -> TriedOut:
    begun, before = time.monotonic(), cgroup.throttled()
    calibration: Calibration | None = None
    failure = ""
    try:
        calibration = calibrate(notify, short=True)
    except PybenchError as exc:
        failure = str(exc)
    took_s, after = time.monotonic() - begun, cgroup.throttled()
    waited_s = 0.0 if before is None or after is None else max(0.0, after[1] - before[1])
    return TriedOut(
        calibration=calibration,
        failure=failure,
        throttled_s=waited_s,
        took_s=took_s,
        clock_ns=clock_cost_ns(),
        late_us=oversleeps_us(),
    )


def oversleeps_us() -> tuple[float, ...]:
    """How much later than asked each of SLEEPS short sleeps ended, in us."""
    late = []
    for _ in range(SLEEPS):
        begun = time.perf_counter_ns()
        time.sleep(SLEEP_S)
        late.append(max(0.0, (time.perf_counter_ns() - begun) / 1000 - SLEEP_S * 1e6))
    return tuple(late)
