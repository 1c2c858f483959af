"""What an invocation measures: rows and numbers into cells. Frozen.

`Campaign.from_options` is the one place where options become a campaign. `to_record` and
`from_record` are the header line of a results file, so that a campaign can be resumed from it.
"""

import dataclasses
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pybench import backends
from pybench.backends import Row
from pybench.backends.interpreters import Interpreter
from pybench.errors import ResultFormatError, UsageError
from pybench.spec import axes
from pybench.spec.address import HostPort
from pybench.spec.cell import Cell
from pybench.spec.options import (
    MAX_CONNS,
    MAX_LISTENERS,
    MAX_PINGS,
    OPTIONS,
    CampaignOptions,
    RoundOptions,
)
from pybench.units import NS_PER_S

if TYPE_CHECKING:  # its library takes a fifth of the time of `--list`
    from pybench.result.campaign import CampaignRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign(CampaignOptions):
    """All that an invocation measures: every row at every number of connections, every size of
    a message and every point of the other axes (`axes.py`), R times.

    What it is asked with is in `options.py`. all_rows: all rows were asked for.  rate_auto: sweep
    the rate instead of measuring given ones.  more_servers: load servers beside `server`, among
    which the connections of each cell are dealt out.
    id: ties the sections of one results file that belong together.
    """

    id: str
    all_rows: bool = False
    rate_auto: bool = False
    more_servers: tuple[HostPort, ...] = ()

    @property
    def servers(self) -> tuple[HostPort, ...]:
        """The running load servers to use; none for an embedded one."""
        return () if self.server is None else (self.server, *self.more_servers)

    @property
    def func(self) -> tuple[str, ...]:
        """What finds each row, in the order asked for, aliases resolved."""
        return tuple(row.asked_for_as for row in self.rows)

    @property
    def open_loop(self) -> bool:
        """Whether pings keep a schedule instead of following the echo before."""
        return self.rate_auto or bool(self.rate)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell, rows outermost, each under every interpreter, and there first as it is and
        then with each set of variables.

        A sweep of rates is one cell here: which rates it has is known when it has run.
        """
        shared = {f.name: getattr(self, f.name) for f in dataclasses.fields(RoundOptions)}
        return tuple(
            Cell(
                row=row,
                conns=conns,
                msize=msize,
                rate=rate,
                rate_auto=self.rate_auto,
                env=env,
                python=python,
                **at,
                **shared,
            )
            for row in self.rows
            for python in self._pythons_of(row)
            for env in ((), *self.env_sets)
            for at in axes.points(self)
            for conns in self.conns
            for msize in self.msize
            for rate in (self.rate or (0,))
        )

    def _pythons_of(self, row: Row) -> tuple[Interpreter | None, ...]:
        return (None,) if row.command else (self.pythons or (None,))

    @classmethod
    def from_options(cls, given: Mapping[str, Any], names: Callable[[str], str]) -> "Campaign":
        """The campaign that options describe.

        given: some of OPTIONS -> text, number, flag or list of those.  names: option -> what an
        error message calls it (`--conns`).  Raises UsageError.
        """
        values: dict[str, Any] = {}
        for option in OPTIONS.values():
            values |= option.fields(given, names(option.name))
        if values["seed"] is None:
            values["seed"] = int.from_bytes(os.urandom(4), "big")
        campaign = cls(id=os.urandom(8).hex(), **values)
        _check_together(campaign, names)
        return campaign

    def to_record(self) -> "CampaignRecord":
        """The campaign as the header line of a results file holds it."""
        from pybench.result.campaign import CampaignRecord, InterpreterRecord

        record = {option.key: getattr(self, option.field) for option in OPTIONS.values()}
        record["func"] = self.func
        record["msize"] = _alone(self.msize)
        record["cpu"] = None if self.cpu is None else _alone(self.cpu)
        for name, axis in axes.AXES.items():
            if record[name] == (axis.usual,):
                del record[name]
        record["runtime_s"] = self.runtime_ns / NS_PER_S
        record["warmup_s"] = self.warmup_ns / NS_PER_S
        record["server"] = ",".join(map(str, self.servers)) or None
        record["pythons"] = tuple(
            InterpreterRecord(**dataclasses.asdict(one)) for one in self.pythons
        )
        own = {key: record.pop(key) for key in CampaignRecord.__struct_fields__ if key in record}
        return CampaignRecord(
            id=self.id, all_rows=self.all_rows, rate_auto=self.rate_auto, options=record, **own
        )

    @classmethod
    def from_record(cls, record: "CampaignRecord") -> "Campaign":
        """The inverse of `to_record`: what an option would not take is not taken from a file.

        Raises ResultFormatError with the key.
        """
        from msgspec import to_builtins

        found = to_builtins(record)  # without the keys that were not recorded
        found = found.pop("options") | found
        found.setdefault("busy_poll_us", 0)  # there was none before it was recorded
        _check_whole(found, record.__struct_fields__)
        rate = "auto" if found["rate_auto"] else found["rate"] or None
        given = {
            option.name: option.written(value)
            for option in OPTIONS.values()
            if (value := rate if option.name == "rate" else found.get(option.key)) is not None
        }
        try:
            return cls._from_texts(found, given)
        except UsageError as exc:
            raise ResultFormatError(str(exc)) from None

    @classmethod
    def _from_texts(cls, found: Mapping[str, Any], given: Mapping[str, Any]) -> "Campaign":
        """found: what is recorded.  given: the same as texts.  Raises UsageError."""
        values: dict[str, Any] = {"id": found["id"], "all_rows": found["all_rows"]}
        for option in OPTIONS.values():
            if option.name not in _NOT_READ_AGAIN:
                values |= option.fields(given, _recorded(option.name))
        if not found["func"]:
            raise UsageError("campaign.func: empty")
        campaign = cls(
            rows=tuple(map(_row, found["func"])),
            pythons=tuple(Interpreter(**one) for one in found["pythons"]),
            **values,
        )
        _check_together(campaign, _recorded)
        return campaign


_NOT_READ_AGAIN: Final = frozenset({"func", "python"})
"""The rows of a race may be one twice, and an interpreter need not be asked what it is."""


def _recorded(name: str) -> str:
    """What an option is called in the header of a results file."""
    return f"campaign.{OPTIONS[name].key}"


def _check_whole(found: Mapping[str, Any], own: Collection[str]) -> None:
    """Raise ResultFormatError when something is not there that has always been recorded.

    own: keys that a header has; the others are newer than some files, and have their defaults.
    """
    wanted = [o.key for o in OPTIONS.values() if o.key in own and o.name not in axes.AXES]
    for key in (*wanted, "id", "all_rows"):
        if key not in found:
            raise ResultFormatError(f"campaign.{key}: missing")


def _row(text: str) -> Row:
    try:
        return backends.find(text)
    except UsageError as exc:
        raise UsageError(f"campaign.func: {exc}") from None


def _alone(values: tuple[int, ...]) -> int | tuple[int, ...]:
    """Of several what a record holds: one that is alone is no list."""
    return values[0] if len(values) == 1 else values


def _check_together(campaign: Campaign, names: Callable[[str], str]) -> None:
    """Options that are each right but not together."""
    if not campaign.pin:
        for key in ("cpu", "server_cpus"):
            if getattr(campaign, key) is not None:
                raise UsageError(f"{names(key)} and {names('no_pin')} exclude each other")
    if max(campaign.workers) * max(campaign.loops) > MAX_LISTENERS:
        raise UsageError(
            f"{names('workers')} {max(campaign.workers)} with {names('loops')}"
            f" {max(campaign.loops)}: a round has at most {MAX_LISTENERS} listeners"
        )
    if campaign.open_loop and campaign.think_us[1]:
        raise UsageError(
            f"{names('rate')} and {names('think')} exclude each other: a rate is a schedule"
        )
    _check_load(campaign, names)
    if campaign.arrivals != OPTIONS["arrivals"].usual and not campaign.open_loop:
        raise UsageError(
            f"{names('arrivals')} {campaign.arrivals}: that is of the schedule of a"
            f" {names('rate')}, and there is none"
        )
    if campaign.timestamps is not None and campaign.engine not in (None, "epoll"):
        raise UsageError(
            f"{names('timestamps')} {campaign.timestamps}: the engine {campaign.engine} cannot;"
            f" only {names('engine')} epoll can"
        )
    _check_transports(campaign, names)
    if campaign.server is not None and campaign.server_cpus is not None:
        raise UsageError(
            f"{names('server_cpus')} pins the embedded load server; with {names('server')}"
            " start that server with --cpus"
        )
    if campaign.cluster is not None:
        for key in ("server", "bind"):
            if getattr(campaign, key) is not None:
                raise UsageError(
                    f"{names(key)} and {names('cluster')} exclude each other: each machine has a"
                    " load server of its own, on loopback"
                )
        if campaign.rate_auto:
            raise UsageError(
                f"{names('rate')} auto and {names('cluster')} exclude each other: a step of a sweep"
                " depends on the one before, on the same machine; give rates"
            )
    count = len(campaign.servers)
    for name, least in (
        ("conns", min(campaign.conns)),
        ("rate", min(campaign.rate, default=count)),
    ):
        if least < count:
            raise UsageError(
                f"{names(name)} {least} cannot be dealt out among the {count} load servers of"
                f" {names('server')}: each needs one at least"
            )


def _check_load(campaign: Campaign, names: Callable[[str], str]) -> None:
    """Pings in flight and idle connections: what they go with, and how many there may be."""
    inflight, conns, idle = max(campaign.inflight), max(campaign.conns), max(campaign.idle)
    if inflight > 1 and (campaign.open_loop or campaign.think_us[1]):
        other = names("rate" if campaign.open_loop else "think")
        raise UsageError(
            f"{names('inflight')} {inflight} and {other} exclude each other: with several pings in"
            " flight each echo is followed by the next ping at once"
        )
    if inflight * conns > MAX_PINGS:
        raise UsageError(
            f"{names('inflight')} {inflight} on {conns} connections: at most {MAX_PINGS} pings may"
            " be in flight"
        )
    if conns + idle > MAX_CONNS:
        raise UsageError(
            f"{names('conns')} {conns} and {names('idle')} {idle}: at most {MAX_CONNS} together"
        )


def _check_transports(campaign: Campaign, names: Callable[[str], str]) -> None:
    """What the load server can do over some transports only."""
    if "tls" in campaign.transport and campaign.engine not in (None, "epoll"):
        raise UsageError(
            f"{names('transport')} tls: the engine {campaign.engine} knows no TLS; only"
            f" {names('engine')} epoll does"
        )
    if campaign.bind is not None and set(campaign.transport) == {"unix"}:
        raise UsageError(
            f"{names('bind')} is of TCP and TLS: a Unix socket of {names('transport')} unix has no"
            " address of the network"
        )
    other = [one for one in campaign.transport if one != "tcp"]
    if campaign.timestamps is not None and other:
        raise UsageError(
            f"{names('timestamps')} {campaign.timestamps}: the kernel notes when TCP's bytes"
            f" arrive, not those of {names('transport')} {','.join(other)}"
        )
