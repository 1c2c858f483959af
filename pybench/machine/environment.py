"""What the numbers were measured on: read only, fast, and never a reason to fail.

Every value that cannot be read is left out.
"""

import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pybench
from pybench.backends import ROWS, distributions

LIBRARIES = tuple(dict.fromkeys(row.extra for row in ROWS.values() if row.extra))


def collect(*names: str) -> dict[str, Any]:
    """Machine, kernel, interpreter and libraries, by name. names: of those only, if any."""
    probes: dict[str, Callable[[], Any]] = {
        "pybench": lambda: pybench.__version__,
        "commit": _commit,
        "python": platform.python_version,
        "implementation": platform.python_implementation,
        "gil": lambda: not sysconfig.get_config_var("Py_GIL_DISABLED"),
        "gil_disabled_build": lambda: bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "compiler": platform.python_compiler,
        "libc": lambda: " ".join(platform.libc_ver()),
        "libraries": _libraries,
        "system": lambda: f"{platform.system()} {platform.machine()}",
        "kernel": platform.release,
        "cpu_model": _cpu_model,
        "cpus": os.cpu_count,
        "allowed_cpus": lambda: sorted(os.sched_getaffinity(0)),
        "governor": lambda: _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "turbo": _turbo,
        "frequency_mhz": _frequency_mhz,
        "clocksource": lambda: _read(
            "/sys/devices/system/clocksource/clocksource0/current_clocksource"
        ),
        "memory_mb": _memory_mb,
        "virtual_machine": lambda: "hypervisor" in _cpuinfo("flags").split(),
        "container": _container,
        "malloc_tunables": lambda: os.environ.get("GLIBC_TUNABLES"),
        "load_average": lambda: round(os.getloadavg()[0], 2),
    }
    found: dict[str, Any] = {}
    for name in names or probes:
        probe = probes[name]
        try:
            value = probe()
        except (OSError, ValueError, KeyError, IndexError, subprocess.SubprocessError):
            continue
        if value is not None and value != "":
            found[name] = value
    return found


def load_average() -> float | None:
    """Runnable processes over the last minute, or None when it cannot be read."""
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8", errors="replace").strip()


def _commit() -> str:
    """The commit that a GitHub job is for; else the one checked out where we were started."""
    if sha := os.environ.get("GITHUB_SHA"):
        return sha
    asked = ["git", "rev-parse", "--verify", "--quiet", "HEAD"]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=2)
    return done.stdout.strip()


def _turbo() -> bool:
    """Whether a CPU may run above its rated clock. Raises OSError where nothing tells."""
    cpus = "/sys/devices/system/cpu"
    try:
        return _read(f"{cpus}/intel_pstate/no_turbo") == "0"
    except OSError:
        return _read(f"{cpus}/cpufreq/boost") == "1"


def _frequency_mhz() -> list[int]:
    """The lowest and the highest clock that the governor may choose."""
    folder = "/sys/devices/system/cpu/cpu0/cpufreq"
    return [int(_read(f"{folder}/scaling_{edge}_freq")) // 1000 for edge in ("min", "max")]


def _cpuinfo(key: str) -> str:
    """The first value of key in /proc/cpuinfo, empty when there is none."""
    with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    return ""


def _cpu_model() -> str:
    return _cpuinfo("model name") or _cpuinfo("Model") or platform.processor()


def _memory_mb() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20


def _container() -> str | None:
    for path, name in (("/.dockerenv", "docker"), ("/run/.containerenv", "podman")):
        if Path(path).exists():
            return name
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "kubernetes"
    return os.environ.get("container")  # noqa: SIM112 - systemd writes it so


def _libraries() -> dict[str, str]:
    installed = distributions.find(LIBRARIES)
    return {name: installed[name].version for name in LIBRARIES if name in installed}


def describe(env: dict[str, Any]) -> str:
    """One line for people: interpreter, kernel, processor."""
    parts = (
        f"{env.get('implementation', 'Python')} {env.get('python', sys.version.split()[0])}",
        f"Linux {env['kernel']}" if "kernel" in env else "",
        f"{env.get('cpus', '?')} x {env['cpu_model']}" if "cpu_model" in env else "",
    )
    return ", ".join(part for part in parts if part)
