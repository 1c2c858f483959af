"""The header line of a results file: what an invocation was to measure, and where it ran.

The record of `spec.Campaign`, whose fields have the same names but for times, which are nanoseconds
there. A report needs none of the keys, so none is required; `--resume` misses what it needs.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Struct, UnsetType, field

from pybench.result.types import SCHEMA, Count, Env, MetricName, Number, Positive, key


class InterpreterRecord(Struct, frozen=True, kw_only=True):
    """A Python that rows were to run under."""

    path: Annotated[str, key("as it was given, made absolute")]
    name: Annotated[str, key("what sets its rows apart, `py3.12`")]
    version: Annotated[str, key("`3.12.1`")]
    implementation: Annotated[str, key("`CPython`")]
    free_threaded: Annotated[bool, key("whether it was built without the GIL")]


class RaceRecord(Struct, frozen=True, kw_only=True):
    """What a race was to find out."""

    contenders: Annotated[tuple[str, ...], key("as `func` of their results, in the order asked")]
    metric: Annotated[MetricName, key("what was compared")]
    precision: Annotated[Number, key("half width of a ratio's interval to reach", unit="share")]
    margin: Annotated[Number, key("what differs by no more is equal", unit="share")]
    budget_s: Annotated[Number, key("how long it might take", unit="s")]


class CampaignRecord(Struct, frozen=True, kw_only=True):
    """What an invocation was to measure."""

    func: Annotated[tuple[str, ...] | UnsetType, key("what finds each row")] = UNSET
    conns: Annotated[tuple[Positive, ...] | UnsetType, key("connections of its cells")] = UNSET
    msize: Annotated[
        Positive | tuple[Positive, ...] | UnsetType,
        key("size of a message; of several, the sizes of its cells", unit="bytes"),
    ] = UNSET
    inflight: Annotated[
        tuple[Positive, ...] | UnsetType,
        key("pings in flight on each connection of its cells; left out: 1", since="0.2.0"),
    ] = UNSET
    idle: Annotated[
        tuple[Count, ...] | UnsetType,
        key("idle connections of its cells; left out: 0", since="0.2.0"),
    ] = UNSET
    think_us: Annotated[
        tuple[Count, Count] | UnsetType,
        key("shortest and longest wait between an echo and the next ping", unit="us"),
    ] = UNSET
    rounds: Annotated[Positive | UnsetType, key("of every cell")] = UNSET
    seed: Annotated[Count | UnsetType, key("of the order of cells inside each round")] = UNSET
    server: Annotated[
        str | UnsetType | None, key("`host:port` of a load server; null: an embedded one")
    ] = UNSET
    bind: Annotated[
        str | UnsetType | None, key("address of the worker; null: that of the control connection")
    ] = UNSET
    cluster: Annotated[
        str | None,
        key("scheduler of the Dask cluster it ran on; null: on one machine", since="0.2.0"),
    ] = None
    server_threads: Annotated[
        Positive | UnsetType | None, key("ping threads; null: left to the load server")
    ] = UNSET
    cpu: Annotated[
        Count | tuple[Count, ...] | UnsetType | None,
        key("of the worker; several: of its loops, or of several workers; null: left to placement"),
    ] = UNSET
    server_cpus: Annotated[
        tuple[Count, ...] | UnsetType | None,
        key("of the embedded load server; null: left to placement"),
    ] = UNSET
    pin: Annotated[bool | UnsetType, key("whether anything is pinned")] = UNSET
    all_rows: Annotated[bool | UnsetType, key("whether all rows were asked for")] = UNSET
    skip_impossible: Annotated[
        bool | UnsetType, key("whether cells that cannot run here are left out")
    ] = UNSET
    id: Annotated[
        str | UnsetType, key("ties the sections of one results file that belong together")
    ] = UNSET
    rate: Annotated[
        tuple[Positive, ...],
        key("of the cells of an open loop; empty: a closed loop", unit="pings/s"),
    ] = ()
    rate_auto: Annotated[bool, key("whether the rate is swept up to the knee")] = False
    engine: Annotated[str | None, key("of the load server; null: its default")] = None
    timestamps: Annotated[str | None, key("`kernel`, or null")] = None
    busy_poll_us: Annotated[
        Count | UnsetType | None,
        key("how long the load server looks before it sleeps; null: left to placement", unit="us"),
    ] = UNSET
    env_sets: Annotated[
        tuple[tuple[tuple[str, str], ...], ...],
        key("sets of variables, as [name, value]: every row runs also with each"),
    ] = ()
    pythons: Annotated[
        tuple[InterpreterRecord, ...], key("every row runs under each; empty: the driver's own")
    ] = ()
    runtime_s: Annotated[Number | UnsetType, key("length of the window", unit="s")] = UNSET
    warmup_s: Annotated[Number | UnsetType, key("pings before it", unit="s")] = UNSET
    race: Annotated[
        RaceRecord | None,
        key("of a race; null: rounds of one window, one after another", since="0.2.0"),
    ] = None
    options: Annotated[
        dict[str, Any], key("options that have no key of their own here, by name", since="0.2.0")
    ] = field(default_factory=dict)
    command: Annotated[tuple[str, ...], key("the command line, `pybench` first")] = ()
    started_at: Annotated[str, key("ISO 8601 with zone")] = ""
    env: Annotated[Env, key("where it ran")] = field(default_factory=dict)
    resumed: Annotated[bool, key("whether it went on with what the file already held")] = False


class Header(Struct, frozen=True, kw_only=True):
    """The first line of an invocation's section."""

    schema: Annotated[Literal[1], key("of this format; stands first in the line")] = SCHEMA
    campaign: Annotated[CampaignRecord, key("what the section's rounds belong to")]
