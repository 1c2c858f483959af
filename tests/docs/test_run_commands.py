"""`make docs-commands` runs every command of the pages in order, none left out in silence."""

from pathlib import Path

import pytest

from tests.docs import PAGES, fenced, marked, name, run_commands, shortened, test_commands
from tests.docs.run_commands import Runner

PAGE = """\
# A page
<!-- run page: with THERE=127.0.0.1 -->
<!-- run page: not here, "--far": another
machine -->

Say `pybench --version`, `pybench check`, `pybench race ROW [ROW...]` or ``pip `x` y``.

<!-- run: first: echo prepared > ready -->
<!-- run: status 3, "exit": it says so -->
```
cat > x.sh <<'END'
echo "not a
pybench command"
END
python -c "
print(1)"
here$  sh x.sh THERE \\
    --more                    # why
(exit 3)
there$ pybench-server --listen THERE:0
```

```
a drawing
```

```python
# shown.py
pybench = 1
```

| `pybench --func a --far` | `pybench --version` |
"""


def test_a_page_is_read_in_order() -> None:
    whole, *spans = sorted(marked.blocks(PAGE), key=lambda block: len(block.commands), reverse=True)
    assert whole.first == ("echo prepared > ready",)
    assert [(one.line, one.text.partition("\n")[0], one.serves) for one in whole.commands] == [
        (11, "cat > x.sh <<'END'", False),
        (15, 'python -c "', False),
        (17, "sh x.sh 127.0.0.1 \\", False),
        (19, "(exit 3)", False),
        (20, "pybench-server --listen 127.0.0.1:0", True),
    ]
    assert [one.statuses for one in whole.commands] == [(0,), (0,), (0,), (3,), (0,)]
    found = [(one.text, one.not_here) for block in spans for one in block.commands]
    assert found == [("pybench --version", ""), ("pybench --func a --far", "another machine")]
    assert marked.files(PAGE) == {"shown.py": "# shown.py\npybench = 1\n"}
    assert "<!--" not in marked.without_notes(PAGE)


@pytest.mark.parametrize(
    "note", ["perhaps", "not here", "first:", "serves: it", "status: why"], ids=str
)
def test_what_a_note_does_not_say_is_found(note: str) -> None:
    with pytest.raises(marked.BadNote):
        list(marked.blocks(f"<!-- run: {note} -->\n```\npybench --list\n```\n"))


@pytest.mark.parametrize("text", ["", "```\na drawing\n```\n"], ids=["none", "drawing"])
def test_a_note_on_no_command_is_found(text: str) -> None:
    with pytest.raises(marked.BadNote):
        list(marked.blocks(f"<!-- run: serves -->\n{text}"))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_nothing_of_a_page_is_left_out(page: Path) -> None:
    """What is parsed as a command of a block is run, or marked; the notes are notes."""
    text = page.read_text()
    assert list(marked.blocks(text)) or "<!-- run" not in text
    bare = marked.without_notes(text)
    every = [one.text for block in marked.blocks(bare) for one in block.commands]
    parsed = "".join(f"```\n{block}```\n" for block in fenced(bare, "", "sh"))
    again = "".join(f"```\n{one}\n```\n" for one in every)
    found = list(test_commands.commands(again))
    assert [words for words in test_commands.commands(parsed) if words not in found] == []


def outcomes(scratch: Path, text: str, timeout_s: float = 60) -> list[tuple[str, str]]:
    runner = Runner(scratch, timeout_s)
    runner.prepare()
    found = runner.page("docs/a.md", list(marked.blocks(text)))
    return [(one.verdict, one.why) for one in found]


