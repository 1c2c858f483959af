"""Colours of what is not a row, and a row's style in matplotlib's words."""

from collections.abc import Mapping
from typing import Any, Final

from pybench.report.style import RowStyle, mixed

INK: Final = "#1f2328"
MUTED: Final = "#59636e"
RULE: Final = "#d8dee4"

Styles = Mapping[str, RowStyle]


def dash(style: RowStyle) -> Any:
    """The line style."""
    return (0, style.dash) if style.dash else "-"


def paler(colour: str, share: float = 0.6) -> str:
    """The `#rrggbb` colour mixed with that share of white."""
    return mixed(colour, "#ffffff", share)
