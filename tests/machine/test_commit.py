"""The commit in the environment: git's where we were started, a GitHub job's own."""

import subprocess
from pathlib import Path

import pytest

from pybench.machine import environment


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Entered; its one commit."""
    monkeypatch.delenv("GITHUB_SHA", raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    who = ["-c", "user.name=a", "-c", "user.email=a@b.example"]
    for words in (["init", "--quiet"], [*who, "commit", "--quiet", "--allow-empty", "-m", "one"]):
        subprocess.run(["git", *words], check=True)
    asked = ["git", "rev-parse", "HEAD"]
    return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()


def test_it_is_the_one_checked_out(repository: str, tmp_path: Path) -> None:
    assert environment.collect()["commit"] == repository


def test_of_a_job_it_is_the_job_s(repository: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_SHA", "f" * 40)
    assert environment.collect()["commit"] == "f" * 40


def test_without_a_repository_or_git_there_is_none(
    repository: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "commit" not in environment.collect()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "commit" not in environment.collect()
