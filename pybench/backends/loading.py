"""From a row to its callable: what is missing here, and importing what is there."""

import importlib
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, cast

from pybench.backends import plugins
from pybench.backends.contract import Serve
from pybench.backends.row import Row
from pybench.errors import UsageError


def unavailable(row: Row, transport: str = "tcp") -> str | None:
    """Why a row cannot run here, over that transport, and what adds it; None when it can."""
    reason = row.cannot(transport) or _missing(row)
    needs = row.tls_needs if transport == "tls" and reason is None else None
    if needs is not None and find_spec(needs) is None:
        return f"{needs}, which its TLS needs, is not here ({row.tls_remedy})"
    return reason


def _missing(row: Row) -> str | None:
    if sys.version_info < (3, row.since_minor):
        return f"needs Python 3.{row.since_minor} or later"
    if row.until_minor is not None and sys.version_info[:2] > (3, row.until_minor):
        return f"{row.requires} does not work on Python 3.{row.until_minor + 1} or later"
    if row.requires is not None and not _has_library(row, row.requires):
        return _how_to_add(row)
    if row.runs_on is not None and not _has_library(row, row.runs_on):
        return f"{row.runs_on}: not installed (pip install {row.runs_on})"
    if row.command is not None:
        return _program_missing(row.command)
    path, module = _place(row.target)
    if path is not None:
        return None if path.is_file() else f"{path}: no such file"
    if not _is_importable(row, module.partition(".")[0]):
        return f"{module}: no module of that name here (looked in {_here()} and sys.path)"
    return None


def _has_library(row: Row, name: str) -> bool:
    """Whether what the row requires is there; a folder without code that has its name is not it."""
    spec = find_spec(name)
    if spec is not None and spec.origin is not None:
        return True
    return bool(row.spec) and _is_importable(row, name)


def _is_importable(row: Row, module: str) -> bool:
    """Whether the module is there; only what is above it in its package is imported.

    What somebody has named may be in the current folder, which is not on the path.
    """
    if find_spec(module) is not None:
        return True
    return bool(row.spec) and "." not in module and _in_folder(module) is not None


def _in_folder(module: str) -> ModuleSpec | None:
    return PathFinder.find_spec(module, [_here()])


def _here() -> str:
    """The current folder, or what it is called where it has been removed."""
    try:
        return str(Path.cwd())
    except OSError:
        return "a folder that has been removed"


def _how_to_add(row: Row) -> str:
    if row.extra is not None:
        return f"{row.requires}: not installed (pip install {row.extra}{_glibc_missing(row)})"
    if not str(row.requires).startswith("pybench."):
        return f"{row.requires}: not installed"
    return (
        f"{row.requires}: extension not built for this Python "
        f"(pip install . in the source tree builds it; that needs {row.built_with})"
    )


def _glibc_missing(row: Row) -> str:
    """What pip will not say: that it finds no wheel for the C library that is here."""
    if row.glibc_minor is None:
        return ""
    name, _, version = _c_library().partition(" ")
    if name == "glibc" and int(version.split(".")[1]) >= row.glibc_minor:
        return ""
    here = f"glibc {version}" if name == "glibc" else "another C library"
    return f"; its wheels need glibc 2.{row.glibc_minor} or later, here is {here}"


def _c_library() -> str:
    """`glibc 2.36`; empty when it is another, which does not know that name."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        return ""


def _program_missing(command: str) -> str | None:
    import shutil

    name = plugins.program_words(command, dict.fromkeys(("port", "host", "conns", "msize"), ""))[0]
    if shutil.which(name) is not None:
        return None
    return f"{name}: " + ("not executable" if os.path.exists(name) else "no such program")  # noqa: PTH110


def load(row: Row) -> Serve:
    """Import a row's library and return its callable.

    Raises UsageError with the reason when the row is unavailable, our library for it does not
    import, or its module has no such callable; whatever a plug-in's own code raises.
    """
    reason = unavailable(row)
    if reason is not None:
        raise UsageError(reason)
    if row.spec:
        _look_in_folder(row)
    try:
        serve = _find_callable(row.target)
        if row.loop is not None:
            serve = partial(serve, loop_factory=_find_callable(row.loop))
    except ImportError as error:
        if row.spec or row.source:
            raise
        raise UsageError(f"{row.name}: cannot be imported: {error}") from error
    return cast(Serve, serve)


def _place(target: str) -> tuple[Path | None, str]:
    """The file of a target, or None and its module."""
    where = target.rpartition(":")[0]
    return (Path(where), "") if where.endswith(".py") else (None, where)


def _find_callable(target: str) -> Callable[..., Any]:
    path, name = _place(target)
    module = importlib.import_module(name) if path is None else _import_file(path)
    found: Any = module
    for attribute in target.rpartition(":")[2].split("."):
        if not hasattr(found, attribute):
            raise UsageError(f"{path or name} has no {attribute!r}")
        found = getattr(found, attribute)
    if not callable(found):
        raise UsageError(f"{target} is not callable: it is a {type(found).__name__}")
    return cast(Callable[..., Any], found)


def _look_in_folder(row: Row) -> None:
    """What was asked for may be in the current folder, and so may what it imports.

    The folder comes last on the path, that nothing else is found there before its own place. A
    backend's module that was named is taken from there first.
    """
    sys.path.append(_here())
    path, module = _place(row.target)
    top = module.partition(".")[0]
    if path is not None or row.loop is not None or top in sys.modules:
        return
    spec = _in_folder(top)
    if spec is not None and spec.origin is not None:
        _execute(spec)


def _import_file(path: Path) -> Any:
    """Run a file as a module of its own name, with its folder at the end of the path.

    One that is called as another module is has another name: it may want to import that one.
    """
    other = find_spec(path.stem)
    taken = other is not None and other.origin != str(path)
    sys.path.append(str(path.parent))
    spec = spec_from_file_location(f"{path.stem}_" if taken else path.stem, path)
    assert spec is not None
    return _execute(spec)


def _execute(spec: ModuleSpec) -> Any:
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
