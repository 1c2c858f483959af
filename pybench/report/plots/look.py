"""A row's style in matplotlib's words."""

from collections.abc import Mapping
from typing import Any

from pybench.report.style import RowStyle

Styles = Mapping[str, RowStyle]


def dash(style: RowStyle) -> Any:
    """The line style."""
    return (0, style.dash) if style.dash else "-"
