"""What `pybench calibrate` found out about a machine: kept per machine, read by every run.

A file of JSON in the user's cache folder, its name made of what the figures depend on. Nothing here
measures; `calibrate.py` does.
"""

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pybench.errors import UsageError
from pybench.machine import environment

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A machine's noise, ceilings, costs and limits.

    measured_at: ISO 8601.  machine: for people.
    noise_floor: share by which two runs of one row differ at most, 95 times of 100; its
    runs: messages/s of each.  noise_of: what was run, for people.
    ceiling_mps: engine of the load server -> the most it drove, in messages/s.
    unavailable: engine -> why it cannot be had.
    syscall_ns, send_ns, recv_ns: an empty system call, and 64 bytes over loopback.
    limits: name -> number, from `machine/limits.py`.
    other, steal: shares of CPU time that others had meanwhile.
    advice: what a person could tune, one line each.
    """

    measured_at: str
    machine: str
    noise_floor: float
    noise_of: str
    runs: list[float]
    ceiling_mps: dict[str, float]
    unavailable: dict[str, str] = field(default_factory=dict)
    syscall_ns: float
    send_ns: float
    recv_ns: float
    limits: dict[str, int]
    other: float = 0.0
    steal: float = 0.0
    advice: list[str] = field(default_factory=list)
    schema: int = SCHEMA

    def to_env(self) -> dict[str, Any]:
        """What results record of it: all that the stamps use."""
        return {
            "measured_at": self.measured_at,
            "noise_floor": round(self.noise_floor, 4),
            "ceiling_mps": {engine: round(mps) for engine, mps in self.ceiling_mps.items()},
        }


def identity() -> str:
    """A short word for this machine as it is: processor, number of CPUs, kernel, machine id."""
    env = environment.collect()
    parts = [str(env.get(key, "")) for key in ("cpu_model", "cpus", "allowed_cpus", "kernel")]
    for name in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            parts.append(Path(name).read_text(encoding="ascii").strip())
            break
        except (OSError, ValueError):
            continue
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def path() -> Path:
    """Where this machine's calibration is kept, whether it is there or not."""
    chosen = Path(os.environ.get("XDG_CACHE_HOME", ""))
    folder = chosen if chosen.is_absolute() else Path.home() / ".cache"
    return folder / "pybench" / f"calibration-{identity()}.json"


def load() -> Calibration | None:
    """This machine's calibration; None when there is none that can be read."""
    try:
        record = json.loads(path().read_text(encoding="utf-8"))
        if record["schema"] != SCHEMA:
            return None
        names = {f.name for f in dataclasses.fields(Calibration)}
        return Calibration(**{key: value for key, value in record.items() if key in names})
    except (OSError, ValueError, TypeError, KeyError, RuntimeError):  # RuntimeError: no home
        return None


def save(found: Calibration) -> Path:
    """Keep it; returns where. Raises UsageError when it cannot be written."""
    file = path()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(f".{os.getpid()}.tmp")
        fresh.write_text(json.dumps(dataclasses.asdict(found), indent=1) + "\n", encoding="utf-8")
        fresh.replace(file)
    except OSError as exc:
        raise UsageError(f"calibrate: {file}: {exc.strerror} (XDG_CACHE_HOME chooses)") from exc
    return file
