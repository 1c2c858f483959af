"""The pytest plugin: the fixture `pybench`, its options, and the table at the session's end.

Loaded in every pytest session where pybench is installed, so it imports nothing heavy before the
fixture is used. What is measured and judged is in `ratio.py`.
"""

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pybench.errors import Inconclusive, PybenchError, UsageError

if TYPE_CHECKING:
    from pybench.gate.baseline import Baseline, Taken
    from pybench.gate.ratio import Ratio
    from pybench.result import Result

MARKER = (
    "pybench(**options): a performance test; the options are defaults of its pybench.measure and "
    "pybench.ratio, as rounds=9. Every test that uses the fixture pybench has the marker."
)
INCONCLUSIVE = "inconclusive: "


def pytest_addoption(parser: pytest.Parser) -> None:
    """Our options, in a group of their own."""
    group = parser.getgroup("pybench", "performance as ratios (pybench)")
    group.addoption(
        "--pybench-rounds", metavar="N", type=int, help="rounds of every ratio, whatever tests say"
    )
    group.addoption(
        "--pybench-budget",
        metavar="TIME",
        help="how long a ratio may take to be decided, whatever tests say",
    )
    group.addoption(
        "--pybench-runtime",
        metavar="TIME",
        help="measured time of a round of one window, whatever tests say",
    )
    group.addoption(
        "--pybench-undecided",
        choices=("skip", "fail"),
        default="skip",
        help="what becomes of a test whose demand cannot be told kept or broken (default skip)",
    )
    group.addoption("--pybench-save", metavar="FILE", help="keep all ratios in FILE (JSON)")
    group.addoption(
        "--pybench-compare",
        metavar="FILE",
        action="append",
        help="hold every ratio against what is kept in FILE, or in all files of that folder; three"
        " or more, also by naming one after the other, show how far sessions differ",
    )
    group.addoption(
        "--pybench-fail-below",
        metavar="SHARE",
        type=float,
        default=0.9,
        help="fail a test when a ratio is surely below this share of the kept one (default 0.9)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Bad options end the session before anything is collected."""
    config.addinivalue_line("markers", MARKER)
    try:
        config.pluginmanager.register(_Session(config), "pybench-session")
    except UsageError as exc:
        raise pytest.UsageError(str(exc)) from exc


class Bench:
    """The fixture `pybench` of one test.

    The rounds of a row take CPU time that others' would need: tests that use it cannot run in
    parallel.
    """

    def __init__(self, session: "_Session", item: pytest.Item) -> None:
        self._session = session
        self._test = item.nodeid
        self._defaults: dict[str, Any] = {}
        for mark in reversed(list(item.iter_markers("pybench"))):  # the nearest has the last word
            self._defaults |= mark.kwargs

    def measure(self, func: str, *, conns: int, **options: Any) -> "Result":
        """One round of a row: its speed, latency and stamps, as `pybench.result.Result` says.

        func: a row as `--func` takes it.  conns: connections.  options: as on the command line,
        `runtime="1s"`, `msize=1024`, `env="A=1"`.  Figures are kept by --pybench-save, and never
        judged: they belong to this machine and this hour. Skips the test when the row's
        library is not here; raises PybenchError when the round fails.
        """
        from pybench.gate import rounds

        session = self._session
        try:
            asked = rounds.usual_of_measure(self._defaults, options, session.overrides)
            result = rounds.measure(func, conns, **asked)
        except rounds.UnavailableError as exc:
            pytest.skip(str(exc))
        session.measured.append((self._test, result))
        return result

    def ratio(self, func: str, against: str, *, conns: int, **options: Any) -> "Ratio":
        """How fast a row is, in parts of another's speed: they take turns, see `pybench race`.

        Options as of that command: `budget="30s"`, `metric="p99"`, `precision`, `margin`, `msize`,
        `engine`; `rounds=9` for so many and no more; `turns=False` for rounds of one window each,
        with the options of `measure`. Returns a `pybench.gate.Ratio` after the first rounds: judge
        it with `.require(at_least=0.5)`, which adds rounds until that is decided or the budget
        ends, 15 s unless told. It is compared with the baseline when the test has passed.
        """
        from pybench.gate import ratio as ratios
        from pybench.gate import rounds
        from pybench.gate.baseline import Taken

        try:
            asked = rounds.usual(self._defaults, options, self._session.overrides)
            found = ratios.ratio(func, against, conns, **asked)
        except ratios.UnavailableError as exc:
            pytest.skip(str(exc))
        self._session.ratios.append(Taken(self._test, found))
        return found


class _Session:
    """What a session has measured, and the hooks that judge and show it."""

    def __init__(self, config: pytest.Config) -> None:
        self.ratios: list[Taken] = []
        self.measured: list[tuple[str, Result]] = []
        self.overrides = _overrides(config)
        self.parallel = hasattr(config, "workerinput")
        self._outcome = _Outcome(config.getoption("pybench_undecided") == "fail")
        self._verdicts: dict[str, str] = {}
        self._unkept = ""
        self._save = _writable(config.getoption("pybench_save"))
        self._baseline = _baseline(config)

    @pytest.fixture
    def pybench(self, request: pytest.FixtureRequest) -> Bench:
        """Measures rows: pybench.measure(...) and pybench.ratio(...)."""
        if self.parallel:
            pytest.fail("measurements disturb each other: run without -n (pytest-xdist)", False)
        return Bench(self, request.node)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Mark what uses the fixture, so that `-m 'not pybench'` leaves it out."""
        for item in items:
            if "pybench" in getattr(item, "fixturenames", ()):
                item.add_marker("pybench")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, None, None]:
        """A fixture may demand something too."""
        with self._outcome:
            return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """A test that has passed by its own demands is held against the baseline."""
        with self._outcome:
            result = yield
            self._check(item.nodeid)
            return result

    def _check(self, test: str) -> None:
        if self._baseline is None:
            return
        undecided: Inconclusive | None = None
        for taken in self.ratios:
            if taken.test != test:
                continue
            try:
                self._baseline.check(taken)
            except AssertionError as exc:
                raise pytest.fail.Exception(str(exc), pytrace=False) from None
            except Inconclusive as exc:
                undecided = undecided or exc
        if undecided is not None:
            raise undecided

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember how each test ended."""
        if report.when == "call" or not report.passed:
            verdict = "inconclusive" if _is_inconclusive(report) else report.outcome
            self._verdicts.setdefault(report.nodeid, verdict)

    def pytest_report_teststatus(
        self, report: pytest.TestReport | pytest.CollectReport
    ) -> tuple[str, str, str] | None:
        """Inconclusive tests are counted apart from skipped ones."""
        return ("inconclusive", "?", "INCONCLUSIVE") if _is_inconclusive(report) else None

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Keep what was found; failed tests' ratios too. Nothing is no baseline."""
        if self._save is None or not self._measured:
            return
        from pybench.gate import baseline

        try:
            baseline.save(self._save, self.ratios, self.measured)
        except UsageError as exc:  # to raise it would take the session's summary
            self._unkept = str(exc)
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED

    @property
    def _measured(self) -> bool:
        return bool(self.ratios or self.measured)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """The table of all ratios, and why tests were inconclusive."""
        if self._save is not None and not self._measured:
            terminalreporter.write_line(
                f"pybench: nothing was measured: --pybench-save {self._save} writes nothing"
            )
        if self._unkept:
            terminalreporter.write_line(f"pybench: error: {self._unkept}", red=True)
        if not self.ratios:
            return
        lines = _table(self.ratios, self._baseline, self._verdicts)
        terminalreporter.section("pybench: ratios, 95% intervals")
        for line in lines:
            terminalreporter.write_line(line)
        if self._baseline is not None and self._baseline.elsewhere:
            terminalreporter.write_line(f"not compared: {self._baseline.elsewhere}")
        for report in terminalreporter.stats.get("inconclusive", ()):
            terminalreporter.write_line(f"{report.nodeid}: {_reason(report)}")
        if self._save is not None and not self._unkept:
            terminalreporter.write_line(f"kept in {self._save}")


class _Outcome:
    """A context that makes of our errors what pytest shows well: a skip, or a line.

    undecided_fails: a demand that cannot be told kept or broken fails its test.
    """

    def __init__(self, undecided_fails: bool) -> None:
        self._undecided_fails = undecided_fails

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, exc: BaseException | None, traceback: Any) -> None:
        if isinstance(exc, Inconclusive) and self._undecided_fails:
            raise pytest.fail.Exception(f"undecided: {exc}", pytrace=False) from None
        if isinstance(exc, Inconclusive):
            raise pytest.skip.Exception(INCONCLUSIVE + str(exc), _use_item_location=True) from None
        if isinstance(exc, PybenchError) and not isinstance(exc, AssertionError):
            raise pytest.fail.Exception(str(exc), pytrace=False) from None


