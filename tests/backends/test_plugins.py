"""Rows of others: the pages that explain them are run as they stand, and broken ones are named."""

import contextlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pybench import backends
from pybench.contract.plan import Plan
from pybench.contract.promises import CHECKS
from pybench.contract.scenarios import examine
from pybench.errors import UsageError
from tests.conftest import SHORT
from tests.support import PYTEST, ROOT
from tests.support.peers import DEADLINE_S, Host

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Run = Callable[..., subprocess.CompletedProcess[str]]
PAGE = (ROOT / "docs" / "plugins.md").read_text()
FEW = ("--conns", "5", *SHORT)


def write_examples(page: str, folder: Path) -> list[str]:
    """The code blocks of a page that begin with a comment that names their file."""
    found = re.findall(r"```(?:python|toml)\n# (\S+)\n(.*?)```", page, re.DOTALL)
    for name, text in found:
        (folder / name).write_text(text)
    return [name for name, _ in found]


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """An empty folder with the examples of the page in it, and nothing else."""
    assert write_examples(PAGE, tmp_path) == [
        "my_echo.py",
        "my_streams.py",
        "poll_loop.py",
        "test_my_echo.py",
        "pyproject.toml",
    ]
    return tmp_path


def install(folder: Path, name: str, entries: dict[str, str]) -> None:
    """What an installer leaves of a distribution with entry points."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{entry} = {target}" for entry, target in entries.items()]
    (info / "entry_points.txt").write_text("\n".join(["[pybench.backends]", *lines, ""]))


# ---- the pages ----


def test_examples_of_the_page_run(page: Path, run: Run) -> None:
    done = run(
        "--func", "my_echo:serve,my_streams:serve,asyncio_proto@poll_loop:new_event_loop",
        "--func", "./my_echo.py:serve", "--func", "quick=my_streams:serve", *FEW,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in (
        "my_echo:serve",
        "my_streams:serve",
        "asyncio_proto@poll_loop",
        "my_echo.py:serve",
        "quick",
    ):
        assert f" {name} " in done.stdout


@pytest.mark.parametrize("spec", ["my_streams:serve", "asyncio_proto@poll_loop:new_event_loop"])
def test_examples_of_the_page_keep_the_contract(spec: str, page: Path) -> None:
    with contextlib.closing(Host(page / "printed", {"PYTHONPATH": str(page)})) as host:
        row = backends.find(spec)
        plan = Plan(row=row, conns=10, timeout_s=DEADLINE_S, quiet_s=0.12, start=host.start)
        assert examine(plan).findings == ()


def test_the_test_of_the_page_passes(page: Path) -> None:
    command = [*PYTEST, "-q", str(page)]
    done = subprocess.run(command, cwd=page, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_entry_points_of_the_page(page: Path, run: Run) -> None:
    project = tomllib.loads((page / "pyproject.toml").read_text())["project"]
    install(page, project["name"], project["entry-points"]["pybench.backends"])
    listed = run("--list", PYTHONPATH=str(page)).stdout
    for name in ("my_echo", "my_streams"):
        assert re.search(rf"^{name} .*\(plug-in of my-echo 1\.0\)$", listed, re.MULTILINE), listed
    done = run("--func", "my_echo,my_streams", *FEW, PYTHONPATH=str(page))
    assert done.returncode == 0, done.stderr
    assert " my_echo " in done.stdout


def test_the_page_explains_every_check() -> None:
    assert re.findall(r"^\| `([a-z-]+)` \|", PAGE.partition("| check |")[2], re.MULTILINE)[
        : len(CHECKS)
    ] == list(CHECKS)


def test_the_page_says_what_the_contract_says() -> None:
    """Whoever changes one of them looks at the other."""
    contract_text = " ".join((backends.Serve.__call__.__doc__ or "").split())
    page_text = " ".join(PAGE.split())
    for words in (
        "None is missing",
        "from any thread, after the last accept and not before",
        "Peers send nothing until",
        "A peer that resets its connection has closed it: that is not an error",
    ):
        assert words in contract_text and words in page_text, words


# ---- broken ones ----

BROKEN = {
    "missing": ("import no_such_library\n", "ModuleNotFoundError: No module named 'no_such_libr"),
    "unreadable": ("def serve(:\n", "SyntaxError: invalid syntax"),
    "nameless": ("", "nameless has no 'serve'"),
    "constant": ("serve = 7\n", "constant:serve is not callable: it is a int"),
    "narrow": ("def serve(listener): pass\n", "takes 1 positional argument but 4 were given"),
    "coroutine": ("async def serve(a, b, c, d): pass\n", "the backend is a coroutine function"),
    "talkative": ("def serve(a, b, c, d): return 7\n", "returned a int instead of None"),
    "early": ("def serve(a, b, c, d): pass\n", "returned without having called ready()"),
    "leaves": ("import sys\ndef serve(a, b, c, d): sys.exit('no')\n", "SystemExit: no"),
    "dies": (
        "import os\ndef serve(a, b, c, d):\n    print('no cheese', flush=True)\n    os._exit(4)\n",
        "exit status 4 before it was done; it last printed: no cheese",
    ),
}


def test_broken_plugins_are_told_apart_and_cost_no_other_row(tmp_path: Path, run: Run) -> None:
    for name, (text, _) in BROKEN.items():
        (tmp_path / f"{name}.py").write_text(text)
    done = run("--func", ",".join([*(f"{name}:serve" for name in BROKEN), "selector"]), *FEW)
    assert done.returncode == 1
    for name, (_, says) in BROKEN.items():
        (line,) = re.findall(rf"^\[.*\] {name}:serve, 5 connections: (.*)$", done.stderr, re.M)
        assert line.startswith("failed: ") and says in line
    assert re.search(r"\] selector, 5 connections: [\d,]+ messages/s", done.stderr)
    assert f'File "{tmp_path}/missing.py", line 1, in <module>' in done.stderr
    assert f'File "{tmp_path}/unreadable.py", line 1\n' in done.stderr
    assert "pybench/worker" not in done.stderr


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("no_such_module:serve", "no_such_module: no module of that name here (looked in "),
        ("./nothing.py:serve", "nothing.py: no such file"),
        ("asyncio@no_such_loop:new", "no_such_loop: not installed"),
    ],
)
def test_what_is_not_there(spec: str, reason: str, tmp_path: Path, run: Run) -> None:
    done = run("--func", spec, *FEW)
    assert done.returncode != 0
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


def test_a_broken_entry_point_does_not_break_the_list(tmp_path: Path, run: Run) -> None:
    install(
        tmp_path,
        "others",
        {"good": "json:dumps [x]", "gone": "no_such:serve", "selector": "json:x"},
    )
    done = run("--list", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "good" in done.stdout
    assert re.search(r"^gone .*\n +unavailable: no_such: no module", done.stdout, re.MULTILINE)
    ours, theirs = re.findall(r"^selector .*(?:\n .*)?", done.stdout, re.MULTILINE)
    assert "unavailable" not in ours
    assert re.search(r"plug-in of others 1\.0\)\n +unavailable: pybench has a row", theirs)


# ---- forms ----


@pytest.mark.parametrize(
    ("spec", "name", "target"),
    [
        ("a.b:c.d", "a.b:c.d", "a.b:c.d"),
        ("/x/y.py:serve", "y.py:serve", "/x/y.py:serve"),
        ("/x y/a=b.py:serve", "a=b.py:serve", "/x y/a=b.py:serve"),
        ("mine=a:b", "mine", "a:b"),
        ("old=cpp_epoll", "old", backends.ROWS["c_epoll"].target),
    ],
)
def test_forms(spec: str, name: str, target: str) -> None:
    row = backends.find(spec)
    assert (row.name, row.target) == (name, target)
    assert backends.find(row.asked_for_as) == row


def test_a_loop_factory_changes_one_of_our_rows() -> None:
    row = backends.find("asyncio_sock@some.loop:new")
    ours = backends.ROWS["asyncio_sock"]
    assert (row.name, row.target, row.loop) == (
        "asyncio_sock@some.loop",
        ours.target,
        "some.loop:new",
    )


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("a:b:c", "'a:b:c' is not a backend: write module:callable"),
        ("a.py:", "is not a backend: write module:callable"),
        ("selector@a:b", "only these rows take another loop: asyncio "),
        ("asyncio@a", "does not name a loop factory: write asyncio@module:callable"),
        ("selector=a:b", "selector is the name of a row already"),
        ("exec:", "there is no command"),
        ("exec:'./a {port}", "No closing quotation"),
        ("exec:./a", "does not say where {port} goes"),
    ],
)
def test_forms_that_are_none(spec: str, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        backends.find(spec)
