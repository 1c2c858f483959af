"""How a Python of ours is started: with its own path, and not with whatever stands in the folder.

`python -m` would look in the current folder first: a `json.py` there, a folder named as a library
is, or a source tree of pybench itself would be imported in place of what was asked for. Python's
own isolated mode would drop PYTHONPATH and the user's packages as well, and 3.10 has no `-P`.
"""

from pathlib import Path

import pybench

_PATH = "import sys; sys.path[:1] == [''] and sys.path.pop(0); "
_OURS = "sys.path.insert(0, {home!r}); import pybench; sys.path.pop(0); "


def python_command(executable: str, module: str, *, ours: bool) -> list[str]:
    """The words that run `main` of a module of pybench; its arguments come behind them.

    ours: it is this interpreter, and is to run this very pybench; another has its own.
    """
    home = _OURS.format(home=str(Path(pybench.__file__).parent.parent)) if ours else ""
    return [executable, "-c", f"{_PATH}{home}from {module} import main; main()"]
