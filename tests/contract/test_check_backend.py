"""`check_backend`: each check finds the backend that breaks its promise, and accuses no other."""

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from pybench import backends, testing
from pybench.contract import scenarios, session
from pybench.contract.kernel import Held
from pybench.contract.plan import Plan
from pybench.contract.printed import printed_error
from pybench.contract.promises import CHECKS, finding_of
from pybench.contract.scenarios import Report
from pybench.errors import PybenchError, UsageError, WorkerError
from pybench.testing import BackendFault, check_backend
from tests.conftest import environment
from tests.support import contractbreakers, processes, programs
from tests.support.peers import Host

Run = Callable[..., subprocess.CompletedProcess[str]]
BREAKERS = Path(contractbreakers.__file__)
SHORT_S = 2.0


Reports = Callable[[str], Report]
AT_ONCE = 4
QUIET_S = 0.06
NEED_THEIR_OWN = ("Exits.serve", "Crashes.serve")
"""They end their process: `check_backend` has one for each scenario, and says how it ended."""


@pytest.fixture(scope="module")
def report_of(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Reports]:
    """The report of a breaker. They mostly wait, so that some are examined at the same time; each
    thread has one process for all of its own.
    """
    tests = [item for item in request.session.items if isinstance(item, pytest.Function)]
    names = [
        item.callspec.params["name"]
        for item in tests
        if item.module is request.module and "report_of" in item.fixturenames
    ]
    folder = tmp_path_factory.mktemp("hosts")
    of_thread = threading.local()
    with contextlib.ExitStack() as hosts:

        def examine(name: str) -> Report:
            if name in NEED_THEIR_OWN:
                return testing.examine(breaker(name), timeout_s=SHORT_S)
            if not hasattr(of_thread, "host"):
                of_thread.host = Host(folder / str(threading.get_ident()))
                hosts.callback(of_thread.host.close)
            plan = Plan(
                row=backends.find(breaker(name)), conns=50, timeout_s=SHORT_S, quiet_s=QUIET_S,
                start=of_thread.host.start,
            )  # fmt: skip
            return scenarios.examine(plan)

        with ThreadPoolExecutor(AT_ONCE) as pool:
            pending = {name: pool.submit(examine, name) for name in names}
            yield lambda name: pending[name].result()
            pool.shutdown(cancel_futures=True)


def breaker(name: str) -> str:
    return f"{BREAKERS}:{name}"


def fault_of(target: object, **options: object) -> BackendFault:
    with pytest.raises(BackendFault) as caught:
        check_backend(target, **{"timeout_s": SHORT_S, **options})  # type: ignore[arg-type]
    assert not any("pybench.worker" in name for name in processes.children(os.getpid()).values())
    return caught.value


@pytest.mark.parametrize("name", ["Good.serve"])
def test_the_server_that_the_others_change_keeps_it(name: str, report_of: Reports) -> None:
    assert report_of(name) == Report((), tuple(CHECKS), complete=True)


