"""What mkdocs calls while it builds the site: pages that are made, links that are turned."""

import io
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parent.parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import reference  # noqa: E402 - they lie beside this file, which mkdocs loads by its path
from links import TOP, turned  # noqa: E402

from pybench.cli.main import main as command_line  # noqa: E402

_NOTES: Final = re.compile(r"^<!-- run( page)?: .*?-->\n", re.DOTALL | re.MULTILINE)
"""For tests/docs/run_commands.py."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave pages out of the navigation that this tree does not have."""
    there = {*TOP.values(), *reference.pages()}
    config.nav = _existing(config.nav, lambda page: page in there or _in_docs(config, page))
    return config


def _in_docs(config: MkDocsConfig, page: str) -> bool:
    return (Path(config.docs_dir) / page).exists()


def _existing(entry: Any, exists: Any) -> Any:
    if isinstance(entry, list):
        found = [_existing(one, exists) for one in entry]
        return [one for one in found if one is not None]
    if isinstance(entry, dict):
        ((title, inside),) = entry.items()
        kept = _existing(inside, exists)
        return {title: kept} if kept else None
    return entry if exists(entry) else None


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of the tree's top, those of the reference, and the schemas."""
    for source, page in TOP.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=turned(text, ROOT)))
    for page, text in reference.pages().items():
        files.append(File.generated(config, page, content=text))
    for name, made in gallery().items():
        files.append(File.generated(config, name, abs_src_path=str(made)))
    for schema in reference.schemas():
        target = f"reference/{schema.name}"
        files.append(File.generated(config, target, abs_src_path=str(schema)))
    return files


def gallery() -> dict[str, Path]:
    """Path in the site -> the page of each file of the gallery, made in build/."""
    found = {}
    for path in sorted((ROOT / "docs" / "gallery").glob("*.jsonl.gz")):
        name = path.name.removesuffix(".jsonl.gz")
        made = ROOT / "build" / "gallery-pages" / f"{name}.html"
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            assert command_line(["report", str(path), "--html", str(made)]) == 0
        found[f"gallery/{name}.html"] = made
    return found


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links of pages in docs/ at pages of the site, leave out what is said of commands."""
    markdown = _NOTES.sub("", markdown)
    if page.file.src_uri == "gallery.md":
        markdown = re.sub(
            r"\[[^]]*\]\((gallery/.*?)\.jsonl\.gz\)", r"\g<0>, [page](\1.html)", markdown
        )
    path = page.file.abs_src_path
    return turned(markdown, Path(path).parent) if path else markdown
