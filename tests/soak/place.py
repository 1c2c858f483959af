"""Where a session runs, and what it has left there: processes, sockets, files."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support import SUPPORT, processes

MARK = "PYBENCH_SOAK"
GONE_S = 5.0  # how long what was told to end may take on a busy machine
SMALL_DISK_BYTES = 8 * 1024  # two rounds and a half


@dataclass(frozen=True)
class Host:
    """One of two hosts, or this machine itself. prefix: runs what follows there."""

    name: str = ""
    address: str = "127.0.0.1"
    prefix: tuple[str, ...] = ()

    def listening(self) -> list[str]:
        """Ports that are listened on there, in the kernel's words; of this machine none."""
        if not self.name:
            return []
        tables = ("/proc/net/tcp", "/proc/net/tcp6")
        shown = subprocess.run([*self.prefix, "cat", *tables], capture_output=True, text=True)
        words = [line.split() for line in shown.stdout.splitlines()]
        return [word[1] for word in words if len(word) > 3 and word[3] == "0A"]


@dataclass
class Place:
    """A folder of its own, and a mark that all processes of the session carry on."""

    host: Host
    mark: str
    folder: Path
    small_disk: bool = False
    _kept: set[str] = field(default_factory=set)

    @property
    def output(self) -> Path:
        """The results file."""
        return self.folder / "work" / "results.jsonl"

    @property
    def work(self) -> Path:
        """The current folder of the session, on a small disk where that is asked for."""
        return self.folder / "work"

    def environment(self, **extra: str) -> dict[str, str]:
        """Backends of the tests importable; temporary files and a home of the session's own."""
        path = os.pathsep.join(filter(None, [str(SUPPORT), os.environ.get("PYTHONPATH", "")]))
        return {
            **os.environ,
            "PYTHONPATH": path,
            "NO_COLOR": "1",
            "TMPDIR": str(self.folder / "tmp"),
            "HOME": str(self.folder / "home"),
            "XDG_CACHE_HOME": str(self.folder / "home"),
            MARK: self.mark,
            **extra,
        }

    def processes(self) -> dict[int, str]:
        """Those with our mark that run: id and command line."""
        wanted = f"{MARK}={self.mark}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    words = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
                    found[int(entry.name)] = words.decode(errors="replace")[-200:]
        return {pid: words for pid, words in found.items() if processes.alive(pid)}

    def leftovers(self) -> list[str]:
        """What is still there when it should not be; processes are ended with that."""
        deadline = time.monotonic() + GONE_S
        while (running := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.02)
        found = [f"process {pid} runs: {words}" for pid, words in running.items()]
        self.end()
        # the kernel takes a ring apart, and what it accepted on, behind the end of its process
        while (ports := self.host.listening()) and time.monotonic() < deadline:
            time.sleep(0.02)
        found += [f"{self.host.name} listens at {port}" for port in ports]
        for name in ("tmp", "home"):
            found += [f"left in {name}: {path.name}" for path in (self.folder / name).iterdir()]
        found += [
            f"left beside the results: {path.name}"
            for path in self.work.iterdir()
            if path != self.output
        ]
        return found

    def end(self) -> None:
        """Kill what runs."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def place(host: Host, mark: str, *, small_disk: bool = False) -> Iterator[Place]:
    """A fresh place; gone on leaving, with all that runs there.

    small_disk: results go to a disk of 8 KiB, where root may mount one.
    """
    folder = Path(tempfile.mkdtemp(prefix="pybench-soak-"))
    made = Place(host, mark, folder)
    for name in ("tmp", "home", "work"):
        (folder / name).mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_BYTES}", "soak", str(made.work)]
    made.small_disk = small_disk and os.geteuid() == 0
    made.small_disk = made.small_disk and not subprocess.run(mount, capture_output=True).returncode
    try:
        yield made
    finally:
        made.end()
        if made.small_disk:
            subprocess.run(["umount", "-l", str(made.work)], check=False)
        shutil.rmtree(folder, ignore_errors=True)
