"""What sets a setting apart from the usual one, by name: for names that are to stay the same
whatever else stands in a file."""

from dataclasses import fields
from typing import Any, Final

from pybench.analysis.model import LOCAL, Setting

_USUAL: Final = {"server": (LOCAL,), "engine": ("", "epoll")}
"""Where that is not the default of the field."""
_LEFT_OUT: Final = frozenset(
    {"msize", "conns", "options", "machine", "runtime_s", "warmup_s", "threads", "busy_poll_us"}
)
"""Always named, named elsewhere, or no other measurement for being different."""


def unusual(setting: Setting) -> dict[str, str]:
    """Key -> value as text of all that was asked for and is not the usual: `think_us` -> `0:1000`.

    A field that a setting is given later is one of them by itself.
    """
    found = {
        field.name: value_text(getattr(setting, field.name))
        for field in fields(setting)
        if field.name not in _LEFT_OUT
        and getattr(setting, field.name) not in _USUAL.get(field.name, (field.default,))
    }
    return found | {key: value_text(value) for key, value in setting.options}


def value_text(value: Any) -> str:
    """A value of a setting in a name: `2`, `0:1000`."""
    if isinstance(value, tuple):
        return ":".join(map(value_text, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
