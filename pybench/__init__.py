"""pybench: how fast is this way of doing network I/O in Python, how far is it from C, and why.

The folders, in the order of one ping:

    cli/       argv into a command, what comes of it into an exit status; alone prints errors
    api/       the same as functions that return values; `pybench.measure` and its like
    spec/      what is to be measured: options, cells, campaigns; frozen, no I/O
    machine/   what this machine is, what it allows, what else it does meanwhile
    driver/    runs it, never in the data path: campaign and round, race and heat, control, watch
    server/    (beside this package, C) the load server: connects, sends the pings, keeps the times
    worker/    inside the measured process: started by the driver, reports events
    backends/  the rows: the registry, what is owed, and one file a way of serving in rows/
    ext/       (beside this package, C) the rows in C, and rawselect
    result/    what was measured, as facts, and the file that keeps them
    analysis/  what the facts say: cells, ratios, stamps; prints nothing
    report/    writes it down: tables, pictures, a page

and beside that way:

    explain/   rounds under observation: system calls and CPU time of a ping
    cluster/   rounds of one campaign on many machines, by Dask
    contract/  whether a backend keeps what it owes; testing.py is its face to users' tests
    gate/      performance as a test: the pytest plugin, ratios, baselines
    units.py   times and counts as people write them
    errors.py  every exception, drawn as a tree

To know the system read cli/main.py, driver/campaign.py, driver/round.py and server/session.c.
Imports only go down: cli, api, gate and testing, report, explain, contract and cluster, driver,
analysis, machine, spec, worker, backends, result, units, errors (pyproject.toml has it as a
contract).

Stable for users: the names in `__all__` here; `main` of pybench.cli; pybench.testing, .result,
.spec, .errors, .rawselect and the C modules c_epoll, c_epoll_tls, c_poll, c_th, c_uring; `Ratio`
of pybench.gate.
"""

__version__ = "0.1.0"
"""Stands here and nowhere else: the build reads it from this file, which imports nothing."""

__all__ = [
    "Comparisons",
    "Event",
    "Explained",
    "Interrupted",
    "LeftOut",
    "Looked",
    "Measured",
    "Note",
    "OnProgress",
    "Picture",
    "Progress",
    "RaceResult",
    "RaceRoundFinished",
    "RaceRoundStarted",
    "RaceVerdict",
    "Results",
    "RoundFinished",
    "RoundStarted",
    "compare",
    "explain",
    "load",
    "measure",
    "race",
    "run",
]
"""All of pybench.api, imported when the first of them is asked for: a worker asks for none.
`__init__.pyi` has them for type checkers.
"""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name == "explain":  # the folder of that name, which can be called
        return import_module("pybench.explain")
    return getattr(import_module("pybench.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
