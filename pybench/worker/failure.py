"""From an exception in the measured process to the event that tells the driver of it."""

import importlib
import os
import traceback
from pathlib import Path

from pybench.backends import loading
from pybench.errors import PybenchError, WorkerError
from pybench.worker.protocol import Code, Failed

_HERE = str(Path(__file__).parent) + os.sep
_TELL_NOTHING = (Exception, BaseException, object)


def failed(exc: BaseException, code: Code) -> Failed:
    """The event of what was raised. code: of what was being done, unless it has one itself."""
    said = str(exc) if isinstance(exc, PybenchError) else last_line(exc)
    return Failed(
        code=exc.code if isinstance(exc, WorkerError) else code,
        reason=" ".join(said.split()),
        exceptions=class_names(exc),
        traceback=own_traceback(exc),
    )


def last_line(exc: BaseException) -> str:
    """How a traceback ends: type and message."""
    return traceback.format_exception_only(type(exc), exc)[-1]


def class_names(exc: BaseException) -> tuple[str, ...]:
    """Names of the classes of an exception and of its bases, of those in a group, and of causes."""
    names: dict[str, None] = {}
    seen: list[BaseException] = []
    todo: list[BaseException] = [exc]
    while todo:
        one = todo.pop(0)
        if one in seen:
            continue
        seen.append(one)
        names |= {kind.__name__: None for kind in type(one).__mro__ if kind not in _TELL_NOTHING}
        todo += getattr(one, "exceptions", ())
        todo += [] if one.__cause__ is None else [one.__cause__]
    return tuple(names)


def own_traceback(exc: BaseException) -> str:
    """The traceback from where the backend's own code begins; of pybench's frames there is no news.

    Empty when the backend's code is not in it.
    """
    frames = exc.__traceback__
    while frames is not None and _is_machinery(frames.tb_frame.f_code.co_filename):
        frames = frames.tb_next
    if frames is None:  # a file that cannot be parsed has not run, but its line is known
        return "".join(traceback.format_exception_only(exc)) if isinstance(exc, SyntaxError) else ""
    return "".join(traceback.format_exception(type(exc), exc, frames))


def _is_machinery(filename: str) -> bool:
    """Whether a frame belongs to the worker, to loading, or to the import system."""
    machinery = (loading.__file__, importlib.__file__)
    return filename in machinery or filename.startswith((_HERE, "<frozen importlib"))