def _is_inconclusive(report: pytest.TestReport | pytest.CollectReport) -> bool:
    return report.skipped and _reason(report).startswith(INCONCLUSIVE)


def _reason(report: Any) -> str:
    """Why a test was skipped, as it was said."""
    longrepr = report.longrepr
    text = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    return str(text).removeprefix("Skipped: ")


def _overrides(config: pytest.Config) -> dict[str, Any]:
    """What the command line sets for all tests. Raises UsageError."""
    from pybench.units import parse_duration_ns

    found: dict[str, Any] = {}
    for name in ("rounds", "budget", "runtime"):
        value = config.getoption(f"pybench_{name}")
        if value is None:
            continue
        found[name] = value
        try:
            if name != "rounds":
                parse_duration_ns(value)
        except UsageError as exc:
            raise UsageError(f"--pybench-{name}: {exc}") from exc
    if found.get("rounds", 2) < 2:
        raise UsageError(
            f"--pybench-rounds {found['rounds']}: an interval takes 2, better 5 or more"
        )
    if {"rounds", "budget"} <= found.keys():
        raise UsageError("--pybench-rounds and --pybench-budget exclude each other")
    return found


def _writable(name: str | None) -> Path | None:
    """The file to keep results in, once it is known that it can be one. Raises UsageError."""
    if name is None:
        return None
    path = Path(name)
    try:
        new = not path.exists()
        with path.open("a", encoding="utf-8"):
            pass
        if new:  # a session that measures nothing leaves none
            path.unlink()
    except OSError as exc:
        raise UsageError(f"--pybench-save {path}: {exc.strerror}") from exc
    return path


def _baseline(config: pytest.Config) -> "Baseline | None":
    """What to hold ratios against. Raises UsageError."""
    names, share = config.getoption("pybench_compare"), config.getoption("pybench_fail_below")
    if not 0 < share <= 1:
        raise UsageError(f"--pybench-fail-below {share:g}: a share of the baseline, as 0.9")
    if not names:
        return None
    from pybench.gate import baseline
    from pybench.machine import environment

    return baseline.load([Path(name) for name in names], share, environment.collect())


def _table(
    ratios: "list[Taken]", baseline: "Baseline | None", verdicts: dict[str, str]
) -> list[str]:
    """Lines with columns as wide as they need be."""
    heads = ["ratio", "value and interval", "rounds"]
    heads += ["baseline", "change"] if baseline is not None else []
    rows = [[*heads, "test", "stamps"]]
    for taken in ratios:
        r = taken.ratio
        row = [r.name, str(r.interval), str(r.rounds)]
        if baseline is not None:
            then, change = baseline.find(taken), baseline.change(taken)
            row += [str(then.interval) if then else "none"]
            row += [str(change) if change else "not compared" if then else ""]
        rows.append([*row, verdicts.get(taken.test, ""), " ".join(r.stamps)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
