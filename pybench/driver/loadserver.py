"""The embedded load server: found, started on a loopback port, watched, stopped.

One serves a whole campaign. It ends with the driver, whatever ends the driver.
"""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from pybench.driver.scratch import scratch_file
from pybench.errors import ServerError, UsageError
from pybench.spec import HostPort

EXECUTABLE_VARIABLE = "PYBENCH_SERVER"
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 3.0


def executable() -> Path:
    """The load server's program: $PYBENCH_SERVER, else the one built into the package.

    Raises UsageError when there is none, saying how to build it.
    """
    chosen = os.environ.get(EXECUTABLE_VARIABLE)
    path = Path(chosen) if chosen else Path(__file__).parent.parent / "bin" / "pybench-server"
    if path.is_file() and os.access(path, os.X_OK):
        return path
    remedy = "mend or unset it" if chosen else "in the source tree, `pip install -e .` builds it"
    origin = f"{EXECUTABLE_VARIABLE}: " if chosen else ""
    raise UsageError(f"{origin}no load server program at {path}: {remedy}")


class LoadServer:
    """A running `pybench-server`. A context manager: leaving it stops the server.

    listen: numeric address to listen on; the kernel chooses the port.  cpus: to run on, None for
    any.  Raises ServerError when it does not start.
    """

    def __init__(self, *, listen: str = "127.0.0.1", cpus: Sequence[int] | None = None) -> None:
        host = HostPort(listen, 0)
        argv = [str(executable()), "--listen", str(host), "--die-with-parent", "--quiet"]
        if cpus is not None:
            argv += ["--cpus", ",".join(map(str, cpus))]
        self._stderr = scratch_file()
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                start_new_session=True,  # a Ctrl-C at the terminal is the driver's to handle
            )
        except OSError as exc:
            raise ServerError("unreachable", f"{argv[0]}: {exc.strerror}") from exc
        try:
            self.address = self._await_address()
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> "LoadServer":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def exit_reason(self, wait_s: float = 0.5) -> str | None:
        """How the server ended and what it said last, or None when it runs.

        wait_s: how long it may take to be seen as ended after its connection broke.
        """
        try:
            code = self._process.wait(wait_s)
        except subprocess.TimeoutExpired:
            return None
        how = f"killed by {_signal_name(-code)}" if code < 0 else f"ended with exit status {code}"
        said = self._last_words()
        return f"load server {how}" + (f"; it last printed: {said}" if said else "")

    def stop(self) -> None:
        """End the server and reap it: SIGTERM, and SIGKILL when that takes too long."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._stderr.close()

    def _await_address(self) -> HostPort:
        line = self._read_line()
        if line.startswith("listening on "):
            return HostPort.parse(line.removeprefix("listening on "))
        reason = self.exit_reason() or "load server did not say where it listens"
        raise ServerError("unreachable", f"cannot start the load server: {reason}")

    def _read_line(self) -> str:
        assert self._process.stdout is not None
        fd = self._process.stdout.fileno()
        os.set_blocking(fd, False)
        deadline = time.monotonic() + START_TIMEOUT_S
        text = b""
        with selectors.DefaultSelector() as selector:
            selector.register(fd, selectors.EVENT_READ)
            while b"\n" not in text and selector.select(deadline - time.monotonic()):
                data = os.read(fd, 4096)
                if not data:
                    break
                text += data
        return text.partition(b"\n")[0].decode(errors="replace").strip()

    def _last_words(self) -> str:
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else ""


class ServerKeeper:
    """The load server of a campaign: one that is given, or an embedded one that is kept alive.

    given: the one to use.  bind, cpus: of an embedded one, as for `LoadServer`.
    A context manager; leaving it stops the embedded server. It is started when first needed.
    """

    def __init__(self, given: HostPort | None, *, bind: str, cpus: Sequence[int] | None) -> None:
        self._given = given
        self._bind = bind
        self._cpus = cpus
        self._embedded: LoadServer | None = None

    def __enter__(self) -> "ServerKeeper":
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._embedded is not None:
            self._embedded.stop()

    def address(self) -> HostPort:
        """Where to connect to; starts the embedded server when there is none, or none any more."""
        if self._given is not None:
            return self._given
        if self._embedded is not None and self._embedded.exit_reason(0) is not None:
            self._embedded.stop()
            self._embedded = None
        if self._embedded is None:
            self._embedded = LoadServer(listen=self._bind, cpus=self._cpus)
        return self._embedded.address

    def exit_reason(self) -> str | None:
        """How the embedded server has died, or None when it runs, or there is none."""
        return None if self._embedded is None else self._embedded.exit_reason()


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:  # a real-time signal has no name
        return f"signal {number}"


def replace_process(arguments: Sequence[str]) -> NoReturn:
    """Become the load server with these arguments. Raises UsageError when there is no program."""
    path = str(executable())
    try:
        os.execv(path, [path, *arguments])
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror}") from exc
