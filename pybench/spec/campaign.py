"""What is to be measured: cells, and the campaign that an invocation asks for. All frozen.

Options come as text from the command line or as values from a campaign file;
`Campaign.from_options` is the one place that reads and checks them. `to_record` and `from_record`
are the header line of a results file, so that a campaign can be resumed from it.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pybench import backends
from pybench.backends.interpreters import Interpreter, identify
from pybench.errors import ResultFormatError, UsageError
from pybench.spec import options
from pybench.spec.address import HostPort
from pybench.spec.cell import Cell, EnvSet
from pybench.units import NS_PER_MS, NS_PER_S, parse_cpus


@dataclass(frozen=True, slots=True, kw_only=True)
class Campaign:
    """All that an invocation measures: every row at every number of connections, R times.

    func: what finds each row, in the order asked for, aliases resolved.  all_rows: all were asked
    for.
    seed: of the order of cells inside each round.  server: None starts an embedded one.
    bind: the worker's address; None is the local address of the control connection.
    cpu, server_cpus, server_threads: None leaves the choice to placement.  pin: whether to pin.
    skip_impossible: leave out what this machine cannot run, instead of refusing it all.
    id: ties the sections of one results file that belong together.
    rate: pings per second, each a cell of its own; empty for the closed loop.  rate_auto: sweep
    the rate instead.  engine, timestamps: as in `Cell`.  env_sets: every row runs also with each.
    busy_poll_us: how long the load server looks for echoes before it sleeps; None leaves the choice
    to placement.
    pythons: every row runs under each; empty for the driver's own. Programs run once.
    """

    func: tuple[str, ...]
    conns: tuple[int, ...]
    msize: int
    runtime_ns: int
    warmup_ns: int
    think_us: tuple[int, int]
    rounds: int
    seed: int
    server: HostPort | None
    bind: str | None
    server_threads: int | None
    cpu: int | None
    server_cpus: tuple[int, ...] | None
    pin: bool
    all_rows: bool
    skip_impossible: bool
    id: str
    rate: tuple[int, ...] = ()
    rate_auto: bool = False
    engine: str | None = None
    timestamps: str | None = None
    busy_poll_us: int | None = None
    env_sets: tuple[EnvSet, ...] = ()
    pythons: tuple[Interpreter, ...] = ()

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
        return tuple(
            Cell(
                func=func,
                conns=conns,
                msize=self.msize,
                runtime_ns=self.runtime_ns,
                warmup_ns=self.warmup_ns,
                think_us=self.think_us,
                rate_per_s=rate,
                rate_auto=self.rate_auto,
                engine=self.engine,
                timestamps=self.timestamps,
                env=env,
                python=python,
            )
            for func in self.func
            for python in self._pythons_of(func)
            for env in ((), *self.env_sets)
            for conns in self.conns
            for rate in (self.rate or (0,))
        )

    def _pythons_of(self, func: str) -> tuple[Interpreter | None, ...]:
        return (None,) if backends.find(func).command else (self.pythons or (None,))

    @classmethod
    def from_options(cls, given: Mapping[str, Any], names: Callable[[str], str]) -> "Campaign":
        """The campaign that options describe.

        given: some of OPTIONS -> text, number, flag or list of those.  names: option -> what an
        error message calls it (`--conns`).  Raises UsageError.
        """
        read = options.Reader(given, names)
        func, all_rows = read.all("func", options.rows)
        rate, rate_auto = read("rate", options.rates, None) or ((), False)
        campaign = cls(
            func=func,
            all_rows=all_rows,
            conns=read("conns", options.counts(1, options.MAX_CONNS)),
            msize=read("msize", options.count(1, options.MAX_MSIZE), 64),
            runtime_ns=read("runtime", options.time(NS_PER_MS, options.MAX_TIME_NS), "30s"),
            warmup_ns=read("warmup", options.time(0, options.MAX_TIME_NS), "1s"),
            think_us=read("think", options.think, "0"),
            rounds=read("rounds", options.count(1, 1_000_000), 1),
            seed=read("seed", options.count(0, 2**63 - 1), int.from_bytes(os.urandom(4), "big")),
            server=read("server", HostPort.parse, None),
            bind=read("bind", options.bind_address, None),
            server_threads=read("server_threads", options.count(1, 64), None),
            cpu=read("cpu", options.count(0, 4095), None),
            server_cpus=read("server_cpus", parse_cpus, None),
            pin=not read("no_pin", options.flag, False),
            skip_impossible=read("skip_impossible", options.flag, False),
            id=os.urandom(8).hex(),
            rate=rate,
            rate_auto=rate_auto,
            engine=read("engine", options.one_of(options.ENGINES), None),
            timestamps=read("timestamps", options.one_of(options.TIMESTAMPS), None),
            busy_poll_us=read("busy_poll", options.busy_poll, None),
            env_sets=tuple(dict.fromkeys(read.each("env", options.parse_env))),
            pythons=read.all_given("python", identify),
        )
        _check_together(campaign, names)
        return campaign

    def to_record(self) -> dict[str, Any]:
        """The campaign as the header line of a results file holds it."""
        record = dataclasses.asdict(self)
        record["runtime_s"] = record.pop("runtime_ns") / NS_PER_S
        record["warmup_s"] = record.pop("warmup_ns") / NS_PER_S
        record["server"] = None if self.server is None else str(self.server)
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "Campaign":
        """The inverse of `to_record`; unknown keys are ignored. Raises ResultFormatError."""
        try:
            values = {f.name: record[f.name] for f in dataclasses.fields(cls) if f.name in record}
            values["runtime_ns"] = round(record["runtime_s"] * NS_PER_S)
            values["warmup_ns"] = round(record["warmup_s"] * NS_PER_S)
            for name in ("func", "conns", "think_us", "server_cpus"):
                values[name] = None if values[name] is None else tuple(values[name])
            values["rate"] = tuple(values.get("rate", ()))
            values.setdefault("busy_poll_us", 0)  # there was none before it was recorded
            values["env_sets"] = tuple(
                tuple((str(name), str(value)) for name, value in env)
                for env in values.get("env_sets", ())
            )
            values["pythons"] = tuple(Interpreter(**one) for one in values.get("pythons", ()))
            if values["server"] is not None:
                values["server"] = HostPort.parse(values["server"])
            return cls(**values)
        except (KeyError, TypeError, ValueError, AttributeError, UsageError) as exc:
            raise ResultFormatError(f"not the record of a campaign: {exc!r}") from exc


def _check_together(campaign: Campaign, names: Callable[[str], str]) -> None:
    """Options that are each right but not together."""
    if not campaign.pin:
        for key in ("cpu", "server_cpus"):
            if getattr(campaign, key) is not None:
                raise UsageError(f"{names(key)} and {names('no_pin')} exclude each other")
    if campaign.open_loop and campaign.think_us[1]:
        raise UsageError(
            f"{names('rate')} and {names('think')} exclude each other: a rate is a schedule"
        )
    if campaign.timestamps is not None and campaign.engine not in (None, "epoll"):
        raise UsageError(
            f"{names('timestamps')} {campaign.timestamps}: the engine {campaign.engine} cannot;"
            f" only {names('engine')} epoll can"
        )
    if campaign.server is not None and campaign.server_cpus is not None:
        raise UsageError(
            f"{names('server_cpus')} pins the embedded load server; with {names('server')}"
            " start that server with --cpus"
        )
