"""Where the time goes: `--explain`. Rounds of their own under observation, so that none that is
measured is disturbed.

    run.py -> for each cell: syscalls.py (perf stat or strace), stacks.py (perf record)
                  `- observe.py: one round with an observer; tools.py: the observers
               layers.py: whose time a sample is -> flame.py, bars.py; explanation.py: the JSON file

The library's function has the name of this folder, so the folder can be called:
`pybench.explain("selector", conns=100)`; see `pybench/api/explaining.py`.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

from pybench.explain.explanation import Explained, Explanation, read_explanation
from pybench.explain.run import explain

__all__ = ["Explained", "Explanation", "explain", "read_explanation"]


class _Callable(ModuleType):
    """A module that is also the function of its name."""

    def __call__(self, *rows: Any, **options: Any) -> Any:
        return import_module("pybench.api").explain(*rows, **options)


sys.modules[__name__].__class__ = _Callable