@pytest.mark.parametrize(
    ("name", "check", "seen"),
    [
        ("takes_two", "call", "takes 2 positional arguments but 4 were given"),
        ("is_a_coroutine", "call", "is a coroutine function"),
        ("ReturnsACount.serve", "call", "returned a int instead of None"),
        ("raises_at_once", "call", "LookupError: no licence"),
        ("not_callable", "import", "is not callable: it is a int"),
        ("no_such", "import", "has no 'no_such'"),
        ("ReadyAtOnce.serve", "ready", "ready() was called with 0 of 1 connected"),
        ("ReadyBeforeTheLast.serve", "ready", "ready() was called with 49 of 50 connected"),
        ("ReadyTwice.serve", "ready", "called ready() twice"),
        ("ReadyTwiceUnheard.serve", "ready", "called ready() twice"),
        ("NeverReady.serve", "ready", "no ready() within 2 s of the last of 1 connections"),
        ("Shouts.serve", "echo", "got other bytes, from byte"),
        ("MixesUp.serve", "echo", "got other bytes, from byte 0 of 64"),
        ("Raises.serve", "echo", "ValueError: what is this?"),
        ("DiesOfItsOwnMistake.serve", "echo", "takes 1 positional argument but 2 were given"),
        ("Exits.serve", "echo", "exit status 3 before it was done; it last printed: out of cheese"),
        ("Crashes.serve", "echo", "killed by signal 11 (SIGSEGV)"),
        ("Greets.serve", "unasked", "1 of 1 connections got bytes: b'220 welcome"),
        ("ClosesTheIdle.serve", "unasked", "1 of 1 connections were closed"),
        ("Polls.serve", "idle", "it ran, or wanted to run, for"),
        ("AlwaysWantsToWrite.serve", "idle", "it ran, or wanted to run, for"),
        ("ReturnsBeforeTheLast.serve", "return", "serve returned while peers were connected"),
        ("NeverReturns.serve", "return", "had not returned 2 s after the last peer had closed"),
        ("DropsSmallPieces.serve", "fragments", "of 64 bytes came back on 3 of 3 connections"),
        ("OneMessageARead.serve", "segments", "64 of 1280 bytes came back"),
        ("HasAMaximum.serve", "large", "100000 of 1048576 bytes came back"),
        ("WaitsForOne.serve", "stall", "0 of 65536 bytes came back on 2 of 2 connections"),
        ("ClosesAtTheEnd.serve", "half-close", "the connection was closed after"),
        ("IgnoresTheEnd.serve", "half-close", "3 bytes more than were sent came back"),
        ("DiesOfAReset.serve", "reset", "ConnectionResetError"),
        ("dies_of_a_reset_in_a_thread", "reset", "a traceback was printed, ConnectionResetError"),
        ("CountsTheOpen.serve", "early-close", "no ready() within 2 s of the last of 4"),
    ],
)
def test_one_broken_promise_is_one_finding(
    name: str, check: str, seen: str, report_of: Reports
) -> None:
    report = report_of(name)
    assert [finding.check for finding in report.findings] == [check], testing.describe(name, report)
    assert seen in report.findings[0].seen


@pytest.mark.parametrize("name", ["ForgetsTheRest.serve", "RaisesWhenFull.serve"])
def test_lost_bytes(name: str, report_of: Reports) -> None:
    """How much the kernel takes at once decides which other check sees it as well."""
    report = report_of(name)
    checks = {finding.check for finding in report.findings}
    assert "slow-reader" in checks
    assert checks <= {"slow-reader", "large", "half-close", "reset", "stall"}
    if name == "RaisesWhenFull.serve":
        text = testing.describe(name, report)
        assert "what to do: the socket was not ready: keep what is left to send" in text
        assert text.count("Traceback") == 1
        assert text.count("(with the traceback above)") == len(checks) - 1


def test_what_was_raised_decides_and_not_what_was_said() -> None:
    """The promise is found by code and class: neither by a text that happens to name another."""
    raised = partial(WorkerError, details="Traceback ...")
    in_a_group = raised("ExceptionGroup: errors", exceptions=("ExceptionGroup", "BrokenPipeError"))
    assert finding_of("half-close", in_a_group).check == "reset"
    named = raised(
        "ValueError: no ConnectionResetError, called ready() twice", exceptions=("ValueError",)
    )
    assert finding_of("echo", named).check == "echo"
    assert finding_of("echo", named).hint == "look where it is raised, in the traceback"
    full = raised("OSError: full", exceptions=("Full", "BlockingIOError", "OSError"))
    assert finding_of("echo", full).hint.startswith("the socket was not ready")
    assert finding_of("echo", WorkerError("no", code="coroutine")).check == "call"


def test_a_printed_traceback_names_its_exception() -> None:
    text = "hello\nTraceback (most recent call last):\n  File x\nasyncio.LimitOverrunError: long\n"
    error = printed_error(f"Traceback (most recent call last):\nValueError\n{text}")
    assert error is not None
    assert (error.code, error.exceptions) == ("printed", ("LimitOverrunError",))
    assert str(error) == "a traceback was printed, asyncio.LimitOverrunError: long"
    assert error.details == text.partition("\n")[2].rstrip()
    assert printed_error("nothing of that kind") is None


def test_every_check_has_a_backend_that_fails_it() -> None:
    cases = test_one_broken_promise_is_one_finding.pytestmark[0].args[1]
    assert {case[1] for case in cases} | {"slow-reader"} == set(CHECKS)


