"""Network namespaces of the tests' own: two hosts on one machine, joined by a virtual cable."""

import contextlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

_serial = itertools.count()


@dataclass(frozen=True)
class Namespace:
    """One host: what runs with `prefix` before its command line runs there."""

    name: str
    address: str

    @property
    def prefix(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.name)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextlib.contextmanager
def star(count: int) -> Iterator[list[Namespace]]:
    """So many fresh namespaces, each joined to the first, which has one address for all of them.

    Gone on leaving; skips as `namespaces` does.
    """
    with namespaces(1) as (hub,), contextlib.ExitStack() as stack:
        spokes = [stack.enter_context(namespaces(1))[0] for _ in range(count - 1)]
        made = [hub]
        for i, spoke in enumerate(spokes, 2):
            far = Namespace(spoke.name, f"10.202.77.{i}")
            _ip("link", "add", f"hub{i}", "netns", hub.name, "type", "veth",
                "peer", "name", "veth0", "netns", spoke.name)  # fmt: skip
            for side, device, address, to in (
                (hub, f"hub{i}", hub.address, far.address),
                (spoke, "veth0", far.address, hub.address),
            ):
                _ip("-n", side.name, "addr", "add", f"{address}/32", "dev", device)
                _ip("-n", side.name, "link", "set", device, "up")
                _ip("-n", side.name, "route", "add", to, "dev", device, "src", address)
            made.append(far)
        yield made


@contextlib.contextmanager
def namespaces(count: int) -> Iterator[list[Namespace]]:
    """One or two fresh namespaces, joined by a veth pair when there are two; gone on leaving.

    Skips the test where they cannot be made: not root, or no `ip` or `sysctl`.
    """
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("sysctl"):
        pytest.skip("network namespaces need root, ip (iproute2) and sysctl (procps)")
    made: list[Namespace] = []
    try:
        for i in range(count):
            name = f"pybench-test-{os.getpid()}-{next(_serial)}"
            try:
                _ip("netns", "add", name)
            except subprocess.CalledProcessError as exc:
                pytest.skip(f"no network namespaces here: {exc.stderr.strip()}")
            made.append(Namespace(name, f"10.202.77.{i + 1}"))
            _ip("-n", name, "link", "set", "lo", "up")
        if count == 2:
            a, b = made
            _ip("link", "add", "veth0", "netns", a.name, "type", "veth",
                "peer", "name", "veth0", "netns", b.name)  # fmt: skip
            for side in made:
                _ip("-n", side.name, "addr", "add", f"{side.address}/24", "dev", "veth0")
                _ip("-n", side.name, "link", "set", "veth0", "up")
        yield made
    finally:
        for namespace in made:
            subprocess.run(["ip", "netns", "del", namespace.name], check=False)
