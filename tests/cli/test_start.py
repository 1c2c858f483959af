"""What a question costs: `--version` and `--list` load little and take little CPU time."""

import resource
import subprocess
import sys

import pytest

from pybench import __version__, backends, cli
from tests.conftest import environment

TIMES = 8.0
"""How many times the CPU time of a bare interpreter's start is allowed."""


def cpu_s(*arguments: str) -> float:
    """The least CPU time of a few runs of this interpreter: others on the machine only add."""

    def used() -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime

    found = []
    for _ in range(6):
        before = used()
        subprocess.run(
            [sys.executable, *arguments], stdout=subprocess.DEVNULL, env=environment(), check=True
        )
        found.append(used() - before)
    return min(found)


@pytest.mark.alone
@pytest.mark.parametrize("question", ["--version", "--list"])
def test_a_question_is_cheap(question: str) -> None:
    assert cpu_s("-m", "pybench", question) < TIMES * cpu_s("-I", "-c", "pass")


@pytest.mark.parametrize("question", ["--version", "--list"])
def test_a_question_loads_no_library(question: str) -> None:
    heavy = ["rich", "asyncio", "importlib.metadata", "numpy", "pybench.spec", "pybench.driver"]
    code = (
        f"import sys; from pybench.cli import main; assert main([{question!r}]) == 0\n"
        f"print('loaded:', sorted(set({heavy}) & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True
    )
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_asked_among_other_options_the_answer_is_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers = []
    for argv in (["--list"], ["run", "--list"], ["--conns", "5", "--list"]):
        assert cli.main(argv) == cli.OK
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1] == answers[2]
    assert all(f"\n{name} " in "\n" + answers[0] for name in backends.ROWS)
    with pytest.raises(SystemExit) as left:
        cli.main(["run", "--version"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert cli.main(["--version"]) == cli.OK
    assert capsys.readouterr().out == said == f"pybench {__version__}\n"
