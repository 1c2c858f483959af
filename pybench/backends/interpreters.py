"""Other Pythons to run workers under: which they are, and what they have.

An interpreter is asked by starting it once, exactly as workers are started: what it finds on its
path, they find. `main` is what answers there, through a descriptor of its own: what else the
interpreter prints as it starts is no answer.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pybench
from pybench import backends
from pybench.backends import distributions
from pybench.backends.start import python_command
from pybench.errors import PybenchError, UsageError

ANSWER_S = 30.0  # how long an interpreter may take: a cold start on a busy machine

_NAME = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.+-]*)=(.+)")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python to run workers under.

    path: as it was given, made absolute; a link is not followed, for a virtual environment is one.
    name: what sets its rows apart, `py3.12`.  version: `3.12.1`.  implementation: `CPython`.
    free_threaded: whether it was built without the GIL.
    """

    path: str
    name: str
    version: str
    implementation: str
    free_threaded: bool


def describe_self(libraries: Mapping[str, str | None] | None = None) -> dict[str, Any]:
    """This interpreter as a result line holds it; call it when the backend is imported.

    libraries: the distributions that the row is written with, and what is imported of each.
    gil: whether it is on now: importing an extension may have switched it on.
    """
    asked = libraries or {}
    installed = distributions.find(asked)
    found = (_distribution(one, module, installed.get(one)) for one, module in asked.items())
    return {
        "executable": sys.executable,
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "gil_disabled_build": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "library": ", ".join(filter(None, found)),
    }


def _distribution(name: str, module: str | None, found: distributions.Distribution | None) -> str:
    """`uvloop 0.21.0`, as the module says that was imported; empty when there is none.

    found: the distribution of that name. One that is not where it is stands with its file.
    """
    loaded = None if module is None else sys.modules.get(module)
    file = getattr(loaded, "__file__", None)
    if found is not None and (loaded is None or (file and _is_below(file, found.place))):
        return f"{name} {found.version}"
    if found is None and loaded is None:
        return ""
    version = getattr(loaded, "__version__", "of unknown version")
    return f"{name} {version} ({file or 'no file'})"


def _is_below(file: str, folder: str) -> bool:
    return Path(folder).resolve() in Path(file).resolve().parents


def identify(texts: Iterable[str]) -> tuple[Interpreter, ...]:
    """The interpreters that texts name: a path, a command in PATH, or NAME= and one of those.

    They are named after their version, as shortly as tells them apart. Raises UsageError when one
    is no Python, has no pybench of our version, or is called as another is.
    """
    asked = list(dict.fromkeys(texts))
    found = [_identify(text) for text in asked]
    given = {i for i, text in enumerate(asked) if _NAME.fullmatch(text)}
    for name_of in (_minor_name, _full_name, _place_name):
        names = [one.name if i in given else name_of(one) for i, one in enumerate(found)]
        if len(set(names)) == len(names):
            return tuple(replace(one, name=name) for one, name in zip(found, names, strict=True))
    twice = next(name for name in names if names.count(name) > 1)
    paths = " and ".join(o.path for o, n in zip(found, names, strict=True) if n == twice)
    raise UsageError(f"{paths} would both be called {twice}: write one of them as NAME=PATH")


def _minor_name(one: Interpreter) -> str:
    return _prefix(one) + ".".join(one.version.split(".")[:2]) + _suffix(one)


def _full_name(one: Interpreter) -> str:
    return _prefix(one) + one.version + _suffix(one)


def _place_name(one: Interpreter) -> str:
    """With the folder that its bin is in: that of its virtual environment."""
    place = re.sub(r"[^A-Za-z0-9_.+-]", "-", Path(one.path).parent.parent.name)
    return f"{_full_name(one)}-{place}"


def _prefix(one: Interpreter) -> str:
    return "py" if one.implementation == "CPython" else one.implementation.lower()


def _suffix(one: Interpreter) -> str:
    return "t" if one.free_threaded else ""


def _identify(text: str) -> Interpreter:
    match = _NAME.fullmatch(text)
    path = _absolute(match[2] if match else text)
    answer = ask(path, ())
    if answer["pybench"] != pybench.__version__:
        raise UsageError(
            f"{path} has pybench {answer['pybench']}, this is {pybench.__version__}: "
            + _how_to_add(path)
        )
    return Interpreter(
        path=path,
        name=match[1] if match else "",
        version=answer["version"],
        implementation=answer["implementation"],
        free_threaded=answer["free_threaded"],
    )


def _how_to_add(path: str) -> str:
    """Never from an index, which has another project of our package's name."""
    return f"{path} -m pip install . in the source tree, or the wheel that this one came from"


def _absolute(text: str) -> str:
    found = shutil.which(os.path.expanduser(text))  # noqa: PTH111 - Path would drop a `./`
    if found is None:
        raise UsageError(f"{text}: no such interpreter")
    return os.path.abspath(found)  # noqa: PTH100 - Path.resolve would follow the link


def unavailable(one: Interpreter, rows: Sequence[str]) -> Mapping[str, str]:
    """Which of the rows cannot run there, with the reason.

    rows: as `backends.find` takes them.  Raises UsageError when the interpreter has changed since
    it was identified, or is gone.
    """
    answer = ask(one.path, rows)
    if answer["version"] != one.version:
        raise UsageError(f"{one.path} is Python {answer['version']} now, and was {one.version}")
    found: Mapping[str, str] = answer["unavailable"]
    return found


def ask(path: str, rows: Sequence[str]) -> dict[str, Any]:
    """What the interpreter says of itself. Raises UsageError when it cannot."""
    answer_fd = os.memfd_create("answer")
    with open(answer_fd, "r+b") as file:  # noqa: PTH123 - it has no path
        command = python_command(path, "pybench.backends.interpreters", ours=False)
        try:
            done = subprocess.run(
                [*command, json.dumps(list(rows)), str(answer_fd)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=ANSWER_S,
                check=False,
                pass_fds=(answer_fd,),
            )
        except OSError as exc:
            raise UsageError(f"{path}: {exc.strerror}") from exc
        except subprocess.TimeoutExpired:
            raise UsageError(f"{path}: no answer within {ANSWER_S:g} s") from None
        file.seek(0)
        said = file.read() or done.stdout  # an older pybench has only printed it
    if "No module named" in done.stderr and "pybench" in done.stderr:
        raise UsageError(f"{path} has no pybench: {_how_to_add(path)}")
    try:
        answer: dict[str, Any] = json.loads(said)
        return {key: answer[key] for key in _answer(())} | answer
    except (ValueError, TypeError, KeyError):
        last = [line.strip() for line in done.stderr.splitlines() if line.strip()][-1:]
        why = f"; it says: {last[0]}" if last else ""
        raise UsageError(f"{path} does not answer as a Python with pybench does{why}") from None


def _answer(rows: Sequence[str]) -> dict[str, Any]:
    return {
        "pybench": pybench.__version__,
        "version": platform.python_version(),
        "implementation": platform.python_implementation(),
        "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        "unavailable": {row: reason for row in rows if (reason := _reason(row)) is not None},
    }


def _reason(row: str) -> str | None:
    try:
        return backends.unavailable(backends.find(row))
    except PybenchError as exc:  # a plug-in that is installed elsewhere
        return str(exc)


def main() -> None:
    """Say what this interpreter is and which of the rows in argv cannot run here.

    argv: the rows in JSON, and the descriptor to answer through.
    """
    with open(int(sys.argv[2]), "wb") as file:  # noqa: PTH123 - a descriptor
        file.write(json.dumps(_answer(json.loads(sys.argv[1]))).encode())
