"""One look for a row everywhere: its colour, its family's line, its marker, its place in the order.

Hue follows the family, lightness and marker the row, so that a reader who confuses two hues still
has line style, marker and the label at the line's end. Rows that are not known here get a colour
from a reserve by a hash of their name: the same in every report unless two of one report collide.
"""

import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pybench.backends.names import OTHER, canonical, family, row_order
from pybench.backends.plugins import PLUGIN_FAMILY, PROGRAM_FAMILY

MANY: Final = 12
"""How many rows one chart can show; reports of more show them by family."""

# Lengths of strokes and gaps, in line widths; empty is a solid line.
_DASHES: Final[dict[str, tuple[float, ...]]] = {
    "asyncio": (3.2, 1.6),
    "uvloop": (7.0, 1.8),
    "other loops": (5.0, 1.2, 2.0, 1.2),
    "trio": (1.8, 1.0, 4.5, 1.0),
    "frameworks": (3.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    "greenlets": (4.5, 1.5, 1.0, 1.5),
    "selectors": (7.0, 1.5, 1.0, 1.5, 1.0, 1.5),
    "threads": (1.2, 1.4),
    "C": (),
    PROGRAM_FAMILY: (9.0, 2.5),
    PLUGIN_FAMILY: (2.0, 2.4),
    OTHER: (2.0, 1.0, 1.0, 1.0),
}

# (on white, on near-black), both at 3:1 or more against their ground.
_COLOURS: Final[dict[str, tuple[str, str]]] = {
    "asyncio": ("#a8201a", "#ff7b72"),
    "asyncio_proto": ("#e8590c", "#ffa05c"),
    "asyncio_sock": ("#c08000", "#f2cc60"),
    "asyncio_buffered": ("#7a2e0a", "#ffc9ad"),
    "asyncio_eager": ("#c2405c", "#f08ca0"),
    "uvloop": ("#0b3d91", "#5b93f5"),
    "uvloop_proto": ("#1f78d1", "#45bdf7"),
    "uvloop_sock": ("#4698d8", "#a6d8ff"),
    "uvloop_buffered": ("#4a55b8", "#93a5ff"),
    "rloop": ("#005f6b", "#2fa9ba"),
    "rloop_proto": ("#008ba0", "#54d2e6"),
    "rloop_sock": ("#2a9db0", "#a4e9f2"),
    "aiofastnet": ("#17594f", "#3aad98"),
    "aiofastnet_proto": ("#24897a", "#68d8c1"),
    "aiofastnet_buffered": ("#469c8c", "#b0efe0"),
    "aiofastnet_uvloop": ("#1f5c54", "#53c6b6"),
    "aiofastnet_uvloop_proto": ("#287773", "#81d5d1"),
    "aiofastnet_uvloop_buffered": ("#308e91", "#afe2e4"),
    "loopmini": ("#0c5b6e", "#30c3e8"),
    "loopmini_proto": ("#106a8e", "#68c8ee"),
    "loopmini_sock": ("#1376ae", "#9fd5f4"),
    "blazio": ("#224259", "#5995c0"),
    "blazio_proto": ("#2b4f73", "#85abd1"),
    "blazio_sock": ("#355a8d", "#b1c5e2"),
    "talyn": ("#0f6b4c", "#36e2a9"),
    "talyn_proto": ("#148a6d", "#6ceaca"),
    "talyn_sock": ("#169c86", "#a1f2e4"),
    "zuvloop": ("#037377", "#1ff2f9"),
    "zuvloop_proto": ("#04899a", "#5be8fb"),
    "zuvloop_sock": ("#0598bd", "#97e8fc"),
    "rsloop": ("#283853", "#6483b4"),
    "rsloop_proto": ("#33446b", "#8d9fc8"),
    "rsloop_sock": ("#3f4e83", "#b7bfdc"),
    "trio": ("#5a7d00", "#b3d943"),
    "anyio": ("#7f9400", "#d6ea84"),
    "anyio_uvloop": ("#687515", "#c6d65c"),
    "anyio_trio": ("#466812", "#b7de7c"),
    "curio": ("#3d5510", "#85ab3c"),
    "twisted": ("#8c6a12", "#dcb84a"),
    "tornado": ("#64512a", "#b59a62"),
    "gevent": ("#00845a", "#3ddc97"),
    "eventlet": ("#2c9c4a", "#92f0a6"),
    "selector": ("#c2418f", "#ee6fb4"),
    "raw_selector": ("#d772b4", "#ffa6da"),
    "thread": ("#6b3fa0", "#b98cff"),
    "socketserver": ("#9a67dc", "#d8bfff"),
    "c_epoll": ("#1f2328", "#f0f3f6"),
    "c_poll": ("#59636e", "#b4bec9"),
    "c_th": ("#86909a", "#8b95a1"),
    "c_uring": ("#3d4f5c", "#d3dde6"),
}

_RESERVE: Final = (
    ("#00758a", "#4fd1e5"),
    ("#8a6d00", "#d9b93b"),
    ("#5c7c1a", "#a6cf5a"),
    ("#b0005a", "#ff79b4"),
    ("#5b5bd6", "#a5a5ff"),
    ("#9c4a00", "#e39a5b"),
    ("#2f6f5e", "#7fcbb4"),
    ("#7d3a7a", "#d79bd4"),
    ("#3b6ea5", "#8fc1f0"),
    ("#a33b3b", "#f09a9a"),
    ("#4d6b00", "#c3d94e"),
    ("#00697a", "#63c7d8"),
)

_TONES: Final = 3

# Names in matplotlib and in Plotly.
_MARKERS: Final = (
    ("o", "circle"),
    ("s", "square"),
    ("^", "triangle-up"),
    ("D", "diamond"),
    ("v", "triangle-down"),
    ("P", "cross"),
    ("X", "x"),
)


@dataclass(frozen=True, slots=True)
class RowStyle:
    """How a row is drawn. dash: strokes and gaps in line widths, empty for a solid line."""

    family: str
    light: str
    dark: str
    dash: tuple[float, ...]
    marker: str
    plotly_marker: str


def row_styles(
    names: Iterable[str], families: Mapping[str, str] | None = None
) -> dict[str, RowStyle]:
    """The style of each row; two share a colour only when the reserve is used up.

    families: row -> its family where the results say so.
    """
    ordered = sorted(set(names), key=row_order)
    taken: set[int] = set()
    in_family: dict[str, int] = {}
    styles = {}
    for name in ordered:
        group = (families or {}).get(name) or family(name)
        place = in_family.get(group, 0)
        in_family[group] = place + 1
        light, dark = _COLOURS.get(canonical(name)) or _reserve_colour(name, taken)
        marker, plotly_marker = _MARKERS[place % len(_MARKERS)]
        styles[name] = RowStyle(group, light, dark, _DASHES[group], marker, plotly_marker)
    return styles


def _reserve_colour(name: str, taken: set[int]) -> tuple[str, str]:
    """The colour that the name hashes to, or the next free one; marks it as taken.

    After the reserve come its colours again in deeper tones, which keeps them off their ground.
    """
    size = len(_RESERVE)
    first = zlib.crc32(name.encode(errors="surrogatepass")) % size
    free = (
        tone * size + (first + step) % size
        for tone in range(_TONES)
        for step in range(size)
        if tone * size + (first + step) % size not in taken
    )
    slot = next(free, first)
    taken.add(slot)
    light, dark = _RESERVE[slot % size]
    share = slot // size * 0.3
    return mixed(light, "#000000", share), mixed(dark, "#ffffff", share)


def mixed(colour: str, other: str, share: float) -> str:
    """The `#rrggbb` colour with that share of another in it."""
    parts = ((int(colour[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in parts)
