"""A ratio beside what earlier sessions found of it: how far it has changed, and how surely."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

from pybench.analysis.compare import SESSIONS
from pybench.analysis.ratio import Estimate, estimate_of_logs, ratio_to_sessions, unpaired_ratio
from pybench.analysis.stamps import class_of
from pybench.gate.ratio import Interval, Ratio


class Past:
    """A ratio beside its earlier selves.

    now: may grow by rounds.  then: what it is held against: all sessions that have it, where they
    are enough to show how far sessions differ (SESSIONS), and else the last one.
    """

    def __init__(self, now: Ratio, sessions: Sequence[Ratio]) -> None:
        self.now = now
        sound = [one for one in sessions if not _obstacle(now, one)]
        self.then = sound if len(sound) >= SESSIONS else sessions[-1:]

    @property
    def several(self) -> bool:
        """Whether their scatter is known."""
        return len(self.then) > 1

    @property
    def obstacle(self) -> str:
        """Why the two cannot be compared; empty when they can."""
        return _obstacle(self.now, self.then[-1])

    @property
    def interval(self) -> Interval:
        """Of the ratio then; of several sessions that of their mean."""
        if not self.several:
            return self.then[0].interval
        found = Interval.of(estimate_of_logs(list(map(_log_mean, self.then))))
        return replace(found, text=f"{found.text}, {len(self.then)} sessions")

    def change(self) -> Estimate:
        """The ratio now, divided by the ratio then."""
        now, then = self.now, self.then
        if self.several:
            found = ratio_to_sessions(now.per_round, [one.per_round for one in then])
            return found.widened(now.disturbance)  # what disturbed them is in their scatter
        found = unpaired_ratio(now.per_round, then[0].per_round)  # sessions share no round
        return found.widened(max(then[0].disturbance, now.disturbance))

    def gains_by_rounds(self) -> bool:
        """Whether more rounds would make the interval of the change narrower."""
        if not self.several:
            return True
        own = estimate_of_logs(list(map(math.log, self.now.per_round))).error
        return own > statistics.stdev(map(_log_mean, self.then))

    @property
    def remedy(self) -> str:
        """What would decide."""
        more = "more sessions in the baseline" if self.several else "more rounds in both sessions"
        return f"{more}, or a quieter machine"

    def sides(self) -> tuple[list[str], list[str]]:
        """The stamps of both rows of today. A bound that was there then as well moves both."""
        now = self.now
        new, base = (
            [code for code in codes if code not in now.kind.bounds or code not in before]
            for codes, before in (
                (now.func_stamps, {code for one in self.then for code in one.func_stamps}),
                (now.against_stamps, {code for one in self.then for code in one.against_stamps}),
            )
        )
        return new, base


def _log_mean(one: Ratio) -> float:
    return statistics.fmean(map(math.log, one.per_round))


def _obstacle(now: Ratio, then: Ratio) -> str:
    """Why they cannot be compared; empty when they can."""
    if then.turns != now.turns:
        ways = {True: "turns", False: "rounds of one window"}
        return f"it is of {ways[then.turns]} there and of {ways[now.turns]} here"
    invalid = [code for code in then.stamps if class_of(code) == "invalid"]
    return f"it is stamped {', '.join(invalid)} there" if invalid else ""
