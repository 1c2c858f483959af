"""Docstrings for the page of the API: what they say of each argument becomes a list.

The house writes `conns: connections.  msize: bytes.` in running text; a page wants a line each.
"""

import re
from typing import Any, Final

_NAMES: Final = r"[a-z_]\w*(?:, [a-z_]\w*)*"
_NEXT: Final = re.compile(rf"(?:\n| {{2,}})(?={_NAMES}: )")
_AFTER: Final = re.compile(
    r"\n(?=(?:Raises|Returns|Source:|None when) )| {2,}(?=(?:Raises|Returns) )"
)


def listed(docstring: str) -> str:
    """The docstring with its paragraphs of arguments as lists; others stay as they are."""
    return "\n\n".join(
        _list(part) if re.match(rf"{_NAMES}: ", part) else part for part in docstring.split("\n\n")
    )


def _list(paragraph: str) -> str:
    arguments, *after = _AFTER.split(paragraph)
    lines = []
    for piece in _NEXT.split(arguments):
        names, _, words = piece.partition(": ")
        named = ", ".join(f"`{name}`" for name in names.split(", "))
        lines.append(f"- {named}: {' '.join(words.split())}")
    return "\n\n".join(["\n".join(lines), *after])


try:
    from griffe import Extension
except ImportError:  # where only `listed` is wanted
    pass
else:

    class Listed(Extension):
        """Has every docstring listed."""

        def on_instance(self, *, obj: Any, **_: Any) -> None:
            if obj.docstring is not None:
                obj.docstring.value = listed(obj.docstring.value)
