"""A composite action is run as GitHub runs it; what the page's workflow gives ours is taken."""

import os
from pathlib import Path

import pytest

from tests.docs import run_action

ACTION = """\
inputs:
  row: {required: true}
  base: {default: ""}
  fail: {default: "false"}
outputs:
  said: {value: "${{ steps.one.outputs.said }}"}
runs:
  using: composite
  steps:
    - id: one
      shell: bash
      run: |
        cat "$HERE/said" >> "$GITHUB_OUTPUT"; echo "$ROW $BASE" >> "$GITHUB_STEP_SUMMARY"
        false | cat; [[ $FAIL == true ]] || exit 3
      env:
        HERE: ${{ github.action_path }}
        ROW: ${{ inputs.row }}
        BASE: ${{ inputs.base || github.event.pull_request.base.sha }}
        FAIL: ${{ inputs.fail }}
"""


def test_a_step_has_files_inputs_and_the_shell_of_github(tmp_path: Path) -> None:
    """`pipefail` ends it before it says 3; what it had said by then counts."""
    (tmp_path / "action.yml").write_text(ACTION)
    (tmp_path / "said").write_text("said=so much\n")
    (tmp_path / "workspace").mkdir()
    runner = run_action.Runner(tmp_path, {"github.event.pull_request.base.sha": "abc"})
    done = runner.use(tmp_path, {"row": "my:row", "fail": True})
    assert done == run_action.Done(1, {"said": "so much"}, "my:row abc\n")
    assert "GITHUB_OUTPUT" not in os.environ
    with pytest.raises(AssertionError):
        runner.use(tmp_path, {"fail": True})


def test_the_workflow_of_the_page_asks_for_what_there_is() -> None:
    action = run_action.ROOT / ".github" / "actions" / "pybench" / "action.yml"
    known = run_action.yaml.safe_load(action.read_text())
    steps = run_action.workflow(run_action.PAGE.read_text())
    (ours,) = [step for step in steps if step["uses"].startswith("./")]
    assert ours["uses"].endswith(str(action.parent.relative_to(run_action.ROOT)))
    assert set(ours["with"]) <= set(known["inputs"])
    (last,) = [step for step in steps if "upload-artifact" in step["uses"]]
    context = {f"steps.{ours['id']}.outputs.{name}": name for name in known["outputs"]}
    assert run_action.substituted(last["with"]["path"], context) == "results"
