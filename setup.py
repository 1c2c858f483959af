"""Builds what pyproject.toml cannot describe: the C extension modules and the load server.

The server is an executable, not a library: `build_server` compiles server/*.c and puts the program
into the package as pybench/bin/pybench-server, so that a wheel carries it and an editable install
finds it in the tree. What compiles it is said once, for here and for `make server`: the flags in
server/cflags, the questions for libraries in server/probe, the version in pybench/__init__.py. As
there, CC, CPPFLAGS, CFLAGS and LDFLAGS of the environment count.

A compiler is looked for when something is compiled: the version, the metadata and an sdist need
none.
"""

import functools
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import ClassVar

from setuptools import Command, Extension, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, ExecError

HEADERS = sorted(str(path) for folder in ("server", "ext") for path in Path(folder).glob("*.h"))
CFLAGS = Path("server/cflags").read_text().split()
URING_PROBE = Path("server/probe/liburing.c")
OPENSSL_PROBE = Path("server/probe/openssl.c")
OPENSSL = ["-lssl", "-lcrypto"]
SANITIZE = os.environ.get("PYBENCH_SANITIZE", "")  # e.g. "address,undefined"
if SANITIZE:
    CFLAGS += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-g", "-O1"]
    CFLAGS.append("-U_FORTIFY_SOURCE")  # its checks would hide calls from the sanitizer
LINK = ["-pthread"] + ([f"-fsanitize={SANITIZE}"] if SANITIZE else [])


def environment(name: str) -> list[str]:
    """A variable's words."""
    return shlex.split(os.environ.get(name, ""))


@functools.cache
def compiler() -> list[str]:
    """The command that compiles C. Raises ExecError when there is none."""
    found = environment("CC") or [name for name in ("cc", "gcc", "clang") if shutil.which(name)][:1]
    if not found or shutil.which(found[0]) is None:
        what = f"CC={shlex.join(found)} is not there" if found else "there is no cc"
        raise ExecError(
            f"{what}: pybench needs a C compiler and the C library's headers "
            "(Debian: gcc libc6-dev; Fedora: gcc glibc-devel)"
        )
    return found


def compile_program(sources: list[str], flags: list[str], libraries: list[str], to: Path) -> bool:
    """Whether the compiler made the program; what it says it says unless it is only asked."""
    flags = [*CFLAGS, *environment("CPPFLAGS"), *environment("CFLAGS"), *flags]
    libraries = [*environment("LDFLAGS"), *libraries]
    command = [*compiler(), *flags, *sources, *libraries, "-o", str(to)]
    asked = sources[0] in (str(URING_PROBE), str(OPENSSL_PROBE))
    return subprocess.run(command, capture_output=asked, check=False).returncode == 0


@functools.cache
def have_liburing() -> bool:
    """Whether the compiler finds a liburing that can do multishot receives into buffer rings.

    Without it there is no io_uring engine and no row c_uring, and the server says how to get it.
    """
    with tempfile.TemporaryDirectory() as folder:
        return compile_program([str(URING_PROBE)], [], ["-luring"], Path(folder, "probe"))


@functools.cache
def have_openssl() -> bool:
    """Whether the compiler finds an OpenSSL 3.

    Without it there is no TLS in the server, which says how to get it, nor for the row c_epoll.
    """
    with tempfile.TemporaryDirectory() as folder:
        return compile_program([str(OPENSSL_PROBE)], [], OPENSSL, Path(folder, "probe"))


def extension(name: str, *, libraries: tuple[str, ...] = ()) -> Extension:
    """One extension module: its own file, and the C core that the C rows share."""
    sources = [f"ext/{name}.c"]
    if name != "rawselect":
        sources += ["ext/echo.c", "ext/shares.c"]
    return Extension(
        f"pybench.{name}",
        sources,
        depends=HEADERS,
        # What makes a program position-independent makes no shared object.
        extra_compile_args=[flag for flag in CFLAGS if flag not in ("-fPIE", "-pie")],
        extra_link_args=LINK,
        libraries=list(libraries),
    )


class BuildExt(build_ext):
    """As ever, without the rows that this system has no library for."""

    def run(self) -> None:
        compiler()
        left_out = set()
        if not have_liburing():
            left_out.add("pybench.c_uring")
        if not have_openssl():
            left_out.add("pybench.c_epoll_tls")
        self.extensions = [made for made in self.extensions if made.name not in left_out]
        super().run()


class BuildServer(Command):
    """Compile server/*.c into the program pybench/bin/pybench-server."""

    description = "build the load server executable"
    user_options: ClassVar = [("build-lib=", "b", "directory of the built package")]
    editable_mode = False

    def initialize_options(self) -> None:
        self.build_lib: str | None = None

    def finalize_options(self) -> None:
        self.set_undefined_options("build_py", ("build_lib", "build_lib"))

    def get_source_files(self) -> list[str]:
        sources = [str(path) for path in sorted(Path("server").glob("*.[ch]"))]
        return [*sources, "server/cflags", str(URING_PROBE), str(OPENSSL_PROBE)]

    def get_outputs(self) -> list[str]:
        return [] if self.editable_mode else [str(self._program())]

    def get_output_mapping(self) -> dict[str, str]:
        return {}

    def _program(self) -> Path:
        root = Path() if self.editable_mode else Path(str(self.build_lib))
        return root / "pybench" / "bin" / "pybench-server"

    def run(self) -> None:
        program = self._program()
        program.parent.mkdir(parents=True, exist_ok=True)
        new = program.with_name(f"{program.name}.new")  # one that runs is replaced, not written to
        made = compile_program(
            [str(path) for path in sorted(Path("server").glob("*.c"))],
            [
                f'-DPYBENCH_VERSION="{self.distribution.get_version()}"',
                *(["-DHAVE_LIBURING"] if have_liburing() else []),
                *(["-DHAVE_OPENSSL"] if have_openssl() else []),
            ],
            [
                *LINK,
                *(["-luring"] if have_liburing() else []),
                *(OPENSSL if have_openssl() else []),
                "-lm",
            ],
            new,
        )
        if not made:
            raise CompileError(f"{shlex.join(compiler())} could not compile the load server")
        new.replace(program)


class Build(build):
    """With the server."""

    sub_commands: ClassVar = [*build.sub_commands, ("build_server", None)]


setup(
    ext_modules=[
        *(extension(name) for name in ("c_epoll", "c_poll", "c_th", "rawselect")),
        extension("c_uring", libraries=("uring",)),
        extension("c_epoll_tls", libraries=("ssl", "crypto")),
    ],
    cmdclass={"build": Build, "build_ext": BuildExt, "build_server": BuildServer},
)
