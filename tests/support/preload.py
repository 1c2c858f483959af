"""The fixture `preload`: C functions of a test's own in front of the C library's."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def preload(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Compiles C code and returns the environment that loads it into a process first."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler")

    def build(code: str) -> dict[str, str]:
        source, library = tmp_path / "preload.c", tmp_path / "preload.so"
        source.write_text(code)
        subprocess.run(
            [str(compiler), "-shared", "-fPIC", "-o", str(library), str(source)], check=True
        )
        first = os.environ.get("LD_PRELOAD")
        return {"LD_PRELOAD": f"{first}:{library}" if first else str(library)}

    return build
