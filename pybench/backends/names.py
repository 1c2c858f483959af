"""What rows are called in results, and how they stand together: older names, families, order.

Names only: nothing here knows whether a row can run.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from pybench.backends.plugins import LOOP_FAMILY, PLUGIN_FAMILY, PROGRAM_FAMILY, PROGRAM_PREFIX
from pybench.backends.registry import ALIASES, ROWS

OTHER: Final = "other"

FAMILY_ORDER: Final = (
    "asyncio",
    "uvloop",
    LOOP_FAMILY,
    "trio",
    "frameworks",
    "greenlets",
    "selectors",
    "threads",
    "C",
    PROGRAM_FAMILY,
    PLUGIN_FAMILY,
    OTHER,
)
"""Every family, in the order in which reports show them."""

# What families were called in older results files.
_FORMER: Final = {"gevent": "greenlets"}


def canonical(name: str) -> str:
    """The registry's name of a row that has an older one (`cpp_epoll` is `c_epoll`)."""
    base, bracket, variables = name.partition("[")
    return ALIASES.get(base, base) + bracket + variables


def base_row(name: str) -> str:
    """The registry's name of a row without the variables that it was run with: `asyncio[X=1]`."""
    return canonical(name).partition("[")[0]


def family(name: str, recorded: str = "") -> str:
    """The row's family, one of FAMILY_ORDER.

    recorded: what the results say, which knows plug-ins and rows of newer versions. Without it the
    registry decides, and for a row that is not in it how its name begins.
    """
    if recorded:
        current = _FORMER.get(recorded, recorded)
        return current if current in FAMILY_ORDER else OTHER
    base = base_row(name)
    if base in ROWS:
        registered = ROWS[base].family
        return registered if registered in FAMILY_ORDER else OTHER
    if base.startswith(PROGRAM_PREFIX):
        return PROGRAM_FAMILY
    if "@" in base:
        return LOOP_FAMILY
    if ":" in base:
        return PLUGIN_FAMILY
    for prefix in ("asyncio", "uvloop"):
        if base.startswith(prefix):
            return prefix
    return "C" if base.startswith(("c_", "cpp_")) else OTHER


def row_order(name: str) -> tuple[int, int, str]:
    """Sort key of rows: the registry's order, each followed by itself with variables; then the
    others by name."""
    known = list(ROWS)
    row = base_row(name)
    return (0, known.index(row), name) if row in ROWS else (1, 0, name)


def by_family(rows: Iterable[str], families: Mapping[str, str]) -> dict[str, list[str]]:
    """family -> its rows, families in their order and rows in the one given, none empty.

    families: row -> its family, of every row.
    """
    found: dict[str, list[str]] = {}
    for row in rows:
        found.setdefault(families[row], []).append(row)
    return {name: found[name] for name in FAMILY_ORDER if name in found}
