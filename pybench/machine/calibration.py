"""What `pybench calibrate` found out about a machine: kept per machine, read by every run.

A file of JSON in the user's cache folder, its name made of what the figures depend on. Nothing here
measures; `calibrate.py` does.
"""

import contextlib
import hashlib
import os
from pathlib import Path

from pybench.errors import ResultFormatError, UsageError
from pybench.machine import environment
from pybench.result.calibration import Calibration
from pybench.result.codec import read_document, write_document

__all__ = ["Calibration", "identity", "load", "path", "save"]


def identity() -> str:
    """A short word for this machine as it is: processor, number of CPUs, kernel, machine id."""
    names = ("cpu_model", "cpus", "allowed_cpus", "kernel")
    env = environment.collect(*names)
    parts = [str(env.get(name, "")) for name in names]
    for name in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        try:
            parts.append(Path(name).read_text(encoding="ascii").strip())
            break
        except (OSError, ValueError):
            continue
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def path() -> Path:
    """Where this machine's calibration is kept, whether it is there or not.

    Raises UsageError where nobody has a home.
    """
    folder = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not folder.is_absolute():
        try:
            folder = Path.home() / ".cache"
        except RuntimeError:
            raise UsageError(
                "calibrate: there is no home folder to keep it in (XDG_CACHE_HOME chooses one)"
            ) from None
    return folder / "pybench" / f"calibration-{identity()}.json"


def load() -> Calibration | None:
    """This machine's calibration; None when there is none that can be read."""
    try:
        return read_document(path(), Calibration)
    except (OSError, ResultFormatError, UsageError):  # UsageError: no home
        return None


def save(found: Calibration) -> Path:
    """Keep it; returns where. Raises UsageError when it cannot be written."""
    file = path()
    fresh = file.with_suffix(f".{os.getpid()}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_document(fresh, found)
        fresh.replace(file)
    except OSError as exc:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise UsageError(f"calibrate: {file}: {exc.strerror} (XDG_CACHE_HOME chooses)") from exc
    return file
