"""What a race measures: contenders that are alive together, and how well it must be known.

A contender is a row with all that sets it apart: an interpreter, variables, where it stands on the
axes of a cell (`axes.py`), an engine or a busy poll of the load server. `Race.from_options` makes
them of words and options; what all of a race have in common is a `Campaign` of their rows.
"""

import dataclasses
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from pybench import backends
from pybench.backends import Row
from pybench.backends.interpreters import Interpreter, identify
from pybench.backends.plugins import PROGRAM_PREFIX, split_name
from pybench.errors import UsageError
from pybench.spec import axes, parse
from pybench.spec.campaign import Campaign
from pybench.spec.cell import USUAL_TRANSPORT, Cell, row_label
from pybench.spec.options import OPTIONS, Option
from pybench.units import NS_PER_MS, NS_PER_S, split_list

if TYPE_CHECKING:  # its library takes a fifth of the time of `--list`
    from pybench.result.types import MetricName

METRICS: Final = ("mps", "cpu_us_per_msg", "p50", "p99", "due99")
MAX_BUDGET_NS: Final = 24 * 3600 * NS_PER_S

SHARED: Final = (
    *("conns", "rate", "env", "python", "msize", "think", "seed"),
    *axes.AXES,
    *("server", "bind", "server_threads", "cpu", "server_cpus", "no_pin"),
)
"""The options of a campaign that a race has too, as they are there."""

ELSEWHERE: Final = ("cluster",)
"""Those of a campaign that say where a race runs, if not here."""

FACTORS: Final = ("engine", "busy_poll")
"""Those of which a race takes a list: each value makes contenders of its own."""

_UNDER: Final = "@python:"
_ROW: Final = "ROW"
_TOO_FEW: Final = "a race needs two contenders or more: a row, or one row twice"

RACE_OPTIONS: Final[Mapping[str, Option]] = {
    option.name: option
    for option in (
        Option(
            name="metric", parse=parse.one_of(METRICS), metavar="NAME",
            help=f"what is compared: {' '.join(METRICS)}", default="mps",
        ),
        Option(
            name="precision", parse=parse.percent(0.001, 0.5), metavar="SHARE",
            help="go on until every ratio is known to so much", default="3%",
        ),
        Option(
            name="margin", parse=parse.percent(0.0, 0.5), metavar="SHARE",
            help="what differs by no more is equal", default="3%",
        ),
        Option(
            name="budget", parse=parse.time(100 * NS_PER_MS, MAX_BUDGET_NS), metavar="TIME",
            help="... or until so much time has passed", default="60s",
        ),
    )
}  # fmt: skip
"""What a race alone is asked with."""

RACES: Final = Option(
    name="races", parse=parse.time(NS_PER_S, MAX_BUDGET_NS), metavar="TIME",
    help="then have the rows of each family race each other, for so long in all",
)  # fmt: skip
"""Of a campaign: see `races_of_families`."""


