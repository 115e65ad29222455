"""What both APIs promise of opening a connection."""

import http
import socket
import ssl

import pytest
from tests.support.pull_servers import (
    PATIENCE,
    echo,
    websockets_server,
)

import wspool
import wspool.testing
from wspool import EndpointPool, Status


class TestConnect:
    def test_success(self, client):
        """The connection is open, with its handshake at hand, and says so."""
        with websockets_server(echo) as uri, client.connect(uri + "/path?query") as ws:
            assert ws.status is Status.OPENED
            assert ws.request.path == "/path?query"
            assert ws.response.status_code == 101
            assert ws.remote_address == ("127.0.0.1", int(uri.rpartition(":")[2]))
            assert ws.close_code is None
            assert ws.error is None
            text = repr(getattr(ws, "connection", ws))
            assert "ClientConnection" in text
            assert ws.uri in text
            assert "OPENED" in text

    def test_refused(self, client):
        """A port on which nobody listens."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            client.connect(f"ws://127.0.0.1:{port}")

    def test_wrong_status(self, client):
        """A refusal has the server's answer."""

        def refuse(connection, request):
            return connection.respond(http.HTTPStatus.FORBIDDEN, "not for you\n")

        with websockets_server(echo, process_request=refuse) as uri:
            with pytest.raises(wspool.InvalidStatus) as raised:
                client.connect(uri)
        assert raised.value.response.status_code == 403
        assert raised.value.response.body == b"not for you\n"
        assert "content-type" in raised.value.response.headers

    def test_open_timeout(self, client):
        """A server that never answers."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            with pytest.raises(TimeoutError):
                client.connect(f"ws://127.0.0.1:{listener.getsockname()[1]}", open_timeout=0.05)

    @pytest.mark.parametrize("uri", ["http://127.0.0.1/", "ws://", "127.0.0.1", "ws://h:port/"])
    def test_invalid_uri(self, client, uri):
        """What is no WebSocket URI is refused."""
        with pytest.raises(wspool.InvalidURI):
            client.connect(uri)

    def test_options(self, client):
        """Options are checked, and the text names them."""
        with pytest.raises(TypeError, match="opn_timeout.*open_timeout"):
            client.connect("ws://127.0.0.1", opn_timeout=1)
        with pytest.raises(TypeError, match="max_size"):
            client.connect("ws://127.0.0.1", max_size="large")
        with pytest.raises(ValueError, match="overflow"):
            client.connect("ws://127.0.0.1", overflow="explode")
        with pytest.raises(TypeError, match="pool"):
            client.connect("ws://127.0.0.1", pool="mine")

    def test_private_authority(self, client):
        """A server of a private authority is trusted only by whom that is told."""
        with wspool.testing.echo(tls=True) as server:
            with client.connect(server.uri, ssl=wspool.TLS(ca_file=server.ca_file)) as ws:
                ws.send("secret")
                assert ws.recv(PATIENCE) == "secret"
            with client.connect(
                server.uri, ssl=ssl.create_default_context(cafile=server.ca_file)
            ) as ws:
                ws.send("secret")
                assert ws.recv(PATIENCE) == "secret"
            with wspool.testing.echo(tls=True) as other:
                with pytest.raises(ssl.SSLCertVerificationError):
                    client.connect(server.uri, ssl=wspool.TLS(ca_file=other.ca_file))
            with pytest.raises(ssl.SSLCertVerificationError):
                client.connect(server.uri)

    def test_pool(self, client):
        """It runs on an endpoint of the pool that is given."""
        with websockets_server(echo) as uri, EndpointPool(2) as pool:
            with client.connect(uri, pool=pool) as first, client.connect(uri, pool=pool) as second:
                assert {first.endpoint, second.endpoint} == set(pool)
        with pytest.raises(wspool.PoolClosed):
            client.connect(uri, pool=pool)
