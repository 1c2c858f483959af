"""The server's side of TLS as rows get it: Python's context, and the file that it was made of."""

import ssl
from typing import cast


class TlsContext(ssl.SSLContext):
    """What `serve` is called with as `tls`: an `ssl.SSLContext` with one attribute more.

    TLS 1.3, no client certificate, and no session is resumed: every connection makes its handshake.
    certfile: path of a PEM file with the key and the certificate, for libraries whose contexts are
    their own. It can be read as long as the process lives.
    """

    certfile: str


def server_context(certfile: str) -> TlsContext:
    """A context for the certificate in a PEM file, whose key is there too. Raises OSError, ssl's
    own among them, when that is no such file.

    Its class is ssl's own: for another one anyio, for example, takes a thread per connection.
    """
    context = cast(TlsContext, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.load_cert_chain(certfile)
    context.certfile = certfile
    return context


PEER_GONE = (ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""What ssl's sockets raise besides when the peer has closed the connection or vanished."""
