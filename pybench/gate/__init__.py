"""Performance as a test: the pytest plugin, ratios and the demands on them, baselines.

In: rows and options from a test. Out: a `Ratio`, and a verdict of three. Loaded in every pytest
session where pybench is installed, so nothing is imported here before it is asked for.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pybench.gate.ratio import Ratio

__all__ = ["Ratio"]


def __getattr__(name: str) -> Any:
    if name == "Ratio":
        from pybench.gate.ratio import Ratio

        return Ratio
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
