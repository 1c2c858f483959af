"""Run the workflow of docs/export.md as GitHub would, with the action of this tree, by hand.

A tiny project whose head is slower than its base has a pull request: its checkout is one commit
deep, the action's step runs in it under GitHub's own shell line, with files for outputs and
summary, and what the workflow then uploads must be there. Two builds of pybench, and a race. Exit
status 0 when the head was called slower and the job failed of it, as the workflow asks.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parent.parent.parent
PAGE: Final = ROOT / "docs" / "export.md"
SHELL: Final = ("bash", "--noprofile", "--norc", "-eo", "pipefail")
"""What GitHub runs a step of `shell: bash` with."""
PROJECT: Final = """\
[build-system]
requires = ["setuptools>=61"]
build-backend = "setuptools.build_meta"

[project]
name = "my-echo"
version = "1.0"

[tool.setuptools]
py-modules = ["my_echo"]
"""
SLOW: Final = "                sum(range(5000))\n"
ECHO: Final = """\
import threading


def serve(listener, conns, msize, ready):
    threads = [threading.Thread(target=echo, args=listener.accept()[:1]) for _ in range(conns)]
    for thread in threads:
        thread.start()
    ready()
    for thread in threads:
        thread.join()


def echo(sock):
    with sock:
        try:
            while data := sock.recv(65536):
                sock.sendall(data)
        except ConnectionError:
            pass
"""

Context = Mapping[str, str]
"""`inputs.row`, `github.action_path`, `steps.race.outputs.ratio` -> value."""


def substituted(value: object, context: Context) -> str:
    """A value of a workflow with its expressions worked out: names, with `||` between them."""
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return re.sub(r"\$\{\{ *(.+?) *\}\}", lambda found: _first(found[1], context), text)


def _first(expression: str, context: Context) -> str:
    values = [context.get(name.strip(), "") for name in expression.split("||")]
    return next((value for value in values if value), "")


@dataclass(frozen=True, slots=True)
class Done:
    """What came of the action."""

    status: int
    outputs: dict[str, str]
    summary: str


def workflow(page: str) -> list[dict[str, Any]]:
    """The steps of the one job of the page's workflow."""
    (text,) = re.findall(r"^```yaml\n(on: pull_request\n.*?)^```$", page, re.M | re.S)
    (job,) = yaml.safe_load(text)["jobs"].values()
    steps: list[dict[str, Any]] = job["steps"]
    return steps


@dataclass(slots=True)
class Runner:
    """A runner of GitHub's, as far as the action sees it. folder: its own."""

    folder: Path
    context: dict[str, str] = field(default_factory=dict)

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    def use(self, action: Path, given: Mapping[str, object]) -> Done:
        """Run a composite action's steps. given: its `with`."""
        described = yaml.safe_load((action / "action.yml").read_text())
        missing = [
            name
            for name, about in described["inputs"].items()
            if about.get("required") and name not in given
        ]
        assert not missing and set(given) <= set(described["inputs"]), (missing, given)
        values = {name: about.get("default", "") for name, about in described["inputs"].items()}
        inside = {
            **self.context,
            "github.action_path": str(action),
            **{f"inputs.{name}": substituted(value, self.context)
               for name, value in {**values, **given}.items()},
        }  # fmt: skip
        summary = self.folder / "summary.md"
        summary.touch()
        status = 0
        for step in described["runs"]["steps"]:
            if status == 0:
                status = self._step(step, inside, action, summary)
        outputs = {
            name: substituted(about["value"], inside)
            for name, about in described["outputs"].items()
        }
        return Done(status, outputs, summary.read_text())

    def _step(
        self, step: dict[str, Any], inside: dict[str, str], action: Path, summary: Path
    ) -> int:
        assert step["shell"] == "bash"
        temporary = self.folder / "temp"
        temporary.mkdir(exist_ok=True)
        script, output = temporary / "step.sh", temporary / "output"
        script.write_text(substituted(step["run"], inside))
        output.touch()
        environment = {
            **os.environ,
            **{name: substituted(value, inside) for name, value in step.get("env", {}).items()},
            "CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_ACTION_PATH": str(action),
            "GITHUB_WORKSPACE": str(self.workspace), "RUNNER_TEMP": str(temporary),
            "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(summary),
        }  # fmt: skip
        done = subprocess.run(
            [*SHELL, str(script)], cwd=self.workspace, env=environment, check=False
        )
        for line in output.read_text().splitlines():
            name, equals, value = line.partition("=")
            assert equals and re.fullmatch(r"[\w-]+", name), f"GITHUB_OUTPUT: {line!r}"
            inside[f"steps.{step['id']}.outputs.{name}"] = value
        return done.returncode


def pull_request(folder: Path) -> str:
    """Make a project with a pull request, checked out as GitHub does; its base, a commit."""
    origin = folder / "origin"
    _git(folder, "init", "--quiet", "--initial-branch", "main", str(origin))
    _git(origin, "config", "uploadpack.allowAnySHA1InWant", "true")  # as GitHub's server has it
    (origin / "pyproject.toml").write_text(PROJECT)
    (origin / "my_echo.py").write_text(ECHO)
    base = _commit(origin, "base")
    slow = ECHO.replace("                sock.sendall", f"{SLOW}                sock.sendall")
    assert slow != ECHO
    (origin / "my_echo.py").write_text(slow)
    _commit(origin, "head")
    _git(folder, "clone", "--quiet", "--depth", "1", f"file://{origin}", "workspace")
    return base


def _commit(repository: Path, title: str) -> str:
    _git(repository, "add", ".")
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    _git(repository, *who, "commit", "--quiet", "--message", title)
    return _git(repository, "rev-parse", "HEAD")


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def copied(folder: Path) -> None:
    """What git has of this tree, as a checkout of pybench."""
    folder.mkdir()
    for name in _git(ROOT, "ls-files", "-z").split("\0"):
        if name and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
            (folder / name).chmod((ROOT / name).stat().st_mode)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--budget", default="30s", help="of the race (the page's is 60s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pybench-action-") as name:
        runner = Runner(Path(name))
        runner.context["github.event.pull_request.base.sha"] = pull_request(Path(name))
        done, uploaded = None, []
        for step in workflow(PAGE.read_text()):
            given, uses = step.get("with", {}), step["uses"]
            if uses.startswith("./"):
                done = runner.use(
                    runner.workspace / uses, {**given, "budget": options.budget, "conns": 10}
                )
                for output, value in done.outputs.items():
                    runner.context[f"steps.{step['id']}.outputs.{output}"] = value
            elif uses.startswith("actions/upload-artifact@"):
                uploaded.append(Path(substituted(given["path"], runner.context)))
            elif "path" in given:
                copied(runner.workspace / given["path"])
        assert done
        print(f"status {done.status}, outputs {done.outputs}\n\n{done.summary}")
        left = _git(runner.workspace, "worktree", "list").splitlines()
        expected = {
            "the head is slower": done.outputs.get("verdict") == "slower",
            "and the job failed of it": done.status == 1,
            "by a ratio below 1": 0 < float(done.outputs.get("ratio") or 0) < 1,
            "which is on the job's page": "slower" in done.summary,
            "the results can be uploaded": all(path.stat().st_size for path in uploaded),
            "no tree is left behind": len(left) == 1,
        }
    for what, so in expected.items():
        print(f"{'ok' if so else 'failed':8} {what}")
    return 0 if all(expected.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
