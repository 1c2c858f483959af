"""The names that others build on. Whoever changes one of these breaks somebody's program."""

import inspect
import re
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import pybench
from pybench import cli, errors, gate, testing

LIBRARY = {
    "Comparisons", "Event", "Explained", "Interrupted", "LeftOut", "Looked", "Measured", "Note",
    "OnProgress", "Picture", "Progress", "RaceResult", "RaceRoundFinished", "RaceRoundStarted",
    "RaceVerdict", "Results", "RoundFinished", "RoundStarted", "compare", "explain", "load",
    "measure", "race", "run",
}  # fmt: skip
NAMES = {
    "pybench": LIBRARY,
    "pybench.api": LIBRARY,
    "pybench.cli": {"FAILED", "INTERRUPTED", "OK", "USAGE", "main"},
    "pybench.testing": {"BackendFault", "check_backend"},
    "pybench.gate": {"Ratio"},
    "pybench.result": {
        "SCHEMA", "ClientUsage", "Disturbance", "Latency", "ListenerShare", "Machine", "PerConn",
        "Resident", "Result", "Series", "ServerPart", "ServerUsage", "Status", "Stamp", "Turn",
        "Turns",
    },
    "pybench.spec": {
        "DEFAULT_PORT", "ENGINES", "MAX_CONNS", "OPTIONS", "Campaign", "Cell", "EnvSet",
        "HostPort",
        "Option", "parse_env", "row_label",
    },
}  # fmt: skip

EXCEPTIONS = {
    "BackendFault", "EmptyHistogram", "Inconclusive", "OutputError", "PreflightError",
    "ProtocolError", "PybenchError", "ResultFormatError", "ServerError", "UsageError",
    "WorkerError",
}  # fmt: skip

EXTENSIONS = {
    "c_epoll": {"serve"},
    "c_epoll_tls": {"serve"},
    "c_poll": {"serve"},
    "c_th": {"serve"},
    "c_uring": {"serve"},
    "rawselect": {
        "EPOLLERR", "EPOLLET", "EPOLLEXCLUSIVE", "EPOLLHUP", "EPOLLIN", "EPOLLONESHOT", "EPOLLOUT",
        "EPOLLPRI", "EPOLLRDHUP", "Epoll", "recv", "send",
    },
}  # fmt: skip

ENTRY_POINTS = {
    ("console_scripts", "pybench"): "pybench.cli:main",
    ("console_scripts", "pybench-server"): "pybench.cli.serve:main",
    ("pytest11", "pybench"): "pybench.gate.plugin",
}


@pytest.mark.parametrize("module", NAMES)
def test_modules(module: str) -> None:
    found = import_module(module)
    assert set(found.__all__) == NAMES[module]
    assert all(getattr(found, name) is not None for name in found.__all__)


def test_exceptions() -> None:
    found = {name for name, what in vars(errors).items() if inspect.isclass(what)}
    assert found == EXCEPTIONS
    assert all(issubclass(getattr(errors, name), errors.PybenchError) for name in found)


@pytest.mark.parametrize("module", EXTENSIONS)
def test_extensions(module: str) -> None:
    found = (
        pytest.importorskip(f"pybench.{module}", reason="built without its library")
        if module in ("c_uring", "c_epoll_tls")
        else import_module(f"pybench.{module}")
    )
    assert {name for name in vars(found) if not name.startswith("_")} == EXTENSIONS[module]


@pytest.mark.parametrize(("group", "name"), ENTRY_POINTS)
def test_entry_points(group: str, name: str) -> None:
    ours = {
        entry.value for entry in entry_points(group=group, name=name) if "pybench" in entry.value
    }
    assert ours == {ENTRY_POINTS[group, name]}
    for value in ours:
        module, _, attribute = value.partition(":")
        assert not attribute or callable(getattr(import_module(module), attribute))


def test_signatures() -> None:
    """As they are called by others."""
    assert list(inspect.signature(cli.main).parameters) == ["argv"]
    check = inspect.signature(testing.check_backend).parameters
    assert list(check) == ["target", "conns", "timeout_s", "transports"]
    assert [name for name, one in check.items() if one.kind is one.KEYWORD_ONLY] == [
        "conns",
        "timeout_s",
        "transports",
    ]
    demand = inspect.signature(gate.Ratio.require).parameters
    assert list(demand) == ["self", "at_least", "at_most"]


def test_the_library_is_lean() -> None:
    """A worker, a plug-in of pytest and `--version` import the package too."""
    code = (
        "import sys, pybench, pybench.worker\n"
        "print([name for name in sys.modules if name.startswith('pybench.')])\n"
        "print(pybench.measure.__name__, callable(pybench.explain), 'measure' in dir(pybench))\n"
        "try: pybench.no_such_name\n"
        "except AttributeError as exc: print(exc)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "['pybench.worker']",
        "measure True True",
        "module 'pybench' has no attribute 'no_such_name'",
    ]


def test_the_stub_has_the_same_names() -> None:
    stub = Path(pybench.__file__).with_suffix(".pyi").read_text()
    assert set(re.findall(r"import \w+ as (\w+)$", stub, re.MULTILINE)) == LIBRARY


def test_explain_is_a_folder_and_a_function() -> None:
    """Whichever came first."""
    assert pybench.explain is import_module("pybench.explain")
    assert callable(pybench.explain)
    with pytest.raises(errors.UsageError, match="explain: conns is missing"):
        pybench.explain("selector")


def test_version() -> None:
    assert pybench.__version__.count(".") == 2
