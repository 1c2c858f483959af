"""The kernel's list of TCP sockets: who listens, who is connected, what lies in which queue."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ESTABLISHED, LISTENING = "01", "0A"


@dataclass(frozen=True, slots=True)
class Entry:
    """One socket. state: the kernel's two digits.

    to_send, to_read: bytes in its queues; of a listener, to_read is how many connections wait to
    be accepted.
    """

    local_port: int
    remote_port: int
    state: str
    to_send: int
    to_read: int


def entries(port: int, name: str = "tcp") -> Iterator[Entry]:
    """The sockets of an address family, `tcp` or `tcp6`, that have this port at one of their ends.

    Not of one instant; listeners come first. Source: proc_net_tcp, in the kernel's documentation.
    """
    wanted = f":{port:04X} "
    try:
        lines = Path("/proc/net", name).read_text().splitlines()[1:]
    except FileNotFoundError:  # no IPv6 here
        return
    for line in lines:
        if wanted not in line:  # the list may be long
            continue
        _, local, remote, state, queues, *_ = line.split(maxsplit=5)
        to_send, _, to_read = queues.partition(":")
        yield Entry(
            local_port=int(local.rpartition(":")[2], 16),
            remote_port=int(remote.rpartition(":")[2], 16),
            state=state,
            to_send=int(to_send, 16),
            to_read=int(to_read, 16),
        )


@dataclass(frozen=True, slots=True)
class Connections:
    """What the kernel knows of a local port. waiting: connections that nobody has accepted yet."""

    waiting: int = 0
    established: int = 0


def connections(port: int) -> Connections:
    """Of both address families: a program may listen on `[::]` for IPv4 as well."""
    waiting = established = 0
    for name in ("tcp", "tcp6"):
        for entry in entries(port, name):
            if entry.local_port != port:
                continue
            if entry.state == LISTENING:
                waiting += entry.to_read
            elif entry.state == ESTABLISHED:
                established += 1
    return Connections(waiting, established)


def is_listening(port: int) -> bool:
    """Whether anybody listens on a local port.

    Listeners come first in the kernel's list, and the rest of it is not asked for: cheap however
    many connections there are.
    """
    for name in ("tcp", "tcp6"):
        try:
            with Path("/proc/net", name).open() as lines:
                next(lines)
                for line in lines:
                    _, local, _, state, _ = line.split(maxsplit=4)
                    if state != LISTENING:
                        break
                    if int(local.rpartition(":")[2], 16) == port:
                        return True
        except FileNotFoundError:  # no IPv6 here
            continue
    return False


def all_accepted(port: int, conns: int) -> bool:
    """Whether so many connections to a port are made, and none waits to be accepted.

    Looked at once more when all are there: the list is not of one instant, and begins with the
    listeners.
    """
    return connections(port).established >= conns and connections(port).waiting == 0
