"""The ways of serving connections: what there is (`registry`), what is owed (`contract`), and each
way in a file of its own (`rows/`).

In: the text that names a row, here or under another interpreter. Out: a `Row`, and in the worker
its callable. Nothing of a row's library is imported before `load`.
"""

from pybench.backends.contract import Serve
from pybench.backends.loading import load, unavailable
from pybench.backends.registry import ALIASES, ROWS, find
from pybench.backends.row import Row

__all__ = ["ALIASES", "ROWS", "Row", "Serve", "find", "load", "unavailable"]
