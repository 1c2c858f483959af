"""What a user names and is no file: pipes are read once, devices and lonely pipes are refused."""

import gzip
import os
import threading
from pathlib import Path

import pytest

from pybench.cli import main
from pybench.result import inputs
from pybench.result.file import read_sections
from tests.support import DATA

RESULTS = DATA / "results_small.jsonl"


@pytest.fixture
def fifo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(inputs, "WRITER_S", 0.05)
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


def fed(fifo: Path, data: bytes) -> threading.Thread:
    """Somebody who writes it as soon as somebody reads."""
    writer = threading.Thread(target=fifo.write_bytes, args=(data,))
    writer.start()
    return writer


@pytest.mark.parametrize(
    "words",
    [
        ["--campaign", "{}"],
        ["--resume", "{}"],
        ["report", "{}"],
        ["report", str(RESULTS), "{}"],
        ["report", "--syscalls", "{}"],
        ["compare", "{}", str(RESULTS)],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("kind", ["/dev/zero", "/dev/full", "a fifo", "a folder"])
def test_what_would_never_end_is_one_line(
    words: list[str], kind: str, fifo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = {"a fifo": str(fifo), "a folder": str(fifo.parent)}.get(kind, kind)
    assert main([word.format(path) for word in words]) in (1, 2)
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert path in err and "None" not in err
    said = {"a fifo": "nobody writes to", "a folder": "directory"}.get(kind, "a device")
    assert said in err


@pytest.mark.parametrize(
    "words", [["report"], ["report", "--syscalls"], ["--resume"], ["--campaign"]]
)
def test_a_link_to_itself(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert main([*words, str(tmp_path / "loop")]) in (1, 2)
    err = capsys.readouterr().err
    assert "loop: Too many levels of symbolic links" in err and err.count("\n") == 1


@pytest.mark.parametrize("data", [RESULTS.read_bytes(), gzip.compress(RESULTS.read_bytes())])
def test_a_pipe_is_read_like_a_file(
    data: bytes, fifo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it is looked at before it is read, and gives what it has but once."""
    monkeypatch.setattr(inputs, "WRITER_S", 20.0)
    writer = fed(fifo, data)
    assert main(["report", str(fifo)]) == 0
    writer.join()
    from_pipe = capsys.readouterr()
    assert main(["report", str(RESULTS)]) == 0
    assert capsys.readouterr() == from_pipe
    assert read_sections(fifo) == read_sections(RESULTS)


def test_a_campaign_comes_through_a_pipe(
    fifo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "WRITER_S", 20.0)
    writer = fed(fifo, b'func = "selector"\nconns = 0\n')
    assert main(["--campaign", str(fifo)]) == 2
    writer.join()
    assert "conns: 0 is out of range" in capsys.readouterr().err


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_campaign_that_a_windows_editor_wrote(
    encoding: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "c.toml"
    path.write_bytes('func = "selector"\r\nconns = 0\r\n'.encode(encoding))
    assert main(["--campaign", str(path)]) == 2
    assert "conns: 0 is out of range" in capsys.readouterr().err


def test_nothing_is_an_empty_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", os.devnull]) == 1
    assert "empty" in capsys.readouterr().err
