"""What lies in the queues of one TCP connection, asked for by its two ends.

The kernel's list in /proc/net/tcp has the same, and all others: it takes a tenth of a second to
read when there are ten thousand. Source: sock_diag(7), linux/inet_diag.h.
"""

import errno
import socket
import struct
from dataclasses import dataclass

from pybench.worker.tcptable import entries

NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
NLM_F_REQUEST = 1
NO_COOKIE = 0xFFFFFFFF
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_REQUEST = struct.Struct("=BBBxI")  # family, protocol, extensions, states
_QUEUES = struct.Struct("=II")  # to read, to send
_QUEUES_AT = _HEADER.size + 56  # after four bytes, the 48 of the ends, and a timer

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Queues:
    """Bytes that wait in a socket."""

    to_read: int = 0
    to_send: int = 0


def queues(local: Address, remote: Address) -> Queues | None:
    """Of the IPv4 socket with these ends, here; None when there is none, or the kernel cannot say.

    Raises OSError when it may not be asked.
    """
    ends = struct.pack(
        ">HH4s12x4s12x",
        local[1],
        remote[1],
        socket.inet_aton(local[0]),
        socket.inet_aton(remote[0]),
    )
    request = (
        _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0xFFFFFFFF)
        + ends
        + struct.pack("=III", 0, NO_COOKIE, NO_COOKIE)
    )
    header = _HEADER.pack(_HEADER.size + len(request), SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_SOCK_DIAG) as asked:
        asked.send(header + request)
        answer = asked.recv(4096)
    if _HEADER.unpack_from(answer)[1] != SOCK_DIAG_BY_FAMILY:
        return None
    return Queues(*_QUEUES.unpack_from(answer, _QUEUES_AT))


def queues_of_both(sock: socket.socket) -> tuple[Queues, Queues]:
    """Of a connection within this machine: of this end, and of the other."""
    here, there = sock.getsockname(), sock.getpeername()
    try:
        ours = queues(here, there)
    except OSError as exc:
        if exc.errno not in (errno.EPROTONOSUPPORT, errno.EPERM, errno.EACCES, errno.EINVAL):
            raise
        ours = None
    if ours is None:  # it exists: the kernel cannot say
        return _listed(here[1], there[1]), _listed(there[1], here[1])
    return ours, queues(there, here) or Queues()


def _listed(local_port: int, remote_port: int) -> Queues:
    for entry in entries(local_port):
        if (entry.local_port, entry.remote_port) == (local_port, remote_port):
            return Queues(entry.to_read, entry.to_send)
    return Queues()
