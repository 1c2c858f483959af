"""Whether this machine can talk to itself."""

import fcntl
import ipaddress
import socket
import struct

SIOCGIFFLAGS = 0x8913  # netdevice(7)
IFF_UP = 1


def loopback_down(address: str) -> str | None:
    """Why a loopback address, or localhost, cannot be reached; None for others.

    A network namespace begins with its loopback interface down, as `unshare -n` leaves it.
    """
    if not _is_loopback(address):
        return None
    request = struct.pack("16sh14x", b"lo", 0)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            answer = fcntl.ioctl(probe, SIOCGIFFLAGS, request)
    except OSError:
        return None
    if struct.unpack("16sh14x", answer)[1] & IFF_UP:
        return None
    return "the loopback interface is down in this network namespace: ip link set lo up"


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return address == "localhost"
