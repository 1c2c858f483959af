"""Which machine this is, and that only one measurement at a time runs on it.

Two containers, or two workers of a cluster, may share a machine: what matters is whose CPUs they
are. PYBENCH_MACHINE names it where its own files do not tell.
"""

import fcntl
import hashlib
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from pybench.result import Machine

NAME_VARIABLE: Final = "PYBENCH_MACHINE"
LOCK_FOLDER: Final = Path("/tmp")  # of all users, whatever their TMPDIR
_POLL_S: Final = 0.05
_ID_FILES: Final = (
    "/etc/machine-id",
    "/var/lib/dbus/machine-id",
    "/proc/sys/kernel/random/boot_id",
)


def this_machine(env: Mapping[str, Any]) -> Machine:
    """This machine. env: as `environment.collect` finds it."""
    kind = [str(env.get("cpu_model") or "unknown processor")]
    if cpus := len(env.get("allowed_cpus", ())):
        kind.append(f"{cpus} CPUs")
    if kernel := env.get("kernel"):
        kind.append(f"Linux {kernel}")
    given = os.environ.get(NAME_VARIABLE, "")
    return Machine(id=machine_id(), name=given or platform.node(), kind=", ".join(kind))


def machine_id() -> str:
    """A short word for this machine: of its name in PYBENCH_MACHINE, else of its machine-id(5),
    which is not to be told to others as it is; without one, of this boot of its kernel."""
    return hashlib.sha256(f"pybench {_secret()}".encode()).hexdigest()[:12]


def _secret() -> str:
    if given := os.environ.get(NAME_VARIABLE, ""):
        return given
    for name in _ID_FILES:
        try:
            found = Path(name).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
        if found:
            return found
    return platform.node()


@contextmanager
def measuring_alone(
    check: Callable[[], object] = lambda: None, folder: Path = LOCK_FOLDER
) -> Iterator[None]:
    """While entered no other process of this machine is in here; waits for its turn.

    check: called while it waits; what it raises ends the waiting.  The lock is the kernel's, so
    that it goes with its holder, however that ends. Raises OSError when there can be none.
    """
    fd = _lock_file(folder / f"pybench-{machine_id()}.lock")
    try:
        while not _locked(fd):
            check()
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(fd)


def _lock_file(path: Path) -> int:
    """Any user's file does: a lock needs no right to write. In a folder that all may write to, the
    kernel lets nobody create over a stranger's file (fs.protected_regular), so it is opened first.
    """
    while True:
        try:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            with suppress(FileExistsError):  # somebody else was as quick
                fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
                os.fchmod(fd, 0o644)  # whatever the umask
                return fd


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
