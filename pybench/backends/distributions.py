"""Installed distributions by name, as importlib.metadata finds them.

It is asked only where the names of files do not say enough: to import it takes longer than to start
Python, and every driver and every worker would.
"""

import os
import re
import sys
from collections.abc import Collection
from importlib.machinery import PathFinder
from typing import NamedTuple


class Distribution(NamedTuple):
    """version: as it was released.  place: the folder that its packages are in."""

    version: str
    place: str


def find(names: Collection[str]) -> dict[str, Distribution]:
    """Those of the names that are installed, however they are spelled: `service_identity` too."""
    wanted = {_normal(name): name for name in names}
    found: dict[str, Distribution] = {}
    unclear = set(names if found_elsewhere() else ())
    for place in sys.path:
        try:
            files = os.listdir(place or ".")  # noqa: PTH208 - pathlib is not there yet
        except FileNotFoundError:
            continue
        except OSError:  # a zip file
            unclear.update(names)
            continue
        for file in files:
            stem, _, kind = file.rpartition(".")
            distribution, _, version = stem.partition("-")
            name = wanted.get(_normal(distribution))
            if name is not None and kind == "dist-info" and version:
                found.setdefault(name, Distribution(version, place))
            elif name is not None and kind in ("dist-info", "egg-info"):
                unclear.add(name)
            elif file == "EGG-INFO":
                unclear.update(names)
    for name in unclear:
        found.pop(name, None)
    return found | _asked(unclear)


def found_elsewhere() -> bool:
    """Whether distributions are looked for in other places than those of sys.path."""
    return any(
        finder is not PathFinder and hasattr(finder, "find_distributions")
        for finder in sys.meta_path
    )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _asked(names: Collection[str]) -> dict[str, Distribution]:
    """What importlib.metadata says."""
    if not names:
        return {}
    from importlib.metadata import PackageNotFoundError, distribution

    found = {}
    for name in names:
        try:
            one = distribution(name)
        except PackageNotFoundError:
            continue
        found[name] = Distribution(one.version, str(one.locate_file("")))
    return found
