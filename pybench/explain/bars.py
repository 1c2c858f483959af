"""The stacked bars: one per cell, its worker's CPU time by layer. Drawn by matplotlib on white."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from matplotlib import rc_context
from matplotlib.figure import Figure

from pybench.explain.layers import KERNEL_LAYERS, layer_colours, layer_order
from pybench.units import printable

_SMALLEST_LABEL: Final = 0.045  # share of the bar in which a number still fits
_INK, _MUTED = "#1f2328", "#59636e"


@dataclass(frozen=True, slots=True)
class Bar:
    """name: of the cell.  layers: share of its time by layer.  cpu_us: per ping, as observed."""

    name: str
    layers: Mapping[str, float]
    cpu_us: float


def write_bars(bars: Sequence[Bar], folder: Path) -> list[Path]:
    """Write `cpu.svg` and `cpu.png` into the folder; the paths written. bars: at least one."""
    layers = layer_order([layer for bar in bars for layer in bar.layers])
    colours = layer_colours(layers)
    height = 1.5 + 0.36 * len(bars)
    look: dict[str, object] = {"font.family": "DejaVu Sans", "font.size": 9}
    # a name may have dollars
    look |= {"svg.hashsalt": "pybench", "text.parse_math": False}
    with rc_context(cast(Any, look)):
        figure = Figure(figsize=(11, height), layout="constrained")
        axis = figure.add_subplot()
        for place, bar in enumerate(bars):
            start = 0.0
            for layer in layers:
                share = bar.layers.get(layer, 0.0)
                axis.barh(place, share, left=start, color=colours[layer], height=0.72, label=layer)
                if share >= _SMALLEST_LABEL:
                    ink = "#ffffff" if _dark(colours[layer]) else _INK
                    middle = start + share / 2
                    axis.text(middle, place, f"{share:.0%}", ha="center", va="center", color=ink)
                start += share
            kernel = sum(bar.layers.get(layer, 0.0) for layer in KERNEL_LAYERS)
            axis.plot([kernel, kernel], [place - 0.44, place + 0.44], color=_INK, linewidth=1.4)
            axis.text(1.01, place, f"{bar.cpu_us:.1f} us", va="center", color=_MUTED)
        axis.set_yticks(range(len(bars)), [printable(bar.name) for bar in bars])
        axis.invert_yaxis()
        axis.set_xlim(0, 1)
        axis.set_xticks([i / 5 for i in range(6)], [f"{20 * i}%" for i in range(6)])
        axis.tick_params(length=0, colors=_MUTED)
        axis.tick_params(axis="y", colors=_INK)
        axis.set_title(
            "The worker's CPU time by layer. Kernel left of the mark; at the right, CPU per ping"
            " while observed",
            loc="left",
            color=_INK,
            fontsize=10,
        )
        for side in axis.spines.values():
            side.set_visible(False)
        handles, names = axis.get_legend_handles_labels()
        unique = dict(zip(names, handles, strict=True))
        figure.legend(
            [unique[layer] for layer in layers],
            layers,
            loc="outside lower left",
            ncols=7,
            frameon=False,
        )
        return _save(figure, folder)


def _save(figure: Figure, folder: Path) -> list[Path]:
    paths = [folder / f"cpu.{suffix}" for suffix in ("svg", "png")]
    for path in paths:
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, dpi=150, facecolor="#ffffff", metadata=metadata)
    return paths


def _dark(colour: str) -> bool:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue <= 140
