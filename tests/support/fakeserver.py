"""A load server that misbehaves as the real one cannot: garbage, silence, vanishing.

It only speaks the control protocol, from a script: lines to send, or what to do.
"""

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pybench.spec import HostPort

AWAIT_LINE = object()
"""Step of a script: read one line from the driver."""
CONNECT = object()
"""Step of a script: open the connections that the request asked for."""

Step = bytes | float | object
"""Bytes to send, seconds of silence, or one of those above."""


@dataclass
class FakeServer:
    """Where it listens, the lines it was sent, and whether its test has ended: until then it would
    tell another client that it is busy."""

    address: HostPort
    lines: list[str] = field(default_factory=list)
    ended: bool = False


@contextmanager
def fake_server(
    script: Sequence[Step], *, hold: bool = False, closing_s: float = 0.0
) -> Iterator[FakeServer]:
    """Serves one control client by the script, after its request; then closes.

    hold: keep the connection open in silence instead, until the client leaves.
    closing_s: how long it then takes to end the test.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)
        fake = FakeServer(HostPort(*listener.getsockname()[:2]))
        thread = threading.Thread(target=_serve, args=(listener, fake, script, hold, closing_s))
        thread.start()
        try:
            yield fake
        finally:
            thread.join()


def _serve(
    listener: socket.socket,
    fake: FakeServer,
    script: Sequence[Step],
    hold: bool,
    closing_s: float,
) -> None:
    control, _ = listener.accept()
    control.settimeout(20)
    connections: list[socket.socket] = []
    with control, control.makefile("r", encoding="ascii") as lines:
        try:
            fake.lines.append(lines.readline())
            for step in script:
                if step is AWAIT_LINE:
                    fake.lines.append(lines.readline())
                elif step is CONNECT:
                    connections += _connect(fake.lines[0])
                elif isinstance(step, float):
                    time.sleep(step)
                else:
                    assert isinstance(step, bytes)
                    control.sendall(step)
            while hold and lines.readline():
                pass
        except OSError:  # the driver had enough
            pass
        time.sleep(closing_s)
        fake.ended = True
    for connection in connections:
        connection.close()


def _connect(request: str) -> list[socket.socket]:
    words = dict(word.split("=", 1) for word in request.split()[1:])
    address = (words["addr"], int(words["port"]))
    return [socket.create_connection(address, 20) for _ in range(int(words["conns"]))]
