"""What is to be measured: rows and numbers into cells, cells into a campaign. Frozen, no I/O.

In: options as text, from the command line or a campaign file (`options`). Out: a `Campaign` of
`Cell`s; `sweep` says which rate comes next where rates are looked for.
"""

from pybench.spec.address import DEFAULT_PORT, HostPort
from pybench.spec.campaign import Campaign
from pybench.spec.cell import Cell, row_label
from pybench.spec.options import ENGINES, MAX_CONNS, OPTIONS, Option
from pybench.spec.parse import EnvSet, parse_env

__all__ = [
    "DEFAULT_PORT",
    "ENGINES",
    "MAX_CONNS",
    "OPTIONS",
    "Campaign",
    "Cell",
    "EnvSet",
    "HostPort",
    "Option",
    "parse_env",
    "row_label",
]
