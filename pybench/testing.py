"""Is a backend what pybench measures? `check_backend` says what is wrong with it, and why.

    from pybench.testing import check_backend

    def test_my_backend():
        check_backend("my_package.echo:serve")

It needs no pytest and no load server. The contract is in `backends/contract.py` and
docs/plugins.md; the checks are in `contract/scenarios.py`.
"""

import inspect
import os
import resource
import sys
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from pybench import backends
from pybench.backends import Row
from pybench.contract import scenarios
from pybench.contract.plan import Plan
from pybench.contract.promises import Finding
from pybench.contract.scenarios import Report
from pybench.driver import certificate
from pybench.errors import BackendFault, PreflightError, UsageError
from pybench.machine.network import loopback_down
from pybench.machine.procfs import proc_missing

__all__ = ["BackendFault", "check_backend"]

MANY = 50
TIMEOUT_S = 10.0
SPARE_FILES = 64
_INSIDE = "PYBENCH_CHECKS"  # in the environment of the workers of a check


def check_backend(
    target: str | Callable[..., Any],
    *,
    conns: int = MANY,
    timeout_s: float = TIMEOUT_S,
    transports: Sequence[str] | None = None,
) -> None:
    """Return when the backend keeps the contract of `backends.Serve`; takes some seconds.

    target: as `--func` takes it (`module:callable`, `file.py:callable`, the name of a row, `exec:`
        and so on), or the callable itself, which must be found under its name in its module.
    conns: how many connect at once in the check that has the most, >= 1.
    timeout_s: how long the backend may take for any one thing before it counts as hung.
    transports: some of `tcp`, `unix` and `tls`; None: TCP, and over what else it says it can serve.
    Raises BackendFault, an AssertionError, with every finding; UsageError when target is no
    backend at all.
    """
    name = target if isinstance(target, str) else target_of(target)
    for transport, report in examine_over(name, transports, conns=conns, timeout_s=timeout_s):
        if report.findings:
            checks = tuple(finding.check for finding in report.findings)
            raise BackendFault(describe(over(name, transport), report), checks)


def examine_over(
    target: str,
    transports: Sequence[str] | None = None,
    *,
    conns: int = MANY,
    timeout_s: float = TIMEOUT_S,
) -> Iterator[tuple[str, Report]]:
    """Each transport with what the checks find over it, up to the first that has findings.

    Arguments as for `check_backend`. A row of ours says what it can in the registry; of others TLS
    is asked where `serve` has a parameter `tls`. Raises UsageError also for a transport that was
    asked for and that the row cannot serve.
    """
    row = backends.find(target)
    for transport in transports or ():
        reason = row.cannot(transport) or (certificate.missing() if transport == "tls" else None)
        if reason:
            raise UsageError(f"{target} over {transport}: {reason}")
    asked = list(transports or ["tcp"])
    while asked:
        transport = asked.pop(0)
        report = examine(target, conns=conns, timeout_s=timeout_s, transport=transport)
        yield transport, report
        if report.findings:
            return
        if transports is None and transport == "tcp":
            asked += _declared(row, report)


def _declared(row: Row, report: Report) -> Iterator[str]:
    """What else than TCP a row says it can serve, and can be asked here."""
    ours = backends.ROWS.get(row.name) == row
    if ours and backends.unavailable(row, "unix") is None:
        yield "unix"
    takes_tls = report.takes_tls and row.loop is None
    can = backends.unavailable(row, "tls") is None
    if certificate.missing() is None and can and (ours or takes_tls):
        yield "tls"


def over(target: str, transport: str) -> str:
    """How a backend is called in what is said of it."""
    return target if transport == "tcp" else f"{target} over {transport}"


