"""A made-up result for every stamp, so that its section shows what pybench says of one.

Each is a result that has nothing else to be blamed for, with the one thing changed that the stamp
is about; the stamp itself is made by its own check.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import structs

from pybench.analysis import stamps
from pybench.result import Disturbance, ListenerShare, Result, Series, Stamp
from tests.support import synthetic

_QUIET: Final = Disturbance(steal=0.0, other=0.0, taken=0.0)


def _clean() -> Result:
    return synthetic.make_result(
        "asyncio", 1000, mps=40_000.0, samples=200, disturbance=_QUIET, env={}
    )


def _with(
    code: str, part: str = "", *, also: Mapping[str, Any] | None = None, **values: Any
) -> Callable[[], Stamp]:
    """The stamp on the clean result with other values in it, or in a part of it.

    also: with a part, values of the result itself.
    """

    def made() -> Stamp:
        result = _clean()
        changes = {part: structs.replace(getattr(result, part), **values)} if part else values
        found = getattr(stamps, code)(structs.replace(result, **changes, **(also or {})))
        assert isinstance(found, Stamp), f"{code}: the example does not have it"
        return found

    return made


def _modes() -> Stamp:
    found = stamps.modes([132_000.0, 131_000.0, 56_000.0, 133_000.0, 131_500.0])
    assert found is not None
    return found


def _jump(messages: int = 4000) -> Series:
    each = [messages] * 8 + [messages // 2] * 12
    return Series(slice_ms=100, messages=each, mean_ns=[1] * 20, max_ns=[1] * 20)


EXAMPLES: Final[Mapping[str, Callable[[], Stamp]]] = {
    "corrupt": _with("corrupt", "per_conn", lost=3, lost_by={"corrupt": 3}),
    "lost": _with("lost", "per_conn", lost=7, lost_by={"reset": 5, "closed": 2}),
    "null_engine": _with("null_engine", "server", engine="null"),
    "generator_bound": _with("generator_bound", server_queue=0.38, server_queue_source="estimate"),
    "overloaded": _with("overloaded", rate=60_000, late=48_000, unsent=2300),
    "client_idle": _with("client_idle", "client", user_s=0.4, sys_s=0.5),
    "littles_law": _with("littles_law", mps=31_000.0, window_s=2.0),
    "idle_lost": _with("idle_lost", idle=1000, idle_lost=3),
    "few_cpus": _with("few_cpus", env={"placement": {"worker_cpus": [0, 0]}}),
    "uneven": _with(
        "uneven",
        "client",
        shares=(
            ListenerShare(worker=1, loop=1, conns=500, messages=52_000),
            ListenerShare(worker=2, loop=1, conns=500, messages=28_000),
        ),
    ),
    "gil_on": _with("gil_on", "client", gil=True, also={"python": {"gil_disabled_build": True}}),
    "unfair": _with("unfair", "per_conn", jain=0.713, starved=38),
    "shared_core": _with("shared_core", env={"placement": {"shared_cpus": [0]}}),
    "steal": _with("steal", "disturbance", steal=0.08),
    "busy_machine": _with("busy_machine", "disturbance", other=0.31),
    "throttled": _with("throttled", "disturbance", throttled_s=0.42, throttled_times=6),
    "page_faults": _with("page_faults", "client", minor_faults=210_000),
    "unsteady": _with("unsteady", series=_jump()),
    "frequency": _with(
        "frequency", env={"governor": "powersave", "turbo": True, "frequency_mhz": [800, 3400]}
    ),
    "backlog": _with("backlog", "disturbance", listen_overflows=12, listen_drops=12),
    "short_run": _with("short_run", window_s=0.3),
    "modes": _modes,
}
