"""Builds what pyproject.toml cannot describe: the C extension modules and the load server.

The server is an executable, not a library: `build_server` compiles server/*.c and puts the program
into the package as pybench/bin/pybench-server, so that a wheel carries it and an editable install
finds it in the tree. What compiles it is said once, for here and for `make server`: the flags in
server/cflags, the question for liburing in server/probe, the version in pybench/__init__.py.
"""

import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import ClassVar

from setuptools import Command, Extension, setup
from setuptools.command.build import build

HEADERS = sorted(str(path) for folder in ("server", "ext") for path in Path(folder).glob("*.h"))
CFLAGS = Path("server/cflags").read_text().split()
URING_PROBE = Path("server/probe/liburing.c")
SANITIZE = os.environ.get("PYBENCH_SANITIZE", "")  # e.g. "address,undefined"
if SANITIZE:
    CFLAGS += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-g", "-O1"]
LINK = ["-pthread"] + ([f"-fsanitize={SANITIZE}"] if SANITIZE else [])


def have_liburing() -> bool:
    """Whether the compiler finds a liburing that can do multishot receives into buffer rings."""
    compiler = shlex.split(os.environ.get("CC", "cc"))
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*compiler, str(URING_PROBE), "-luring", "-o", str(Path(folder, "probe"))],
            capture_output=True,
            check=False,
        )
    return done.returncode == 0


# Optional: without it there is no io_uring engine, and the server says how to get it.
URING = have_liburing()
URING_CFLAGS = ["-DHAVE_LIBURING"] if URING else []
URING_LINK = ["-luring"] if URING else []


def extension(name: str, *, libraries: tuple[str, ...] = ()) -> Extension:
    """One extension module: its own file, and the C core that the C rows share."""
    sources = [f"ext/{name}.c"]
    if name != "rawselect":
        sources.append("ext/echo.c")
    return Extension(
        f"pybench.{name}",
        sources,
        depends=HEADERS,
        extra_compile_args=CFLAGS,
        extra_link_args=LINK,
        libraries=list(libraries),
    )


def extensions() -> list[Extension]:
    """Every extension module that can be built here."""
    made = [extension(name) for name in ("c_epoll", "c_poll", "c_th", "rawselect")]
    if URING:
        made.append(extension("c_uring", libraries=("uring",)))
    return made


class BuildServer(Command):
    """Compile server/*.c into the program pybench/bin/pybench-server."""

    description = "build the load server executable"
    user_options: ClassVar = [("build-lib=", "b", "directory of the built package")]
    editable_mode = False

    def initialize_options(self) -> None:
        self.build_lib: str | None = None
        self.build_temp: str | None = None

    def finalize_options(self) -> None:
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))
        self.set_undefined_options("build_ext", ("build_temp", "build_temp"))

    def get_source_files(self) -> list[str]:
        sources = [str(path) for path in sorted(Path("server").glob("*.[ch]"))]
        return [*sources, "server/cflags", str(URING_PROBE)]

    def get_outputs(self) -> list[str]:
        return [] if self.editable_mode else [str(self._program())]

    def get_output_mapping(self) -> dict[str, str]:
        return {}

    def _program(self) -> Path:
        root = Path() if self.editable_mode else Path(str(self.build_lib))
        return root / "pybench" / "bin" / "pybench-server"

    def run(self) -> None:
        from setuptools._distutils.ccompiler import new_compiler
        from setuptools._distutils.sysconfig import customize_compiler

        compiler = new_compiler()
        customize_compiler(compiler)
        version = f'"{self.distribution.get_version()}"'
        objects = compiler.compile(
            [str(path) for path in sorted(Path("server").glob("*.c"))],
            output_dir=str(self.build_temp),
            macros=[("PYBENCH_VERSION", version)],
            extra_postargs=CFLAGS + URING_CFLAGS,
            depends=HEADERS,
        )
        program = self._program()
        program.parent.mkdir(parents=True, exist_ok=True)
        compiler.link_executable(
            objects,
            program.name,
            output_dir=str(program.parent),
            extra_postargs=[*LINK, *URING_LINK, "-lm"],
        )


build.sub_commands.append(("build_server", None))

setup(
    ext_modules=extensions(),
    cmdclass={"build_server": BuildServer},
)
