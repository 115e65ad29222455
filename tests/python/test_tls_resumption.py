"""TLS sessions are resumed on the next connection to the same server (RFC 8446 section 2.2)."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading

import pytest
from tests.support.certificates import make_certificates
from websockets.asyncio.server import serve

import wspool


class Server:
    """A TLS server that notes which handshakes were short."""

    def __init__(self, folder, version):
        self.ca_file = make_certificates(folder)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        self.context.minimum_version = self.context.maximum_version = version
        self.resumed = []
        self.port = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._run(),))

    async def _run(self):
        self._end = asyncio.Event()
        async with serve(self._serve, "localhost", 0, ssl=self.context) as server:
            self.port = server.sockets[0].getsockname()[1]
            self._ready.set()
            await self._end.wait()

    async def _serve(self, connection):
        self.resumed.append(connection.transport.get_extra_info("ssl_object").session_reused)
        await connection.send("hello")
        with contextlib.suppress(Exception):
            async for message in connection:
                if message == "abort":
                    connection.transport.abort()

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_):
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(20)
        self._loop.close()

    @property
    def uri(self):
        return f"wss://localhost:{self.port}"


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def server(request, tmp_path):
    with Server(tmp_path, request.param) as one:
        yield one


def talk(server, tls, **options):
    with wspool.connect(server.uri, ssl=tls, proxy=None, **options) as ws:
        assert ws.recv(timeout=20) == "hello"


def test_next_connection_resumes(server):
    """With the same settings; with others it does not."""
    tls = wspool.TLS(ca_file=server.ca_file)
    for _ in range(4):
        talk(server, tls)
    talk(server, wspool.TLS(ca_file=server.ca_file))
    assert server.resumed == [False, True, True, True, False]


def test_reconnection_resumes(server):
    """A feed that comes back makes a short handshake."""
    tls = wspool.TLS(ca_file=server.ca_file)
    how = wspool.Reconnect(initial_delay=0.01, max_delay=0.01)
    with wspool.connect(server.uri, ssl=tls, proxy=None, reconnect=how) as ws:
        assert ws.recv(timeout=20) == "hello"
        ws.send("abort")
        assert ws.recv(timeout=20) == "hello"
        assert ws.generation == 2
    assert server.resumed == [False, True]


def test_server_that_forgets_its_sessions(server):
    """A session that the server does not know any more makes a full handshake, and no error."""
    tls = wspool.TLS(ca_file=server.ca_file)
    talk(server, tls)
    server.context.options |= ssl.OP_NO_TICKET
    server.context.set_ciphers("DEFAULT")
    talk(server, tls)
    assert server.resumed == [False, False]


def test_name_is_checked_all_the_same(server):
    """A session is of one name: another name gets a handshake of its own, and its verdict."""
    tls = wspool.TLS(ca_file=server.ca_file)
    talk(server, tls)
    with pytest.raises(ssl.SSLCertVerificationError):
        talk(server, tls, server_hostname="example.org")