def examine(
    target: str,
    *,
    conns: int = MANY,
    timeout_s: float = TIMEOUT_S,
    transport: str = "tcp",
) -> Report:
    """What the checks find over one transport. Arguments and UsageError as for `check_backend`."""
    if _INSIDE in os.environ:
        raise UsageError(
            "a check is called where the backend is imported: "
            "put it below `if __name__ == '__main__':` or in a function"
        )
    if conns < 1:
        raise UsageError(f"conns: {conns} is out of range, at least 1")
    if timeout_s <= 0:
        raise UsageError(f"timeout_s: {timeout_s:g} is out of range, more than 0")
    row = backends.find(target)
    if (down := loopback_down("127.0.0.1") or proc_missing()) is not None:
        raise PreflightError(f"no check can be made: {down}")
    places = [folder or str(Path.cwd()) for folder in sys.path]
    path = os.pathsep.join(folder for folder in places if Path(folder).exists())
    env = (("PYTHONPATH", path), (_INSIDE, "1"))  # what is imported here is imported there
    with _files(conns + SPARE_FILES):
        plan = Plan(row=row, conns=conns, timeout_s=timeout_s, transport=transport, env=env)
        return scenarios.examine(plan)


@contextmanager
def _files(needed: int) -> Iterator[None]:
    """May open so many files meanwhile. Raises UsageError when the machine does not allow it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = sum(1 for _ in Path("/proc/self/fd").iterdir())
    wanted = needed + used
    if wanted > hard:
        raise UsageError(
            f"conns: {wanted} files would be open, the limit is {hard} (ulimit -Hn): ask for fewer"
        )
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        yield
    finally:
        if wanted > soft:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---- the message ----


def describe(target: str, report: Report) -> str:
    """The findings of a report, one line each, with the backend's own traceback below."""
    count = len(report.findings)
    lines = [f"{target} breaks the contract, {count} finding{'' if count == 1 else 's'}:"]
    told: set[str] = set()
    for finding in report.findings:
        lines.append(_line(finding))
        if finding.details and finding.details in told:
            lines.append("    (with the traceback above)")
        elif finding.details:
            lines.append(textwrap.indent(finding.details.rstrip(), "    "))
        told.add(finding.details)
    if not report.complete:
        lines.append("The other checks need this to work first and were not made.")
    return "\n".join(lines)


def _line(finding: Finding) -> str:
    return (
        f"{finding.check}: expected: {finding.expected}; seen: {finding.seen}; "
        f"what to do: {finding.hint}"
    )


# ---- from a callable to its name ----


def target_of(serve: Callable[..., Any]) -> str:
    """`module:callable` or `file.py:callable` for a callable, which a fresh process can import.

    Raises UsageError for what has no such name: a lambda, a nested function, a partial.
    """
    module_name = getattr(serve, "__module__", None)
    name = getattr(serve, "__qualname__", None)
    if not callable(serve):
        raise UsageError(f"{serve!r} is neither callable nor the text of a backend")
    if module_name is None or name is None:
        raise _nameless(serve, "it has no name of its own")
    if "<" in name:  # <lambda>, or <locals> of a function
        raise _nameless(serve, "it exists only while its function runs" if "<locals>" in name
                        else "a lambda has no name")  # fmt: skip
    module = sys.modules.get(module_name)
    if module is None or _attribute(module, name) != serve:
        raise _nameless(serve, f"{module_name} has something else, or nothing, called {name!r}")
    file = inspect.getattr_static(module, "__file__", None)
    if module_name != "__main__" and (file is None or _is_importable(module_name, Path(file))):
        return f"{module_name}:{name}"
    if file is None or not file.endswith(".py"):
        raise _nameless(serve, f"{module_name} is no file that could be imported again")
    return f"{Path(file).absolute()}:{name}"


def _nameless(serve: object, why: str) -> UsageError:
    return UsageError(
        f"{serve!r} cannot be checked, because a fresh process could not import it: {why}; "
        "make it a function of a module, or give its text, 'module:callable'"
    )


def _attribute(found: Any, name: str) -> Any:
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _is_importable(module_name: str, file: Path) -> bool:
    """Whether that import finds that file; a test runner may have loaded it in another way."""
    spec = PathFinder.find_spec(module_name.partition(".")[0])
    if spec is None:
        return False
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    here = file.absolute()
    return here == Path(spec.origin or "").absolute() or any(
        here.is_relative_to(folder.absolute()) for folder in folders
    )
