"""TLS contexts for both ends, with a throw-away certificate."""

from __future__ import annotations

import functools
import ssl
import tempfile
from pathlib import Path

from wspool.testing import make_certificates


@functools.cache
def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a context for the server, and one for clients that trust it."""
    with tempfile.TemporaryDirectory() as folder:
        make_certificates(folder)
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # A ticket wakes the reading thread of websockets' blocking client, which then reads while
        # another thread writes: now and then they wait for each other.
        server.num_tickets = 0
        server.load_cert_chain(Path(folder, "cert.pem"), Path(folder, "key.pem"))
        client = ssl.create_default_context(cafile=str(Path(folder, "ca.pem")))
    return server, client