Field = tuple[int, int]
"""Where a race is decided by itself: a number of connections, and the size of a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """One of a race.

    label: what it is called, unlike all others.  row: what it runs.
    python, env, transport, inflight, idle, workers, loops: as of a `Cell`.
    engine: of the load server, None for its usual one.  busy_poll_us: of the load server, None
    where placement decides.
    """

    label: str
    row: Row
    python: Interpreter | None = None
    env: parse.EnvSet = ()
    transport: str = USUAL_TRANSPORT
    inflight: int = 1
    idle: int = 0
    workers: int = 1
    loops: int = 1
    engine: str | None = None
    busy_poll_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """All that a race is asked for.

    campaign: what all contenders have in common: numbers of connections, messages, places, seed.
    metric: one of METRICS.  precision: half width of a ratio's interval, as a share.
    margin: what differs by no more counts as equal.  budget_ns: how long it may take.
    """

    campaign: Campaign
    contenders: tuple[Contender, ...]
    metric: "MetricName"
    precision: float
    margin: float
    budget_ns: int

    @property
    def fields(self) -> tuple[Field, ...]:
        """Every number of connections with every size of a message, in the order asked for."""
        return tuple(product(self.campaign.conns, self.campaign.msize))

    def cell(self, contender: Contender, conns: int, msize: int) -> Cell:
        """What a worker and the load server are asked for. Its label is the contender's only where
        nothing of the load server sets it apart."""
        return Cell(
            row=contender.row,
            conns=conns,
            msize=msize,
            **axes.point(contender),
            think_us=self.campaign.think_us,
            rate=self.campaign.rate[0] if self.campaign.rate else 0,
            warmup_ns=0,
            env=contender.env,
            python=contender.python,
            engine=contender.engine,
        )

    def only(self, labels: Collection[str]) -> "Race":
        """The race of these contenders alone."""
        kept = tuple(one for one in self.contenders if one.label in labels)
        return dataclasses.replace(self, contenders=kept)

    @classmethod
    def from_options(
        cls, words: Sequence[str], given: Mapping[str, Any], names: Callable[[str], str]
    ) -> "Race":
        """The race that a command line describes.

        words: contenders, each `[NAME=]ROW[@python:PATH]`.  given: option -> text, or a list of
        texts where it may be repeated.  names: option -> what an error message calls it.
        Raises UsageError.
        """
        if not words:
            raise UsageError(_TOO_FEW)
        own = {o.name: o.value(given, names(o.name)) for o in RACE_OPTIONS.values()}
        shared: dict[str, Any] = {"conns": "100"} | {
            k: given[k] for k in (*SHARED, *ELSEWHERE) if k in given
        }
        split = [_split(word) for word in words]
        engines, polls = (_factor(name, given, names(name)) for name in FACTORS)
        shared["func"] = [row for row, _ in split]
        if len(set(engines)) == 1 and engines[0] is not None:
            shared["engine"] = engines[0]
        campaign = Campaign.from_options(
            shared, lambda name: _ROW if name == "func" else names(name)
        )
        contenders = _named_apart(_contenders(split, campaign, engines, polls))
        race = cls(
            campaign=campaign,
            contenders=tuple(contenders),
            metric=own["metric"],
            precision=own["precision"],
            margin=own["margin"],
            budget_ns=own["budget"],
        )
        _check(race, names)
        return race


def races_of_families(campaign: Campaign, cells: Sequence[Cell], budget_ns: int) -> list[Race]:
    """A race inside each family of rows, for messages/s, at the campaign's numbers of connections;
    at each point of its other axes one of its own.

    cells: of the campaign, those that can run here; a row takes part that can at every number.
    budget_ns: of all races together; a contender's share is the same in each.
    """
    families: dict[tuple[object, ...], dict[str, Cell]] = {}
    counts: dict[tuple[object, ...], set[int]] = {}
    for cell in cells:
        counts.setdefault((cell.label, *axes.key(cell)), set()).add(cell.conns)
    for cell in cells:
        if counts[(cell.label, *axes.key(cell))] == set(campaign.conns):
            family = families.setdefault((cell.row.family, *axes.key(cell)), {})
            family.setdefault(cell.label, cell)
    racing = [(axes.point(next(iter(of.values()))), of) for of in families.values() if len(of) > 1]
    contenders = sum(len(of) for _, of in racing)
    return [
        Race(
            campaign=dataclasses.replace(
                campaign, id=os.urandom(8).hex(), **axes.single(at)
            ),
            contenders=tuple(
                Contender(
                    label=label, row=cell.row, python=cell.python, env=cell.env,
                    **at,
                    engine=campaign.engine, busy_poll_us=campaign.busy_poll_us,
                )
                for label, cell in of.items()
            ),
            metric="mps",
            precision=_usual("precision"),
            margin=_usual("margin"),
            budget_ns=budget_ns * len(of) // contenders,
        )
        for at, of in racing
    ]  # fmt: skip


def _usual(name: str) -> float:
    """The value of an option that nobody gave."""
    found: float = RACE_OPTIONS[name].value({}, name)
    return found


def _split(word: str) -> tuple[str, str]:
    """The row and the interpreter's path that a word names; no path when there is none."""
    if split_name(word)[1].startswith(PROGRAM_PREFIX):
        return word, ""
    row, _, path = word.partition(_UNDER)
    if _UNDER in word and not (row and path):
        raise UsageError(f"{word!r} is no contender: write ROW{_UNDER}PATH")
    return row, path


