"""The libraries of the extra `report`: a missing or broken one is one clear line, no traceback."""

from importlib import import_module
from importlib.util import find_spec

from pybench.errors import UsageError

_PACKAGES = {"yaml": "pyyaml"}


def require(what: str, *modules: str) -> None:
    """Check that modules can be imported.

    what: the option that needs them, such as `report --plots`.
    Raises UsageError naming the first that is missing and how to install it, or that is there and
    does not start: another version of what it is built on, a setting that it does not take.
    """
    for module in modules:
        try:
            found = find_spec(module) is not None
        except ValueError:  # imported before, in a way that left no spec
            found = True
        if not found:
            package = _PACKAGES.get(module, module)
            raise UsageError(f"{what}: {package} is not installed (pip install {package})")
        try:
            import_module(module)
        except Exception as exc:
            text = f"{what}: {module} is installed and does not start: {exc or type(exc).__name__}"
            raise UsageError(text) from exc
