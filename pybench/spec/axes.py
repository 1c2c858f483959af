"""The axes of a cell beside its row, its connections and its messages: what goes without saying of
each, and its words.

An axis is an option that takes a list, a field of that name in a cell, a contender, a result, a
setting and a comparison, and a line here: whoever tells cells apart, names them or makes them goes
through this table.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

from pybench.spec.options import OPTIONS, CampaignOptions
from pybench.units import count_label

Point = dict[str, Any]
"""A value of each axis, by its name."""


@dataclass(frozen=True, slots=True)
class Axis:
    """short: a value behind a row's name.  title: in the heading of a table.  label: as the value
    of a factor that sets contenders apart."""

    name: str
    short: Callable[[Any], str]
    title: Callable[[Any], str]
    label: Callable[[Any], str] = str

    @property
    def usual(self) -> Any:
        """What goes without saying."""
        (usual,) = OPTIONS[self.name].usual
        return usual


_TRANSPORT_TITLES: Final = {"tcp": "TCP", "unix": "Unix sockets", "tls": "TLS 1.3"}


def _inflight_title(inflight: int) -> str:
    return f"{inflight} ping{'' if inflight == 1 else 's'} in flight a connection"


def _idle_title(idle: int) -> str:
    return f"{count_label(idle) if idle else 'no'} idle connection{'' if idle == 1 else 's'} beside"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


AXES: Final = {
    axis.name: axis
    for axis in (
        Axis(
            "transport",
            lambda name: f"over {name}",
            lambda name: _TRANSPORT_TITLES.get(name, str(name)),
        ),
        Axis("inflight", lambda n: f"{n} in flight", _inflight_title),
        Axis("workers", lambda n: _counted(n, "worker"), lambda n: _counted(n, "worker")),
        Axis("loops", lambda n: _counted(n, "loop"), lambda n: _counted(n, "loop")),
        Axis("idle", lambda n: f"{count_label(n)} idle", _idle_title, count_label),
    )
}


def point(of: object) -> Point:
    """Where a cell, a contender, a result, a setting or a comparison stands."""
    return {name: getattr(of, name) for name in AXES}


def key(of: object) -> tuple[Any, ...]:
    """The same, to be hashed and compared."""
    return tuple(point(of).values())


def unusual(of: object) -> Point:
    """The axes on which it does not stand where everything does that is not told."""
    return {name: value for name, value in point(of).items() if value != AXES[name].usual}


def words(of: object) -> str:
    """`16 in flight, 10k idle`: what is not as usual; empty when all is."""
    return ", ".join(AXES[name].short(value) for name, value in unusual(of).items())


def points(campaign: CampaignOptions) -> Iterator[Point]:
    """Every combination that a campaign asks for; the last axis changes fastest."""
    for values in product(*(getattr(campaign, name) for name in AXES)):
        yield dict(zip(AXES, values, strict=True))


def single(at: Point) -> dict[str, Any]:
    """The options of a campaign that asks for one point only."""
    return {name: (value,) for name, value in at.items()}


def factors(campaign: CampaignOptions, at: Point) -> dict[str, str]:
    """The values that set one of its points apart from the others."""
    return {
        name: AXES[name].label(value)
        for name, value in at.items()
        if len(getattr(campaign, name)) > 1
    }
