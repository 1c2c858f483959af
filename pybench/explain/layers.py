"""Whose CPU time a sample is: which part of the kernel, which library.

A sample in the kernel belongs to the subsystem of the frame nearest to where it was taken that
tells one: memory for a packet is TCP/IP, a thread put to sleep by recv() is waiting. A sample in
user space belongs to the library that holds the code, and in an interpreter that names its Python
functions for perf, to the package of the function that runs.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

KERNEL_DSO: Final = "[kernel]"

TCP: Final = "TCP/IP"
WAITING: Final = "waiting, waking"
MEMORY: Final = "memory"
KERNEL: Final = "other kernel"
KERNEL_LAYERS: Final = (TCP, WAITING, MEMORY, KERNEL)

INTERPRETER: Final = "interpreter"
ASYNCIO: Final = "asyncio"
STDLIB: Final = "standard library"
PYBENCH: Final = "pybench"
LIBC: Final = "libc"
OTHER: Final = "other"


@dataclass(frozen=True, slots=True)
class Frame:
    """One function in a stack. dso: path of the file that holds it, KERNEL_DSO in the kernel."""

    symbol: str
    dso: str

    @property
    def name(self) -> str:
        """How it is called in a picture: `selector_events.py: _write` for a Python function."""
        python = _PY_FRAME.match(self.symbol)
        if python is None:
            return self.symbol
        return f"{PurePosixPath(python['file']).name}: {python['name']}"

    @property
    def in_kernel(self) -> bool:
        """Whether it is code of the kernel."""
        return self.dso == KERNEL_DSO


Stack = tuple[Frame, ...]
"""Frames, the outermost first."""


# In this order for each frame; names are of Linux 5 and 6.
_KERNEL_RULES: Final = (
    (KERNEL, r"^(rcu_|run_timer|__run_timers|hrtimer_|tick_|update_process_times|sched_balance)"),
    (
        WAITING,
        r"^_*(ep_|do_epoll|epoll_|x64_sys_epoll|tcp_poll|sock_poll|do_sys_poll|do_poll|poll_|pollwake"
        r"|futex|do_futex|schedule|try_to_wake|ttwu|wake_|autoremove_wake|default_wake|select_task"
        r"|enqueue_task|dequeue_task|pick_|finish_task|do_select|core_sys_select|switch_)",
    ),
    (
        MEMORY,
        r"^_*(do_mmap|vm_mmap|ksys_mmap|do_mremap|do_sys_mremap|do_munmap|do_vmi_|vm_munmap|do_brk"
        r"|x64_sys_(mmap|munmap|mremap|brk|madvise|mprotect)|asm_exc_page|exc_page|handle_mm"
        r"|do_user_addr_fault|do_anonymous|unmap_|zap_|tlb_|mmap_region|free_pgtables|vma_|mas_|clear_page)",
    ),
    (
        TCP,
        r"^_*(tcp|ip|ip6|ipv4|ipv6|inet|inet6|sock|sk|skb|net|netif|napi|dev|validate_xmit|neigh|dst"
        r"|nf|qdisc|eth|loopback|process_backlog|lock_sock|release_sock|sys_(send|recv)\w*"
        r"|x64_sys_(send|recv)\w*|mptcp|bpf_skops)(_|$)|skb|softirq|^_*local_bh|^csum_|^sockfd_",
    ),
)
_RULES: Final = tuple((layer, re.compile(pattern)) for layer, pattern in _KERNEL_RULES)

_SITE: Final = re.compile(r"/(?:site|dist)-packages/([A-Za-z0-9_]+)")
_STANDARD: Final = re.compile(r"/lib/python3[\d.t]*/")
_PYTHON: Final = re.compile(r"^(lib)?python3?[\d.td]*(\.so[\d.]*)?$")
_SYSTEM: Final = re.compile(r"^(libc|libm|libpthread|ld-linux[\w-]*|libdl)[-.]")
_PY_FRAME: Final = re.compile(r"^py::(?P<name>[^:]*):(?P<file>.*)$")

# Code that a library carries inside its own file, by how its functions begin.
_INSIDE: Final = {"uvloop": (("uv_", "libuv"),), "gevent": (("ev_", "libev"),)}


def layer_of(stack: Stack) -> str:
    """The layer that the sample of this stack belongs to; the stack must not be empty."""
    leaf = stack[-1]
    if leaf.in_kernel:
        return _kernel_layer(stack)
    layer = library_of(leaf)
    if layer == INTERPRETER:
        python = (frame for frame in reversed(stack) if _PY_FRAME.match(frame.symbol))
        return next(map(library_of, python), layer)
    return layer


def frame_layer(frame: Frame, caller: str | None) -> str:
    """The layer that a function stands for in a picture; caller: its caller's layer, if any."""
    if not frame.in_kernel:
        return library_of(frame)
    return _rule(frame) or (caller if caller in KERNEL_LAYERS else None) or KERNEL


