"""Where a load server listens, as it is written."""

from dataclasses import dataclass

from pybench.errors import UsageError

DEFAULT_PORT = 33331


@dataclass(frozen=True, slots=True)
class HostPort:
    """Where a load server listens. host: name or address, IPv6 without its brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> "HostPort":
        """Read `HOST:PORT`, `[IPv6]:PORT` or a host alone (port 33331). Raises UsageError."""
        host, colon, port = text.rpartition(":")
        if text.endswith("]") or not colon:
            host, port = text, str(DEFAULT_PORT)
        bracketed = host.startswith("[") and host.endswith("]")
        bad_host = (
            host in ("", "[]") or (":" in host and not bracketed) or any(c.isspace() for c in host)
        )
        if bad_host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
            raise UsageError(f"{text!r} is not an address: write HOST:PORT or [IPV6]:PORT")
        return cls(host[1:-1] if bracketed else host, int(port))