def test_commands_run_in_one_shell_and_one_folder(tmp_path: Path) -> None:
    """Variables of a block, files of the page; what must fail, and what serves until the end."""
    text = (
        '<!-- run: first: echo one > made -->\n<!-- run: status 4, "$N": it says so -->\n'
        "```\nN=4\n(exit $N)\ncat made\nthere$ echo up; exec sleep 600\nkill -0 %1\n```\n"
        "```\ncat <<'END' >> made\ntwo\nEND\ngrep -c . made no\n"
        'cat "$FILES/my_echo.py"\n```\n'
        "<!-- run: not here: it is elsewhere -->\n```\ncd nowhere\n```\n"
    )
    assert outcomes(tmp_path, text) == [
        ("ok", ""),
        ("ok", "status 4"),
        ("ok", ""),
        ("ok", ""),
        ("ok", ""),
        ("ok", ""),
        ("failed", "status 2: grep: no: No such file or directory"),
        ("ok", ""),
        ("not here", "it is elsewhere"),
    ]


def test_a_command_that_does_not_end_or_ends_the_shell(tmp_path: Path) -> None:
    text = "```\ncd . && exit 2\n```\n```\ncat <(sleep 600)\ncat made\n```\n```\ncd .\n```\n"
    assert outcomes(tmp_path, text, timeout_s=1) == [
        ("failed", "not done after 0 s: it printed nothing"),
        ("failed", "not done after 1 s: it printed nothing"),
        ("failed", "the shell did not come back from what went before"),
        ("ok", ""),
    ]


def test_a_status_that_is_the_machines_hides_no_error(tmp_path: Path) -> None:
    note = "<!-- run: status 0 or 1: as the machine is -->\n"
    text = f"{note}```\ncd .\n(exit 1)\n(echo pybench: error: no file; exit 1)\n(exit 2)\n```\n"
    assert outcomes(tmp_path, text) == [
        ("ok", ""),
        ("ok", "status 1"),
        ("failed", "status 1: pybench: error: no file"),
        ("failed", "status 2: it printed nothing"),
    ]


def test_what_comes_first_must_succeed(tmp_path: Path) -> None:
    text = "<!-- run: first: false -->\n```\ncd .\n```\n"
    assert outcomes(tmp_path, text) == [("failed", "first: false: status 1: it printed nothing")]


def test_the_summary_tells_failures_by_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    command = marked.Command(7, "pybench --list   # so")
    good = run_commands.Outcome("a.md", command, "ok")
    away = run_commands.Outcome("a.md", command, "not here", "two machines")
    assert run_commands.summary([good, away]) == 0
    assert "not here: two machines: a.md:7\n" in capsys.readouterr().out
    bad = run_commands.Outcome("a.md", command, "failed", "status 2: no", "--budget 4s", 1.25)
    assert run_commands.summary([good, bad]) == 1
    shown = "a.md:7  pybench --list  [+ --budget 4s]: status 2: no"
    assert shown in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize(
    ("line", "more"),
    [
        ("pybench race a b --budget 60s", "--budget 4s"),
        ("pybench --func a --conns 10,10k --runtime 2s", "--warmup 50ms"),
        ("pybench --func a --conns 1", "--runtime 200ms --warmup 50ms"),
        ("pybench run --func a --runtime 100ms --warmup 0", ""),
        ("pybench --func a --runtime 3s --warmup 0 --rounds 20", "--runtime 200ms --rounds 3"),
        ("pybench --func a --runtime 1ms --warmup 0 --rounds 2", ""),
        ("pybench --resume x.jsonl", ""),
        ("pybench report x.jsonl", ""),
        ("pybench --list", ""),
        ("pytest --pybench-save x.json", "--pybench-budget 3s"),
    ],
)
def test_durations_are_cut_short(line: str, more: str) -> None:
    program, *words = line.split()
    assert " ".join(shortened.appended(program, words)) == more


def test_a_race_without_a_verdict_has_run() -> None:
    assert run_commands.is_undecided("a b\nundecided: 12 more rounds\n")
    assert not run_commands.is_undecided("undecided\npybench: error: no\n")
    assert not run_commands.is_undecided("undecided\nb: failed again, and is out of the race\n")
