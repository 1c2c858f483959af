"""The libraries of the extra `report`: a missing one is one clear line, not a traceback."""

from importlib.util import find_spec

from pybench.errors import UsageError

_PACKAGES = {"yaml": "pyyaml"}


def require(what: str, *modules: str) -> None:
    """Check that modules can be imported.

    what: the option that needs them, such as `report --plots`.
    Raises UsageError naming the first that is missing and how to install it.
    """
    for module in modules:
        try:
            found = find_spec(module) is not None
        except ValueError:  # imported before, in a way that left no spec
            found = True
        if not found:
            package = _PACKAGES.get(module, module)
            raise UsageError(f"{what}: {package} is not installed (pip install {package})")
