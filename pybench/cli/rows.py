"""`pybench --list`: every row, ours and installed, and why one of them cannot run here."""

from pybench import backends
from pybench.backends import plugins
from pybench.cli.common import OK


def run(arguments: list[str]) -> int:
    """Print the rows. arguments: none."""
    rows = [*backends.ROWS.values(), *plugins.installed()]
    width = max(len(row.name) for row in rows)
    for row in rows:
        reason = backends.unavailable(row)
        if row.source and (row.name in backends.ROWS or row.name in backends.ALIASES):
            reason = "pybench has a row of that name: the distribution must choose another"
        source = f" (plug-in of {row.source})" if row.source else ""
        note = "" if reason is None else f"\n{'':{width}}  unavailable: {reason}"
        print(f"{row.name:{width}}  {row.description}{source}{note}")
    aliases = ", ".join(f"{alias} = {name}" for alias, name in backends.ALIASES.items())
    print(f"\nAlso: all = every row, {aliases}")
    return OK
