"""The GitHub action: what its script is given, and that the commands in it are taken."""

import re
import shlex
import subprocess
from typing import Any

import yaml

from pybench.cli.race import _parser
from tests.support import ROOT

FOLDER = ROOT / ".github" / "actions" / "pybench"
SCRIPT = (FOLDER / "race.sh").read_text()


def action() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "action.yml").read_text())
    return found


def test_the_script_is_given_all_that_it_reads() -> None:
    (step,) = action()["runs"]["steps"]
    given = set(step["env"]) - {"ACTION"}
    read = set(re.findall(r"\$\{?([A-Z][A-Z_]+)", SCRIPT)) - {"PYTHON", "PWD", "RUNNER_TEMP"}
    assert {name for name in read if not name.startswith("GITHUB_")} == given
    used = set(re.findall(r"inputs\.([\w-]+)", str(step["env"])))
    assert used == set(action()["inputs"])


def test_its_outputs_are_written() -> None:
    written = set(re.findall(r"[\"(f ](\w+)=\{", SCRIPT))
    assert set(action()["outputs"]) == written


def test_the_defaults_of_the_script_are_those_of_the_action() -> None:
    for name in ("install", "conns", "budget", "metric"):
        default = action()["inputs"][name]["default"]
        assert re.search(rf"{name.upper()}:-'?{re.escape(default)}", SCRIPT), name


def test_the_script_is_a_script_and_its_race_is_one() -> None:
    subprocess.run(["bash", "-n", FOLDER / "race.sh"], check=True)
    (command,) = re.findall(r'bin/pybench" (race .*?) \|\|', SCRIPT.replace("\\\n", ""))
    words = shlex.split(re.sub(r"\$\{\w+:-(\w+)\}", r"\1", command))
    options = vars(_parser().parse_args(words[1:]))
    assert (options["conns"], options["budget"], options["metric"]) == ("100", "60s", "mps")