def _factor(name: str, given: Mapping[str, Any], called: str) -> list[Any]:
    """The values of an option that was given as a list; its default where it was not given."""
    option = OPTIONS[name]
    if name not in given:
        return [option.usual]
    try:
        return list(dict.fromkeys(option.parse(word) for word in split_list(given[name])))
    except UsageError as exc:
        raise UsageError(f"{called}: {exc}") from exc


def _contenders(
    split: Sequence[tuple[str, str]],
    campaign: Campaign,
    engines: Sequence[str | None],
    polls: Sequence[int | None],
) -> Iterator[Contender]:
    """Every contender, in the order of the words; what multiplies them changes fastest."""
    of_words = _interpreters(split)
    for (text, _), own in zip(split, of_words, strict=True):
        row = backends.find(text)
        pythons: tuple[Interpreter | None, ...] = campaign.pythons or (None,)
        if own is not None:
            pythons = (own,)
        elif row.command:
            pythons = (None,)
        for python, env, at, engine, poll in product(
            pythons, ((), *campaign.env_sets), axes.points(campaign), engines, polls
        ):
            yield Contender(
                label=_label(
                    row, python, env,
                    **axes.factors(campaign, at),
                    engine=engine if len(engines) > 1 else None,
                    busy_poll=_poll_word(poll) if len(polls) > 1 else None,
                ),
                row=row,
                python=python,
                env=env,
                **at,
                engine=engine,
                busy_poll_us=poll,
            )  # fmt: skip


def _interpreters(split: Sequence[tuple[str, str]]) -> list[Interpreter | None]:
    """What each word is to run under. One with a name of its own needs none for its Python."""
    plain = dict.fromkeys(path for text, path in split if path and not split_name(text)[0])
    found = dict(zip(plain, identify(plain), strict=True)) if plain else {}
    pythons: list[Interpreter | None] = []
    for text, path in split:
        name = split_name(text)[0]
        if not path:
            pythons.append(None)
        elif not name:
            pythons.append(found[path])
        else:
            pythons.append(dataclasses.replace(identify([path])[0], name=""))
    return pythons


def _label(row: Row, python: Interpreter | None, env: parse.EnvSet, **more: str | None) -> str:
    """The row as tables name it, with all that sets it apart. more: names -> values, or None."""
    set_apart = (*env, *((name, value) for name, value in more.items() if value is not None))
    return row_label(row.name, set_apart, "" if python is None else python.name)


def _poll_word(poll_us: int | None) -> str:
    if poll_us is None:
        return "auto"
    return f"{poll_us}us" if poll_us else "0"


def _named_apart(contenders: Iterator[Contender]) -> Iterator[Contender]:
    """The same with `#2`, `#3` behind labels that come again: a row may race against itself."""
    seen: dict[str, int] = {}
    for one in contenders:
        seen[one.label] = seen.get(one.label, 0) + 1
        number = seen[one.label]
        yield one if number == 1 else dataclasses.replace(one, label=f"{one.label}#{number}")


def _check(race: Race, names: Callable[[str], str]) -> None:
    """What is each right but not together."""
    if len(race.contenders) < 2:
        raise UsageError(_TOO_FEW)
    if race.campaign.more_servers:
        raise UsageError(f"{names('server')}: a race has one load server, whose turns it takes")
    if race.campaign.rate_auto or len(race.campaign.rate) > 1:
        raise UsageError(f"{names('rate')}: a race has one rate: contenders differ, not rates")
    if race.metric == "due99" and not race.campaign.open_loop:
        raise UsageError(
            f"{names('metric')} due99 counts from when each ping was due: give {names('rate')}"
        )
    if race.metric == "mps" and race.campaign.open_loop:
        raise UsageError(
            f"{names('rate')} sets the messages/s: give another {names('metric')}, as due99"
        )
