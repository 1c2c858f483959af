"""Dictionaries inside records whose keys are free: those that pybench writes itself, with types.

Other keys are kept as they are. `check` is what reading adds to the types of the records.
"""

from typing import Annotated, Final, TypedDict

import msgspec

from pybench.result.codec import convert
from pybench.result.types import Count, Number, Positive, key


class Placement(TypedDict, total=False):
    """Who ran where."""

    worker_cpu: Annotated[Count | None, key("CPU of the worker; null: it was not pinned")]
    worker_cpus: Annotated[
        list[Count],
        key("of each loop of each worker, in order, where there are several", since="0.2.0"),
    ]
    server_cpus: Annotated[
        list[Count] | None, key("CPUs of the embedded load server; null: not pinned, or not ours")
    ]
    shared_cpus: Annotated[
        list[Count], key("CPUs of the load server that are the worker's own or its SMT siblings")
    ]


class Calibrated(TypedDict, total=False):
    """What was known of the machine when the round ran: the part of it that the stamps use."""

    measured_at: Annotated[str, key("when it was calibrated: ISO 8601 with zone")]
    noise_floor: Annotated[Number, key("as in the calibration file", unit="share")]
    ceiling_mps: Annotated[dict[str, Number], key("engine -> the most it drove", unit="messages/s")]


class Environment(TypedDict, total=False):
    """Where something was measured. What could not be read is left out."""

    pybench: Annotated[str, key("version of pybench")]
    commit: Annotated[
        str,
        key(
            "git's, of the folder where pybench was started; in a GitHub job the job's",
            since="0.2.0",
        ),
    ]
    python: Annotated[str, key("version of the driver's Python")]
    implementation: Annotated[str, key("of the driver's Python: `CPython`")]
    gil: Annotated[bool, key("whether the driver's Python was built with the GIL")]
    gil_disabled_build: Annotated[
        bool, key("the same the other way round: whether it can run without", since="0.2.0")
    ]
    compiler: Annotated[str, key("that built the driver's Python")]
    libc: Annotated[str, key("name and version")]
    libraries: Annotated[dict[str, str], key("distribution -> version, of those with a row")]
    system: Annotated[str, key("`Linux x86_64`")]
    kernel: Annotated[str, key("release of the kernel")]
    hostname: Annotated[str, key("name of the machine, where somebody added one")]
    cpu_model: Annotated[str, key("as /proc/cpuinfo has it")]
    cpus: Annotated[Positive, key("CPUs of the machine")]
    allowed_cpus: Annotated[list[Count], key("CPUs that the driver may use")]
    governor: Annotated[str, key("frequency governor of CPU 0")]
    turbo: Annotated[bool, key("whether a CPU may run above its rated clock")]
    frequency_mhz: Annotated[
        list[Count], key("lowest and highest clock of the governor", unit="MHz")
    ]
    clocksource: Annotated[str, key("of the kernel")]
    memory_mb: Annotated[Count, key("memory of the machine", unit="MiB")]
    virtual_machine: Annotated[bool, key("whether a hypervisor is below")]
    container: Annotated[str, key("`docker`, `podman`, `kubernetes` or what systemd says")]
    malloc_tunables: Annotated[str, key("GLIBC_TUNABLES of the driver")]
    load_average: Annotated[
        Number | None, key("runnable processes over the last minute, before the round")
    ]
    placement: Annotated[Placement, key("who ran where; in results and explain.json")]
    calibration: Annotated[
        Calibrated, key("in results of a machine that had been calibrated before")
    ]


class WorkerPython(TypedDict, total=False):
    """What a worker ran under. Empty for a program; only `name` where it did not come that far."""

    name: Annotated[str, key("what sets its rows apart, `py3.12`; only with `--python`")]
    executable: Annotated[str, key("path")]
    version: Annotated[str, key("`3.12.1`")]
    implementation: Annotated[str, key("`CPython`")]
    gil: Annotated[bool, key("whether the GIL was on when the backend had been imported")]
    gil_disabled_build: Annotated[
        bool, key("whether it was built to run without the GIL", since="0.2.0")
    ]
    library: Annotated[str, key("libraries of the row with their versions; empty: it has none")]


OPEN: Final = {"env": Environment, "python": WorkerPython}
"""Key of a record -> what the known ones of its free keys are."""


def check(record: msgspec.Struct, where: str = "") -> None:
    """Raise ResultFormatError, with the key, when a known key of an open record is not of its type.

    where: the key of the record itself with a dot, empty for a whole line.
    """
    for name, kind in OPEN.items():
        if found := getattr(record, name, None):
            convert(found, kind, f"{where}{name}")
