"""Runs a command in a user-mode Linux guest, where nothing limits open files.

    python tests/bench/guest.py [--mem 10G] [--timeout 1800] [--kernel linux.uml] FOLDER COMMAND...

The guest (Debian: the package user-mode-linux) is a Linux of its own in one process, with one CPU
and its own limits, all of them raised. Its root is this machine's, read-only: the command, its
interpreter and its libraries are where they are here. Only FOLDER can be written to; what is
temporary stays in the guest's memory. Output and exit status are the command's; a guest that has
not ended in time is killed, and the status is 124, as of timeout(1).

It is slow: every system call of the guest is caught and done by another process. What works there
works; how fast it is there says nothing. Each page of a guest's process is a mapping of one here,
so that vm.max_map_count is raised while the guest runs; who may not do that is told. A kernel
before 6.12 maps them all anew for each thread that starts: thousands of threads need a newer one.
"""

import argparse
import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TextIO

KERNEL = "linux.uml"
TIMED_OUT, NO_GUEST = 124, 125  # as of timeout(1)
FILES = 1_048_576
MAPPINGS_FILE, MAPPINGS = Path("/proc/sys/vm/max_map_count"), 4_000_000  # pages of 4 KiB: 15 GiB
PASSED_ON = ("PATH", "LANG", "LC_ALL", "VIRTUAL_ENV")
PASSED_PREFIX = "PYBENCH_"
INIT = """\
#!/bin/bash
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/shm && mount -t tmpfs tmpfs /dev/shm
mount -t hostfs -o {folder} none {folder}
ip link set lo up
sysctl -qw kernel.printk=0 fs.nr_open={files} kernel.pid_max=4194304 kernel.threads-max=1000000 \\
    vm.max_map_count=1000000 net.core.somaxconn=65535 net.ipv4.tcp_max_syn_backlog=65535 \\
    "net.ipv4.ip_local_port_range=1024 65535"
ulimit -n {files} -u unlimited -l unlimited
stty -F /dev/tty1 raw -echo; stty -F /dev/tty2 raw -echo
export HOME=/dev/shm TMPDIR=/dev/shm PYTHONDONTWRITEBYTECODE=1
{environment}
cd {cwd}
{{ {{ {command}; echo $? >{folder}/status; }} 2>&3 | cat >/dev/tty1; }} 3>&1 | cat >/dev/tty2
sync
echo o >/proc/sysrq-trigger
sleep 60
"""


def script(folder: Path, command: Sequence[str]) -> str:
    """What the guest does, from its first process on."""
    environment = "\n".join(
        f"export {name}={shlex.quote(value)}"
        for name, value in os.environ.items()
        if name in PASSED_ON or name.startswith(PASSED_PREFIX)
    )
    return INIT.format(
        folder=shlex.quote(str(folder)),
        files=FILES,
        environment=environment,
        cwd=shlex.quote(str(Path.cwd())),
        command=shlex.join(command),
    )


def boot(folder: Path, memory: str, kernel: str) -> list[str]:
    """The guest's command line. Its consoles are stdout and stderr; the kernel has another."""
    return [
        kernel,
        f"mem={memory}",
        *("rootfstype=hostfs", "rootflags=/", "ro", f"init={folder}/init"),
        *(f"uml_dir={folder}/uml", "con=null", "con1=null,fd:1", "con2=null,fd:2"),
        *("quiet", "loglevel=0"),
    ]


@contextlib.contextmanager
def many_mappings() -> Iterator[None]:
    """A process of this machine may have as many mappings as one of the guest has pages."""
    before = MAPPINGS_FILE.read_text()
    if int(before) >= MAPPINGS:
        yield
        return
    try:
        MAPPINGS_FILE.write_text(str(MAPPINGS))
    except OSError as exc:
        remedy = f"sysctl -w vm.max_map_count={MAPPINGS}"
        print(
            f"guest.py: large processes will be killed: {exc.strerror}: {remedy}", file=sys.stderr
        )
        yield
        return
    try:
        yield
    finally:
        MAPPINGS_FILE.write_text(before)


def missing(kernel: str) -> str | None:
    """Why there can be no guest here, with the remedy; None when there can."""
    return None if shutil.which(kernel) else f"no {kernel} (Debian: apt install user-mode-linux)"


def version(kernel: str) -> tuple[int, int]:
    """Of a guest's kernel, which is there: (6, 12)."""
    said = subprocess.run([kernel, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor, *_ = said.strip().split(".")
    return int(major), int(minor)


def run(
    folder: Path,
    command: Sequence[str],
    *,
    memory: str,
    timeout_s: float,
    kernel: str = KERNEL,
    output: TextIO | None = None,
) -> int:
    """Exit status of the command. The folder exists, and holds the guest's script afterwards.

    output: for what the command prints, instead of standard output and error.
    """
    init, status = folder / "init", folder / "status"
    init.write_text(script(folder, command))
    init.chmod(0o755)
    status.unlink(missing_ok=True)
    with many_mappings():
        guest = subprocess.Popen(
            boot(folder, memory, kernel),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            guest.wait(timeout_s)
        except subprocess.TimeoutExpired:
            print(f"guest.py: not over after {timeout_s:g} s: killed", file=sys.stderr)
            return TIMED_OUT
        finally:
            end(guest)
            shutil.rmtree(folder / "uml", ignore_errors=True)
    try:
        return int(status.read_text())
    except (OSError, ValueError):
        print("guest.py: the guest ended before the command did", file=sys.stderr)
        return NO_GUEST


def end(guest: "subprocess.Popen[bytes]") -> None:
    """No process of the guest's is left; each of its processes is one here, of its group."""
    if guest.poll() is None:
        os.killpg(guest.pid, signal.SIGKILL)
        guest.wait()


def leave_on_sigterm() -> None:
    """Let a SIGTERM end the guest too, and put back what was changed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def main() -> int:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mem", default="10G", metavar="SIZE", help="memory of the guest")
    parser.add_argument("--timeout", type=float, default=1800.0, metavar="SECONDS")
    parser.add_argument("--kernel", default=KERNEL, metavar="PROGRAM", help="of the guest")
    parser.add_argument("folder", type=Path, help="the only one that can be written to")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    if not args.command:
        parser.error("no command")
    if (why := missing(args.kernel)) is not None:
        print(f"guest.py: {why}", file=sys.stderr)
        return NO_GUEST
    leave_on_sigterm()
    args.folder.mkdir(parents=True, exist_ok=True)
    folder = args.folder.resolve()
    return run(folder, args.command, memory=args.mem, timeout_s=args.timeout, kernel=args.kernel)


if __name__ == "__main__":
    sys.exit(main())
