"""Numbers in files of the kernel; what is not there is None, and never an error."""

from pathlib import Path

SELF = Path("/proc/self/status")


def proc_missing() -> str | None:
    """What to do where /proc is not mounted; None where it is."""
    if SELF.exists():
        return None
    return "/proc is not mounted: workers read their memory there (mount -t proc proc /proc)"


def read_int(path: str) -> int | None:
    """The number in a file; None when there is no such file, or it says `max`."""
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return None


def read_words(path: str) -> list[str]:
    """The words of a file; none when it cannot be read."""
    try:
        return Path(path).read_text().split()
    except OSError:
        return []