def test_the_fault() -> None:
    """Is an AssertionError for test runners and ours for the rest; has the backend's traceback."""
    fault = fault_of(breaker("Raises.serve"))
    assert isinstance(fault, AssertionError)
    assert isinstance(fault, PybenchError)
    first, line, *traceback, last = str(fault).splitlines()
    assert first == f"{breaker('Raises.serve')} breaks the contract, 1 finding:"
    assert line.startswith("echo: ")
    assert line.endswith("; what to do: look where it is raised, in the traceback")
    assert traceback[0] == "    Traceback (most recent call last):"
    assert "raise ValueError" in "".join(traceback)
    assert traceback[-1] == "    ValueError: what is this?"
    assert not any("pybench/worker" in frame for frame in traceback)
    assert last == "The other checks need this to work first and were not made."


def test_a_module_that_hangs_or_raises_at_import(tmp_path: Path) -> None:
    path = tmp_path / "slow.py"
    path.write_text("import time\ntime.sleep(60)\n")
    started = time.monotonic()
    plan = Plan(row=backends.find(f"{path}:serve"), conns=1, timeout_s=1, start_s=1)
    [finding] = scenarios.examine(plan).findings
    assert time.monotonic() - started < 30
    assert finding.check == "import"
    assert finding.seen == "it did not come to its call within 1 s"
    path.write_text("import no_such_library\n")
    fault = fault_of(f"{path}:serve", timeout_s=30)
    assert fault.checks == ("import",)
    assert "seen: ModuleNotFoundError: No module named 'no_such_library'" in str(fault)
    assert f'File "{path}", line 1' in str(fault)


@pytest.mark.parametrize(
    ("where", "stuck"),
    [
        (Held(arriving=31_744, unread=0, by_backend=-31_744), False),
        (Held(arriving=31_744, unread=0, by_backend=5), True),
        (Held(arriving=0, unread=5, by_backend=0), True),
        (Held(arriving=0, unread=0, by_backend=0), False),
    ],
    ids=["not acknowledged yet", "held", "not read", "sent back"],
)
def test_only_what_the_backend_has_is_held_up(
    where: Held, stuck: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel acknowledges late what it has nothing to send with: then it lies in two queues."""
    plan = Plan(row=backends.find("selector"), conns=1, timeout_s=SHORT_S, quiet_s=QUIET_S)
    it = session.Session(plan, 1, 64)
    monkeypatch.setattr(session, "held", lambda sock, sent: where)
    monkeypatch.setattr(session.Session, "settle", lambda self: None)
    with socket.socket() as sock:
        assert it._is_stuck(sock, 1 << 20) is stuck


# ---- programs ----


def test_a_program_keeps_it_or_does_not() -> None:
    serves = backends.find(f"exec:{sys.executable} {programs.__file__} serves {{port}}")
    plan = Plan(row=serves, conns=10, timeout_s=SHORT_S, quiet_s=QUIET_S)
    report = scenarios.examine(plan)  # one thread that blocks in sendall, and dies of a reset
    checks = {finding.check for finding in report.findings}
    assert checks >= {"stall", "reset"}, report
    assert not checks & {"import", "call", "ready", "echo", "idle", "early-close"}, report
    assert set(CHECKS) - set(report.checks) == {"call", "early-close"}
    exits = f"exec:{sys.executable} {programs.__file__} exits {{port}}"
    fault = fault_of(exits)
    assert fault.checks == ("import",)
    assert "exit status 3 before the load did; it last printed: no licence found" in str(fault)


# ---- what is checked ----


def nested() -> Callable[..., None]:
    def serve(listener: socket.socket, conns: int, msize: int, ready: object) -> None:
        pass

    return serve


def test_a_callable_gets_the_text_that_finds_it() -> None:
    name = contractbreakers.__name__
    assert testing.target_of(contractbreakers.takes_two) == f"{name}:takes_two"
    assert testing.target_of(contractbreakers.Good.serve) == f"{name}:Good.serve"
    from pybench.backends.rows.selector import serve

    assert testing.target_of(serve) == "pybench.backends.rows.selector:serve"


def test_a_callable_of_a_module_that_no_import_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As test runners load test files, or as another file of that name would be found."""
    from importlib.util import module_from_spec, spec_from_file_location

    path = tmp_path / "json.py"
    path.write_text("def serve(listener, conns, msize, ready): pass\n")
    spec = spec_from_file_location("json.mine", path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "json.mine", module)
    spec.loader.exec_module(module)
    assert testing.target_of(module.serve) == f"{path}:serve"


@pytest.mark.parametrize(
    ("serve", "why"),
    [
        (lambda listener, conns, msize, ready: None, "a lambda has no name"),
        (nested(), "it exists only while its function runs"),
        (partial(contractbreakers.takes_two, conns=1), "it has no name of its own"),
    ],
    ids=["lambda", "nested", "partial"],
)
def test_a_callable_without_a_name(serve: Callable[..., None], why: str) -> None:
    with pytest.raises(UsageError, match=f"could not import it: {why}; make it a function of a"):
        check_backend(serve)


def test_what_is_no_backend_at_all() -> None:
    with pytest.raises(UsageError, match="7 is neither callable nor the text of a backend"):
        check_backend(7)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no row is called 'selctor': did you mean selector"):
        check_backend("selctor")
    with pytest.raises(UsageError, match="conns: 0 is out of range"):
        check_backend("selector", conns=0)
    with pytest.raises(UsageError, match="timeout_s: 0 is out of range"):
        check_backend("selector", timeout_s=0)
    with pytest.raises(UsageError, match=r"the limit is \d+ \(ulimit -Hn\)"):
        check_backend("selector", conns=2_000_000_000)


SCRIPT = """\
from pybench.backends.rows.selector import serve as selector
from pybench.testing import check_backend

def serve(listener, conns, msize, ready):
    selector(listener, conns, msize, ready)

{guard}check_backend(serve, conns=2)
print("kept", __name__)
"""


@pytest.mark.parametrize("guard", ["if __name__ == '__main__': ", ""])
def test_of_a_script_itself(guard: str, tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT.format(guard=guard))
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, env=environment(), timeout=90
    )
    if guard:
        assert (done.returncode, done.stdout) == (0, "kept __main__\n"), done.stderr
    else:
        assert done.returncode == 1
        assert "put it below `if __name__ == '__main__':`" in done.stderr


