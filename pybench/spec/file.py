"""Campaign files: TOML with the options as keys, a person's own or one that comes with pybench."""

import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from pybench.errors import UsageError
from pybench.spec.options import OPTIONS
from pybench.spec.race import RACES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def read_campaign_file(name: str, called: str = "--campaign") -> dict[str, Any]:
    """The options in a campaign file: a path, or the bare name of one that comes with pybench.

    called: the option, for messages.
    Raises UsageError when it cannot be read or has a key that is not an option.
    """
    from pybench.result.inputs import read_text  # its neighbours take a fifth of the time of --list

    path = Path(name)
    shipped = files("pybench") / "data" / "campaigns" / f"{name}.toml"
    try:
        if not path.exists() and "/" not in name and shipped.is_file():
            text = shipped.read_text(encoding="utf-8")
        else:
            text = read_text(path)
        if "\n" not in text:  # an editor has made lone CRs of the ends of lines
            text = text.replace("\r", "\n")
        values = tomllib.loads(text)
    except OSError as exc:
        raise UsageError(f"{called} {name}: {exc.strerror}{_shipped_hint(exc)}") from exc
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as exc:
        raise UsageError(f"{called} {name}: not TOML: {' '.join(str(exc).split())}") from exc
    unknown = sorted(values.keys() - OPTIONS.keys() - {RACES.name})
    if unknown:
        known = " ".join(sorted((*OPTIONS, RACES.name)))
        raise UsageError(f"{called} {name}: unknown key {unknown[0]!r}; known are {known}")
    return values


def _shipped_hint(exc: OSError) -> str:
    if not isinstance(exc, FileNotFoundError):
        return ""
    names = sorted(
        entry.name.removesuffix(".toml")
        for entry in (files("pybench") / "data" / "campaigns").iterdir()
        if entry.name.endswith(".toml")
    )
    return f"; campaigns that come with pybench: {' '.join(names)}"