def _kernel_layer(stack: Stack) -> str:
    for frame in reversed(stack):
        if not frame.in_kernel:
            break
        layer = _rule(frame)
        if layer is not None:
            return layer
    return KERNEL


def _rule(frame: Frame) -> str | None:
    """The subsystem that a kernel function tells by its name, if it does."""
    return next((layer for layer, rule in _RULES if rule.search(frame.symbol)), None)


def library_of(frame: Frame) -> str:
    """The library that holds a function of user space, by a name that a reader knows."""
    python = _PY_FRAME.match(frame.symbol)
    path = python["file"] if python else frame.dso
    name = PurePosixPath(path).name
    site = _SITE.search(path)
    if site is not None and site[1] != PYBENCH:
        return _inside(site[1], frame.symbol)
    if "/pybench/" in path:
        return PYBENCH
    if "/asyncio/" in path or name.startswith("_asyncio."):
        return ASYNCIO
    if _STANDARD.search(path):
        return STDLIB
    if _PYTHON.match(name):
        return INTERPRETER
    if name == "[vdso]" or _SYSTEM.match(name):
        return LIBC
    return name.partition(".so")[0] if ".so" in name else OTHER


def _inside(package: str, symbol: str) -> str:
    for prefix, part in _INSIDE.get(package, ()):
        if symbol.lstrip("_").startswith(prefix):
            return part
    return package


def layer_order(layers: Sequence[str]) -> list[str]:
    """Each once: the kernel first, then user space from the interpreter outwards."""
    last = (STDLIB, ASYNCIO, PYBENCH)
    known = (*KERNEL_LAYERS, LIBC, INTERPRETER, *last)
    libraries = sorted(set(layers) - set(known) - {OTHER})
    return [layer for layer in (*known, *libraries, OTHER) if layer in layers]


_COLOURS: Final = {
    TCP: "#3f6fb5",
    WAITING: "#86b6e3",
    MEMORY: "#7d63ad",
    KERNEL: "#a9b4c0",
    LIBC: "#cbb8a0",
    INTERPRETER: "#f2b632",
    STDLIB: "#f7dc86",
    ASYNCIO: "#e0703a",
    PYBENCH: "#59636e",
    "uvloop": "#2a8f67",
    "libuv": "#8fd0ac",
    "gevent": "#17858f",
    "libev": "#93cfd6",
    "greenlet": "#c2418f",
    OTHER: "#dcdfe3",
}
_RESERVE: Final = ("#4fa3a5", "#b98cd9", "#9c8f3d", "#d98c9a", "#6f9c3f")


def layer_colours(layers: Sequence[str]) -> dict[str, str]:
    """A colour for each: blue is the kernel's network, grey and purple the rest of it."""
    unknown = [layer for layer in layer_order(layers) if layer not in _COLOURS]
    extra = {layer: _RESERVE[i % len(_RESERVE)] for i, layer in enumerate(unknown)}
    return {layer: _COLOURS.get(layer) or extra[layer] for layer in layer_order(layers)}