# ---- over other transports ----


def test_tls_is_checked_where_serve_has_a_parameter_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over TCP it keeps the contract; what it does with the context is another thing."""
    basics = {name: of[:1] for name, of in scenarios.BY_TRANSPORT.items()}
    monkeypatch.setattr(scenarios, "BY_TRANSPORT", basics)
    found = testing.examine_over(breaker("ignores_tls"), conns=2, timeout_s=SHORT_S)
    (tcp, whole), (tls, report) = found
    assert (tcp, whole.findings, tls) == ("tcp", (), "tls")
    assert [one.check for one in report.findings] == ["ready"]
    assert "[SSL: " in report.findings[0].seen and "wrap what you accept" in report.findings[0].hint


def test_tls_that_was_asked_for_without_the_parameter() -> None:
    fault = fault_of(breaker("Good.serve"), transports=["tls"])
    assert fault.checks == ("call",)
    assert "its serve takes no `tls`" in str(fault) and "*, tls=None):`" in str(fault)


# ---- the command ----


def test_command(run: Run) -> None:
    done = run("check", "selector", "--conns", "5")
    assert (done.returncode, done.stderr) == (0, "")
    tcp, unix = done.stdout.splitlines()  # it can no TLS
    assert tcp == f"selector keeps the contract: {' '.join(CHECKS)}"
    assert unix.startswith("selector over unix keeps the contract: import call ready echo ")
    done = run("check", breaker("Shouts.serve"), "--timeout", "3s")
    assert (done.returncode, done.stderr) == (1, "")
    assert "\necho: expected: " in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "the following arguments are required: SPEC"),
        (("selctor",), "did you mean selector"),
        (("selector", "--conns", "0"), "--conns: 0 is out of range"),
        (("selector", "--timeout", "0"), "--timeout: 0 is out of range"),
        (("exec:./echo",), "does not say where {port} goes"),
        (("selector", "--transport", "tls"), "selector over tls: its callbacks are of plain sock"),
        (("selector", "--transport", "udp"), "--transport: 'udp' is not one of: tcp unix tls"),
    ],
)
def test_command_refuses(words: tuple[str, ...], says: str, run: Run) -> None:
    done = run("check", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
