"""A flame graph as one SVG file: no script, no font and no network needed to look at it.

Width is share of samples, the outermost function is at the bottom, colour is the layer, the tooltip
has the whole name. Functions side by side are ordered by name, not by time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final
from xml.sax.saxutils import escape

from pybench.explain.layers import Frame, Stack, frame_layer, layer_colours

WIDTH: Final = 1200.0
LINE: Final = 17.0
MARGIN: Final = 12.0
LETTER: Final = 6.65  # width of one, at the font size below
SMALLEST: Final = 0.0007  # share of the samples below which a box is left out
HEAD: Final = 84.0


@dataclass(slots=True)
class _Node:
    """A function as called along one path. count: samples in it and in what it calls."""

    count: int = 0
    children: dict[Frame, "_Node"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Box:
    """A function as it is drawn. start, count: in samples.  depth: 0 for the outermost."""

    frame: Frame
    layer: str
    start: int
    count: int
    depth: int


def flame_graph(stacks: Mapping[Stack, int], title: str, subtitle: str = "") -> str:
    """The SVG text. stacks: samples of each stack; there must be at least one."""
    root = _tree(stacks)
    boxes = [box for box in _boxes(root) if box.count >= SMALLEST * root.count]
    depth = 1 + max(box.depth for box in boxes)
    height = HEAD + depth * LINE + MARGIN
    colours = layer_colours([box.layer for box in boxes])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {height:g}" '
        f'width="{WIDTH:g}" height="{height:g}" font-size="11" '
        'font-family="ui-monospace, DejaVu Sans Mono, monospace">',
        f"<title>{escape(title)}</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        _text(MARGIN, 24, title, 'font-size="16" font-weight="bold" font-family="sans-serif"'),
        _text(MARGIN, 44, subtitle, 'fill="#59636e" font-family="sans-serif"'),
        *_legend(colours),
    ]
    parts += [_draw(box, root.count, height, colours[box.layer]) for box in boxes]
    return "\n".join([*parts, "</svg>", ""])


def _tree(stacks: Mapping[Stack, int]) -> _Node:
    root = _Node()
    for stack, count in stacks.items():
        node = root
        node.count += count
        for frame in stack:
            node = node.children.setdefault(frame, _Node())
            node.count += count
    return root


def _boxes(root: _Node) -> Iterator[_Box]:
    """All functions but the root, callers before what they call."""
    waiting: list[tuple[_Node, int, int, str | None]] = [(root, 0, 0, None)]
    while waiting:
        node, start, depth, caller = waiting.pop()
        for frame, child in sorted(node.children.items(), key=lambda i: (i[0].symbol, i[0].dso)):
            layer = frame_layer(frame, caller)
            yield _Box(frame, layer, start, child.count, depth)
            waiting.append((child, start, depth + 1, layer))
            start += child.count


def _draw(box: _Box, samples: int, height: float, colour: str) -> str:
    scale = (WIDTH - 2 * MARGIN) / samples
    x, width = MARGIN + box.start * scale, box.count * scale
    y = height - MARGIN - (box.depth + 1) * LINE
    share = 100 * box.count / samples
    where = box.frame.dso.rpartition("/")[2]
    title = f"{box.frame.symbol} ({where}), {box.layer}: {share:.2f}%, {box.count} samples"
    letters = int((width - 6) / LETTER)
    label = ""
    if letters >= 3:
        name = box.frame.name
        shown = name if len(name) <= letters else f"{name[: letters - 1]}\u2026"
        label = _text(x + 3, y + 12, shown, f'fill="{_ink(colour)}"')
    return (
        f"<g><title>{escape(title)}</title>"
        f'<rect x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{LINE - 1:g}" '
        f'fill="{colour}" stroke="#ffffff" stroke-width="0.4"/>{label}</g>'
    )


def _legend(colours: Mapping[str, str]) -> list[str]:
    parts = []
    x = MARGIN
    for layer, colour in colours.items():
        parts.append(f'<rect x="{x:.1f}" y="56" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(x + 17, 66, layer))
        x += 17 + LETTER * len(layer) + 18
    return parts


def _text(x: float, y: float, text: str, attributes: str = 'fill="#1f2328"') -> str:
    return f'<text x="{x:.2f}" y="{y:.2f}" {attributes}>{escape(text)}</text>'


def _ink(colour: str) -> str:
    """Black or white, whichever is read better on the colour (`#rrggbb`)."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#111111" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "#ffffff"
