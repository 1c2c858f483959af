"""A bash that commands are typed into, one after another, each waited for with a deadline."""

import contextlib
import fcntl
import os
import select
import shlex
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

PRELUDE: Final = r"""
environment() {
    local name program
    for name in "$@"; do
        [ -e "$name" ] && continue
        python -m venv --without-pip "$name" &&
            python -c 'import site, sys; from pathlib import Path
(ours,) = site.getsitepackages()
theirs = Path(sys.argv[1], *Path(ours).parts[-3:], "outer.pth")
theirs.write_text(f"import site; site.addsitedir({ours!r})\n")' "$name" || return
        for program in pip pybench pytest; do
            printf '#!/bin/sh\nexec "%s" -m %s "$@"\n' \
                "$PWD/$name/bin/python" $program >"$name/bin/$program"
            chmod +x "$name/bin/$program"
        done
    done
}
checkout() {
    mkdir -p "$1" && git -C "$TREE" ls-files -z | (cd "$TREE" && xargs -0 cp --parents -t "$1")
}
inside() { PATH=$PYBENCH_DOCS_SHIMS:$PWD/$1/bin:$PATH; }
"""
"""What notes call besides commands, in bash."""
STARTS_S: Final = 60.0
"""How long what serves may take to say its first word."""


class Shell:
    """A bash of its own session. Gone, with all that it started, on close."""

    def __init__(self, folder: Path, environment: dict[str, str], *, own_network: bool) -> None:
        reads, self._says = os.pipe()
        self._statuses = os.fdopen(reads, "rb", buffering=0)
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the shell
        fcntl.fcntl(self._output, fcntl.F_SETFL, os.O_RDWR | os.O_APPEND)  # it is read meanwhile
        self._bash = subprocess.Popen(
            [*(("unshare", "--net") if own_network else ()), "bash", "--norc", "--noprofile"],
            cwd=folder, env=environment, start_new_session=True, pass_fds=[self._says],
            stdin=subprocess.PIPE, stdout=self._output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        os.close(self._says)  # so that the end of bash is an end of file
        self.lost = False
        self._tell(PRELUDE)
        if own_network:
            self._tell("ip link set lo up")

    def run(self, text: str, timeout_s: float, *, serves: bool = False) -> int | None:
        """Its status; None when it took too long or left the shell, which is no good then."""
        self._output.seek(0)
        self._output.truncate()
        if serves and not text.rstrip().endswith("&"):
            text = f"{{ {text}\n}} &"
        self._tell(f"eval {shlex.quote(text)} </dev/null; echo $? >&{self._says}")
        status = self._status(timeout_s)
        if serves and status == 0:
            deadline = time.monotonic() + STARTS_S
            while not self.output() and time.monotonic() < deadline:
                time.sleep(0.1)
            self._tell(f"kill -0 $! 2>/dev/null; echo $? >&{self._says}")
            status = self._status(timeout_s)
        return status

    def output(self) -> str:
        """What the last command printed, on both channels."""
        self._output.seek(0)
        return self._output.read().decode(errors="replace")

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._bash.wait(5)
            os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.wait()
        for file in (self._statuses, self._output, self._bash.stdin):
            if file:
                with contextlib.suppress(BrokenPipeError):
                    file.close()

    def _tell(self, text: str) -> None:
        assert self._bash.stdin
        with contextlib.suppress(BrokenPipeError):  # it has left: no status comes
            self._bash.stdin.write(text.encode() + b"\n")
            self._bash.stdin.flush()

    def _status(self, timeout_s: float) -> int | None:
        ready = select.select([self._statuses], [], [], timeout_s)[0]
        line = self._statuses.readline() if ready else b""
        self.lost = not line
        return int(line) if line else None
