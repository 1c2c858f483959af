"""The certificate of a run: made when the first worker needs one, in memory only, gone with the
process. The load server knows it by its fingerprint; nobody else has reason to trust it."""

import hashlib
import os
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Final

from pybench.errors import UsageError

MISSING: Final = "TLS needs trustme for its certificate: not installed (pip install trustme)"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A key and a certificate of it.

    fd: of a file in memory with both as PEM, to be inherited.  pin: the SHA-256 of the certificate
    in DER, as 64 hex digits.
    """

    fd: int
    pin: str


def missing() -> str | None:
    """Why no certificate can be made here; None when one can."""
    return None if find_spec("trustme") is not None else MISSING


@cache
def certificate() -> Certificate:
    """The run's. Raises UsageError where none can be made."""
    if (reason := missing()) is not None:
        raise UsageError(reason)
    import ssl

    import trustme

    issued = trustme.CA(organization_name="pybench").issue_cert("localhost", "127.0.0.1", "::1")
    der = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode("ascii"))
    fd = os.memfd_create("pybench-certificate")
    os.write(fd, issued.private_key_and_cert_chain_pem.bytes())
    return Certificate(fd=fd, pin=hashlib.sha256(der).hexdigest())
